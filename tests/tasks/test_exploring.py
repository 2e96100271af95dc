"""`decaf explore`: the page is made once, and what is dropped is seen as the set was."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import decaf
from decaf.cli.main import main
from decaf.errors import ExploreError, ImageError, SettingsDiffer, UnknownName
from decaf.explore.layouts import in_one_frame
from decaf.explore.server import Listening
from decaf.images.decode import Limits
from decaf.maps import MapSettings, map_of
from decaf.tasks.dropping import Dropping, frame_of, output_of
from decaf.tasks.exploring import Explored, Exploring, explore, gate
from decaf.tasks.mapping import Request
from decaf.tasks.model import Model
from decaf.tasks.same_net import Network
from tests.features.helpers import tiny_net

PCA = MapSettings(method="pca")


def still(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of three classes, one of them broken, their features, and the network as a file."""
    folder = tmp_path_factory.mktemp("explore")
    random = np.random.default_rng(0)
    for index in range(24):
        pixels = random.integers(0, 90, (30, 40, 3), dtype=np.uint8)
        pixels[..., index // 8] += 150
        path = folder / "photos" / ("red", "green", "blue")[index // 8] / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (folder / "photos" / "green" / "09.png").write_bytes(b"no picture")
    tiny_net().save(folder / "net.onnx")
    decaf.extract(folder / "photos", net=folder / "net.onnx", layers=["fc", "pool"], out=folder / "features")
    return folder


def asked(place: Path, **request: Any) -> Exploring:
    return Exploring(Request(settings=PCA, **request), network=Network(str(place / "net.onnx")))


def opened(place: Path, **request: Any) -> Explored:
    return explore(str(place / "features"), asked(place, **request), still)


@pytest.fixture(scope="module")
def dropping(place: Path) -> Dropping:
    found = opened(place).dropping
    assert found is not None
    return found


def test_the_page_is_made_once(place: Path) -> None:
    first = opened(place, layers=("pool",))
    again = opened(place, layers=("pool",))
    assert first.built and not again.built and first.kept == again.kept
    assert first.kept.parent == place / "features" / "derived" and first.layers == ("pool",)
    assert opened(place, layers=("fc",)).kept != first.kept
    assert opened(place, layers=("pool",), colour="label").kept != first.kept


def test_a_table_of_labels_counts_by_its_content(place: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    pages = []
    for label in ("x", "y", "x"):
        table.write_text(f"path,label\n{place}/photos/red/00.png,{label}\n{place}/photos/red/01.png,z\n")
        pages.append(opened(place, layers=("pool",), labels=str(table)))
    assert [page.built for page in pages] == [True, True, False] and pages[0].kept == pages[2].kept


def test_pictures_that_return_are_shown(place: Path, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(place / "photos", folder / "photos")
    decaf.extract(folder / "photos", net=place / "net.onnx", layers=["pool"], out=folder / "features")
    ask = asked(place)
    hidden = folder / "photos" / "red"
    hidden.rename(folder / "elsewhere")
    gone = explore(str(folder / "features"), ask, still)
    assert len(gone.bundle.unseen) == 9
    assert not explore(str(folder / "features"), ask, still).built
    (folder / "elsewhere").rename(hidden)
    back = explore(str(folder / "features"), ask, still)
    assert back.built and len(back.bundle.unseen) == 1


def test_a_picture_of_the_set_finds_itself_first(place: Path, dropping: Dropping) -> None:
    features = decaf.FeatureSet.open(place / "features")
    for row in (0, 8, 23):
        answer = dropping(Path(features.paths[row]).read_bytes())
        assert (answer["width"], answer["height"]) == (40, 30)
        for layer in answer["layers"]:
            assert layer["near"][0] == row and layer["similarity"][0] == 1
            assert 9 not in layer["near"] and len(layer["near"]) == 12
            assert layer["similarity"] == sorted(layer["similarity"], reverse=True)


def test_its_place_is_where_the_page_has_it(place: Path, dropping: Dropping) -> None:
    features = decaf.FeatureSet.open(place / "features")
    layers = opened(place).layers
    framed = in_one_frame({layer: map_of((features,), layer, PCA).value.coordinates for layer in layers})
    answer = dropping(Path(features.paths[5]).read_bytes())
    for layer, told in zip(layers, answer["layers"], strict=True):
        assert told["place"] == pytest.approx(framed[layer][5], abs=1e-4)


def test_features_are_those_of_extract(place: Path, dropping: Dropping) -> None:
    features = decaf.FeatureSet.open(place / "features")
    data = Path(features.paths[3]).read_bytes()
    vectors = dropping._extractor(data, decaf.images.decode.decode(data))
    for layer in features.layers:
        assert (vectors[layer] == features[[3]].X(layer)).all()


@pytest.mark.parametrize(("views", "fast"), [("ten-mean", False), ("center", True)])
def test_a_set_made_otherwise_is_met_as_it_was_made(place: Path, tmp_path: Path, views: Any, fast: bool) -> None:
    out = tmp_path / "features"
    settings = {"views": views, "fast_decode": fast}
    features = decaf.extract(place / "photos", net=place / "net.onnx", layers=["pool"], out=out, **settings)
    found = explore(str(out), asked(place), still).dropping
    assert found is not None
    assert found(Path(features.paths[17]).read_bytes())["layers"][0]["near"][0] == 17


def test_the_preview_is_a_small_jpeg(dropping: Dropping) -> None:
    out = io.BytesIO()
    Image.new("RGB", (2000, 1000), (10, 200, 10)).save(out, "PNG")
    answer = dropping(out.getvalue())
    preview = Image.open(io.BytesIO(base64.b64decode(answer["preview"])))
    assert (preview.format, preview.size) == ("JPEG", (512, 256)) and (answer["width"], answer["height"]) == (
        2000,
        1000,
    )


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"\xff\xd8\xff\xe0 torn", b"GIF89a"])
def test_what_is_no_picture_is_told_so(dropping: Dropping, data: bytes) -> None:
    with pytest.raises(ImageError):
        dropping(data)


def test_pixels_are_bounded(place: Path) -> None:
    small = explore(
        str(place / "features"), Exploring(Request(settings=PCA), network=Network(str(place / "net.onnx")),
        limits=Limits(2**20, 1000)), still,
    )  # fmt: skip
    assert small.dropping is not None
    with pytest.raises(ImageError, match="megapixels"):
        small.dropping((place / "photos" / "red" / "00.png").read_bytes())


def test_classes_of_the_network_are_those_it_gives(place: Path, dropping: Dropping) -> None:
    from decaf.nets.registry import load_net

    net = load_net(place / "net.onnx")
    path = place / "photos" / "blue" / "20.png"
    told = dropping(path.read_bytes())["net"]
    if not output_of(net):
        assert told is None
        return
    scores = decaf.extract([path], net=place / "net.onnx", layers=[output_of(net)]).X()[0]
    assert told[0]["label"] == net.labels[int(scores.argmax())]


def test_a_fitted_model_is_asked_too(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "colours.safetensors"
    with pytest.raises(SystemExit) as ended:
        main(["fit", str(place / "features"), "-o", str(file), "--layer", "pool", "--json"])
    assert ended.value.code in (0, None)
    found = opened(place, model=str(file))
    assert found.dropping is not None
    for row, name in ((1, "blue"), (22, "red")):
        features = decaf.FeatureSet.open(place / "features")[[row]]
        told = found.dropping(Path(features.paths[0]).read_bytes())["model"]
        assert told[0]["label"] == name and len(told) == 3
        assert told[0]["margin"] == pytest.approx(Model.load(file).predict(features).scores[0, 0], abs=1e-3)


def test_all_zeros_have_no_neighbours_but_a_place(place: Path, dropping: Dropping) -> None:
    vectors = {layer: np.zeros((1, size), np.float32) for layer, size in (("fc", 5), ("pool", 8))}
    view = dropping._views[0]
    size = view._index.matrix.size
    told = view.about({**vectors, view._layer: np.zeros((1, size), np.float32)})
    assert told["near"] == [] and told["place"] is not None


def test_a_frame_is_found_from_places() -> None:
    random = np.random.default_rng(0)
    places = random.normal(0, 20, (30, 2))
    places[4] = np.nan
    turn = np.linalg.qr(random.normal(size=(2, 2)))[0]
    framed = ((places - [3, 4]) @ turn / 50).astype(np.float32)
    new = random.normal(0, 20, (5, 2))
    np.testing.assert_allclose(frame_of(places, framed)(new), (new - [3, 4]) @ turn / 50, atol=1e-6)
    one = frame_of(np.array([[2.0, 3.0]]), np.array([[0.0, 0.0]]))
    np.testing.assert_allclose(one(np.array([[2.0, 3.0]])), [[0, 0]], atol=1e-12)


def test_without_the_network_the_page_is_served_all_the_same(place: Path) -> None:
    found = explore(str(place / "features"), Exploring(Request(settings=PCA)), still)
    assert found.dropping is None and "--net FILE.onnx" in found.why_not and found.answers.about == {"drop": False}
    with pytest.raises(ExploreError, match="cannot be dropped"):
        found.answers.ask(b"")


def test_another_network_is_refused(place: Path) -> None:
    with pytest.raises(SettingsDiffer, match="another network"):
        wanted = Exploring(Request(settings=PCA), network=Network(str(place / "net.onnx"), None, 3))
        explore(str(place / "features"), wanted, still)
    with pytest.raises(UnknownName, match="no layer 'conv9'"):
        opened(place, layers=("conv9",))


def test_a_token_is_asked_for_where_others_can_come() -> None:
    def at(host: str, **given: Any) -> tuple[Any, str]:
        return gate(Listening(None, host, 80), **given)  # type: ignore[arg-type]

    access, url = at("127.0.0.1")
    assert access.token == "" and url == "http://127.0.0.1:80/"
    access, url = at("::1")
    assert access.token == "" and url == "http://[::1]:80/"
    access, url = at("0.0.0.0", names=("Studio",))
    assert len(access.token) > 40 and url.endswith(f"/?token={access.token}") and "studio" in access.names
    assert at("192.168.0.7")[1].startswith("http://192.168.0.7:80/?token=")
    assert at("0.0.0.0", token=False)[0].token == "" and at("localhost", token=True)[0].token != ""


def typed(place: Path, *more: str) -> subprocess.Popen[str]:
    code = "import sys; from decaf.cli.main import main; main(sys.argv[1:])"
    command = ["explore", str(place / "features"), "--port", "0", "--no-open", "--method", "pca", "--net",
               str(place / "net.onnx"), *more]  # fmt: skip
    source = str(Path(decaf.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-c", code, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip


def test_the_command_serves_until_it_is_interrupted(place: Path) -> None:
    with typed(place, "--json") as server:
        try:
            assert server.stdout is not None
            said = ""
            while not said.rstrip().endswith("}"):
                said += server.stdout.readline()
            about = json.loads(said)
            assert about["pictures"] == 24 and about["drop"] and about["notes"] == []
            connection = http.client.HTTPConnection(about["url"].split("/")[2], timeout=30)
            raw = {"Content-Type": "application/octet-stream"}
            connection.request("POST", "/drop", (place / "photos" / "red" / "02.png").read_bytes(), raw)
            told = json.loads(connection.getresponse().read())
            connection.close()
        finally:
            server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=20)
    assert told["layers"][0]["near"][0] == 18  # blue and green ones come first
    assert (server.returncode, out, err) == (0, "", "")


def test_errors_are_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, line in (
        ([str(place / "nowhere")], "is not a feature folder"),
        ([str(place / "features"), "--host", "no.such.host.invalid", "--method", "pca"], "cannot listen on"),
        ([str(place / "features"), "--layer", "conv9"], "no layer 'conv9'"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["explore", *arguments])
        said = capsys.readouterr().err.strip().splitlines()
        assert ended.value.code == 1 and line in said[-1]
