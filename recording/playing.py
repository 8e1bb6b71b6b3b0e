"""Plays a recording into Redis in virtual time, acting as the clock and all camera workers of a site."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from recording.errors import RecordingError
from recording.reading import Recording
from shared.commands import send
from shared.errors import LeaseLost, MtmcError
from shared.gate import CompletedCamera, Gate
from shared.leases import REPLAY_SECONDS, Lease, Leases
from shared.messages import TrackBatch, TrackEntry
from shared.operator_commands import OperatorCommand
from shared.redis_connection import Client
from shared.site import PublishedSite
from shared.stream_cap import StreamCap

_POLL_S = 0.25


def ticks_of(recording: Recording) -> Iterator[tuple[int, list[TrackEntry | None]]]:
    """Every tick from first to last with the entry of each camera; None for a camera without one."""
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
    """Owns the clock and all cameras of a site, and publishes the recorded entries tick by tick."""

    def __init__(
        self, client: Client, site: PublishedSite, recording: Recording, *, with_commands: bool = True
    ) -> None:
        """Prepare a replay; `begin` starts it.

        `with_commands`: repeat what operators asked for; with other settings, their gids may be other objects.

        Raises:
            RecordingError: the recording contains no complete tick.
        """
        if recording.last_tick < recording.first_tick:
            raise RecordingError(recording.folder, "contains no complete tick")
        self._client, self._site, self._keys = client, site, site.keys
        self._recording = recording
        self._origin_us = recording.description.origin_ns // 1000
        self._gate = Gate(client, site.keys, site.config.clock)
        self._leases = Leases(client, site.keys)
        self._cursor = "0-0"
        self._clock: Lease | None = None
        self._cameras: dict[str, Lease] = {}
        # The aggregator reads entries within a tick or two; a standby may start later.
        self._caps = {camera: StreamCap(site.config) for camera in recording.cameras}
        self._empty = TrackBatch().encode()
        self._commands = recording.commands() if with_commands else {}

    def begin(self) -> None:
        """Acquire all roles and set the clock to the tick before the first.

        Raises:
            MtmcError: another process owns a role.
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
        """Start `tick` if the gate allows it, once the aggregator has handled the previous tick; whether it started.

        Raises:
            LeaseLost: another process has taken over the clock.
        """
        assert self._clock is not None
        self._clock.renew_if_due()
        try:
            advanced = self._gate.advance(self._clock, self._origin_us)
        except LeaseLost:
            self._clock.renew()  # It only expired, on a busy machine; raises if another process owns it.
            advanced = self._gate.advance(self._clock, self._origin_us)
        return advanced.tick >= tick

    def wait(self, tick: int) -> bool:
        """Wait up to a quarter of a second for the gate to allow `tick`; whether it has started.

        Raises:
            LeaseLost: another process has taken over a role.
        """
        for lease in self._cameras.values():
            lease.renew_if_due()
        newest = self._client.xrevrange(self._keys.ticks, count=1)
        # The gate may have moved before the line above, in which case no further notification would come.
        if self.advance(tick):
            return True
        self._gate.wait(newest[0][0].decode(), _POLL_S)
        return self.advance(tick)

    def feed(self, tick: int, entries: list[TrackEntry | None]) -> None:
        """Publish the entries of `tick`; for a camera without one, an empty entry.

        Raises:
            LeaseLost: another process has taken over a camera.
        """
        for command in self.commands(tick):
            send(self._client, self._keys, command)
        completed = []
        for camera, entry in zip(self._recording.cameras, entries, strict=True):
            time_ns = entry.time_ns if entry else self._tick_ns(tick)
            payload = entry.batch.encode() if entry else self._empty
            count = len(entry.batch) if entry else 0
            longest = self._caps[camera].entries(len(payload))
            completed.append(CompletedCamera(camera, self._cameras[camera], time_ns, count, payload, longest))
        while (progress := self._gate.complete_tick(tick, completed, self._cursor)).lost:
            for camera in progress.lost:
                self._cameras[camera].renew()  # It only expired; entries already appended are not appended twice.
        self._cursor = progress.assignments_cursor

    def commands(self, tick: int) -> list[OperatorCommand]:
        """What operators asked for, to be carried out in the cycle of `tick`."""
        return self._commands.get(tick, [])

    def wait_for_aggregator(self, tick: int) -> bool:
        """Wait up to a quarter of a second for the aggregator's cycle of `tick`; whether it is done."""
        for lease in self._cameras.values():
            lease.renew_if_due()
        return bool(
            self._client.xread({self._keys.cycles: f"{tick - 1}-{2**32}"}, count=1, block=round(_POLL_S * 1000))
        )

    def has_aggregator(self) -> bool:
        """Whether an aggregator is running."""
        return bool(self._client.exists(self._keys.lease("aggregator")))

    def close(self) -> None:
        """Mark all cameras as ended and release all roles."""
        for camera, lease in self._cameras.items():
            with contextlib.suppress(LeaseLost):
                self._gate.retire(camera, lease, "ended")
            lease.release()
        if self._clock is not None:
            self._clock.release()
        self._cameras, self._clock = {}, None

    def _acquire(self, role: str) -> Lease:
        lease = self._leases.acquire(role, REPLAY_SECONDS)
        if lease is None:
            raise MtmcError(
                f"another process owns the role {role} of site {self._keys.site}; stop it, or use another --site"
            )
        return lease

    def _tick_ns(self, tick: int) -> int:
        return (self._origin_us + round(tick * 1e6 / self._site.config.clock.target_fps)) * 1000


class Pace:
    """Limits a replay to a multiple of real time."""

    def __init__(self, speed: float | None, fps: float) -> None:
        """`speed` is the multiple of real time (None: no limit), `fps` the number of ticks per second of site time."""
        self._interval_s = None if speed is None else 1 / (speed * fps)
        self._next_at = time.monotonic()

    def due_in_s(self) -> float:
        """Seconds until the next tick is due."""
        return 0.0 if self._interval_s is None else max(0.0, self._next_at - time.monotonic())

    def ticked(self) -> None:
        """Call when a tick has started; a late tick delays the following ones instead of being caught up."""
        if self._interval_s is not None:
            self._next_at = max(self._next_at + self._interval_s, time.monotonic())
