"""`mtmc inspect tracks`: what a camera sees, entry by entry."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.status_tables import camera_state
from launcher.site_access import OpenSite, SiteChoice, open_site, unknown_cameras
from shared.camera_settings import read_settings
from shared.errors import MessageError
from shared.messages import TrackEntry
from shared.service import stop_on_signals

_WAIT_MS = 250
_AT_ONCE = 100


@dataclass(frozen=True)
class TracksOptions:
    """What the command line says."""

    camera: str
    count: int = 1
    follow: bool = False
    json: bool = False


@dataclass(frozen=True)
class SeenTrack:
    """One track of an entry; 64-bit numbers are texts, because JSON readers round them."""

    track_id: str
    gid: int | None
    class_id: int
    class_: str | None
    """Its name, if the camera's detector is known."""
    box_xyxy: list[float]
    score: float
    quality: float
    embedding: bool
    """Whether it was embedded at this tick."""


@dataclass(frozen=True)
class SeenEntry:
    """One entry of `tracks:{camera}`."""

    camera: str
    entry: str
    """Its id in the stream."""
    seq: int
    tick: int
    time_ns: str
    time: str | None
    width: int | None
    """None: there was no picture, so the entry says nothing about tracks, but for those that ended."""
    height: int | None
    embedder: str
    tracks: list[SeenTrack]
    ended: list[str]


@dataclass(frozen=True)
class BrokenEntry:
    """One that cannot be decoded."""

    camera: str
    entry: str
    error: str


def inspect_tracks(options: TracksOptions, choice: SiteChoice, environment: Mapping[str, str], console: Console) -> int:
    """Shows the newest entries of a camera, and with `follow` every new one; the exit code (1: there is none yet).

    Raises:
        MtmcError: the site has no such camera, or cannot be read.
    """
    with open_site(choice, environment) as site:
        cameras = read_settings(site.client, site.keys)
        if options.camera not in cameras:
            raise unknown_cameras(site.keys.site, [options.camera], list(cameras))
        any_shown = False
        for entry in _entries(site, options):
            any_shown = True
            _show(entry, console, as_json=options.json)
        if not any_shown and not options.follow:
            camera = site.read_state().camera(options.camera)
            state = camera_state(camera).plain if camera else "removed meanwhile"
            message = f"mtmc: camera {options.camera} has handled no tick yet: {state}"
            Console(stderr=True, highlight=False).print(message, markup=False, soft_wrap=True)
            return 1
    return 0


def described(entry_id: str, entry: TrackEntry, gids: Mapping[bytes, bytes], class_names: Sequence[str]) -> SeenEntry:
    """An entry in the form that is shown; pure."""
    batch = entry.batch
    tracks = [
        SeenTrack(
            track_id=str(track_id),
            gid=int(gid) if (gid := gids.get(str(track_id).encode())) is not None else None,
            class_id=(class_id := int(batch.class_ids[i])),
            class_=class_names[class_id] if 0 <= class_id < len(class_names) else None,
            box_xyxy=[round(float(edge), 2) for edge in batch.boxes_xyxy[i]],
            score=round(float(batch.scores[i]), 4),
            quality=round(float(batch.qualities[i]), 4),
            embedding=bool(batch.embedding_rows[i] >= 0),
        )
        for i, track_id in enumerate(batch.track_ids.tolist())
    ]
    return SeenEntry(
        camera=entry.camera,
        entry=entry_id,
        seq=entry.seq,
        tick=entry.tick,
        time_ns=str(entry.time_ns),
        time=_utc(entry.time_ns),
        width=batch.width or None,
        height=batch.height or None,
        embedder=batch.embedder,
        tracks=tracks,
        ended=[str(track_id) for track_id in batch.ended.tolist()],
    )


def _entries(site: OpenSite, options: TracksOptions) -> Iterator[SeenEntry | BrokenEntry]:
    """The newest ones, the oldest of them first; then, to follow, those that come until a signal."""
    key = site.keys.tracks(options.camera)
    found = site.client.xrevrange(key, count=options.count)[::-1]
    yield from _decoded(found, site, options.camera)
    if not options.follow:
        return
    stop, cursor = stop_on_signals(), found[-1][0] if found else b"0-0"
    while not stop.is_set():
        answer = site.client.xread({key: cursor}, count=_AT_ONCE, block=_WAIT_MS)
        for _, entries in answer:
            cursor = entries[-1][0]
            yield from _decoded(entries, site, options.camera)


def _decoded(
    entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]], site: OpenSite, camera: str
) -> Iterator[SeenEntry | BrokenEntry]:
    if not entries:
        return
    gids = site.client.hgetall(site.keys.gids(camera))
    names = _class_names(site.client.hget(site.keys.camera(camera), "class_names"))
    for entry_id, fields in entries:
        try:
            yield described(entry_id.decode(), TrackEntry.decode(fields), gids, names)
        except MessageError as error:
            yield BrokenEntry(camera, entry_id.decode(), str(error))


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
        console.print(_table(entry.tracks))
    if entry.ended:
        console.print(f"ended: {' '.join(entry.ended)}", soft_wrap=True)


def _table(tracks: Sequence[SeenTrack]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("track", "gid", "class", "box", "score", "quality", "embedded"):
        table.add_column(heading, justify="left" if heading == "class" else "right", overflow="fold")
    for track in tracks:
        box = " ".join(f"{edge:.0f}" for edge in track.box_xyxy)
        kind = f"{track.class_id} {track.class_}" if track.class_ is not None else str(track.class_id)
        scores = f"{track.score:.2f}", f"{track.quality:.2f}", "yes" if track.embedding else ""
        table.add_row(track.track_id, "-" if track.gid is None else str(track.gid), Text(kind), box, *scores)
    return table


def _class_names(text: bytes | None) -> list[str]:
    try:
        names = json.loads(text) if text else []
    except ValueError:
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _utc(time_ns: int) -> str | None:
    """To the microsecond; None for a time that no calendar has."""
    try:
        moment = datetime.fromtimestamp(time_ns // 1_000_000_000, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.replace(microsecond=time_ns // 1000 % 1_000_000).isoformat(timespec="microseconds")
