"""Loads a site file, or a configuration of `run_live_mtmc.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from launcher.preselection import preselected
from legacy_config.conversion import Conversion, convert, is_legacy_config
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
    note: Callable[[str], None] | None = None,
) -> SiteConfig:
    """The validated site of the file `path`, with the overrides of `environment`; see `shared.config_file`.

    A site file that names no detector or embedder gets one, see `launcher.preselection`. `root` is the folder that
    relative paths in a configuration of `run_live_mtmc.py` start from. `note` is called with a message for each model
    that was chosen, and for each setting that the conversion of such a file changed or ignored.

    Raises:
        ConfigError: the file is invalid; carries every problem.
        MtmcError: `root` was given for a site file, or the list of models cannot be read.
    """
    problems: list[Problem] = []
    written = read_yaml(path, problems)
    if not is_legacy_config(written):
        if root is not None:
            raise MtmcError(
                f"--root is only for files of run_live_mtmc.py; paths in {path} are relative to that file, so omit it"
            )
        chosen = preselected(written, environment)
        site = site_from(
            chosen.written, path, environment, check_files=check_files, all_secrets=all_secrets, known=problems
        )
        if note is not None:
            for text in chosen.notes:
                note(f"{path}: note: {text}")
        return site.model_copy(update={"preselected": chosen.sections}) if chosen.sections else site
    conversion = convert(written, path, root, check_files=check_files)
    site = converted_site(conversion, path, environment, check_files=check_files, known=problems)
    if note is not None:
        for text in conversion_notes(conversion):
            note(f"{path}: {text}")
        if site.streamer.host in _LOOPBACK:
            host = site.streamer.host
            note(
                f"{path}: note: the page listens on {host} only; set MTMC__STREAMER__HOST=0.0.0.0 to reach it from "
                "other machines, where it needs a login (mtmc tokens add)"
            )
    return site


def load_site_leniently(path: Path | None, environment: Mapping[str, str]) -> SiteConfig | None:
    """The site of `path`, for commands that only need its name and Redis; None without a path.

    Model and video files may be missing on this machine, and secrets of cameras may be unset.

    Raises:
        ConfigError: the file is invalid; carries every problem.
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
    """The validated site of a conversion. Each problem names the key as written in `path`.

    Raises:
        ConfigError: the settings are invalid; carries every problem, including the `known` ones.
    """
    problems = [*known, *conversion.findings.problems]
    try:
        site = site_from(conversion.site, path, environment, check_files=check_files)
    except ConfigError as error:
        reported = tuple(f"{problem.key}." for problem in problems)
        found = [conversion.as_written(problem) for problem in error.problems]
        problems += [problem for problem in found if not f"{problem.key}.".startswith(reported)]
    if problems:
        raise ConfigError(problems)
    return site


def as_written(path: Path, problems: Iterable[Problem], root: Path | None = None) -> list[Problem]:
    """`problems` of a site, with keys as written in `path`: keys of `run_live_mtmc.py` if it is such a file."""
    written = read_yaml(path, [])
    if not is_legacy_config(written):
        return list(problems)
    conversion = convert(written, path, root, check_files=False)
    return [conversion.as_written(problem) for problem in problems]


def conversion_notes(conversion: Conversion) -> list[str]:
    """One line for each setting that the conversion changed, and one for the ignored keys."""
    notes = [f"note: {note}" for note in conversion.findings.notes]
    if conversion.findings.ignored:
        names = ", ".join(conversion.findings.ignored)
        notes.append(f"warning: ignored keys: {names} (see docs/from-run-live-mtmc.md)")
    return notes
