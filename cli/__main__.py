"""The entry point of `mtmc`: registers the commands, and turns errors into messages and exit codes.

Each command or group of commands has its own module or package. Heavy imports happen inside the command functions, so
that `--help` and shell completion stay fast.
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
from cli.explain import explain
from cli.export import export
from cli.identities.commands import app as identities
from cli.import_mot import import_mot
from cli.inspect.commands import app as inspect
from cli.models.commands import app as models
from cli.record import record
from cli.redis_cli import redis_cli
from cli.replay import replay
from cli.run import run
from cli.status import status
from cli.tokens import app as tokens
from cli.track_mot import track_mot
from cli.up import up
from shared.errors import MtmcError

app = typer.Typer(
    name="mtmc",
    epilog="Start with:  mtmc demo   With your own cameras:  mtmc doctor site.yaml,  then  mtmc up site.yaml",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (up, demo, run, status, explain, doctor, evaluate, record, replay, import_mot, export, track_mot):
    app.command(command.__name__.replace("_", "-"))(command)
# Options after the first argument, and those that we do not know, belong to redis-cli.
_passing_on = {"allow_interspersed_args": False, "ignore_unknown_options": True}
app.command("redis-cli", context_settings=_passing_on)(redis_cli)
app.add_typer(cameras, name="cameras", help="List and change the cameras of a running site.")
app.add_typer(identities, name="identities", help="List and correct the identities of a running site.")
app.add_typer(inspect, name="inspect", help="Show the data of a site in Redis.")
app.add_typer(models, name="models", help="Download, verify and benchmark detectors and embedders.")
app.add_typer(tokens, name="tokens", help="Make, list and revoke the tokens of people and programs that log in.")
app.add_typer(config, name="config", help="Check, show, publish and import site files.")


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
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback if the command fails.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Live multi-camera tracking: one global id for every vehicle or person, across all cameras.

    Exit codes: 0 success; 1 failed while running; 2 wrong input or setup (the message says what to fix).
    """


def main() -> None:
    """Runs the command. An error that the user can fix is printed on stderr and sets the exit code."""
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
