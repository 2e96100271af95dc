"""A row per region and view: its features are those of the same pixels cut by hand and saved as a picture."""

from __future__ import annotations

import json
import math
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

import decaf
from decaf.cli.main import main
from decaf.engines import openvino
from decaf.errors import BrokenPicture, SettingsDiffer, TableError, UnknownName
from decaf.features import loading
from decaf.nets.net import Net
from decaf.nets.views import VIEWS
from tests.features.helpers import shard_bytes, tiny_net

LAYERS = ("pool", "fc", "prob")
SIDES = {"a": (50, 70), "b": (64, 40), "c": (33, 33)}  # height, width

Corners = tuple[float, float, float, float]


@pytest.fixture(scope="module")
def net() -> Net:
    return tiny_net()


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A folder of three pictures."""
    random = np.random.default_rng(1)
    folder = tmp_path / "scenes"
    folder.mkdir()
    for name, (height, width) in SIDES.items():
        Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


def write_boxes(folder: Path, *lines: str, header: str = "path,x0,y0,x1,y1,id,label") -> str:
    path = folder / "boxes.csv"
    path.write_text("\n".join([header, *lines, ""]))
    return str(path)


def extract(source: object, net: Net, **options: Any) -> decaf.FeatureSet:
    return decaf.extract(source, net, LAYERS, **options)  # type: ignore[arg-type]


def assert_equal(features: decaf.FeatureSet, expected: decaf.FeatureSet) -> None:
    for layer in LAYERS:
        assert np.isfinite(expected.X(layer)).all()
        np.testing.assert_array_equal(features.X(layer), expected.X(layer))


def cut_by_hand(picture: Path, corners: Corners, context: float, out: Path) -> str:
    """Save the pixels that a box touches, grown about its centre, as a picture of their own."""
    with Image.open(picture) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    x0, y0, x1, y1 = corners
    half_width, half_height = (x1 - x0) / 2 * context, (y1 - y0) / 2 * context
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    left, top = max(math.floor(x - half_width), 0), max(math.floor(y - half_height), 0)
    right, bottom = min(math.ceil(x + half_width), image.width), min(math.ceil(y + half_height), image.height)
    image.crop((left, top, right, bottom)).save(out)
    return str(out)


CORNERS: tuple[Corners, ...] = (
    (10, 10, 30, 40),  # inside
    (0, 0, 70, 50),  # all of it
    (10.25, 3.5, 20.75, 31),  # pixels in part
    (-12, -7, 20, 20),  # over the upper left edge
    (50, 30, 100, 90),  # over the lower right edge
    (-5, 20, 300, 21),  # one row
    (69, 49, 70, 50),  # the last pixel
    (30, 10, 50, 22),  # with 1.5, exactly whole pixels
)

# Boxes


@pytest.mark.parametrize("context", [1, 1.5])
@pytest.mark.parametrize("views", ["center", "ten", "ten-mean"])
def test_features_of_a_box_are_those_of_the_picture_cropped_by_hand(
    scenes: Path, net: Net, tmp_path: Path, context: float, views: str
) -> None:
    boxes = write_boxes(tmp_path, *(f"a.png,{','.join(map(str, corners))},," for corners in CORNERS))
    (tmp_path / "cut").mkdir()
    cut = [
        cut_by_hand(scenes / "a.png", corners, context, tmp_path / "cut" / f"{number}.png")
        for number, corners in enumerate(CORNERS)
    ]
    features = extract(scenes / "a.png", net, boxes=write_named(boxes, scenes), context=context, views=views)
    assert_equal(features, extract(cut, net, views=views))


def write_named(boxes: str, folder: Path) -> str:
    """The same boxes, with whole paths."""
    header, *lines = Path(boxes).read_text().splitlines()
    Path(boxes).write_text("\n".join([header, *(f"{folder}/{line}" for line in lines)]))
    return boxes


def test_a_row_per_box_in_the_order_of_pictures_then_of_the_file(scenes: Path, net: Net, tmp_path: Path) -> None:
    lines = [
        "c.png,0,0,9,9,,bird",
        "a.png,5,5,20,20,tail,",
        "c.png,3,3,8,8,wing,fish",
        "b.png,1,2,3,4,,",
        "a.png,0,0,9,9,,x",
    ]
    features = extract(scenes, net, boxes=write_boxes(tmp_path, *lines))
    assert [Path(path).name for path in features.paths] == ["a.png", "a.png", "b.png", "c.png", "c.png"]
    assert features.regions.tolist() == ["tail", "1", "0", "0", "wing"]
    assert features.labels.tolist() == ["scenes", "x", "scenes", "bird", "fish"]
    assert features.boxes.tolist() == [[5, 5, 20, 20], [0, 0, 9, 9], [1, 2, 3, 4], [0, 0, 9, 9], [3, 3, 8, 8]]
    assert features.views.tolist() == ["center"] * 5 and len(features.valid) == 5
    rows = extract(scenes, net, boxes=write_boxes(tmp_path, *lines[:2]))
    assert rows.errors.tolist() == [None, "no box is given for this picture", None]
    np.testing.assert_array_equal(rows.X("pool")[[0, 2]], features.X("pool")[[0, 3]])


def test_shards_hold_regions_and_boxes(scenes: Path, net: Net, tmp_path: Path) -> None:
    boxes = write_boxes(tmp_path, "a.png,5,5.5,20,20,tail,", "b.png,nan,0,9,9,,")
    extract(scenes, net, boxes=boxes, out=tmp_path / "out", views="ten-mean")
    shard = pq.read_table(tmp_path / "out" / "shard-00000.parquet").select(["region", "box", "view"])
    table = shard.to_pydict()
    assert table["region"] == ["tail", "0", "none"] and table["view"] == ["ten-mean"] * 3
    assert table["box"][0] == [5, 5.5, 20, 20] and math.isnan(table["box"][1][0]) and table["box"][2] is None
    features = decaf.FeatureSet.open(tmp_path / "out")
    assert np.isnan(features.boxes).tolist() == [[False] * 4, [True, False, False, False], [True] * 4]


def test_without_boxes_a_row_is_the_whole_picture(scenes: Path, net: Net) -> None:
    features = extract(scenes, net)
    assert features.regions.tolist() == ["whole"] * 3 and features.views.tolist() == ["center"] * 3
    assert np.isnan(features.boxes).all() and features.boxes.shape == (3, 4)
    assert features[[]].boxes.shape == (0, 4)


NO_BOXES = {
    "70,0,80,10": "box 70 0 80 10 is outside of the picture (70 x 50)",
    "-9,0,0,10": "box -9 0 0 10 is outside of the picture (70 x 50)",
    "nan,0,5,5": "box nan 0 5 5 has a side that is not finite",
    "0,0,inf,5": "box 0 0 inf 5 has a side that is not finite",
    "30,0,20,10": "box 30 0 20 10 has no area: it needs x0 < x1 and y0 < y1",
    "5,5,9,5": "box 5 5 9 5 has no area: it needs x0 < x1 and y0 < y1",
}


@pytest.mark.parametrize(("views", "count"), [("center", 1), ("ten", 10), ("ten-mean", 1)])
def test_a_box_that_holds_nothing_is_a_row_with_the_reason(
    scenes: Path, net: Net, tmp_path: Path, views: str, count: int
) -> None:
    lines = [line for corners in NO_BOXES for line in (f"a.png,{corners},,", "a.png,1,1,20,20,,")]
    features = extract(scenes / "a.png", net, boxes=write_named(write_boxes(tmp_path, *lines), scenes), views=views)
    says = [says for reason in NO_BOXES.values() for says in [reason] * count + [None] * count]
    assert features.errors.tolist() == says
    assert np.isnan(features[features.broken].X("fc")).all() and np.isfinite(features.valid.X("fc")).all()


def test_a_broken_picture_says_why_in_each_of_its_rows(scenes: Path, net: Net, tmp_path: Path) -> None:
    (scenes / "b.png").write_bytes((scenes / "b.png").read_bytes()[:200])
    lines = [f"{name}.png,{x},0,30,30,," for x in (1, 2, 3) for name in "abc"]
    features = extract(scenes, net, boxes=write_boxes(tmp_path, *lines), views="ten")
    assert features.broken.tolist() == [False] * 30 + [True] * 30 + [False] * 30
    assert len(set(features.errors[30:60])) == 1 and features.errors[30]
    assert features.regions[30:60:10].tolist() == ["0", "1", "2"] and features.boxes[30:60:10, 0].tolist() == [1, 2, 3]
    (scenes / "b.png").unlink()
    Image.fromarray(np.zeros((64, 40, 3), np.uint8)).save(scenes / "b.png")
    whole = extract(scenes, net, boxes=write_boxes(tmp_path, *lines), views="ten")
    np.testing.assert_array_equal(whole.X("fc")[~features.broken], features.valid.X("fc"))


def test_boxes_lie_in_the_upright_picture(net: Net, tmp_path: Path) -> None:
    gradient = np.indices((48, 80)).transpose(1, 2, 0) * (5, 3)
    image = Image.fromarray(np.dstack([gradient, gradient[..., :1] // 2]).astype(np.uint8))
    turned, exif = [tmp_path / f"{value}.{suffix}" for value in range(1, 9) for suffix in ("jpg", "png")], Image.Exif()
    for path in turned:
        exif[0x0112] = int(path.stem)
        image.save(path, exif=exif)
    boxes = write_boxes(tmp_path, *(f"{path},4,6,40,30,," for path in turned))
    cut = [cut_by_hand(path, (4, 6, 40, 30), 1.5, tmp_path / f"cut {path.name}.png") for path in turned]
    features = extract(turned, net, boxes=boxes, context=1.5)
    assert_equal(features, extract(cut, net))
    assert len(np.unique(features.X("pool")[1::2], axis=0)) == 8  # no two alike


def test_pictures_in_an_archive_have_boxes_too(scenes: Path, net: Net, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "scenes.tar", "w") as tar:
        for name in SIDES:
            tar.add(scenes / f"{name}.png", f"sub/{name}.png")
    lines = ["a.png,1,2,30,40,,", "b.png,1,2,30,40,,", "c.png,1,2,30,40,,"]
    loose = extract(scenes, net, boxes=write_boxes(tmp_path, *lines))
    packed = extract(tmp_path / "scenes.tar", net, boxes=write_boxes(tmp_path, *(f"sub/{line}" for line in lines)))
    assert_equal(packed, loose)


def test_stopping_at_a_broken_box_names_picture_and_box(scenes: Path, net: Net, tmp_path: Path) -> None:
    boxes = write_boxes(tmp_path, *(f"{name}.png,40,0,50,9,," for name in "abc"))
    with pytest.raises(BrokenPicture, match=r"b\.png: box 40 0 50 9 is outside of the picture \(40 x 64\)"):
        extract(scenes, net, boxes=boxes, on_error="stop", jobs=1)


def test_boxes_that_do_not_fit_leave_no_folder(scenes: Path, net: Net, tmp_path: Path) -> None:
    with pytest.raises(TableError, match="names none of the pictures"):
        extract(scenes, net, boxes=write_boxes(tmp_path, "z.png,1,2,3,4,,"), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_boxes_without_a_picture_are_counted_and_told(
    scenes: Path, net: Net, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net.save(tmp_path / "tiny.onnx")
    boxes = write_boxes(tmp_path, "a.png,1,1,9,9,,", "gone.png,1,1,9,9,,", "gone.png,2,2,9,9,,", "old.png,1,1,9,9,,")
    command = ["extract", str(scenes), "--net", str(tmp_path / "tiny.onnx"), "--boxes", boxes, "-o"]
    for arguments in ([str(tmp_path / "1")], [str(tmp_path / "2"), "--json"]):
        with pytest.raises(SystemExit) as ended:
            main(command + arguments)
        assert not ended.value.code
        out, err = capsys.readouterr()
        if "--json" in arguments:
            assert json.loads(out)["boxes_without_picture"] == 2 and json.loads(out)["broken"] == 2 and err == ""
        else:
            assert "note: 2 paths with boxes are no picture here, first gone.png\n" in err
            assert "2 broken: their rows say why" in out


def test_a_run_with_other_boxes_is_refused_and_the_same_one_continues(scenes: Path, net: Net, tmp_path: Path) -> None:
    lines = [f"{name}.png,{x},0,30,30,," for x in (1, 2, 3) for name in "abc"]
    out, options = tmp_path / "out", {"views": "ten", "shard_size": 7}
    extract(scenes, net, boxes=write_boxes(tmp_path, *lines), out=out, **options)
    before = shard_bytes(out)
    assert len(before) == 13
    for other in ([*lines[:-1], "c.png,4,0,30,30,,"], [*lines[1:], lines[0]], [*lines, "c.png,0,0,9,9,,"]):
        with pytest.raises(SettingsDiffer, match="--update"):
            extract(scenes, net, boxes=write_boxes(tmp_path, *other), out=out, **options)
    for other in ({"context": 1.5}, {"views": "center"}, {"views": "ten-mean"}, {"boxes": ""}):
        with pytest.raises(SettingsDiffer, match=r"made with (regions|views)"):
            extract(scenes, net, out=out, **{"boxes": write_boxes(tmp_path, *lines), **options, **other})
    (out / "shard-00004.parquet").unlink()
    extract(scenes, net, boxes=write_boxes(tmp_path, *lines), out=out, **options)
    assert shard_bytes(out) == before


@pytest.mark.parametrize("other", [{"context": 2.0}, {"boxes": Path}])
def test_equal_values_of_another_kind_are_the_same_settings(
    scenes: Path, net: Net, tmp_path: Path, other: dict[str, Any]
) -> None:
    boxes = write_boxes(tmp_path, "a.png,1,1,9,9,,")
    extract(scenes, net, boxes=boxes, context=2, out=tmp_path / "out")
    other = other | ({"boxes": Path(boxes)} if "boxes" in other else {})
    assert len(extract(scenes, net, out=tmp_path / "out", **{"boxes": boxes, "context": 2, **other})) == 3


# Views


def crops_by_hand(picture: Path, out: Path) -> list[str]:
    """The ten views of a picture whose short side becomes 32 pixels, cropped by Pillow and saved."""
    with Image.open(picture) as image:
        width, height = (32 * side // min(image.size) for side in image.size)
        whole = image.resize((width, image.height), Image.Resampling.BICUBIC)
        whole = whole.resize((width, height), Image.Resampling.BICUBIC)
    right, bottom = width - 24, height - 24
    places = [(0, 0), (right, 0), (0, bottom), (right, bottom), (right // 2, bottom // 2)]
    crops = [whole.crop((left, top, left + 24, top + 24)) for left, top in places]
    paths = [out / f"{picture.stem} {number}.png" for number in range(10)]
    for crop, path in zip([*crops, *map(ImageOps.mirror, crops)], paths, strict=True):
        crop.save(path)
    return list(map(str, paths))


def test_ten_views_are_ten_rows_equal_to_crops_by_hand(scenes: Path, net: Net, tmp_path: Path) -> None:
    features = extract(scenes, net, views="ten")
    assert features.views.tolist() == [*VIEWS] * 3 and VIEWS[:6] == ("tl", "tr", "bl", "br", "center", "tl-mirror")
    assert [Path(path).stem for path in features.paths] == ["a"] * 10 + ["b"] * 10 + ["c"] * 10
    crops = [crop for name in SIDES for crop in crops_by_hand(scenes / f"{name}.png", tmp_path)]
    assert_equal(features, extract(crops, net, preprocess="size=24"))
    assert_equal(features[features.views == "center"], extract(scenes, net))


@pytest.mark.parametrize("with_boxes", [False, True])
def test_the_mean_is_that_of_the_ten_rows(scenes: Path, net: Net, tmp_path: Path, with_boxes: bool) -> None:
    lines = [f"{name}.png,{x},0,30,30,," for x in (1, 2) for name in "abc"]
    options = {"boxes": write_boxes(tmp_path, *lines)} if with_boxes else {}
    ten, mean = (extract(scenes, net, views=views, **options) for views in ("ten", "ten-mean"))
    count = 6 if with_boxes else 3
    assert mean.views.tolist() == ["ten-mean"] * count and len(ten) == 10 * count
    assert mean.regions.tolist() == ten.regions[::10].tolist()
    for layer in LAYERS:
        expected = ten.X(layer).reshape(count, 10, -1).mean(axis=1, dtype=np.float64)
        np.testing.assert_allclose(mean.X(layer), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(mean.X("prob").sum(axis=1), 1, rtol=0, atol=1e-6)


def test_every_box_has_its_ten_views(scenes: Path, net: Net, tmp_path: Path) -> None:
    boxes = write_boxes(tmp_path, "b.png,1,2,30,40,x,", "a.png,1,2,30,40,,", "b.png,1,2,31,60,y,", "c.png,0,0,9,9,,")
    features = extract(scenes, net, boxes=boxes, views="ten")
    assert features.regions.tolist() == ["0"] * 10 + ["x"] * 10 + ["y"] * 10 + ["0"] * 10
    assert features.views.tolist() == [*VIEWS] * 4
    cut = [
        cut_by_hand(scenes / name, corners, 1, tmp_path / f"{name} {corners}.png")
        for name, corners in [
            ("a.png", (1, 2, 30, 40)),
            ("b.png", (1, 2, 30, 40)),
            ("b.png", (1, 2, 31, 60)),
            ("c.png", (0, 0, 9, 9)),
        ]
    ]
    crops = [crop for path in cut for crop in crops_by_hand(Path(path), tmp_path)]
    assert_equal(features, extract(crops, net, preprocess="size=24"))


def count_decodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    real = loading.decode

    def counted(data: bytes, *rest: Any) -> Any:
        calls.append(len(data))
        return real(data, *rest)

    monkeypatch.setattr(loading, "decode", counted)
    return calls


@pytest.mark.parametrize("views", ["center", "ten", "ten-mean"])
@pytest.mark.parametrize("each", [0, 1, 4])
def test_a_picture_is_decoded_once_for_all_its_rows(
    scenes: Path, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, views: str, each: int
) -> None:
    lines = [f"{name}.png,{x},0,30,30,," for x in range(each) for name in "abc"]
    boxes = write_boxes(tmp_path, *lines) if each else ""
    calls = count_decodes(monkeypatch)
    extract(scenes, net, boxes=boxes, views=views)
    assert len(calls) == 3


def test_a_picture_in_two_shards_is_decoded_for_each(scenes: Path, net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = count_decodes(monkeypatch)
    extract(scenes, net, views="ten", shard_size=7)  # 0-6, 7-13, 14-20, 21-27, 28-29
    assert len(calls) == 1 + 2 + 2 + 1 + 1


@pytest.mark.parametrize("options", [{"jobs": 1}, {"jobs": 3}, {"shard_size": 7}, {"batch": 3}])
@pytest.mark.parametrize("views", ["center", "ten", "ten-mean"])
def test_results_depend_on_neither_batch_nor_threads_nor_shards(
    scenes: Path, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, int], views: str
) -> None:
    (scenes / "aa.png").write_bytes(b"broken")
    lines = [f"{name}.png,{x},0,{30 + x},30,," for x in range(5) for name in ("b", "a", "c")]
    boxes = write_boxes(tmp_path, *lines, "b.png,90,0,99,9,,")
    expected = extract(scenes, net, boxes=boxes, views=views, jobs=2)
    batch = options.get("batch")
    if batch:
        monkeypatch.setattr(openvino, "batch_size", lambda net: batch)
    features = extract(scenes, net, boxes=boxes, views=views, **({} if batch else options))
    assert features.meta["runtime"]["batch"] == (batch or expected.meta["runtime"]["batch"])
    for name in ("paths", "regions", "views", "labels", "errors"):
        assert getattr(features, name).tolist() == getattr(expected, name).tolist()
    assert features.broken.sum() == (20 if views == "ten" else 2)
    for layer in LAYERS:
        np.testing.assert_array_equal(features.X(layer), expected.X(layer))


# Options


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"views": "eleven"}, "views is 'eleven': use one of center, ten, ten-mean"),
        ({"store": "f8"}, "store is 'f8': use one of f32, f16"),
        ({"context": 0, "boxes": "x"}, "context is 0: use a positive number"),
        ({"context": -1.5, "boxes": "x"}, "context is -1.5: use a positive number"),
        ({"context": math.nan, "boxes": "x"}, "context is nan: use a positive number"),
        ({"context": math.inf, "boxes": "x"}, "context is inf: use a positive number"),
        ({"max_megabytes": 0}, "max_megabytes is 0: use a positive number"),
        ({"max_megapixels": math.inf}, "max_megapixels is inf: use a positive number"),
        ({"context": 1.5}, "context widens boxes: name their CSV file with --boxes, or leave it out"),
        ({"checksum": True}, "checksum tells how to compare in an update: pass --update too, or leave it out"),
        ({"fast_decode": True, "boxes": "x"}, "a reduced scale would blur boxes: leave out --fast-decode or --boxes"),
    ],
)
def test_wrong_words_and_combinations_are_one_line(
    scenes: Path, net: Net, tmp_path: Path, wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(UnknownName) as refusal:
        extract(scenes, net, out=tmp_path / "out", **wrong)
    assert str(refusal.value) == says and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--views eleven", "Invalid value for '--views'"),
        ("--store f8", "Invalid value for '--store'"),
        ("--context 0 --boxes x.csv", "Invalid value for '--context'"),
        ("--context 1.5", "context widens boxes"),
        ("--checksum", "pass --update too"),
        ("--fast-decode --boxes x.csv", "a reduced scale would blur boxes"),
        ("--max-megabytes 0", "Invalid value for '--max-megabytes'"),
        ("--max-megapixels -1", "Invalid value for '--max-megapixels'"),
        ("--max-megapixels nan", "max_megapixels is nan"),
        ("--boxes /nowhere.csv", "cannot read /nowhere.csv (No such file or directory): make it readable"),
    ],
)
def test_wrong_words_on_the_command_line_are_one_line(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, says: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["extract", str(scenes), "-o", str(tmp_path / "out"), *words.split()])
    err = capsys.readouterr().err
    assert ended.value.code == 1 and says in err and err.count("\n") == 1


# Caps


def grey(path: Path, height: int, width: int) -> Path:
    Image.fromarray(np.full((height, width), 9, np.uint8)).save(path)
    return path


def test_a_larger_picture_is_a_row_that_names_the_option(net: Net, tmp_path: Path) -> None:
    paths = [grey(tmp_path / "small.png", 100, 100), grey(tmp_path / "large.png", 100, 101)]
    features = extract(paths, net, max_megapixels=0.01)
    assert features.errors[0] is None
    assert features.errors[1].startswith("101 x 100 pixels") and "see --max-megapixels" in features.errors[1]
    assert not extract(paths, net, max_megapixels=0.0101).broken.any()
    assert features.meta["settings"]["max_pixels"] == 10_000


def test_a_larger_file_is_a_row_that_names_the_option(scenes: Path, net: Net) -> None:
    sizes = {name: (scenes / f"{name}.png").stat().st_size for name in SIDES}
    middle = sorted(sizes.values())[1]
    features = extract(scenes, net, max_megabytes=middle / 2**20)
    assert features.broken.tolist() == [size > middle for size in sizes.values()] and features.broken.sum() == 1
    assert "see --max-megabytes" in features.errors[features.broken][0]
    assert not extract(scenes, net, max_megabytes=max(sizes.values()) / 2**20).broken.any()
    assert features.meta["settings"]["max_bytes"] == middle


def test_a_larger_picture_in_an_archive_is_a_row_that_says_so(scenes: Path, net: Net, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "scenes.tar", "w") as tar:
        tar.add(scenes / "c.png", "c.png")
    size = (scenes / "c.png").stat().st_size
    refused = extract(tmp_path / "scenes.tar", net, max_megabytes=(size - 1) / 2**20)
    assert refused.broken.all() and "more than the" in refused.errors[0]
    assert not extract(tmp_path / "scenes.tar", net, max_megabytes=size / 2**20).broken.any()


@pytest.mark.parametrize("option", ["max_megabytes", "max_megapixels"])
def test_caps_are_settings(scenes: Path, net: Net, tmp_path: Path, option: str) -> None:
    extract(scenes, net, out=tmp_path / "out", **{option: 50})
    extract(scenes, net, out=tmp_path / "out", **{option: 50.0})
    name = {"max_megabytes": "max_bytes", "max_megapixels": "max_pixels"}[option]
    with pytest.raises(SettingsDiffer, match=rf"made with {name} \d+, this run has \d+"):
        extract(scenes, net, out=tmp_path / "out", **{option: 51})
