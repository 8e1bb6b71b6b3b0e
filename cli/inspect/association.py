"""`mtmc inspect association`: what a site has learned of the appearance of its objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.console import empty_table
from cli.inspect.learned import read_learned
from launcher.site_access import SiteChoice
from shared.terminal_tables import print_table

_LEGEND = (
    "A similarity is the cosine of the mean embeddings of two tracks, after the mean of each camera was removed.\n"
    "A track with few crops says little, so one object is likelier than two only at a higher similarity."
)


def inspect_association(choice: SiteChoice, environment: Mapping[str, str], console: Console, *, as_json: bool) -> int:
    """Prints what has been learned; returns the exit code (1: nothing yet).

    Raises:
        MtmcError: the site cannot be read.
    """
    learned = read_learned(choice, environment, _tables)
    if learned is None:
        return 1
    content, tables = learned
    if as_json:
        shown = {"tick": content["tick"], "appearance": content["appearance"]}
        console.out(json.dumps(shown), highlight=False)
        return 0
    for heading, *found in tables:
        console.print(heading)
        for one in found:
            console.print()
            print_table(console, one)
        console.print()
    console.print(f"{_LEGEND}\nAs of tick {int(content['tick'])}.", soft_wrap=True)
    return 0


def _tables(content: Mapping[str, Any]) -> list[tuple[Text, Table, Table]]:
    return [_of_embedder(one) for one in content["appearance"]]


def _cosine(value: float) -> str:
    """A similarity; `never` for one that no two vectors have."""
    return f"{value:.2f}" if abs(value) <= 1 else "never"


def _of_embedder(one: Mapping[str, Any]) -> tuple[Text, Table, Table]:
    heading = Text(
        f"embedder {one['embedder']}: {one['dimensions']:.0f} effective dimensions, "
        f"from {one['pairs']:.0f} pairs of different objects"
    )
    similarities = empty_table("crops of each track", "1 : 20 for one object", "even", "20 : 1 for one object", left=())
    for row in one["similarities"]:
        different, even, same = (_cosine(row[name]) for name in ("different", "even", "same"))
        similarities.add_row(str(row["crops"]), different, even, same)
    cameras = empty_table("camera", "crops in its mean", left=("camera",))
    for row in one["cameras"]:
        cameras.add_row(Text(row["camera"]), f"{row['crops']:.0f}")
    return heading, similarities, cameras
