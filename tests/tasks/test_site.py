"""`decaf map -o SITE`: what a page holds of feature sets."""

from __future__ import annotations

import base64
import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import decaf
from decaf.cli.main import main
from decaf.errors import ExploreError
from decaf.maps import MapSettings
from decaf.tasks.mapping import Request, open_sets, read_points
from decaf.tasks.pictures import Pictures
from decaf.tasks.site import PageRequest, RowsOf, make_site, shown_paths
from tests.features.helpers import tiny_net

SETTINGS = MapSettings(method="pca")


def still(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of eight pictures: red, green and blue ones with noise; one of them is broken."""
    folder = tmp_path_factory.mktemp("site") / "photos"
    random = np.random.default_rng(0)
    for index in range(24):
        pixels = random.integers(0, 90, (30, 40, 3), dtype=np.uint8)
        pixels[..., index // 8] += 150
        path = folder / ("red", "green", "blue")[index // 8] / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (folder / "green" / "09.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def features(photos: Path) -> Path:
    decaf.extract(photos, out=photos.parent / "features", net=tiny_net(), layers=["fc", "pool"])
    return photos.parent / "features"


def told(page: Path) -> Any:
    return json.loads((page / "data" / "site.js").read_text()[len("decaf.describe(") : -3])


def chunk(page: Path, name: str, kind: str) -> np.ndarray:
    text = (page / "data" / f"{name}.js").read_text()
    return np.frombuffer(base64.b64decode(re.findall(r'"([^"]*)"', text)[1]), kind)


def test_a_page_holds_columns_maps_and_neighbours(
    capsys: pytest.CaptureFixture[str], features: Path, photos: Path, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(
            ["map", str(features), "-o", f"{tmp_path}/page/", "--method", "pca", "--neighbours", "4", "--clusters", "3"]
        )
    assert not ended.value.code
    out, err = capsys.readouterr()
    assert "24 pictures" in out and "index.html" in out and "seed 0" in out
    assert "note: no picture of green/09.png" in err
    about = told(tmp_path / "page")
    assert about["title"] == "features" and about["count"] == 24
    names = [column["name"] for column in about["columns"]]
    assert names == ["label", "cluster", "neighbours say", "neighbours alike", "neighbours are", "not read"]
    assert about["columns"][0]["names"] == ["blue", "green", "red"]
    near = chunk(tmp_path / "page", "near-0", "<i4").reshape(24, 4)
    broken = sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png")).index("green/09.png")
    assert (near[broken] == -1).all() and broken not in near
    assert np.isnan(chunk(tmp_path / "page", "layout-0", "<f4").reshape(24, 2)[broken]).all()


def test_json_says_the_same(capsys: pytest.CaptureFixture[str], features: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["map", str(features), "-o", str(tmp_path / "page"), "--method", "pca", "--layer", "pool", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["layers"] == ["pool"] and list(said["not_shown"]) == ["green/09.png"] and said["seed"] == 0
    assert said["bytes"] == sum(file.stat().st_size for file in (tmp_path / "page").rglob("*") if file.is_file())


def test_a_taken_folder_is_refused_before_any_work(
    capsys: pytest.CaptureFixture[str], features: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit) as ended:
        main(["map", str(features), "-o", str(tmp_path), "--layer", "nonsense"])
    assert ended.value.code == 1
    assert "holds other files than a page of decaf" in capsys.readouterr().err


def test_neighbours_vote(features: Path) -> None:
    points = read_points(open_sets([str(features)]), Request(settings=SETTINGS))
    site = make_site(points, Request(("pool",), SETTINGS), PageRequest(neighbours=5, clusters=0), still)
    columns = {column.name: column.values for column in site.columns}
    for row, others in enumerate(site.neighbours["pool"]):
        if points.broken[row]:
            assert columns["neighbours say"][row] is None and np.isnan(columns["neighbours alike"][row])
            assert columns["neighbours are"][row] is None
            continue
        labels = [points.labels[other] for other in others]
        said = columns["neighbours say"][row]
        assert labels.count(said) == max(map(labels.count, labels))
        assert columns["neighbours alike"][row] == pytest.approx(labels.count(points.labels[row]) / 5)
        assert columns["neighbours are"][row] == ("right" if said == points.labels[row] else "wrong")
    assert (columns["neighbours are"] == "right").sum() >= 20  # red, green and blue lie apart


def test_clusters_are_named_by_size(features: Path) -> None:
    points = read_points(open_sets([str(features)]), Request(settings=SETTINGS))
    site = make_site(points, Request(("pool",), SETTINGS), PageRequest(neighbours=0, clusters=3), still)
    (cluster,) = (column.values for column in site.columns if column.name == "cluster")
    sizes = [(cluster == f"cluster {number}").sum() for number in (1, 2, 3)]
    assert sizes == sorted(sizes, reverse=True) and sum(sizes) == 23
    assert not site.neighbours


@pytest.mark.parametrize("page", [PageRequest(neighbours=-1), PageRequest(clusters=2000)])
def test_impossible_numbers(features: Path, page: PageRequest) -> None:
    points = read_points(open_sets([str(features)]), Request(settings=SETTINGS))
    with pytest.raises(ExploreError):
        make_site(points, Request(settings=SETTINGS), page, still)


def test_tables_of_shown_paths_fit_the_features(features: Path, tmp_path: Path) -> None:
    from decaf.tasks.targets import read_targets

    opened = decaf.FeatureSet.open(features)
    shown = shown_paths([opened])
    assert shown[0] == "blue/16.png"
    table = tmp_path / "tags.csv"
    table.write_text("path,label,was\r\n" + "".join(f"{path},mine,\r\n" for path in shown[:5]))
    assert len(read_targets(opened, str(table))) == 5


def test_two_sets_are_one_page(features: Path, photos: Path, tmp_path: Path) -> None:
    decaf.extract(photos / "red", out=tmp_path / "more", net=tiny_net(), layers=["fc", "pool"])
    points = read_points(open_sets([str(features), str(tmp_path / "more")]), Request(settings=SETTINGS))
    site = make_site(points, Request(("pool",), SETTINGS), PageRequest(), still)
    assert site.columns[0].name == "domain" and len(site.paths) == 32
    assert (site.paths[0], site.paths[-1]) == ("features/blue/16.png", "more/07.png")
    rows = RowsOf(points.sets)
    np.testing.assert_array_equal(
        rows.load(24), np.asarray(Image.open(io.BytesIO((photos / "red/00.png").read_bytes())))
    )
    assert rows.original(24) == (photos / "red" / "00.png").read_bytes()


def test_a_box_has_no_file_of_its_own(photos: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("path,x0,y0,x1,y1\n" + f"{photos / 'red' / '00.png'},10,5,20,25\n")
    decaf.extract(photos / "red" / "00.png", out=tmp_path / "f", net=tiny_net(), boxes=boxes, context=1.0)
    pictures = Pictures(decaf.FeatureSet.open(tmp_path / "f"))
    assert pictures.load(0).shape == (20, 10, 3)
    assert pictures.original(0) is None


def test_pictures_of_an_archive(photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "photos.tar", "w") as archive:
        archive.add(photos / "red", "red")
    decaf.extract(tmp_path / "photos.tar", out=tmp_path / "f", net=tiny_net())
    opened = decaf.FeatureSet.open(tmp_path / "f")
    pictures = Pictures(opened)
    for row, path in enumerate(opened.paths):
        assert pictures.original(row) == (photos / "red" / Path(path).name).read_bytes()
