"""Reads and decodes the entries of a camera's `tracks:*` stream, for `mtmc inspect`."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from launcher.site_access import OpenSite
from shared.errors import MessageError
from shared.messages import TrackEntry

_WAIT_MS = 250
_AT_ONCE = 100


@dataclass(frozen=True)
class SeenTrack:
    """One track of an entry. 64-bit numbers are strings, because many JSON readers would round them."""

    track_id: str
    gid: int | None
    class_id: int
    class_: str | None
    """Name of the class, if the camera's class names are known."""
    box_xyxy: list[float]
    score: float
    quality: float
    embedding: bool
    """Whether the entry has an embedding of the track."""


@dataclass(frozen=True)
class SeenEntry:
    """One entry of `tracks:{camera}`."""

    camera: str
    entry: str
    """The entry's id in the stream."""
    seq: int
    tick: int
    time_ns: str
    time: str | None
    width: int | None
    """None: there was no picture, so the entry only lists the tracks that ended."""
    height: int | None
    embedder: str
    tracks: list[SeenTrack]
    ended: list[str]


@dataclass(frozen=True)
class BrokenEntry:
    """An entry that cannot be decoded."""

    camera: str
    entry: str
    error: str


def newest_entries(site: OpenSite, camera: str, count: int) -> tuple[list[SeenEntry | BrokenEntry], bytes]:
    """The newest `count` entries of a camera, oldest first, and the stream id to follow from."""
    found = site.client.xrevrange(site.keys.tracks(camera), count=count)[::-1]
    return list(_decoded(found, site, camera)), found[-1][0] if found else b"0-0"


def following_entries(
    site: OpenSite, camera: str, cursor: bytes, stop: threading.Event
) -> Iterator[SeenEntry | BrokenEntry]:
    """Yields the entries after the stream id `cursor` as they arrive, until `stop` is set."""
    key = site.keys.tracks(camera)
    while not stop.is_set():
        answer = site.client.xread({key: cursor}, count=_AT_ONCE, block=_WAIT_MS)
        for _, entries in answer:
            cursor = entries[-1][0]
            yield from _decoded(entries, site, camera)


def described(entry_id: str, entry: TrackEntry, gids: Mapping[bytes, bytes], class_names: Sequence[str]) -> SeenEntry:
    """The decoded fields of an entry. Pure."""
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


def _class_names(text: bytes | None) -> list[str]:
    try:
        names = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def _utc(time_ns: int) -> str | None:
    """ISO 8601 with microseconds; None if the time is out of range."""
    try:
        moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.replace(microsecond=time_ns // 1000 % 1_000_000).isoformat(timespec="microseconds")
