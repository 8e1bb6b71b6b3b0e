"""The `mtmc` command line: assembles the commands, and turns errors into messages and exit codes.

Each command or group of commands has a module or package of its own. They import what is heavy only when they run, so
that help and completion are quick.
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from cli.cameras.commands import app as cameras
from cli.config.commands import app as config
from cli.demo import demo
from cli.doctor import doctor
from cli.evaluate import evaluate
from cli.export import export
from cli.import_mot import import_mot
from cli.inspect.commands import app as inspect
from cli.models.commands import app as models
from cli.record import record
from cli.replay import replay
from cli.run import run
from cli.status import status
from cli.track_mot import track_mot
from cli.up import up
from shared.errors import MtmcError

app = typer.Typer(
    name="mtmc",
    epilog="Start with:  mtmc demo  or, with cameras of your own,  mtmc doctor site.yaml  and  mtmc up site.yaml",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (up, demo, run, status, doctor, evaluate, record, replay, import_mot, export, track_mot):
    app.command(command.__name__.replace("_", "-"))(command)
app.add_typer(cameras, name="cameras", help="Change the cameras of a running site.")
app.add_typer(inspect, name="inspect", help="Look at what stands in Redis.")
app.add_typer(models, name="models", help="Fetch, check and time the networks that find and describe objects.")
app.add_typer(config, name="config", help="Check, describe and publish site files.")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("mtmc")
        except PackageNotFoundError:
            number = "0 (run from a checkout that is not installed)"
        typer.echo(f"mtmc {number}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Live multi-camera tracking: one global id for every vehicle or person, across all cameras.

    Exit codes: 0 all is well, 1 it failed while running, 2 something must be mended (the message says what).
    """


def main() -> None:
    """The entry point. An error that the user can fix becomes lines on stderr and an exit code."""
    try:
        app(prog_name="mtmc")
    except MtmcError as error:
        if "--debug" in sys.argv[1:]:
            traceback.print_exception(error)
        for line in str(error).splitlines():
            typer.echo(f"mtmc: {line}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
