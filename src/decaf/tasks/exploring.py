"""`decaf explore`: a page of a feature set, kept beside it, and what is needed to answer for dropped pictures."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib import metadata as packages
from pathlib import Path
from threading import Thread
from typing import Any

from decaf.errors import DecafError, ExploreError
from decaf.explore.app import Answers, make_app
from decaf.explore.guard import Access, is_loopback, new_token
from decaf.explore.served import Bundle, ServedPictures, write_bundle
from decaf.explore.server import Listening, has_screen, open_browser, run
from decaf.explore.uploads import Bounds
from decaf.explore.writer import FORMAT
from decaf.features.derived import Kept, Recipe, derive
from decaf.features.feature_set import FeatureSet
from decaf.images.decode import Limits
from decaf.maps import map_of
from decaf.tasks.dropping import Dropping, Setting
from decaf.tasks.mapping import Request, Tell, layers_of, read_points
from decaf.tasks.model import Model
from decaf.tasks.same_net import Alike, Network, net_alike
from decaf.tasks.site import PageRequest, RowsOf, by_depth, make_site

_VERSION = 1  # of how a page is kept
_TRIED = 20  # pictures that could not be seen before


@dataclass(frozen=True)
class Exploring:
    """What the user asks for.

    Attributes:
        request: which maps, labels and model.
        page: what is on the page.
        network: where the network is to be had.
        limits: caps on dropped pictures.
    """

    request: Request = field(default_factory=Request)
    page: PageRequest = field(default_factory=PageRequest)
    network: Network = field(default_factory=Network)
    limits: Limits = field(default_factory=lambda: Limits(20 * 2**20, 50_000_000))


@dataclass(frozen=True, eq=False)
class Explored:
    """A set that is ready to be served.

    Attributes:
        bundle: the data of the page.
        pictures: of the set.
        answers: to dropped pictures.
        layers: of the slider.
        kept: where the data lie.
        built: whether they were made just now.
        dropping: prepares what answers need; None where pictures cannot be dropped.
        why_not: the reason.
    """

    bundle: Bundle
    pictures: ServedPictures
    answers: Answers
    layers: tuple[str, ...]
    kept: Path
    built: bool
    dropping: Dropping | None
    why_not: str


def explore(folder: str, asked: Exploring, tell: Tell) -> Explored:
    """Make the page of a feature set, or find it where it is kept, and prepare for dropped pictures.

    Args:
        folder: of the features.
        asked: what the user asks for.
        tell: called with what is done, and how much of it.

    Raises:
        FeatureSetError: it is no feature folder.
        UnknownName, SettingsDiffer, ModelError, TableError, MapError, ExploreError: as for `decaf map`.
    """
    features = FeatureSet.open(folder)
    layers = layers_of((features,), asked.request.layers)
    if not asked.request.layers:
        layers = by_depth(features, layers)
    model = _model(asked.request.model, features)
    kept = _kept(features, layers, asked, tell)
    dropping, why_not = _dropping(features, layers, asked, model, tell)
    return Explored(
        kept.value,
        ServedPictures(RowsOf((features,)), len(features)),
        Answers(dropping or partial(_refuse, why_not), {"drop": dropping is not None}),
        tuple(layers),
        kept.path,
        kept.built,
        dropping,
        why_not,
    )


def _model(file: str, features: FeatureSet) -> Model | None:
    if not file:
        return None
    model = Model.load(file)
    model.check_features(features)
    return model


def _kept(features: FeatureSet, layers: Sequence[str], asked: Exploring, tell: Tell) -> Kept[Bundle]:
    """The data of the page, made anew where pictures that were missing are there now."""
    source = RowsOf((features,))

    def build(path: Path) -> None:
        points = read_points((features,), asked.request)
        site = make_site(points, asked.request, asked.page, tell)
        threads = asked.page.pictures.threads
        write_bundle(path, site, source, threads, lambda done, of: tell("pictures", done, of))

    recipe = Recipe("page", build, Bundle, _parameters(features, layers, asked), ".zip")
    kept = derive(features, layers[0], recipe)
    if not kept.built and _returned(source, kept.value, features):
        kept.path.unlink(missing_ok=True)
        kept = derive(features, layers[0], recipe)
    return kept


def _returned(source: RowsOf, bundle: Bundle, features: FeatureSet) -> bool:
    """Whether a picture can be seen that could not when the page was made; a few are tried."""
    broken = features.broken
    for row in [row for row in bundle.unseen if not broken[row]][:_TRIED]:
        try:
            source.load(row)
            return True
        except (DecafError, OSError):
            continue
    return False


def _parameters(features: FeatureSet, layers: Sequence[str], asked: Exploring) -> Mapping[str, Any]:
    """All that decides what is on the page but the features; of files their content."""
    request = asked.request
    files = (request.labels, request.groups, request.model)
    return {
        "version": _VERSION,
        "decaf": packages.version("decaf-vision"),
        "format": FORMAT,
        "layers": list(layers),
        "request": asdict(request),
        "files": [_digest(file) for file in files],
        "page": asdict(asked.page),
        "folder": features.folder.resolve().name,
    }


def _digest(file: str) -> str:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:  # the name of a table that comes with decaf, or a file whose absence will be told
        return ""


def _dropping(
    features: FeatureSet, layers: Sequence[str], asked: Exploring, model: Model | None, tell: Tell
) -> tuple[Dropping | None, str]:
    """What answers for dropped pictures, or why there is nothing; a network that was named must be right."""
    alike = Alike(features.meta["settings"], layers[0], f"{features.folder} holds", "extract anew")
    try:
        net = net_alike(alike, asked.network)
    except DecafError as error:
        if asked.network.file:
            raise
        return None, str(error)
    maps = {layer: map_of((features,), layer, asked.request.settings, partial(tell, layer)).value for layer in layers}
    return Dropping(Setting(features, maps, net, model, asked.limits, asked.page.neighbours)), ""


def _refuse(why: str, data: bytes) -> Mapping[str, Any]:
    raise ExploreError(f"Pictures cannot be dropped here: {why}.")


def gate(listening: Listening, names: Sequence[str] = (), token: bool | None = None) -> tuple[Access, str]:
    """Who may ask a server, and the address that lets in.

    Args:
        listening: where it listens.
        names: further names it is known by.
        token: whether one is asked for; None: where other machines can reach it.
    """
    inside = is_loopback(listening.host)
    wanted = new_token() if (not inside if token is None else token) else ""
    own = () if inside else (listening.host, socket.gethostname(), f"{socket.gethostname()}.local")
    known = frozenset(name.lower() for name in (*own, *names))
    url = f"{listening.address}?token={wanted}" if wanted else listening.address
    return Access(inside, known, wanted, f"decaf-{listening.port}"), url


def serve(
    explored: Explored,
    listening: Listening,
    access: Access,
    url: str,
    limits: Limits,
    show: bool | None = None,
    started: Callable[[], None] | None = None,
) -> None:
    """Serve a set until Ctrl-C.

    Args:
        explored: the set.
        listening, access, url: see `gate`.
        limits: caps on dropped pictures.
        show: open a browser; None: where one would be seen.
        started: called once connections are taken in.
    """
    app = make_app(explored.bundle, explored.pictures, explored.answers, access, Bounds(limits.file))

    def begin() -> None:
        if started:
            started()
        if has_screen() if show is None else show:
            open_browser(url)
        if explored.dropping:
            Thread(target=_warm_up, args=(explored.dropping,), daemon=True).start()

    run(app, listening, begin)


def _warm_up(dropping: Dropping) -> None:
    """What cannot be had is told to the first picture that is dropped."""
    with suppress(Exception):
        dropping.warm_up()
