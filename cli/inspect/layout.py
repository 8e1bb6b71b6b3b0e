"""`mtmc inspect layout`: what a site has learned of its cameras, and a layout to paste."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.console import empty_table
from cli.inspect.learned import read_learned
from launcher.site_access import SiteChoice
from shared.terminal_tables import print_table

_ENOUGH_HANDOVERS = 3
"""A step that was seen more rarely is left out of the layout to paste."""
_OVERLAPS = {
    "layout": "yes, by the layout",
    "calibration": "yes, by calibration",
    "learned": "yes, learned",
    "unknown": "not known",
}


def inspect_layout(choice: SiteChoice, environment: Mapping[str, str], console: Console, *, as_json: bool) -> int:
    """Prints what has been learned; returns the exit code (1: nothing yet).

    Raises:
        MtmcError: the site cannot be read.
    """
    learned = read_learned(choice, environment, _tables)
    if learned is None:
        return 1
    content, (overlaps, steps, offsets, layout) = learned
    if as_json:
        shown = {name: part for name, part in content.items() if name != "appearance"}
        console.out(json.dumps(shown), highlight=False)
        return 0
    for table, none in (overlaps, "No views that may overlap."), (steps, "No handover between separate views yet."):
        if table.row_count:
            print_table(console, table)
        else:
            console.print(none)
        console.print()
    if offsets.row_count:
        print_table(console, offsets)
        console.print()
    console.print(
        f"As of tick {int(content['tick'])}. As a layout for the site file; what is not listed is impossible:\n"
    )
    console.out(yaml.safe_dump({"layout": layout}, sort_keys=False, default_flow_style=None), highlight=False)
    return 0


def _tables(content: Mapping[str, Any]) -> tuple[Table, Table, Table, dict[str, Any]]:
    offsets = _offsets(content.get("time_offsets", []))
    return _overlaps(content["overlaps"]), _steps(content["steps"]), offsets, layout_to_paste(content)


def layout_to_paste(learned: Mapping[str, Any]) -> dict[str, Any]:
    """What has been learned as the section `layout` of a site file.

    The times of a step reach from half the 10 % quantile to twice the 90 % quantile of those that were seen.
    """
    overlaps = [one["cameras"] for one in learned["overlaps"] if one["source"] != "unknown"]
    transitions = [
        {
            "from": step["from"],
            "to": step["to"],
            "min_seconds": math.floor(step["seconds"][0] / 2),
            "max_seconds": math.ceil(step["seconds"][2] * 2),
            "both_ways": False,
        }
        for step in learned["steps"]
        if step["from"] != step["to"]
        and step["handovers"] >= _ENOUGH_HANDOVERS
        and sorted([step["from"], step["to"]]) not in [sorted(pair) for pair in overlaps]
    ]
    return {"overlaps": overlaps, "transitions": transitions}


def _overlaps(found: list[dict[str, Any]]) -> Table:
    table = empty_table("views", "overlap", "probability", "tracks", "seen in both", "same places known")
    for one in found:
        by_layout = one["probability"] is None
        table.add_row(
            Text(" and ".join(one["cameras"])),
            _OVERLAPS[one["source"]],
            "" if by_layout else f"{one['probability']:.1%}",
            "" if by_layout else str(one["tracks"]),
            "" if by_layout else str(one["found"]),
            "yes" if one["is_mapped"] else "no",
        )
    return table


def _steps(found: list[dict[str, Any]]) -> Table:
    table = empty_table("from", "to", "handovers", "10 %", "median", "90 %")
    for one in found:
        times = (f"{seconds:.1f} s" for seconds in one["seconds"])
        table.add_row(Text(one["from"]), Text(one["to"]), str(one["handovers"]), *times)
    return table


def _offsets(found: list[dict[str, Any]]) -> Table:
    table = empty_table("camera", "pictures late by", "±", "corrected by", left=("camera",))
    for one in found:
        late, deviation, corrected = (f"{one[name]:.2f} s" for name in ("seconds", "deviation", "corrected"))
        table.add_row(Text(one["camera"]), late, deviation, corrected if one["corrected"] else "")
    return table
