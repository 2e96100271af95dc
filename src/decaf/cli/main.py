"""The `decaf` command: finds the subcommand, turns errors into one line."""

from __future__ import annotations

import sys
from importlib import import_module

import click

_COMMANDS = (
    "extract",
    "info",
    "export",
    "compact",
    "probe",
    "fit",
    "predict",
    "adapt",
    "map",
    "explore",
    "search",
    "groups",
    "reproduce",
    "nets",
    "layers",
    "profile",
    "compare",
    "units",
    "demo",
)


_FUNCTIONS = {"map": "map_command"}  # a name Python has for something else


class _Lazy(click.Group):
    """Imports a command's module when the command is used, so that `decaf --help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"decaf.cli.{cmd_name}"), _FUNCTIONS.get(cmd_name, cmd_name))
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="decaf-vision", prog_name="decaf")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def decaf(debug: bool) -> None:
    """Deep convolutional activation features of pictures, on an ordinary CPU.

    \b
    decaf extract photos -o features     a vector per picture
    decaf demo                           see it work on a few sample pictures
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Errors end in one line on stderr and exit code 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments  # wherever it stands
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        sys.exit(decaf.main(arguments, prog_name="decaf", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except (click.Abort, KeyboardInterrupt):
        click.echo("decaf: stopped; run the same command again to continue", err=True)
        sys.exit(130)
    except Exception as error:
        if debug:
            raise
        click.echo(f"decaf: {_one_line(error)}", err=True)
        sys.exit(1)


def _one_line(error: Exception) -> str:
    from decaf.errors import DecafError

    if isinstance(error, click.ClickException):
        hint = getattr(error, "ctx", None)
        where = f"; see `{hint.command_path} --help`" if hint else ""
        return " ".join(error.format_message().split()) + where
    text = " ".join(str(error).split())
    if isinstance(error, DecafError):
        return text
    if isinstance(error, OSError) and error.strerror:
        named = f"{error.filename}: " if error.filename else ""
        return f"{named}{error.strerror}: make room or change its permissions"
    return f"{type(error).__name__}: {text}; this is a fault of decaf: run with --debug and report it"
