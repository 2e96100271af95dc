"""What the commands that learn share: their options, a bar of steps, warnings as notes, what was left out."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from decaf.viz.text import one_line

Command = TypeVar("Command", bound=Callable[..., Any])

_SECONDS_BETWEEN_LINES = 30
_SHOWN = 3

_OPTIONS = (
    click.option(
        "--labels",
        metavar="CSV",
        default="",
        help="Columns path,label: what each picture is; by default the name of its folder.",
    ),
    click.option("--target", "targets", metavar="COL", multiple=True, help="The CSV's column; repeat for several."),
    click.option(
        "--kind",
        type=click.Choice(["classes", "multilabel", "regression"]),
        default="classes",
        show_default=True,
        help="One label each; 0 or 1 in each target column; or a number in each.",
    ),
    click.option("--layer", metavar="L", help="Which layer; may be left out where DIR has one."),
    click.option(
        "--loss",
        type=click.Choice(["svm", "logistic"]),
        default="svm",
        show_default=True,
        help="Support vector machine, or logistic regression, which gives probabilities.",
    ),
    click.option(
        "--dropout",
        metavar="P",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        show_default=True,
        help="Probability that a feature is zeroed while training; the DeCAF paper takes 0.5.",
    ),
    click.option(
        "--transform",
        "transforms",
        type=click.Choice(["none", "sqrt", "l2", "standardize"]),
        multiple=True,
        help="Of the features; none by default. Repeat, and the best in validation is taken.",
    ),
    click.option("--seed", metavar="S", type=click.IntRange(0), default=0, show_default=True, help="Of all chance."),
)


def learning_options(command: Command) -> Command:
    """The options of `probe` and `fit`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@contextmanager
def steps_bar(total: int, quiet: bool, what: str = "fits") -> Iterator[Callable[[], None]]:
    """Yield a function to call after each step: a bar on a terminal, else a line on stderr now and then."""
    on_terminal = sys.stderr.isatty()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet or not on_terminal) as progress:
        bar = progress.add_task("", total=total)
        done, last_line = 0, time.monotonic()

        def step() -> None:
            nonlocal done, last_line
            done += 1
            progress.update(bar, completed=done)
            if not quiet and not on_terminal and time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
                click.echo(f"{done} of {total} {what}", err=True)
                last_line = time.monotonic()

        yield step


@contextmanager
def step_shown(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yield a function to call with what begins: on a terminal it is shown beside the time since the start."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    disabled = quiet or not sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=disabled, transient=True) as progress:
        shown = progress.add_task("", total=None)
        yield lambda step: progress.update(shown, description=one_line(step, 80))


@contextmanager
def warnings_as_notes(quiet: bool) -> Iterator[list[str]]:
    """Yield a list that holds, once all is done, what was warned of; each is also a line on stderr."""
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than 50%")  # few labels
        yield notes
    counted: dict[str, int] = {}
    for warning in caught:
        text = " ".join(str(warning.message).split())
        counted[text] = counted.get(text, 0) + 1
    notes.extend(text if times == 1 else f"{text} (in {times} fits)" for text, times in counted.items())
    if not quiet:
        for note in notes:
            click.echo(f"note: {one_line(note)}", err=True)


def say_excluded(excluded: Mapping[str, Any], absent: tuple[str, ...]) -> None:
    """Tell on stderr what does not take part."""
    if excluded["broken"]:
        click.echo(f"note: {excluded['broken']:,} broken rows are left out", err=True)
    if excluded["unlabelled"]:
        click.echo(f"note: {excluded['unlabelled']:,} rows without a label are left out", err=True)
    if absent:
        click.echo(f"note: {len(absent):,} labels are of no picture here, first {one_line(absent[0])}", err=True)
    small = excluded["classes_left_out"]
    if small:
        named = ", ".join(one_line(name, 40) for name in list(small)[:_SHOWN])
        more = f" and {len(small) - _SHOWN:,} more" if len(small) > _SHOWN else ""
        click.echo(f"note: classes with one picture are left out: {named}{more}", err=True)
