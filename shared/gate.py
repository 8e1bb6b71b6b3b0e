"""The clock's scripts as functions: what a service may ask of the gate. The rules themselves are `lua/gate.lua`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from shared.config import ClockConfig
from shared.errors import LeaseLost
from shared.keys import Keys
from shared.leases import Lease
from shared.messages import SCHEMA
from shared.redis_connection import Client
from shared.scripts import Scripts

_log = structlog.get_logger()
VIEWER_MS = 10_000
"""A camera counts as watched for so long after the last request for its picture."""
_NUMBERS_END = 2**63
"""Track ids and gids are below it: they fit the int64 of the wire format."""
_SHOWN = 100
"""Characters of a malformed value that the log shows."""


@dataclass(frozen=True)
class Advanced:
    """What a step of the clock led to."""

    is_new: bool
    """Whether this step published the tick."""
    tick: int
    gate: int
    skew_ticks: int
    """Fastest minus slowest live camera."""
    stalled_now: int
    """How many cameras are stalled."""
    stalled: tuple[str, ...]
    """Cameras that this step found stalled."""


@dataclass(frozen=True)
class CompletedCamera:
    """What one camera has to say for a handled tick."""

    name: str
    lease: Lease
    time_ns: int
    n: int
    payload: bytes
    longest: int
    """How many entries `tracks:{camera}` keeps."""


@dataclass(frozen=True)
class Progress:
    """Where the site stands after a tick was handled."""

    tick: int
    gate: int
    ticks_cursor: str
    """Id of the newest entry of `clock:ticks`: wait for a later one."""
    time_ns: int
    """Site time at which the current tick began."""
    assignments_cursor: str
    lost: frozenset[str] = frozenset()
    """Cameras whose lease this worker no longer holds; nothing was written for them."""
    gids: tuple[tuple[str, int, int], ...] = ()
    """Changes of the global-ID map, of all cameras of the site: camera, track_id, gid (0: taken away)."""
    watched: frozenset[str] = field(default_factory=frozenset)
    skipped: int = 0


@dataclass(frozen=True)
class Tick:
    """An entry of `clock:ticks`."""

    entry_id: str
    tick: int
    time_ns: int
    gate: int


@dataclass(frozen=True)
class Handled:
    """How far the cameras are."""

    upto: int
    """All live cameras have handled every tick up to this one; -1: somebody has yet to join (virtual mode)."""
    tick: int
    time_ns: int
    """Site time at which `tick` began."""

    @classmethod
    def parse(cls, answer: Sequence[Any]) -> Handled:
        """From the script's answer."""
        return cls(*(int(part) for part in answer))


class Gate:
    """The gate of one site, for one process."""

    def __init__(self, client: Client, keys: Keys, clock: ClockConfig) -> None:
        self._client, self._keys, self._clock = client, keys, clock
        self._scripts = Scripts(client)
        self._gate_keys = [keys.tick, keys.ticks, keys.seen, keys.marked_at, keys.skew, keys.cameras, keys.cycles]
        self._gate_args: list[str | int] = [clock.mode, clock.max_skew_ticks]
        self.malformed_gids = 0
        """Lines of the global-ID map, and of its changes, that were skipped because they are not numbers."""

    def _run(
        self, name: str, keys: Sequence[str] = (), args: Sequence[str | bytes | int | float] = (), pipeline: Any = None
    ) -> Any:
        return self._scripts.run(name, [*self._gate_keys, *keys], [*self._gate_args, *args], pipeline)

    def advance(self, lease: Lease, origin_us: int, *, resumed: bool = False) -> Advanced:
        """One step of the clock: the tick that the time of day (or, in virtual mode, the gate) allows.

        `resumed`: the first step after a pause, in which no camera can have stalled.

        Raises:
            LeaseLost: another clock ticks now.
        """
        stall_ms = round(self._clock.stall_seconds * 1000)
        args: list[str | int] = [lease.value, origin_us, repr(self._clock.target_fps), stall_ms, int(resumed)]
        answer = self._run("advance", [lease.key], args)
        if not answer[0]:
            raise LeaseLost(lease.role)
        is_new, tick, gate, skew_ticks, stalled_now, *stalled = answer[1:]
        names = tuple(name.decode() for name in stalled)
        return Advanced(bool(is_new), int(tick), int(gate), int(skew_ticks), int(stalled_now), names)

    def join(self, camera: str, lease: Lease) -> tuple[int, int, int]:
        """Lets a camera take part; returns tick, gate, and the tick that it counts as having handled last.

        Raises:
            LeaseLost: another worker owns the camera.
        """
        asked_at = time.monotonic()
        answer = self._run("join", [lease.key, self._keys.epochs], [camera, lease.value, lease.ttl_ms])
        if not answer[0]:
            raise LeaseLost(lease.role)
        lease.note_renewed(asked_at)
        return int(answer[1]), int(answer[2]), int(answer[3])

    def retire(self, camera: str, lease: Lease, state: str) -> None:
        """Takes a camera out, and says why: state `ended`, `paused`, or `released`.

        Raises:
            LeaseLost: another worker owns the camera.
        """
        asked_at = time.monotonic()
        keys = [lease.key, self._keys.epochs, self._keys.camera(camera)]
        if not self._run("retire", keys, [camera, lease.value, lease.ttl_ms, state]):
            raise LeaseLost(lease.role)
        lease.note_renewed(asked_at)

    def complete_tick(self, tick: int, cameras: Sequence[CompletedCamera], assignments_cursor: str) -> Progress:
        """Appends the entries of one tick, marks it handled, and learns what has changed; one call for all cameras.

        May be called again after a lost connection: nothing is appended twice. With no cameras it only asks: the cursor
        stays where it is, so that no change is missed; only `0-0` becomes the newest one.
        """
        keys = [self._keys.assignments, self._keys.viewers, self._keys.epochs]
        args: list[str | bytes | int] = [tick, assignments_cursor, VIEWER_MS, SCHEMA]
        for camera in cameras:
            keys += [camera.lease.key, self._keys.tracks(camera.name), self._keys.camera(camera.name)]
            args += [camera.name, camera.lease.value, camera.lease.ttl_ms]
            args += [camera.time_ns, camera.n, camera.payload, camera.longest]
        asked_at = time.monotonic()
        now, gate, ticks_cursor, time_ns, cursor, lost, changes, watched, skipped = self._run(
            "complete_tick", keys, args
        )
        refused = frozenset(name.decode() for name in lost)
        for camera in cameras:
            if camera.name not in refused:
                camera.lease.note_renewed(asked_at)
        triples = zip(changes[::3], changes[1::3], changes[2::3], strict=True)
        lines = [self._gid_line(name.decode(errors="replace"), track_id, gid) for name, track_id, gid in triples]
        return Progress(
            tick=int(now),
            gate=int(gate),
            ticks_cursor=ticks_cursor.decode(),
            time_ns=int(time_ns),
            assignments_cursor=cursor.decode(),
            lost=refused,
            gids=tuple(line for line in lines if line is not None),
            watched=frozenset(name.decode() for name in watched),
            skipped=int(skipped),
        )

    def gids(self, camera: str) -> dict[int, int]:
        """The global-ID map of a camera: track_id → gid."""
        lines = self._client.hgetall(self._keys.gids(camera)).items()
        numbers = [self._gid_line(camera, track_id, gid) for track_id, gid in lines]
        return {line[1]: line[2] for line in numbers if line is not None}

    def _gid_line(self, camera: str, track_id: bytes, gid: bytes) -> tuple[str, int, int] | None:
        """A line of the global-ID map as numbers; one that has none is counted, and the first one is logged."""
        try:
            numbers = int(track_id), int(gid)
        except ValueError:
            numbers = -1, -1
        if all(0 <= number < _NUMBERS_END for number in numbers):
            return camera, *numbers
        self.malformed_gids += 1
        if self.malformed_gids == 1:
            _log.warning(
                "the global-ID map has a line that is not a number; it is skipped, further ones are only counted",
                camera=camera,
                track_id=track_id[:_SHOWN].decode(errors="replace"),
                gid=gid[:_SHOWN].decode(errors="replace"),
            )
        return None

    def queue_handled(self, pipeline: Any) -> None:
        """Queues the question how far the cameras are; `Handled.parse` reads the answer."""
        self._run("handled", pipeline=pipeline)

    def wake(self) -> None:
        """Tells those who wait that the gate may have moved: after a cycle of the aggregator in virtual mode."""
        self._run("wake")

    def wait(self, cursor: str, timeout_s: float) -> Tick | None:
        """Blocks until `clock:ticks` has an entry after `cursor`, at most `timeout_s`; the newest one."""
        answer = self._client.xread({self._keys.ticks: cursor}, block=max(1, round(timeout_s * 1000)))
        if not answer:
            return None
        entry_id, fields = answer[0][1][-1]
        return Tick(entry_id.decode(), int(fields[b"tick"]), int(fields[b"time_ns"]), int(fields[b"gate"]))
