"""Plays a recording into Redis: the part of the clock and of all camera workers of a site, in virtual time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from recording.errors import RecordingError
from recording.reading import Recording
from shared.errors import LeaseLost, MtmcError
from shared.gate import CompletedCamera, Gate
from shared.leases import Lease, Leases
from shared.messages import TrackBatch, TrackEntry
from shared.redis_connection import Client
from shared.site import PublishedSite
from shared.stream_cap import StreamCap

_LEASE_SECONDS = 10.0
_POLL_S = 0.25


def ticks_of(recording: Recording) -> Iterator[tuple[int, list[TrackEntry | None]]]:
    """Every tick from the first to the last with the entry of each camera, None where it has none."""
    streams = [recording.entries(camera) for camera in recording.cameras]
    waiting = [next(stream, None) for stream in streams]
    for tick in range(recording.first_tick, recording.last_tick + 1):
        now: list[TrackEntry | None] = []
        for i, stream in enumerate(streams):
            while (entry := waiting[i]) is not None and entry.tick < tick:
                waiting[i] = next(stream, None)
            now.append(entry if entry is not None and entry.tick == tick else None)
        yield tick, now


class Player:
    """Owns the clock and every camera of a site, and feeds it tick by tick."""

    def __init__(self, client: Client, site: PublishedSite, recording: Recording) -> None:
        if recording.last_tick < recording.first_tick:
            raise RecordingError(recording.folder, "holds no whole tick")
        self._client, self._site, self._keys = client, site, site.keys
        self._recording = recording
        self._origin_us = recording.description.origin_ns // 1000
        self._gate = Gate(client, site.keys, site.config.clock)
        self._leases = Leases(client, site.keys)
        self._cursor = "0-0"
        self._clock: Lease | None = None
        self._cameras: dict[str, Lease] = {}
        # The aggregator reads within a tick or two what is fed; a standby may come later.
        self._caps = {camera: StreamCap(site.config) for camera in recording.cameras}
        self._empty = TrackBatch().encode()

    def begin(self) -> None:
        """Takes every role and puts the clock at the tick before the first.

        Raises:
            MtmcError: somebody else has a role.
        """
        self._clock = self._acquire("clock")
        before = self._recording.first_tick - 1
        fields = {"tick": before, "time_ns": self._tick_ns(before), "gate": before}
        with self._client.pipeline(transaction=True) as pipe:
            pipe.set(self._keys.tick, before)
            pipe.xadd(self._keys.ticks, fields)
            for camera in self._recording.cameras:
                pipe.hset(self._keys.camera(camera), mapping={"state": "live", "source": "replay"})
            pipe.execute()
        for camera in self._recording.cameras:
            self._cameras[camera] = self._acquire(f"camera:{camera}")
            self._gate.join(camera, self._cameras[camera])

    def advance(self, tick: int) -> bool:
        """Begins `tick` if the gate allows it: once the aggregator has handled the one before.

        Raises:
            LeaseLost: somebody else ticks.
        """
        assert self._clock is not None
        self._clock.renew_if_due()
        try:
            advanced = self._gate.advance(self._clock, self._origin_us)
        except LeaseLost:
            self._clock.renew()  # It merely ran out, on a machine that was busy with something else.
            advanced = self._gate.advance(self._clock, self._origin_us)
        return advanced.tick >= tick

    def wait(self, tick: int) -> bool:
        """Waits a quarter of a second at most for `tick` to be allowed; whether it has begun.

        Raises:
            LeaseLost: somebody else has a role.
        """
        for lease in self._cameras.values():
            lease.renew_if_due()
        newest = self._client.xrevrange(self._keys.ticks, count=1)
        # The gate may have moved before this look, of which nobody would be told again.
        if self.advance(tick):
            return True
        self._gate.wait(newest[0][0].decode(), _POLL_S)
        return self.advance(tick)

    def feed(self, tick: int, entries: list[TrackEntry | None]) -> None:
        """Appends what the cameras saw at `tick`; one that has nothing of it appends an empty entry.

        Raises:
            LeaseLost: somebody else owns a camera.
        """
        completed = []
        for camera, entry in zip(self._recording.cameras, entries, strict=True):
            time_ns = entry.time_ns if entry else self._tick_ns(tick)
            payload = entry.batch.encode() if entry else self._empty
            count = len(entry.batch) if entry else 0
            longest = self._caps[camera].entries(len(payload))
            completed.append(CompletedCamera(camera, self._cameras[camera], time_ns, count, payload, longest))
        while (progress := self._gate.complete_tick(tick, completed, self._cursor)).lost:
            for camera in progress.lost:
                self._cameras[camera].renew()  # It merely ran out; what was appended is not appended twice.
        self._cursor = progress.assignments_cursor

    def wait_for_aggregator(self, tick: int) -> bool:
        """Waits a quarter of a second at most for the aggregator's cycle of `tick`; whether it came."""
        for lease in self._cameras.values():
            lease.renew_if_due()
        return bool(
            self._client.xread({self._keys.cycles: f"{tick - 1}-{2**32}"}, count=1, block=round(_POLL_S * 1000))
        )

    def has_aggregator(self) -> bool:
        """Whether one is there."""
        return bool(self._client.exists(self._keys.lease("aggregator")))

    def close(self) -> None:
        """Says that every recording has ended, and gives the roles up."""
        for camera, lease in self._cameras.items():
            with contextlib.suppress(LeaseLost):
                self._gate.retire(camera, lease, "ended")
            lease.release()
        if self._clock is not None:
            self._clock.release()
        self._cameras, self._clock = {}, None

    def _acquire(self, role: str) -> Lease:
        lease = self._leases.acquire(role, _LEASE_SECONDS)
        if lease is None:
            raise MtmcError(f"somebody else runs {role} of site {self._keys.site}; stop it, or name another --site")
        return lease

    def _tick_ns(self, tick: int) -> int:
        return (self._origin_us + round(tick * 1e6 / self._site.config.clock.target_fps)) * 1000


class Pace:
    """Holds a replay back to a multiple of real time; None: no more than it has to."""

    def __init__(self, speed: float | None, fps: float) -> None:
        self._interval_s = None if speed is None else 1 / (speed * fps)
        self._next_at = time.monotonic()

    def due_in_s(self) -> float:
        """Seconds until the next tick is due."""
        return 0.0 if self._interval_s is None else max(0.0, self._next_at - time.monotonic())

    def ticked(self) -> None:
        """A tick has begun; one that came late is not caught up with."""
        if self._interval_s is not None:
            self._next_at = max(self._next_at + self._interval_s, time.monotonic())
