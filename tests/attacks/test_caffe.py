"""Hostile files of Caffe: nothing is opened or executed, nothing large is allocated, only NetError is raised."""

from __future__ import annotations

import builtins
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nets.caffe_files import Array, blob, caffemodel, encoded_layer, field, layer, random, seeds, text, varint

from decaf.errors import NetError
from decaf.nets.fill import zeros
from decaf.nets.readers.caffe import caffe_parameters, read_binaryproto, read_caffe

resource = pytest.importorskip("resource")

MIB = 2**20
SMALL = {"ip.weight": random(5, 7), "ip.bias": random(5)}


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """One more half GiB of address space, so that a bomb ends in MemoryError and not in the machine's death."""
    read_caffe(*seeds()[0])  # what is imported and declared once is not counted
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 2**22
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 512 * MIB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refused(read: Callable[[], Any]) -> str:
    """A hostile file must be refused in one line, soon, and at little expense of memory; its message."""
    started = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(NetError) as caught:
            read()
        assert tracemalloc.get_traced_memory()[1] < 16 * MIB
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < 20
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800
    return str(caught.value)


def refused_text(prototxt: str | bytes) -> str:
    data = prototxt if isinstance(prototxt, bytes) else prototxt.encode()
    return refused(lambda: read_caffe(data, parameters=zeros))


def refused_model(data: bytes) -> str:
    return refused(lambda: caffe_parameters(data))


def product(encoded_blob: bytes) -> bytes:
    """A caffemodel of one layer with one encoded array."""
    return field(100, field(1, "ip") + field(2, "InnerProduct") + field(7, encoded_blob))


def shape(*sides: int) -> bytes:
    return field(7, field(1, b"".join(varint(side) for side in sides)))


def test_the_harmless_files_that_the_attacks_are_made_from_are_read() -> None:
    for prototxt, model in seeds():
        assert read_caffe(prototxt, model).graph.node
    assert caffe_parameters(product(blob(SMALL["ip.weight"])))["ip.weight"].shape == (5, 7)


# Text


@pytest.mark.parametrize(
    "nested",
    [
        "layer { a " + "{ a " * 10_000,
        "a { " * 10_000 + "} " * 10_000,
        "layer { input_param { shape { " * 10_000,
        "a: [" * 10_000,
    ],
    ids=["in a layer", "unknown", "known", "lists"],
)
def test_a_prototxt_nested_ten_thousand_deep(nested: str) -> None:
    refused_text(nested)


def test_a_text_of_many_layers() -> None:
    assert "4096 layers" in refused_text('layer{name:"a"}' * 5_000)
    assert "1,048,576 bytes" in refused_text("#" * (MIB + 1))


@pytest.mark.parametrize(
    "settings",
    [
        "inner_product_param { num_output: 1048576 }",
        "inner_product_param { num_output: 18446744073709551615 }",
        "inner_product_param { num_output: 99999999999999999999999999 }",
        "inner_product_param { num_output: -1 }",
        "inner_product_param { num_output: 0 }",
        "inner_product_param { num_output: " + "9" * 100_000 + " }",
    ],
    ids=["large", "largest", "overflow", "negative", "zero", "long"],
)
def test_a_layer_of_impossible_size(settings: str) -> None:
    wide = layer("wide", "InnerProduct", "inner_product_param { num_output: 2048 }")
    refused_text(text(wide, layer("x", "InnerProduct", settings, bottom="wide")))


def test_padding_that_makes_a_picture_grow_without_end() -> None:
    pad = "convolution_param { num_output: 4 kernel_size: 1 pad: 1000000 }"
    assert "an output of shape" in refused_text(text(layer("x", "Convolution", pad)))


def test_blobs_that_double_with_every_layer() -> None:
    joins = [
        f'layer {{ name: "x{index + 1}" type: "Concat" bottom: "{"x" * bool(index)}{index or "data"}" '
        f'bottom: "{"x" * bool(index)}{index or "data"}" top: "x{index + 1}" }}'
        for index in range(64)
    ]
    assert "an output of shape" in refused_text(text(*joins))


@pytest.mark.parametrize(
    "sides", ["1 dim: 3 dim: 0 dim: 9", "1 dim: 3 dim: -9 dim: 9", "1 dim: 3", f"1 dim: 3 dim: {2**40} dim: 9"]
)
def test_a_picture_of_impossible_size(sides: str) -> None:
    refused_text(f'input: "data" input_shape {{ dim: {sides} }} {layer("r", "ReLU")}')


@pytest.mark.parametrize("name", ["a\\nb", "a" * 300, "\\377\\376", "\\ud800", "a\\0b"])
def test_names_that_would_break_the_line(name: str) -> None:
    refused_text(text(layer(name, "NoSuchType")))
    refused_text(text(layer("x", name)))
    refused_text(text(layer("x", "ReLU", bottom=name)))


def test_names_that_are_no_text() -> None:
    for wrong in (b"\xff\xfe", b"x" * 1000):
        refused_model(field(1, wrong) + encoded_layer("ip", "InnerProduct"))
        refused_model(field(3, wrong) + encoded_layer("ip", "InnerProduct"))
        refused_model(field(100, field(1, wrong) + field(2, "InnerProduct")))


def test_a_layer_that_poses_as_the_parameter_of_another() -> None:
    power = "power_param { scale: 2 shift: 3 }"
    fake = "inner_product_param { num_output: 5 }"
    refused_text(text(layer("x", "Power", power), layer("x.scaled", "ReLU")))
    refused_text(text(layer("x", "InnerProduct", fake), layer("x.weight", "ReLU", bottom="x")))
    assert "like a parameter" in refused_text(text(layer("x.weight", "ReLU"), layer("x", "InnerProduct", fake)))


def test_nothing_a_file_names_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*arguments: object, **more: object) -> NoReturn:
        raise AssertionError(f"{arguments} was opened")

    feed = (
        'layer { name: "data" type: "ImageData" top: "data" image_data_param { source: "/etc/passwd" root_folder: "/" }'
        ' transform_param { crop_size: 9 mean_file: "/dev/zero" } }'
    )
    monkeypatch.setattr(builtins, "open", opened)
    read_caffe((feed + layer("r", "ReLU")).encode(), parameters=zeros)
    python = 'layer { name: "p" type: "Python" bottom: "data" top: "p" python_param { module: "os" layer: "system" } }'
    assert "'Python'" in refused_text(feed + python)


# Binary


@pytest.mark.parametrize(
    "data",
    [
        varint(100 << 3 | 2) + varint(2**63 - 1) + b"x",
        varint(100 << 3 | 2) + varint(2**70) + b"x",
        varint(100 << 3 | 2) + b"\xff" * 1000,
        b"\xff" * 1000,
        varint(100 << 3 | 2),
        varint(100 << 3 | 3) + varint(100 << 3 | 4),
        varint(100 << 3 | 7),
        b"\0\0",
        field(100, field(2, "ReLU") + varint(7 << 3 | 2) + varint(2**62)),
        product(varint(5 << 3 | 2) + varint(2**40)),
        product(field(7, varint(1 << 3 | 2) + varint(2**40))),
    ],
)
def test_lengths_and_numbers_that_lie(data: bytes) -> None:
    assert "not a readable file of Caffe" in refused_model(data)


@pytest.mark.parametrize(
    "sides",
    [(2**32, 2**32), (2**63 - 1, 2), (2**64 - 1, 2**64 - 1), (5, 8), (5,), (0, 2**62), (1,) * 33, (1,) * 60_000],
)
def test_shapes_that_overflow_or_exceed_the_numbers(sides: tuple[int, ...]) -> None:
    refused_model(product(field(5, random(5, 7).tobytes()) + shape(*sides)))


def test_sides_below_zero() -> None:
    refused_model(product(field(5, bytes(4)) + shape(2**64 - 1, 2**64 - 1)))


def test_the_old_shapes_that_overflow() -> None:
    sides = b"".join(field(axis, 2**32) for axis in (1, 2, 3, 4))
    refused_model(field(2, field(4, "ip") + field(5, 14) + field(6, sides + field(5, random(5, 7).tobytes()))))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_parameters_that_are_not_finite(value: float) -> None:
    array = random(5, 7)
    array[4, 6] = value
    assert "not finite" in refused_model(product(blob(array)))
    assert "not finite" in refused(lambda: read_binaryproto(blob(array.reshape(1, 5, 7))))


def test_doubles_that_are_too_large_for_a_float() -> None:
    assert "not finite" in refused_model(product(field(8, np.full(4, 1e300).tobytes()) + shape(2, 2)))


def test_a_batch_norm_that_overflows_when_it_is_scaled() -> None:
    large = [np.full(4, 1e38, np.float32), np.ones(4, np.float32), np.full(1, 1e-30, np.float32)]
    model = encoded_layer("x", "BatchNorm", large)
    assert "not finite" in refused(lambda: read_caffe(text(layer("x", "BatchNorm")), model))


def test_numbers_cut_in_the_middle() -> None:
    assert "inside of a number" in refused_model(product(field(5, bytes(7)) + shape(1)))


@pytest.mark.parametrize(
    "data",
    [
        field(100, b"") * 2_000_000,
        field(100, field(2, "ReLU") + field(7, b"") * 1_000_000),
        field(100, field(2, "ReLU") + field(3, "") * 1_000_000),
        product(b"".join(varint(5 << 3 | 5) + bytes(4) for _ in range(200_000))),
        field(4, 0) * 1_000_000,
        field(100, field(1, "x" * MIB) + field(2, "ReLU")),
        field(100, field(1, "x") + field(2, "ReLU") + field(500, bytes(MIB))),
        field(100, field(1, "x") + field(2, "InnerProduct") + field(7, b"") * 3),
    ],
    ids=["layers", "arrays", "inputs", "unpacked", "sides", "name", "unknown", "three arrays"],
)
def test_many_small_things_in_a_small_file(data: bytes) -> None:
    refused_model(data)


def test_a_caffemodel_cut_anywhere_has_fewer_layers_or_is_refused() -> None:
    parameters: dict[str, Array] = {
        f"ip{index}.{part}": SMALL[f"ip.{part}"] for index in range(3) for part in ("weight", "bias")
    }
    whole = caffemodel(parameters)
    for length in range(len(whole)):
        try:
            found = caffe_parameters(whole[:length])
        except NetError as error:
            assert "\n" not in str(error)
        else:
            assert len(found) < len(parameters)
            assert all(np.array_equal(array, parameters[name]) for name, array in found.items())


def test_another_file_of_the_same_format_is_refused() -> None:
    refused_model(blob(random(3, 4, 4)))
    refused_model(b"\x89HDF\r\n\x1a\n" + bytes(100))
    refused(lambda: read_binaryproto(caffemodel(SMALL)))
    refused(lambda: read_binaryproto(b""))


def test_protobuf_messages_of_another_package_are_left_alone() -> None:
    """Another package may declare Caffe's messages to protobuf for the whole process."""
    code = (
        "from google.protobuf import descriptor_pb2, descriptor_pool\n"
        "file = descriptor_pb2.FileDescriptorProto(name='caffe.proto', package='caffe')\n"
        "file.message_type.add(name='Net').field.add(name='other', number=1, type=5, label=1)\n"
        "descriptor_pool.Default().AddSerializedFile(file.SerializeToString())\n"
        "from decaf.nets.readers.caffe.schema import parse_text\n"
        "print(parse_text('Net', 'name: \"ours\"').name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ours\n"


# Mutations

SEEDS = seeds()
mutations = st.lists(
    st.tuples(st.integers(0, 2**20), st.integers(0, 4), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4
)


def mutated(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, removed, put in changes:
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + removed :]
    return data


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(SEEDS) - 1), mutations, st.booleans())
def test_a_mutated_file_is_read_or_refused(index: int, changes: list[tuple[int, int, bytes]], in_text: bool) -> None:
    prototxt, model = SEEDS[index]
    if in_text and prototxt is not None:
        prototxt = mutated(prototxt, changes)
    else:
        model = mutated(model, changes)
    try:
        read_caffe(prototxt, model)
    except NetError as error:
        assert "\n" not in str(error)


# Memory

MEASURE = """
import resource, sys
from pathlib import Path
from decaf.nets.readers.caffe import caffe_parameters, read_caffe
from tests.nets.caffe_files import layer, seeds, text
read_caffe(*seeds()[0])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
before = peak()
data = Path(sys.argv[1]).read_bytes()
caffe_parameters(data)
print((peak() - before) / len(data))
read_caffe(text(layer("ip", "InnerProduct", "inner_product_param { num_output: 40000 }")), data)
print((peak() - before) / len(data))
"""


def test_a_large_file_takes_three_times_its_size(tmp_path: Path) -> None:
    path = tmp_path / "large.caffemodel"
    path.write_bytes(
        caffemodel({"ip.weight": np.zeros((40_000, 324), np.float32), "ip.bias": np.zeros(40_000, np.float32)})
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True, cwd=root
    )
    parameters, model = map(float, done.stdout.split())
    assert parameters < 1.5
    assert model < 3.3
