"""`mtmc config import`: converts a configuration of `run_live_mtmc.py` to a site file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from cli.console import print_note
from launcher.site_file import conversion_notes, converted_site
from legacy_config.conversion import Conversion, convert, is_legacy_config
from legacy_config.writing import converted_site_text
from shared.config_file import ENV_PREFIX
from shared.errors import MtmcError, Problem, redact
from shared.yaml_file import read_yaml


def import_file(
    source: Path, target: Path | None, root: Path | None, environment: Mapping[str, str], *, force: bool = False
) -> str:
    """Writes the site file `target` and returns a message; without `target`, returns the text of the site file.

    Raises:
        ConfigError: `source` is invalid; carries every problem.
        MtmcError: `source` is not a configuration of `run_live_mtmc.py`, or `target` cannot be written.
    """
    problems: list[Problem] = []
    written = read_yaml(source, problems)
    if not is_legacy_config(written):
        raise MtmcError(f"{source}: is not a configuration of run_live_mtmc.py (no section such as MOT or LIVE)")
    conversion = convert(written, source, root)
    # Overrides from the environment apply to a running site; the written file does not include them.
    kept = {name: value for name, value in environment.items() if not name.startswith(ENV_PREFIX)}
    converted_site(conversion, source, kept, known=problems)
    if target is not None:
        _write(target, converted_site_text(conversion, source, target.parent), source, force=force)
    for note in conversion_notes(conversion):
        print_note(f"{source}: {note}")
    _warn_of_passwords(conversion, source)
    if target is None:
        return converted_site_text(conversion, source).rstrip("\n")
    return f"wrote {target}; review it, then run: mtmc config check {target}"


def _warn_of_passwords(conversion: Conversion, source: Path) -> None:
    sources = {camera["name"]: str(camera["source"]) for camera in conversion.site["cameras"]}
    holders = [name for name, text in sources.items() if "${" not in text and redact(text) != text]
    if holders:
        print_note(
            f"{source}: note: the source URLs of {', '.join(holders)} contain passwords; write them as ${{VARIABLE}} "
            "or ${file:PATH} instead"
        )


def _write(target: Path, text: str, source: Path, *, force: bool) -> None:
    if target.exists() and target.samefile(source):
        raise MtmcError(f"{target}: is the input file itself; give another name with -o")
    try:
        with target.open("w" if force else "x", encoding="utf-8") as file:
            shutil.copymode(source, target)  # source URLs may contain passwords
            file.write(text)
    except FileExistsError:
        raise MtmcError(f"{target}: already exists; use --force to overwrite") from None
    except OSError as error:
        raise MtmcError(f"{target}: cannot be written ({error.strerror}); give another file with -o") from None
