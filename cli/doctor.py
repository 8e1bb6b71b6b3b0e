"""`mtmc doctor`: prints findings as the checks finish, then a summary."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from cli.console import counted, table_console
from cli.options import JsonOption, MaybeSiteFile, RedisUrl, RootOption, SiteName, StateOption
from shared.errors import MtmcError

if TYPE_CHECKING:
    from site_checks.finding import Finding

_SIGNS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "bold red")}


def doctor(
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    root: RootOption = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Draw a grid of metres on a picture of each calibrated camera, as DIR/CAMERA.jpg.",
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check everything that a site needs, and say how to fix what is wrong.

    Checks this machine, the site file, Redis and its memory policy, the
    hosts' clocks, the models, every camera and its calibration, the port of
    the page, and the site itself if it is running. Tries each detector on
    ten pictures of the cameras. Changes nothing. With --site it checks the
    published site, for example on a host that only runs workers.

    The fields of --json are stable: well, findings (area, level: ok,
    warning or error, what, do).

    Exit code 2: there is at least one error.

    Examples:
      mtmc doctor site.yaml
      mtmc doctor site.yaml --picture grids
    """
    import json
    from dataclasses import asdict

    from launcher.programs import usable_cores
    from launcher.site_access import SiteChoice
    from shared.logs import logs_of_command
    from site_checks.examination import Examination

    console = table_console()
    if picture is not None:
        try:
            picture.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise MtmcError(f"{picture} cannot be created ({problem.strerror}); name another folder") from None
    examination = Examination(SiteChoice(site_file, site, redis_url, state), root, os.environ, usable_cores(), picture)
    findings: list[Finding] = []
    area = None
    with logs_of_command("doctor", "CRITICAL"):  # errors become findings, so nothing is logged
        for finding in examination.findings():
            findings.append(finding)
            if as_json:
                continue
            if finding.area != area:
                area = finding.area
                console.print(Text(area, style="bold"))
            console.print(_shown(finding), soft_wrap=True)
    count = Counter(finding.level.value for finding in findings)
    is_well = not count["error"]
    if as_json:
        console.out(json.dumps({"well": is_well, "findings": [asdict(finding) for finding in findings]}))
    else:
        console.print(_summary(count))
    raise typer.Exit(0 if is_well else 2)


def _shown(finding: Finding) -> Text:
    sign, style = _SIGNS[finding.level.value]
    text = Text.assemble("  ", (sign, style), " ", finding.what)
    if finding.do:
        text.append(f"\n    → {finding.do}", style=style)
    return text


def _summary(count: Mapping[str, int]) -> Text:
    errors, warnings = count["error"], count["warning"]
    if not errors and not warnings:
        return Text("no problems", style="green")
    parts = [counted(errors, "error")] * bool(errors) + [counted(warnings, "warning")] * bool(warnings)
    return Text(", ".join(parts), style=_SIGNS["error" if errors else "warning"][1])
