"""`mtmc inspect tracks`: prints the entries of a camera's tracks stream."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.console import empty_table
from cli.status_tables import camera_state
from launcher.site_access import SiteChoice, open_site, unknown_cameras
from launcher.track_entries import BrokenEntry, SeenEntry, SeenTrack, following_entries, newest_entries
from shared.camera_settings import read_settings
from shared.service import stop_on_signals
from shared.terminal_tables import print_table


def inspect_tracks(
    camera: str,
    choice: SiteChoice,
    environment: Mapping[str, str],
    console: Console,
    *,
    count: int,
    follow: bool,
    as_json: bool,
) -> int:
    """Prints the newest entries, and with `follow` every new one; returns the exit code (1: there is none yet).

    Raises:
        MtmcError: the site has no such camera, or cannot be read.
    """
    with open_site(choice, environment) as site:
        cameras = read_settings(site.client, site.keys)
        if camera not in cameras:
            raise unknown_cameras(site.keys.site, [camera], list(cameras))
        entries, cursor = newest_entries(site, camera, count)
        for entry in entries:
            _show(entry, console, as_json=as_json)
        if follow:
            for entry in following_entries(site, camera, cursor, stop_on_signals()):
                _show(entry, console, as_json=as_json)
        elif not entries:
            found = site.read_state().camera(camera)
            state = camera_state(found).plain if found else "just removed"
            message = f"mtmc: camera {camera} has handled no tick yet: {state}"
            Console(stderr=True, highlight=False).print(message, markup=False, soft_wrap=True)
            return 1
    return 0


def _show(entry: SeenEntry | BrokenEntry, console: Console, *, as_json: bool) -> None:
    if as_json:
        content = asdict(entry)
        for track in content.get("tracks", []):
            track["class"] = track.pop("class_")
        console.out(json.dumps(content), highlight=False)
        return
    if isinstance(entry, BrokenEntry):
        console.print(f"{entry.camera}  entry {entry.entry} cannot be decoded: {entry.error}", style="bold red")
        return
    count = len(entry.tracks)
    size = f"  {entry.width}×{entry.height}" if entry.width else ""
    seen = f"{size}  {count} {'track' if count == 1 else 'tracks'}" if size or count else "  no picture at this tick"
    words = f"{entry.time or f'{entry.time_ns} ns'}{seen}"
    console.print(Text.assemble((entry.camera, "bold"), f"  tick {entry.tick}  {words}"), soft_wrap=True)
    if entry.tracks:
        print_table(console, _table(entry.tracks))
    if entry.ended:
        console.print(f"ended: {' '.join(entry.ended)}", soft_wrap=True)


def _table(tracks: Sequence[SeenTrack]) -> Table:
    table = empty_table("track", "gid", "class", "box", "score", "quality", "embedded", left=("class",))
    for track in tracks:
        box = " ".join(f"{edge:.0f}" for edge in track.box_xyxy)
        kind = f"{track.class_id} {track.class_}" if track.class_ is not None else str(track.class_id)
        scores = f"{track.score:.2f}", f"{track.quality:.2f}", "yes" if track.embedding else ""
        table.add_row(track.track_id, "-" if track.gid is None else str(track.gid), Text(kind), box, *scores)
    return table
