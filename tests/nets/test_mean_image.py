"""A mean image is data of a known shape: whatever else a file holds is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decaf.errors import NetError
from decaf.nets.fill import stored
from decaf.nets.graph import GraphBuilder
from decaf.nets.mean_image import LARGEST_MEAN_SIDE, mean_image, read_mean_image
from decaf.nets.net import Net, net_of
from decaf.nets.preprocess import Preprocess, parse_preprocess

VALUES = np.random.default_rng(0).uniform(0, 255, (3, 8, 8)).astype(np.float32)


def written(path: Path, values: Any, **how: Any) -> Path:
    np.save(path, values, **how)
    return path


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, np.uint8])
def test_either_order_of_axes_and_any_kind_of_number_is_read(kind: type, tmp_path: Path) -> None:
    values = VALUES.astype(kind)
    first = read_mean_image(written(tmp_path / "first.npy", values), "RGB")
    last = read_mean_image(written(tmp_path / "last.npy", np.asfortranarray(values.transpose(1, 2, 0))), "RGB")
    assert first == last and first.values is not None
    assert np.array_equal(first.values, values.transpose(1, 2, 0).astype(np.float32))


def header(shape: str, dtype: str = "<f4", extra: bytes = b"") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + extra


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an array",
        header("(3, 8, 8)"),  # no values
        header("(3, 8, 8)", extra=b"\0" * 769),
        header("(3, 100000000, 100000000)"),
        header("(3, -8, 8)"),
        header("(3, 8)", extra=b"\0" * 96),
        header("(4, 8, 8)", extra=b"\0" * 1024),
        header("(3, 8, 9)", extra=b"\0" * 864),
        header("(3, 8, 8)", "|O", b"\x80\x04N." + b"\0" * 1532),
        header("(3, 8, 8)", "<c8", b"\0" * 1536),
        header("__import__('os').abort()"),
        header("(" * 3000),
        header("(3, 8, 8)", extra=np.full((3, 8, 8), np.nan, np.float32).tobytes()),
        header("(3, 8, 8)", "<f8", np.full((3, 8, 8), 1e300).tobytes()),
        header("(3, 0, 0)"),
    ],
)
def test_anything_but_a_mean_image_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "mean.npy").write_bytes(data)
    with pytest.raises(NetError) as caught:
        read_mean_image(tmp_path / "mean.npy", "RGB")
    assert "\n" not in str(caught.value)


def test_a_pickled_array_is_refused_and_not_executed(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "executed",))

    written(tmp_path / "mean.npy", np.array([Attack()], dtype=object), allow_pickle=True)
    with pytest.raises(NetError):
        read_mean_image(tmp_path / "mean.npy", "RGB")
    assert not (tmp_path / "executed").exists()


def test_a_file_that_is_not_there_or_too_large_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetError, match=r"nothing\.npy cannot be read"):
        read_mean_image(tmp_path / "nothing.npy", "RGB")
    with (tmp_path / "huge.npy").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(NetError, match="more than"):
        read_mean_image(tmp_path / "huge.npy", "RGB")
    side = LARGEST_MEAN_SIDE + 1
    with pytest.raises(NetError, match="at most"):
        mean_image(np.zeros((side, side, 3), np.uint8))


def test_it_stands_in_place_of_mean(tmp_path: Path) -> None:
    path = written(tmp_path / "mean.npy", VALUES)
    chosen = parse_preprocess(f"caffe,size=8,mean={path}", 6)
    assert chosen.mean == (0, 0, 0) and chosen.mean_image is not None
    back = parse_preprocess("mean=5", 6, chosen)
    assert back.mean == (5, 5, 5) and back.mean_image is None
    assert parse_preprocess("std=2", 6, chosen).mean_image == chosen.mean_image
    assert parse_preprocess("caffe", 6, chosen).mean_image is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("caffe,mean={}", "the mean image has 8 px, pictures 256: set size=8"),
        ("caffe,size=8,mean={},resize=short-side", "resize=warp or resize=square"),
        ("torchvision,size=8,mean={}", "resize=warp or resize=square"),
    ],
)
def test_a_preparation_that_it_does_not_fit_is_refused(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(NetError, match=said):
        parse_preprocess(text.format(written(tmp_path / "mean.npy", VALUES)), 6)


def test_its_sha256_is_part_of_the_digest_and_of_nothing_without_one() -> None:
    plain = Preprocess(8, 6, (0, 0, 0), (1, 1, 1), "warp")
    one, other = (
        Preprocess(8, 6, (0, 0, 0), (1, 1, 1), "warp", mean_image=mean_image(values)) for values in (VALUES, VALUES + 1)
    )
    assert len({plain.digest(), one.digest(), other.digest()}) == 3
    assert set(plain.to_dict()) == {"size", "crop", "mean", "std", "resize", "channels", "interpolation"}
    assert Preprocess.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_preparations_of_before_keep_their_digests() -> None:
    """Feature folders and fitted models tell by it what they were made with."""
    lite0 = Preprocess(size=256, crop=224, mean=(127.0,) * 3, std=(128.0,) * 3)
    assert lite0.digest() == "b7759e4e56801602"
    assert parse_preprocess("torchvision", 224).digest() == "dca5be91f4d08c45"


@pytest.mark.parametrize("value", [5, "00", ["a"], {"sha256": "0"}, "g" * 64, True])
def test_a_sha256_of_the_wrong_kind_is_refused(value: Any) -> None:
    values = Preprocess(8, 6, (0, 0, 0), (1, 1, 1), "warp").to_dict()
    with pytest.raises(NetError, match="sha256 is needed"):
        Preprocess.from_dict(values | {"mean_image": value})


# Inside of an ONNX file


def file_with(**changes: str) -> bytes:
    graph = GraphBuilder("echo", stored({}), (3, 6, 6))
    model = graph.finish(graph.node("Identity", "echo", [graph.input]), {})
    preprocess = Preprocess(8, 6, (0, 0, 0), (1, 1, 1), "warp", mean_image=mean_image(VALUES))
    properties = Net("echo", model.SerializeToString(), preprocess, "echo").metadata()
    import onnx

    onnx.helper.set_model_props(model, properties | {f"decaf.{key}": json.dumps(text) for key, text in changes.items()})
    return bytes(model.SerializeToString())


def test_it_is_read_back_bit_for_bit() -> None:
    image = net_of(file_with(), "echo", "echo").preprocess.mean_image
    assert image is not None and image.values is not None
    assert np.array_equal(image.values, VALUES.transpose(1, 2, 0))


@pytest.mark.parametrize(
    "text", ["", "AAAA", "?", mean_image(VALUES + 1).to_text(), "A" * (2**24 + 2**23), "é"],
    ids=["none", "short", "no base64", "another", "long", "no ascii"],
)  # fmt: skip
def test_a_file_with_another_one_than_it_says_is_refused(text: str) -> None:
    with pytest.raises(NetError, match=r"^echo has unreadable decaf metadata \(its mean image") as caught:
        net_of(file_with(mean_image=text), "echo", "echo")
    assert "\n" not in str(caught.value)


def test_arrays_are_not_shared_with_the_caller() -> None:
    values = VALUES.transpose(1, 2, 0).copy()
    image = mean_image(values)
    values[:] = 0
    assert image.values is not None and image.values.any()
