"""`FeatureSet`: lazy, sliceable like an array, and unwilling to believe a hostile `decaf.json`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import decaf
from decaf.errors import FeatureSetError, UnknownName
from decaf.features import feature_set
from decaf.nets.net import Net
from tests.features.helpers import write_pictures

COUNT = 23


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, lite0: Net) -> Path:
    """23 pictures in shards of 5; number 7 is broken."""
    root = tmp_path_factory.mktemp("features")
    paths = write_pictures(root / "photos", COUNT)
    Path(paths[7]).write_bytes(b"broken")
    decaf.extract(paths, lite0, ["pool", "prob"], root / "out", shard_size=5)
    return root / "out"


@given(
    selection=st.one_of(
        st.slices(COUNT),
        st.lists(st.booleans(), min_size=COUNT, max_size=COUNT),
        st.lists(st.integers(-COUNT, COUNT - 1), min_size=1, max_size=40),
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_selection_equals_selecting_from_the_whole(folder: Path, selection: Any) -> None:
    features = decaf.FeatureSet.open(folder)
    index = selection if isinstance(selection, slice) else np.array(selection)
    part = features[selection]
    np.testing.assert_array_equal(part.X("pool"), features.X("pool")[index])
    assert part.paths.tolist() == features.paths[index].tolist()
    assert part.errors.tolist() == features.errors[index].tolist()
    assert len(part) == len(part.rows)


def test_a_selection_of_a_selection(folder: Path) -> None:
    features = decaf.FeatureSet.open(folder)
    assert features.valid[5:9].paths.tolist() == features.paths[[5, 6, 8, 9]].tolist()


def test_only_the_shards_asked_for_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = feature_set.read_vectors

    def watched(path: Path, *rest: Any) -> None:
        read.append(path.name)
        real(path, *rest)

    monkeypatch.setattr(feature_set, "read_vectors", watched)
    features = decaf.FeatureSet.open(folder)[[6, 21]]
    assert read == []
    features.X("pool")
    assert read == ["shard-00001.parquet", "shard-00004.parquet"]


def test_one_of_several_layers_must_be_named(folder: Path) -> None:
    features = decaf.FeatureSet.open(folder)
    assert features.layers == ("pool", "prob") and features.shape("prob") == (1000,)
    for wrong in (None, "fc"):
        with pytest.raises(UnknownName, match="name one of pool, prob"):
            features.X(wrong)


def test_other_tools_read_the_shards(folder: Path) -> None:
    features = decaf.FeatureSet.open(folder)
    frame = pd.concat(pd.read_parquet(path) for path in sorted(folder.glob("*.parquet")))
    assert frame["path"].tolist() == features.paths.tolist()
    intact = frame["error"].isna().to_numpy()
    np.testing.assert_array_equal(np.stack(frame["pool"][intact]), features.X("pool")[intact])
    query = f"select count(*), count(pool), sum(len(pool)) from '{folder}/*.parquet'"
    assert duckdb.sql(query).fetchall() == [(COUNT, COUNT - 1, (COUNT - 1) * 1280)]


@pytest.mark.parametrize(
    "poison",
    [
        {"source": {"count": 10**18}},
        {"source": {"count": -1}},
        {"source": {"count": "7"}},
        {"source": None},
        {"source": {"count": 10**13, "given": [], "folder": "", "digest": ""}, "shard_size": 10**13},
        {"environments": []},
        {"environments": None},
        {"settings": {"layers": ["pool"]}},
        {"shard_size": 0},
        {"shard_size": 10**15},
        {"format": 99},
        {"settings": {"layers": {"pool": [10**12]}}},
        {"settings": {"layers": {"pool": [-1280]}}},
        {"settings": {"layers": {"pool": "1280"}}},
        {"settings": {"layers": {"other": [1280]}}},
        {"settings": []},
    ],
)
def test_a_hostile_description_is_refused_before_anything_is_allocated(
    folder: Path, tmp_path: Path, poison: dict[str, Any]
) -> None:
    meta = json.loads((folder / "decaf.json").read_text())
    (tmp_path / "decaf.json").write_text(json.dumps(meta | poison))
    for shard in folder.glob("*.parquet"):
        (tmp_path / shard.name).symlink_to(shard)
    with pytest.raises(FeatureSetError) as refusal:
        decaf.FeatureSet.open(tmp_path).X("pool")
    assert "\n" not in str(refusal.value)


def test_a_description_nested_without_end_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "decaf.json").write_text("[" * 100_000)
    with pytest.raises(FeatureSetError, match="damaged"):
        decaf.FeatureSet.open(tmp_path)


def test_a_shard_under_a_wrong_name_is_missed(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name.replace("00001", "99999")).write_bytes(path.read_bytes())
    with pytest.raises(FeatureSetError, match="1 of 5 shards are missing"):
        decaf.FeatureSet.open(tmp_path)


def test_sets_can_be_compared_and_selected_to_nothing(folder: Path) -> None:
    features = decaf.FeatureSet.open(folder)
    assert features != features[:3] and len({features, features}) == 1
    assert len(features[[]]) == 0 and features[[]].X("pool").shape == (0, 1280)


def test_a_folder_without_features_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeatureSetError, match="not a feature folder"):
        decaf.FeatureSet.open(tmp_path)
    (tmp_path / "decaf.json").write_bytes(b"\xff{")
    with pytest.raises(FeatureSetError, match="damaged"):
        decaf.FeatureSet.open(tmp_path)


_COUNT_THREADS = """
import sys
from pathlib import Path
import numpy, pyarrow.parquet
from decaf import FeatureSet

def threads():
    names = (Path(task, "comm").read_text().strip() for task in Path("/proc/self/task").iterdir())
    return sum(not name.startswith("jemalloc") for name in names)

before = threads()
features = FeatureSet.open(sys.argv[1])
features.labels, features.X("pool"), features.to_arrow()
print(threads() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux shows them")
def test_reading_leaves_no_thread_behind(folder: Path) -> None:
    """A thread of pyarrow's pool that still runs when the process ends may abort it."""
    done = subprocess.run([sys.executable, "-c", _COUNT_THREADS, folder], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
