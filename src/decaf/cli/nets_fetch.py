"""`decaf nets fetch`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from decaf.cli.common import SECONDS_BETWEEN_LINES, json_option, print_json


@click.command("fetch")
@click.argument("name", metavar="NAME")
@click.option(
    "--from", "source", metavar="URL|FILE", help="Take the file from here instead; it is checked all the same."
)
@json_option
def fetch_net(name: str, source: str | None, as_json: bool) -> None:
    """Fetch the published parameters of a net into the cache. The only command that downloads anything.

    A download that was cut continues where it stopped. The file is kept only if its sha256 is the published one.

    \b
    decaf nets fetch caffenet
    decaf nets fetch vgg16 --from /media/stick/vgg16-12.onnx
    """
    from decaf.nets.fetch import fetch, published

    with _byte_bar(published(name).bytes) as progress:
        done = fetch(name, source, progress)
    if as_json:
        print_json(done.to_dict())
    elif done.source is None:
        click.echo(f"{name}: {done.path} is there already, {done.bytes:,} bytes, sha256 checked")
    else:
        click.echo(f"{name}: {done.path}, {done.bytes:,} bytes from {done.source}, sha256 checked")


@contextmanager
def _byte_bar(total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows on stderr how many bytes are here: a bar on a terminal, else a line now and then."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    on_terminal = sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=not on_terminal) as bar:
        task = bar.add_task("", total=total)
        last_line = time.monotonic()

        def show(here: int) -> None:
            nonlocal last_line
            bar.update(task, completed=here)
            if not on_terminal and time.monotonic() - last_line > SECONDS_BETWEEN_LINES:
                click.echo(f"{here:,}/{total:,} bytes", err=True)
                last_line = time.monotonic()

        yield show
