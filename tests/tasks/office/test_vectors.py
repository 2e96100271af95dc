"""Released vectors, a file for a domain or one for a picture; and what a domain must be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from decaf.errors import TaskError
from decaf.tasks.office.domain import Domain, Features
from decaf.tasks.office.find import find_domains
from decaf.tasks.office.names import TEN
from decaf.tasks.office.vectors import load_vectors, read_domain
from tests.tasks.office.worlds import COUNTS, features, vectors, write_archive, write_mat


@pytest.mark.parametrize("keys", [("fts", "labels"), ("feas", "labels"), ("FTS", "LABELS")])
def test_a_file_for_a_domain(tmp_path: Path, keys: tuple[str, str]) -> None:
    path = write_mat(tmp_path / "webcam.mat", "webcam", [2, 3, 1], keys)
    domain = read_domain(path, "webcam")
    np.testing.assert_array_equal(domain.X, vectors("webcam", [0, 0, 1, 1, 1, 2], noise=2.0).astype(np.float32))
    assert domain.X.dtype == np.float32 and domain.y.tolist() == [TEN[k] for k in (0, 0, 1, 1, 1, 2)]
    assert domain.names[:2] == ["webcam row 1", "webcam row 2"]


def test_vectors_in_columns_and_labels_in_a_row(tmp_path: Path) -> None:
    savemat(tmp_path / "d.mat", {"fts": np.arange(8.0).reshape(4, 2), "labels": np.array([[11, 12]])})
    domain = read_domain(tmp_path / "d.mat", "dslr")
    assert domain.X.tolist() == [[0, 2, 4, 6], [1, 3, 5, 7]] and domain.y.tolist() == ["class 11", "class 12"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"fts": np.ones((3, 2))}, "has no array labels or label or gnd, it holds fts"),
        ({"labels": np.ones(3), "words": "x"}, "has no array fts or feas or features, it holds labels, words"),
        ({"fts": np.ones((3, 2)), "labels": np.ones(5)}, "has vectors 3x2 and labels 1x5: give as many"),
        ({"fts": np.ones((2, 2, 2)), "labels": np.ones(2)}, "has vectors 2x2x2 and labels 1x2"),
        ({"fts": np.ones((2, 2)), "labels": np.array([1, 1.5])}, "labels that are no whole numbers"),
        ({"fts": np.ones((2, 2)), "labels": np.array([1, np.nan])}, "labels that are no whole numbers"),
        ({"fts": np.array([[1.0, 2], [3, np.nan]]), "labels": np.ones(2)}, "1 of 2 .* NaN or inf, the first is row 2"),
        ({"fts": np.array([[1e300, 2], [3, 4]]), "labels": np.ones(2)}, "NaN or inf, the first is row 1"),
        ({"fts": np.ones((0, 2)), "labels": np.ones(0)}, "give as many labels as vectors"),
    ],
)  # fmt: skip
def test_files_that_are_no_domain_are_refused(tmp_path: Path, content: dict[str, object], message: str) -> None:
    savemat(tmp_path / "d.mat", content)
    with pytest.raises(TaskError, match=message) as caught:
        read_domain(tmp_path / "d.mat", "dslr")
    assert "d.mat" in str(caught.value) and "\n" not in str(caught.value)


def test_the_archive_of_histograms(tmp_path: Path) -> None:
    pattern = "histogram_{:04d}.SURF_SURF.amazon_800.SURF_SURF.mat"
    write_archive(tmp_path, "interest_points", ("amazon", "dslr"), {"histogram": 800}, pattern)
    other = tmp_path / "amazon" / "interest_points" / "mug" / "histogram_0001.SURF_SURF.dslr_600.SURF_SURF.mat"
    savemat(other, {"histogram": np.ones(600)})
    (surf,) = load_vectors(find_domains([tmp_path])[0])
    assert surf.name == "SURF" and surf.domains["amazon"].X.shape == (3 * (COUNTS["amazon"] // 2), 800)
    assert surf.domains["dslr"].y.tolist() == ["back_pack"] * 4 + ["bike"] * 4 + ["mug"] * 4
    assert surf.domains["dslr"].names[0] == f"dslr/back_pack/{pattern.format(1)}"


def test_the_archive_of_activations_has_layers(tmp_path: Path) -> None:
    write_archive(tmp_path, "decaf-fts", ("amazon", "dslr"), {"fc6": 5, "fc7": 6, "fc8": 3})
    (found,) = find_domains([tmp_path])
    assert [(one.name, one.domains["dslr"].X.shape[1]) for one in load_vectors(found)] == [("DeCAF6", 5), ("DeCAF7", 6)]
    (last,) = load_vectors(found, ["fc8"])
    assert last.name == "DeCAF8"
    with pytest.raises(TaskError, match="has no array fc9, it holds fc6, fc7, fc8"):
        load_vectors(found, ["fc9"])
    odd = tmp_path / "dslr" / "decaf-fts" / "mug" / "frame_0002.mat"
    savemat(odd, {"fc6": np.ones(4), "fc7": np.ones(6)})
    with pytest.raises(TaskError, match=r"mug/frame_0002.mat has a vector of another length"):
        load_vectors(found)
    odd.write_bytes(odd.read_bytes()[:200])
    with pytest.raises(TaskError, match="is no whole MATLAB 5 file"):
        load_vectors(found)


def test_an_archive_with_fc8_alone_and_an_empty_one(tmp_path: Path) -> None:
    write_archive(tmp_path / "a", "decaf-fts", ("amazon", "dslr"), {"fc8": 3})
    assert [one.name for one in load_vectors(find_domains([tmp_path / "a"])[0])] == ["DeCAF8"]
    (tmp_path / "b" / "amazon" / "decaf-fts" / "mug").mkdir(parents=True)
    with pytest.raises(TaskError, match="holds no vectors: unpack the archive again"):
        load_vectors(find_domains([tmp_path / "b"])[0])


def test_domains_of_one_kind_must_agree() -> None:
    world = features("amazon", "webcam")
    longer = world.domains["webcam"]
    longer = Domain("webcam", np.ones((len(longer.y), 3), np.float32), longer.y, longer.names, "elsewhere")
    with pytest.raises(TaskError, match=r"clouds differ in length \(amazon 12, webcam 3\)"):
        Features("clouds", "other", "clouds", {"amazon": world.domains["amazon"], "webcam": longer}, "")
    with pytest.raises(TaskError, match="has 2 vectors, 1 labels and 2 names"):
        Domain("dslr", np.ones((2, 3), np.float32), np.array(["mug"], dtype=object), ["a", "b"], "here")


def test_classes_must_be_the_same_on_both_sides() -> None:
    world = features("amazon", "webcam", "dslr", classes=4)
    fewer = {**world.domains, "webcam": world.domains["webcam"].only(["bike", "calculator"])}
    part = Features("clouds", "other", "clouds", fewer, "")
    message = r"class 'back_pack' is in amazon and not in webcam \(1 others neither\): add it"
    with pytest.raises(TaskError, match=message):
        part.of(("amazon", "webcam"))
    with pytest.raises(TaskError, match="class 'back_pack' is in amazon and not in webcam"):
        part.of(("webcam", "amazon"))
    assert [len(one.y) for one in part.of(("amazon", "dslr"))] == [4 * 24, 4 * 9]
    single = Features("clouds", "other", "clouds", {n: d.only(["bike"]) for n, d in world.domains.items()}, "")
    with pytest.raises(TaskError, match="made up amazon has 1 class: two or more are needed"):
        single.of(("amazon", "webcam"))
    with pytest.raises(TaskError, match="made up amazon has none of the 1 classes"):
        world.limited_to(["stapler"])
