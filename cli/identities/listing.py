"""`mtmc identities list` and `show`: what Redis has of identities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from cli.console import empty_table, print_note
from launcher.site_access import SiteChoice, open_site
from shared.site_state.explanation import read_explanation
from shared.site_state.identities import ListedIdentity, list_gids, read_identities
from shared.terminal_tables import print_table


@dataclass(frozen=True)
class Wanted:
    """Which identities to list; None: all."""

    camera: str | None
    class_name: str | None
    named: bool = field(kw_only=True)
    """Only those with a name."""
    present: bool = field(kw_only=True)
    """Only those in view."""

    def matches(self, one: ListedIdentity) -> bool:
        """Whether to list an identity."""
        return (
            self.camera in (None, *one.record.cameras)
            and self.class_name in (None, one.class_name)
            and (one.record.name is not None or not self.named)
            and (one.record.present or not self.present)
        )


def list_identities(
    choice: SiteChoice,
    environment: Mapping[str, str],
    console: Console,
    wanted: Wanted,
    *,
    as_json: bool,
) -> None:
    """Prints the wanted identities of a site.

    Raises:
        MtmcError: the site cannot be read.
    """
    with open_site(choice, environment) as site:
        every = read_identities(site.client, site.keys, list_gids(site.client, site.keys))
    listed = [one for one in every if wanted.matches(one)]
    if as_json:
        content = {"site": site.keys.site, "identities": [_as_json(one) for one in listed]}
        console.out(json.dumps(content), highlight=False)
        return
    left = ("name", "class", "where", "cameras")
    table = empty_table("id", "name", "class", "where", "first seen", "last seen", "tracks", "cameras", left=left)
    for one in listed:
        record = one.record
        table.add_row(
            str(record.gid),
            Text(record.name or ""),
            Text(one.class_name or ""),
            "in view" if record.present else "left",
            _clock(record.first_seen_ns),
            _clock(record.last_seen_ns),
            "" if record.tracks is None else str(record.tracks),
            Text(" ".join(record.cameras)),
        )
    if listed:
        print_table(console, table)
    else:
        console.print("no identities")


def _as_json(one: ListedIdentity) -> dict[str, Any]:
    record = one.record
    return {
        "gid": record.gid,
        "name": record.name,
        "class_name": one.class_name,
        "present": record.present,
        "cameras": record.cameras,
        "tracks": record.tracks,
        "first_seen_ns": record.first_seen_ns,
        "last_seen_ns": record.last_seen_ns,
    }


def show_identity(
    gid: int, choice: SiteChoice, environment: Mapping[str, str], console: Console, *, as_json: bool
) -> int:
    """Prints an identity and its tracks; the exit code.

    Raises:
        MtmcError: the site cannot be read.
    """
    with open_site(choice, environment) as site:
        found = read_explanation(site.client, site.keys, gid)
    if found is None:
        print_note(f"there is no identity {gid}: it was never given, was forgotten, or nobody has seen it for long")
        return 1
    name = found.record.get("name") or None
    if as_json:
        shown = ("camera", "track_id", "first_ns", "last_ns", "ended", "moved_to")
        tracks = [{key: getattr(track, key) for key in shown} for track in found.tracks]
        content = {"gid": found.gid, "asked": found.asked, "name": name, "class_name": found.class_name}
        console.out(json.dumps(content | {"record": dict(found.record), "tracks": tracks}), highlight=False)
        return 0
    if found.asked != found.gid:
        console.print(f"Id {found.asked} was merged into id {found.gid}.")
    kind = found.class_name or f"class {found.record.get('class', '')}"
    where = "in view" if found.record.get("present") == "1" else "not in view"
    console.print(Text("  ".join(part for part in (f"id {found.gid}", name, kind, where) if part)))
    table = empty_table("from", "to", "track", "", left=("from", "to", "track", ""))
    for track in found.tracks:
        ended = _clock(track.last_ns) if track.ended else "in view"
        moved = f"split off: id {track.moved_to} now" if track.moved_to is not None else ""
        table.add_row(_clock(track.first_ns), ended, Text(f"{track.camera}/{track.track_id}"), moved)
    print_table(console, table)
    return 0


def _clock(time_ns: int | None) -> str:
    """Time of day, UTC."""
    return "" if time_ns is None else datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%H:%M:%S")
