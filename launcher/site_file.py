"""Reads the file that a command names: a site, or a configuration of `run_live_mtmc.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import typer

from legacy_config.conversion import Conversion, convert, is_ancestral
from shared.config import SiteConfig
from shared.config_file import site_from
from shared.errors import ConfigError, MtmcError, Problem
from shared.yaml_file import read_yaml

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def load_site(
    path: Path,
    environment: Mapping[str, str],
    *,
    root: Path | None = None,
    check_files: bool = True,
    all_secrets: bool = True,
    tell: bool = False,
) -> SiteConfig:
    """The validated site that `path` describes, with the overrides of `environment`; see `shared.config_file`.

    `root` is the folder that paths in a configuration of `run_live_mtmc.py` start from. With `tell`, what such a file
    loses is said on stderr.

    Raises:
        ConfigError: with every problem found.
        MtmcError: a root was given for a file that needs none.
    """
    problems: list[Problem] = []
    written = read_yaml(path, problems)
    if not is_ancestral(written):
        if root is not None:
            raise MtmcError(f"--root is for files of run_live_mtmc.py; paths in {path} are relative to the file itself")
        return site_from(written, path, environment, check_files=check_files, all_secrets=all_secrets, known=problems)
    conversion = convert(written, path, root, check_files=check_files)
    site = converted_site(conversion, path, environment, check_files=check_files, known=problems)
    if tell:
        warn(conversion, path)
        if site.streamer.host in _LOOPBACK:
            note = f"the page listens on {site.streamer.host} only; MTMC__STREAMER__HOST=0.0.0.0 opens it to others"
            typer.echo(f"mtmc: {path}: note: {note}", err=True)
    return site


def running_site(path: Path | None, environment: Mapping[str, str]) -> SiteConfig | None:
    """What `path` says of a site that others run: its files may lie, and its cameras' passwords be known, elsewhere.

    Raises:
        ConfigError: with every problem found.
    """
    return None if path is None else load_site(path, environment, check_files=False, all_secrets=False)


def converted_site(
    conversion: Conversion,
    path: Path,
    environment: Mapping[str, str],
    *,
    check_files: bool = True,
    known: Sequence[Problem] = (),
) -> SiteConfig:
    """The validated site of a conversion; a problem names the key that stands in `path`.

    Raises:
        ConfigError: with every problem found.
    """
    problems = [*known, *conversion.findings.problems]
    try:
        site = site_from(conversion.site, path, environment, check_files=check_files)
    except ConfigError as error:
        told = tuple(f"{problem.key}." for problem in problems)
        found = [conversion.as_written(problem) for problem in error.problems]
        problems += [problem for problem in found if not f"{problem.key}.".startswith(told)]
    if problems:
        raise ConfigError(problems)
    return site


def as_written(path: Path, problems: Iterable[Problem], root: Path | None = None) -> list[Problem]:
    """`problems` of a site, told of the keys that stand in `path`."""
    written = read_yaml(path, [])
    if not is_ancestral(written):
        return list(problems)
    conversion = convert(written, path, root, check_files=False)
    return [conversion.as_written(problem) for problem in problems]


def warn(conversion: Conversion, path: Path) -> None:
    """Says on stderr what a conversion that succeeded changed and lost."""
    for note in conversion.findings.notes:
        typer.echo(f"mtmc: {path}: note: {note}", err=True)
    if conversion.findings.ignored:
        names = ", ".join(conversion.findings.ignored)
        typer.echo(f"mtmc: {path}: warning: means nothing here: {names} (docs/from-run-live-mtmc.md)", err=True)
