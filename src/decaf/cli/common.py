"""What several commands share: options, JSON, tables, progress."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

SECONDS_BETWEEN_LINES = 30  # of progress, where there is no terminal

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value to stdout, nothing else.")
preprocess_option = click.option(
    "--preprocess",
    metavar="RULE",
    help="How pixels become the input of an ONNX file that does not say: torchvision, paper, decaf-release, caffe, or "
    "fields such as size=256,mean=127,std=128; mean=FILE.npy is a mean image.",
)
random_weights_option = click.option(
    "--random-weights",
    metavar="SEED",
    type=click.IntRange(0),
    help="Random parameters in place of the trained ones; a SEED gives the same ones everywhere.",
)


theme_option = click.option(
    "--theme", type=click.Choice(["light", "dark"]), default="light", show_default=True, help="Of the figure's page."
)


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=1))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = ()) -> None:
    """A table on stdout; columns named in `numbers` are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row))
    wide = Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160)
    wide.print(table)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:.0f} images/s")


@contextmanager
def progress_bar(total: int, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield a function (rows, broken) that shows progress on stderr: a bar on a terminal, else a line now and then."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[broken]} broken"),
    )
    on_terminal = sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not on_terminal) as progress:
        bar = progress.add_task("", total=total, broken=0)
        done = broken = 0
        started = last_line = time.monotonic()

        def advance(new_rows: int, new_broken: int) -> None:
            nonlocal done, broken, last_line
            done, broken = done + new_rows, broken + new_broken
            progress.update(bar, completed=done, broken=broken)
            now = time.monotonic()
            if not quiet and not on_terminal and now - last_line > SECONDS_BETWEEN_LINES:
                rate = done / (now - started)
                left = (total - done) / rate / 60
                click.echo(f"{done:,}/{total:,}, {rate:.0f} images/s, {left:.0f} min left, {broken} broken", err=True)
                last_line = now

        yield advance


@contextmanager
def share_bar(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Yield a function (what, done, of all) that shows progress on stderr: a bar, or a line now and then."""
    on_terminal = sys.stderr.isatty()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not on_terminal, transient=True) as progress:
        bar, last_line = progress.add_task("", total=None), time.monotonic()

        def tell(what: str, done: int, total: int) -> None:
            nonlocal last_line
            progress.update(bar, description=what, completed=done, total=total)
            if not quiet and not on_terminal and time.monotonic() - last_line > SECONDS_BETWEEN_LINES:
                click.echo(f"{what}: {done:,} of {total:,}", err=True)
                last_line = time.monotonic()

        yield tell
