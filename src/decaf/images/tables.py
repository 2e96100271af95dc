"""CSV files that say something of pictures, found again by their paths."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from decaf.errors import TableError


def read_csv(
    file: str, needed: Sequence[str], known: Sequence[str] = (), incomplete: str = "is cut short: complete it"
) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines of a CSV file with a header, as (number in the file, column -> text).

    Args:
        file: UTF-8, with or without a mark; other bytes are kept as the system writes them in paths.
        needed: columns that must be there, in any case of letters.
        known: other columns that mean something; a line may end before them.
        incomplete: what to say of a line that ends before a needed column.

    Raises:
        TableError: the file cannot be read, a column is missing or named twice, or a line is incomplete.
    """
    try:
        with open(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            rows = csv.reader(lines)
            header = _header(file, next(rows, []), needed, known)
            least = max((header.index(name) for name in needed), default=-1) + 1
            for row in filter(None, rows):
                if len(row) < least:
                    raise TableError(f"{file} line {rows.line_num} {incomplete}")
                yield rows.line_num, dict(zip(header, row, strict=False))
    except OSError as error:
        raise TableError(f"cannot read {file} ({error.strerror}): make it readable or name another") from None
    except csv.Error as error:
        raise TableError(f"{file} is no CSV file ({error}): write it anew") from None


def _header(file: str, cells: Sequence[str], needed: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names of the columns, those that mean something as they are spelt here."""
    wanted = [*needed, *known]
    first = ",".join(cells)
    if "\0" in first:  # UTF-16, or no text at all
        raise TableError(f"{file} is not text in UTF-8: save it as CSV in UTF-8")
    spelt = {name.lower(): name for name in wanted}
    names = [name if name in wanted else spelt.get(name.lower(), name) for name in map(str.strip, cells)]
    for name in wanted:
        if name in needed and name not in names:
            raise TableError(f"{file} has no column {name}: its first line is {first[:60]!r}: write {','.join(wanted)}")
        if names.count(name) > 1:
            raise TableError(f"{file} has two columns {name}: rename one")
    return names


def match_paths(
    file: str, lines_of: Mapping[str, object], paths: Iterable[str], sources: Sequence[str], thing: str = "line"
) -> Iterator[list[str]]:
    """For each path, the names under which a file speaks of it: the path itself, or as it looks from a source.

    Args:
        file: for messages.
        lines_of: normalised name -> anything.
        paths: of the pictures.
        sources: what the pictures were found in.
        thing: what a line is.

    Raises:
        TableError: a name fits two pictures, or none fits any.
    """
    prefixes = {os.path.join(os.path.normpath(source), "") for source in sources}
    fits: dict[str, str] = {}
    for path in map(os.path.normpath, paths):
        names = {path} | {path[len(prefix) :] for prefix in prefixes if path.startswith(prefix)}
        for name in names & lines_of.keys():
            if fits.setdefault(name, path) != path:
                raise TableError(f"{name} in {file} fits {fits[name]} and {path}: write the whole path")
        yield sorted(names & lines_of.keys())
    if not fits:
        named = next(iter(lines_of), f"no {thing} at all")
        raise TableError(f"{file} names none of the pictures ({named}): write paths as the sources have them")
