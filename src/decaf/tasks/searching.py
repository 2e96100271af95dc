"""`decaf search`: what is searched for, from a set or from pictures; what was found, as plain values and as a sheet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decaf.errors import SearchError, SettingsDiffer, UnknownName
from decaf.features.feature_set import ABOUT, FeatureSet
from decaf.files import why_no_file
from decaf.search.index import Hits, Index
from decaf.tasks.pictures import Pictures
from decaf.tasks.same_net import Alike, deciding_differences, told_differences

_QUERIES_SHOWN = 20  # on a sheet
_WIDEST = 8  # pictures in a row of it


@dataclass(frozen=True)
class Asked:
    """One thing that is searched for: a row of a feature set.

    Attributes:
        name: its path, and what tells it from other rows of the same picture.
        features: where its vector lies; the searched set, another one, or one that was just extracted.
        row: which row of it.
    """

    name: str
    features: FeatureSet
    row: int

    @property
    def error(self) -> str | None:
        """Why there is nothing to search with."""
        error = self.features[[self.row]].errors[0]
        return None if error is None else str(error)


def check_sheet(path: str) -> None:
    """Raise SearchError where a sheet cannot be written, before anything is computed for it."""
    if why := why_no_file(path):
        raise SearchError(why)
    if not path.lower().endswith(".png"):
        raise SearchError(f"{path}: a sheet is a PNG file, name it so")


def sheet_folder(path: str) -> None:
    """Make a folder for sheets. Raises SearchError where it cannot be."""
    with writing_sheet(path):
        Path(path).mkdir(parents=True, exist_ok=True)


@contextmanager
def writing_sheet(path: str) -> Iterator[None]:
    """Turn what the system says of a file into a SearchError."""
    try:
        yield
    except FileExistsError:
        raise SearchError(f"{path} is a file: name a folder") from None
    except OSError as error:
        raise SearchError(f"cannot write {path} ({error.strerror or error}): make room or name another file") from None


def alike(index: Index) -> Alike:
    """What a query must be made like."""
    folder = index.features.folder
    return Alike(index.features.meta["settings"], index.layer, f"{folder} holds", "extract anew")


def context_of(features: FeatureSet) -> float:
    """How much wider and higher than its box a region of the set is."""
    return Pictures(features).context


def split_queries(index: Index, texts: Sequence[str], stored: bool = True) -> tuple[dict[str, list[Asked]], list[str]]:
    """Which queries lie in a set, and which are pictures that must be extracted.

    Args:
        index: what is searched.
        texts: each `DIR#row` for a row of a feature folder, `#row` for one of the searched set, a path of the set,
            or pictures as `find_images` takes them.
        stored: whether a path of the set means its rows.

    Raises:
        UnknownName: there is no such row.
        FeatureSetError: DIR is no feature folder.
        SettingsDiffer: its features cannot be compared with those of the set.
    """
    there = {text: rows for text in texts if (rows := _row_of(index, text))}
    rest = [text for text in texts if text not in there]
    in_set = _rows_of_paths(index.features, rest) if stored else {}
    there |= {text: [asked_row(index.features, row) for row in rows] for text, rows in in_set.items()}
    return there, [text for text in rest if text not in in_set]


def _row_of(index: Index, text: str) -> list[Asked]:
    folder, sign, row = text.rpartition("#")
    if not sign or not row.isdecimal() or os.path.lexists(text):
        return []
    features = index.features
    if folder and Path(folder).resolve() != features.folder.resolve():
        if not (Path(folder) / ABOUT).exists():
            return []
        features = FeatureSet.open(folder)
        refuse_other_features(index, features)
    if int(row) >= len(features):
        raise UnknownName(f"{features.folder} has no row {row}: name one of 0 to {len(features) - 1:,}")
    return [asked_row(features, int(row))]


def asked_row(features: FeatureSet, row: int) -> Asked:
    """A row of a feature set, to be searched for."""
    return Asked(_names(features[[row]])[0], features, row)


def _names(features: FeatureSet) -> list[str]:
    """Paths, and what tells a row from others of the same picture."""
    texts = features.texts
    columns = [texts[name] for name in ("path", "region", "view") if name in texts]
    return [" ".join(map(str, parts)) for parts in zip(*columns, strict=True)]


def _rows_of_paths(features: FeatureSet, texts: Sequence[str]) -> dict[str, list[int]]:
    """Rows of pictures that are named as the set has them, or seen from elsewhere."""
    if not texts:
        return {}
    folder = str(features.meta["source"]["folder"])
    meant = {text: {text, os.path.relpath(text, folder), os.path.abspath(text)} for text in texts}
    wanted = set().union(*meant.values())
    rows: dict[str, list[int]] = {}
    for row in np.flatnonzero([path in wanted for path in features.paths]).tolist():
        rows.setdefault(str(features.paths[row]), []).append(row)
    found = {text: sorted({row for name in names for row in rows.get(name, [])}) for text, names in meant.items()}
    return {text: rows for text, rows in found.items() if rows}


def refuse_other_features(index: Index, features: FeatureSet) -> None:
    """Raise SettingsDiffer where features cannot be compared with those that are searched."""
    for name, mine, theirs in deciding_differences(
        index.features.meta["settings"], index.layer, features.meta["settings"]
    ):
        raise SettingsDiffer(
            f"{index.features.folder} holds features with {name} {mine}, {features.folder} with {theirs}: name "
            "pictures, or rows of features that were made alike"
        )


def notes_on(index: Index, asked: Sequence[Asked]) -> list[str]:
    """A sentence for each setting in which queries differ without being incomparable."""
    sets = {id(one.features): one.features for one in asked}
    said = (
        f"{index.features.folder} holds features with {name} {mine}, the query is of {theirs}"
        for features in sets.values()
        for name, mine, theirs in told_differences(index.features.meta["settings"], features.meta["settings"])
    )
    return list(dict.fromkeys(said))


@dataclass(frozen=True, eq=False)
class Answers:
    """Queries and what was found for each.

    Attributes:
        index: what was searched.
        asked: the queries.
        errors: per query, None or why there is no answer.
        hits: of those without an error, in their order.
    """

    index: Index
    asked: Sequence[Asked]
    errors: Sequence[str | None]
    hits: Hits

    def __iter__(self) -> Iterator[tuple[Asked, str | None, list[tuple[int, float]]]]:
        """Query, error, and row and score of what was found, the nearest first."""
        number = 0
        for asked, error in zip(self.asked, self.errors, strict=True):
            yield asked, error, [] if error else list(self.hits.of(number))
            number += error is None


def answer(index: Index, asked: Sequence[Asked], k: int) -> Answers:
    """Search for each query; a row of the searched set is not found itself.

    Raises:
        SearchError: no query can be searched for; the message says why of the first.
    """
    vectors = [_vector(one, index.layer) for one in asked]
    errors = [one.error or _fault(vector, index.metric) for one, vector in zip(asked, vectors, strict=True)]
    good = [number for number, error in enumerate(errors) if error is None]
    if not good:
        raise SearchError(f"{asked[0].name} cannot be searched for: {errors[0]}")
    skip = [_itself(index.features, asked[number]) for number in good]
    return Answers(index, asked, errors, index.search(np.stack([vectors[number] for number in good]), k, skip))


def _vector(asked: Asked, layer: str) -> NDArray[np.float32]:
    vector: NDArray[np.float32] = asked.features[[asked.row]].X(layer)[0]
    return vector


def _fault(vector: NDArray[np.float32], metric: str) -> str | None:
    if not np.isfinite(vector).all():
        return "its features are NaN or infinite: extract it anew"
    if metric == "cosine" and not vector.any():
        return "its features are all zeros and have no direction: use --metric l2 or another layer"
    return None


def _itself(features: FeatureSet, asked: Asked) -> list[int]:
    if asked.features is not features:
        return []
    if features.meta["settings"]["views"] != "ten":
        return [asked.row]
    return np.flatnonzero(features.paths == features[[asked.row]].paths[0]).tolist()


def records(answers: Answers) -> Iterator[dict[str, Any]]:
    """What was found, as plain values."""
    score = "similarity" if answers.index.metric == "cosine" else "distance"
    for asked, error, found in answers:
        texts = answers.index.features[[row for row, _ in found]].texts
        yield {
            "query": asked.name,
            "row": asked.row if asked.features is answers.index.features else None,
            "error": error,
            "found": [
                {"rank": rank + 1, "row": row, **_described(texts, rank), score: value}
                for rank, (row, value) in enumerate(found)
            ],
        }


def _described(texts: Mapping[str, NDArray[np.object_]], number: int) -> dict[str, Any]:
    return {name: values[number] for name, values in texts.items() if name != "error"}


def write_search_sheet(answers: Answers, out: Path) -> int:
    """Draw each query and what was found for it. Returns how many pictures could not be shown."""
    from decaf.viz.sheet import Tile, save_sheet

    index = answers.index
    stored = Pictures(index.features)
    rows = list(answers)[:_QUERIES_SHOWN]
    widest = max(len(found) for _, _, found in rows) + 1
    columns = fitting_columns(widest)
    tiles: list[Tile | None] = []
    for asked, error, found in rows:
        label = asked.features[[asked.row]].labels[0]
        tiles.append(Tile(_pixels(asked), _short(asked.name), (error or "query", label or ""), True))
        shown = index.features[[row for row, _ in found]]
        for label, name, (row, score) in zip(shown.labels, map(_short, _names(shown)), found, strict=True):
            tiles.append(Tile(partial(stored.load, row), label or name, (f"{score:.3f}", name if label else "")))
        tiles += [None] * (-len(tiles) % columns)
    many = f"{len(rows)} of {len(answers.asked)} queries" if len(answers.asked) > len(rows) else ""
    what = "cosine similarity" if index.metric == "cosine" else "Euclidean distance"
    title = f"The nearest of {int(index.matrix.usable.sum()):,} rows: {what}, layer {index.layer}"
    return save_sheet(f"{title}; {many}" if many else title, tiles, out, columns)


def fitting_columns(tiles: int) -> int:
    """So many pictures in a row that few places stay empty."""
    if tiles <= _WIDEST:
        return tiles
    return min(range(5, _WIDEST + 1), key=lambda columns: (-tiles % columns, -columns))


def _short(name: str) -> str:
    """Without the folders."""
    return name.rpartition("/")[2]


def _pixels(asked: Asked) -> Callable[[], NDArray[np.uint8]]:
    return partial(Pictures(asked.features).load, asked.row)
