"""Records the streams of a running site."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog

from recording.description import Description, FrameNumbers, MissingEntries
from recording.writing import RecordingWriter
from shared.camera_calibrations import calibrations_since, merged
from shared.camera_settings import read_cameras
from shared.errors import MessageError, MtmcError
from shared.lenient_values import whole
from shared.messages import TrackEntry
from shared.operator_commands import decode_commands
from shared.redis_connection import Client
from shared.site import PublishedSite, read_revision
from shared.version import made_by

_log = structlog.get_logger()
_BATCH = 200
_BLOCK_MS = 250
_CHECK_INTERVAL_S = 0.5
_SILENT_S = 5.0
"""A site whose clock has no owner and whose streams have been silent for this long has ended."""
_LAST_CYCLE_S = 5.0
"""Timeout for the aggregator's results of the last tick."""


@dataclass(frozen=True)
class Recorded:
    """The result of a recording."""

    first_tick: int
    last_tick: int
    entries: int
    boxes: int
    assignments: int
    undecodable: int
    """Number of entries that could not be decoded and were skipped."""
    missing: tuple[MissingEntries, ...]
    not_recorded: tuple[str, ...]
    """Cameras that were added after the recording began."""
    why: str
    """Why the recording ended."""


class Recorder:
    """Records a site to a folder. The first tick is the one after the newest entry of any camera."""

    def __init__(self, client: Client, site: PublishedSite, folder: Path, *, from_start: bool = False) -> None:
        """Start recording now, or with everything that is still in Redis (`from_start`).

        Raises:
            MtmcError: the folder cannot be used, or the site has no cameras.
        """
        self._client, self._site, self._keys = client, site, site.keys
        cameras = read_cameras(client, self._keys)
        if not cameras:
            raise MtmcError(f"site {self._keys.site} has no cameras")
        order = {name: i for i, name in enumerate(site.config.camera_names)}
        self.cameras = tuple(sorted(cameras, key=lambda name: (order.get(name, len(order)), name)))
        config = site.config.model_copy(update={"cameras": tuple(cameras[name] for name in self.cameras)})
        self._fps = config.clock.target_fps
        present = self._read_present(from_start=from_start)
        layout = site.layout.over(self.cameras)
        if config.association.mode != "reference":
            published = {camera.name: camera for camera in site.config.cameras}
            changed = calibrations_since(published, cameras)
            layout = replace(layout, calibrations=merged(layout.calibrations, changed))
        description = Description.of(
            config,
            layout,
            made_by("record"),
            frames=FrameNumbers(tick_of_first=present.first_tick),
            first_tick=present.first_tick,
        )
        self.first_tick = present.first_tick
        self._writer = RecordingWriter(folder, description)
        self._camera_of = {self._keys.tracks(camera).encode(): camera for camera in self.cameras}
        self._cursors = present.cursors
        self.last_ticks: dict[str, int] = {}
        """Camera → the tick of its newest entry."""
        self._last_seq = present.last_seq
        self._missing: list[MissingEntries] = []
        self.entries = self.boxes = self.assignments = self.undecodable = 0
        self._not_recorded: set[str] = set()
        self._timed = self._placed = False
        self._check_at = 0.0
        self._heard_at = time.monotonic()
        for i, (camera, track_id, gid) in enumerate(present.gids, start=1):
            values: dict[str, Any] = {"tick": self.first_tick - 1, "camera": camera, "track_id": track_id, "gid": gid}
            self._writer.add_assignment(f"0-{i}", {key.encode(): str(value).encode() for key, value in values.items()})

    @property
    def size_bytes(self) -> int:
        """Total size of the files."""
        return self._writer.size_bytes

    @property
    def newest_tick(self) -> int:
        """The highest recorded tick of any camera."""
        return max(self.last_ticks.values(), default=self.first_tick - 1)

    @property
    def slowest_tick(self) -> int:
        """The tick up to which all cameras are recorded, not counting cameras that are seconds behind."""
        near = self.newest_tick - self._fps * _SILENT_S
        return min((tick for tick in self.last_ticks.values() if tick >= near), default=self.first_tick - 1)

    def step(self) -> str | None:
        """Record new entries, waiting briefly for some; returns why the site has ended, or None if it has not.

        Raises:
            RedisError: the connection failed; nothing is lost, and the next call continues.
        """
        self._read(_BLOCK_MS)
        now = time.monotonic()
        if now < self._check_at:
            return None
        self._check_at = now + _CHECK_INTERVAL_S
        self._learn_times()
        return self._ended(now)

    def finish(self, why: str, last_tick: int | None = None) -> Recorded:
        """Wait for the aggregator's results of the last tick that all cameras have handled; close the recording.

        `last_tick` limits the last tick of the recording.

        Raises:
            RedisError: the connection failed; call `cut_off` to close the recording as it is.
        """
        self._learn_times()
        handled = self._handled_by_all()
        last = handled if last_tick is None else min(handled, last_tick)
        deadline = time.monotonic() + _LAST_CYCLE_S
        while (
            time.monotonic() < deadline and self._cycle() < last and self._client.exists(self._keys.lease("aggregator"))
        ):
            self._read(_BLOCK_MS)
        while self._read(None):
            pass
        return self._close(why, last)

    def cut_off(self, why: str) -> Recorded:
        """Close the recording without using Redis."""
        return self._close(why, self.slowest_tick)

    def close(self) -> None:
        """Close the files without finishing the recording."""
        self._writer.close()

    def _close(self, why: str, last_tick: int) -> Recorded:
        missing = tuple(gap for gap in self._missing if gap.after_tick < last_tick)
        self._writer.finish(last_tick, missing)
        return Recorded(
            first_tick=self.first_tick,
            last_tick=last_tick,
            entries=self.entries,
            boxes=self.boxes,
            assignments=self.assignments,
            undecodable=self.undecodable,
            missing=missing,
            not_recorded=tuple(sorted(self._not_recorded)),
            why=why,
        )

    # -- start ---------------------------------------------------------------------------------------

    def _read_present(self, *, from_start: bool) -> _Present:
        """The state of the site, read in one transaction so that no entry is missed in between."""
        streams = [*(self._keys.tracks(camera) for camera in self.cameras), self._keys.assignments, self._keys.events]
        streams.append(self._keys.cycles)
        with self._client.pipeline(transaction=True) as pipe:
            pipe.get(self._keys.tick)
            for stream in streams:
                pipe.xrange(stream, count=1) if from_start else pipe.xrevrange(stream, count=1)
            for camera in self.cameras:
                pipe.hgetall(self._keys.gids(camera))
            tick, *rest = pipe.execute()
        marks, gids = rest[: len(streams)], rest[len(streams) :]
        at = [int(mark[0][1][b"tick"]) for mark in marks[: len(self.cameras)] if mark]
        first = max([*at, int(tick or 0)]) if not at else max(at) + (0 if from_start else 1)
        cursors = {
            stream.encode(): b"0-0" if from_start or not mark else mark[0][0]
            for stream, mark in zip(streams, marks, strict=True)
        }
        known = [
            (camera, int(track_id), int(gid))
            for camera, lines in zip(self.cameras, gids, strict=True)
            for track_id, gid in sorted(lines.items())
        ]
        last_seq = {
            camera: int(mark[0][1][b"seq"])
            for camera, mark in zip(self.cameras, marks, strict=False)
            if mark and not from_start
        }
        return _Present(max(1, first), cursors, last_seq, [] if from_start else known)

    def _learn_times(self) -> None:
        """Record when tick 0 was and at which tick files begin, once a clock and a worker have published it."""
        if not self._timed and (newest := self._client.xrevrange(self._keys.ticks, count=1)):
            fields = newest[0][1]
            origin_ns = int(fields[b"time_ns"]) - round(int(fields[b"tick"]) * 1e9 / self._fps)
            self._writer.describe(origin_ns=origin_ns)
            self._timed = True
        if not self._placed and (origin := self._client.get(self._keys.files_origin)):
            self._writer.describe(frames=FrameNumbers(tick_of_first=int(origin)))
            self._placed = True

    # -- entries -------------------------------------------------------------------------------------

    def _read(self, block_ms: int | None) -> bool:
        answer = self._client.xread(self._cursors, count=_BATCH, block=block_ms)
        for key, entries in answer or ():
            for entry_id, fields in entries:
                self._take(key, entry_id.decode(), fields)
            self._cursors[key] = entries[-1][0]
        if answer:
            self._writer.flush()
            self._heard_at = time.monotonic()
        return bool(answer)

    def _take(self, key: bytes, entry_id: str, fields: dict[bytes, bytes]) -> None:
        camera = self._camera_of.get(key)
        if camera is not None:
            self._take_tracks(camera, entry_id, fields)
        elif key == self._keys.assignments.encode():
            self._writer.add_assignment(entry_id, fields)
            self.assignments += 1
        elif key == self._keys.events.encode():
            self._writer.add_event(entry_id, fields)
        else:
            self._take_cycle(fields)

    def _take_cycle(self, fields: dict[bytes, bytes]) -> None:
        """Records what operators asked for, and what was carried out in a cycle."""
        tick = whole(fields.get(b"tick"))
        if tick is not None and tick >= self.first_tick and b"commands" in fields:
            with contextlib.suppress(MessageError):
                self._writer.add_commands(tick, decode_commands(fields[b"commands"]))

    def _take_tracks(self, camera: str, entry_id: str, fields: dict[bytes, bytes]) -> None:
        try:
            entry = TrackEntry.decode(fields)
        except MessageError as error:
            self.undecodable += 1
            _log.warning("skipping an entry that cannot be decoded", camera=camera, entry=entry_id, reason=str(error))
            return
        before, tick = self._last_seq.get(camera), self.last_ticks.get(camera, self.first_tick - 1)
        self._last_seq[camera] = entry.seq
        if before is not None and entry.seq != before + 1:
            self._missing.append(MissingEntries(camera=camera, after_tick=tick, next_tick=entry.tick))
            _log.warning("entries are missing", camera=camera, after_tick=tick, next_tick=entry.tick)
        if entry.tick <= tick:
            return  # Before the first tick, or a repeated tick after Redis lost its last writes.
        self.last_ticks[camera] = entry.tick
        self._writer.add_entry(camera, entry_id, fields)
        self.entries += 1
        self.boxes += len(entry.batch)

    # -- end -----------------------------------------------------------------------------------------

    def _ended(self, now: float) -> str | None:
        if read_revision(self._client, self._keys) != self._site.revision:
            return "the site was published again"
        cameras = read_cameras(self._client, self._keys)
        self._not_recorded |= set(cameras).difference(self.cameras)
        live = [name for name in self.cameras if name in cameras and not cameras[name].paused]
        with self._client.pipeline(transaction=False) as pipe:
            for name in live:
                pipe.hget(self._keys.camera(name), "state")
            pipe.exists(self._keys.lease("clock"))
            *states, ticking = pipe.execute()
        if live and all(state == b"ended" for state in states) and self.last_ticks:
            return "the files of all cameras have ended"
        if not ticking and now - self._heard_at > _SILENT_S and self.last_ticks:
            return "the site was stopped"
        return None

    def _handled_by_all(self) -> int:
        while self._read(None):
            pass
        seen: Sequence[tuple[bytes, float]] = self._client.zrange(self._keys.seen, 0, 0, withscores=True)
        while self._read(None):
            pass
        slowest = int(seen[0][1]) if seen else self.newest_tick
        return min(slowest, self.newest_tick)

    def _cycle(self) -> int:
        newest = self._client.xrevrange(self._keys.cycles, count=1)
        return int(newest[0][0].split(b"-")[0]) if newest else 0


@dataclass(frozen=True)
class _Present:
    """The state of a site when its recording begins."""

    first_tick: int
    cursors: dict[bytes, bytes]
    """Stream → id of the last entry before the recording."""
    last_seq: dict[str, int]
    """Camera → sequence number of that entry."""
    gids: list[tuple[str, int, int]]
    """The global-ID map: camera, track id, gid."""
