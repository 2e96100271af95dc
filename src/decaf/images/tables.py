"""CSV files that say something of pictures, found again by their paths."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence

from decaf.errors import TableError


def read_csv(file: str, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The lines of a CSV file with a header, as (number in the file, column -> text).

    Args:
        file: UTF-8, with or without a mark; other bytes are kept as the system writes them in paths.
        needed: columns that must be there.

    Raises:
        TableError: the file cannot be read, a column is missing, or a line has fewer cells than the header.
    """
    try:
        with open(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            rows = csv.reader(lines)
            header = [name.strip() for name in next(rows, [])]
            if missing := [name for name in needed if name not in header]:
                raise TableError(f"{file} has no column {missing[0]!r}: its first line must name {', '.join(needed)}")
            for row in filter(None, rows):
                if len(row) < len(header):
                    raise TableError(f"{file} line {rows.line_num} has {len(row)} cells of {len(header)}: complete it")
                yield rows.line_num, dict(zip(header, row, strict=False))
    except OSError as error:
        raise TableError(f"cannot read {file} ({error.strerror}): make it readable or name another") from None
    except csv.Error as error:
        raise TableError(f"{file} is no CSV file ({error}): write it anew") from None


def match_paths(
    file: str, lines_of: Mapping[str, object], paths: Iterable[str], sources: Sequence[str]
) -> Iterator[list[str]]:
    """For each path, the names under which a file speaks of it: the path itself, or as it looks from a source.

    Args:
        file: for messages.
        lines_of: normalised name -> anything.
        paths: of the pictures.
        sources: what the pictures were found in.

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
        named = next(iter(lines_of), "nothing at all")
        raise TableError(f"{file} names none of the pictures ({named}): write paths as the sources have them")
