"""`mtmc doctor`: shows the findings as they come, and sums them up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from launcher.programs import usable_cores
from shared.logs import logs_of_command
from site_checks.examination import DoctorOptions, Examination
from site_checks.finding import Finding, Level

_SIGNS = {Level.OK: ("✓", "green"), Level.WARNING: ("!", "yellow"), Level.ERROR: ("✗", "bold red")}


def doctor(options: DoctorOptions, environment: Mapping[str, str], console: Console, *, as_json: bool) -> int:
    """Examines everything; the exit code (2: something must be mended).

    Raises:
        MtmcError: the command line contradicts itself.
    """
    count: Counter[Level] = Counter()
    found: list[Finding] = []
    area = None
    with logs_of_command("doctor", "CRITICAL"):  # whatever goes wrong is a finding
        for finding in Examination(options, environment, usable_cores()).findings():
            count[finding.level] += 1
            found.append(finding)
            if as_json:
                continue
            if finding.area != area:
                area = finding.area
                console.print(Text(area, style="bold"))
            console.print(_shown(finding), soft_wrap=True)
    code = 2 if count[Level.ERROR] else 0
    if as_json:
        console.out(json.dumps({"well": code == 0, "findings": [asdict(finding) for finding in found]}))
    else:
        console.print(_sum(count))
    return code


def _shown(finding: Finding) -> Text:
    sign, style = _SIGNS[finding.level]
    text = Text.assemble("  ", (sign, style), " ", finding.what)
    if finding.do:
        text.append(f"\n    → {finding.do}", style=style)
    return text


def _sum(count: Mapping[Level, int]) -> Text:
    errors, warnings = count[Level.ERROR], count[Level.WARNING]
    if not errors and not warnings:
        return Text("all is well", style="green")
    parts = [f"{errors} must be mended"] * bool(errors) + [f"{warnings} could be better"] * bool(warnings)
    return Text(", ".join(parts), style=_SIGNS[Level.ERROR if errors else Level.WARNING][1])
