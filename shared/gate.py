"""The clock and gate scripts as Python calls. The rules themselves are in `lua/gate.lua`."""

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
from shared.lenient_values import whole
from shared.messages import SCHEMA
from shared.redis_connection import Client
from shared.scripts import Scripts

_log = structlog.get_logger()
VIEWER_MS = 10_000
"""A camera counts as watched for this long after the last request for its picture."""
_NUMBERS_END = 2**63
"""Track ids and gids are smaller, because they are int64 in the wire format."""
_UNEXPECTED_TIME = 2
"""The reply of `advance.lua` in that case."""
_SHOWN = 100
"""The log shows this many characters of a malformed value."""


@dataclass(frozen=True)
class Advanced:
    """The result of one step of the clock."""

    is_new: bool
    """Whether this step published a new tick."""
    tick: int
    gate: int
    skew_ticks: int
    """Fastest minus slowest participating camera."""
    stalled_now: int
    """How many cameras are stalled."""
    stalled: tuple[str, ...]
    """Cameras that stalled at this step."""


@dataclass(frozen=True)
class CompletedCamera:
    """The result of one camera for a handled tick."""

    name: str
    lease: Lease
    time_ns: int
    n: int
    payload: bytes
    longest: int
    """Maximum length of `tracks:{camera}`, entries."""


NEWER = "$"
"""The cursor in `assignments` of a worker that wants only changes after its first call."""


@dataclass(frozen=True)
class Progress:
    """The state of the site after a tick was handled."""

    tick: int
    gate: int
    ticks_cursor: str
    """Id of the newest entry of `clock:ticks`; pass it to `wait`."""
    time_ns: int
    """Site time at which the current tick began."""
    assignments_cursor: str
    """Id of the last change that was returned, or that is older than what is wanted; `0-0`: none."""
    lost: frozenset[str] = frozenset()
    """Cameras whose lease this worker no longer holds; nothing was written for them."""
    gids: tuple[tuple[str, int, int], ...] = ()
    """Changes of the global-ID map of all cameras of the site: camera, track_id, gid (0: removed)."""
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
    """All participating cameras have handled every tick up to this one; -1: a camera has yet to join (virtual mode)."""
    tick: int
    time_ns: int
    """Site time at which `tick` began."""

    @classmethod
    def parse(cls, answer: Sequence[Any]) -> Handled:
        """From the script's reply."""
        return cls(*(int(part) for part in answer))


class UnexpectedTime(Exception):
    """Redis time is not what the clock expected: somebody set it, or Redis was busy until now. Nothing was done."""


class Gate:
    """The gate of one site, for one process."""

    def __init__(self, client: Client, keys: Keys, clock: ClockConfig) -> None:
        self._client, self._keys, self._clock = client, keys, clock
        self._scripts = Scripts(client)
        self._gate_keys = [keys.tick, keys.ticks, keys.seen, keys.marked_at, keys.skew, keys.cameras, keys.cycles]
        self._gate_args: list[str | int] = [clock.mode, clock.max_skew_ticks]
        self.malformed_gids = 0
        """Number of entries of the global-ID map, and of its changes, skipped because they are not numbers."""

    def _run(
        self, name: str, keys: Sequence[str] = (), args: Sequence[str | bytes | int | float] = (), pipeline: Any = None
    ) -> Any:
        return self._scripts.run(name, [*self._gate_keys, *keys], [*self._gate_args, *args], pipeline)

    def advance(
        self, lease: Lease, origin_us: int, *, resumed: bool = False, expected_us: int = 0, tolerance_us: int = 0
    ) -> Advanced:
        """Advances the clock to the tick that the time of day (or, in virtual mode, the gate) allows.

        `origin_us`: Redis time of tick 0, µs. `resumed`: first step after a pause, in which no camera can have stalled.
        With `expected_us`, nothing is done if Redis time differs from it by more than `tolerance_us`.

        Raises:
            UnexpectedTime: Redis time differs from `expected_us`.
            LeaseLost: another process is the clock now.
        """
        stall_ms = round(self._clock.stall_seconds * 1000)
        args: list[str | int] = [lease.value, origin_us, repr(self._clock.target_fps), stall_ms, int(resumed)]
        answer = self._run("advance", [lease.key, self._keys.epochs], [*args, expected_us, tolerance_us])
        if not answer[0]:
            raise LeaseLost(lease.role)
        if answer[0] == _UNEXPECTED_TIME:
            raise UnexpectedTime
        is_new, tick, gate, skew_ticks, stalled_now, *stalled = answer[1:]
        names = tuple(name.decode(errors="replace") for name in stalled)
        return Advanced(bool(is_new), int(tick), int(gate), int(skew_ticks), int(stalled_now), names)

    def join(self, camera: str, lease: Lease) -> tuple[int, int, int]:
        """Makes a camera take part in the clock; returns tick, gate, and the camera's last handled tick.

        Raises:
            LeaseLost: another worker owns the camera.
        """
        sent_at = time.monotonic()
        answer = self._run("join", [lease.key, self._keys.epochs], [camera, lease.value, lease.ttl_ms])
        if not answer[0]:
            raise LeaseLost(lease.role)
        lease.note_renewed(sent_at)
        return int(answer[1]), int(answer[2]), int(answer[3])

    def retire(self, camera: str, lease: Lease, state: str) -> None:
        """Takes a camera out of the clock; `state` says why: `ended`, `paused` or `released`.

        Raises:
            LeaseLost: another worker owns the camera.
        """
        sent_at = time.monotonic()
        keys = [lease.key, self._keys.epochs, self._keys.camera(camera)]
        if not self._run("retire", keys, [camera, lease.value, lease.ttl_ms, state]):
            raise LeaseLost(lease.role)
        lease.note_renewed(sent_at)

    def complete_tick(self, tick: int, cameras: Sequence[CompletedCamera], assignments_cursor: str) -> Progress:
        """Appends the entries of one tick, marks it handled, and returns what has changed; one call for all cameras.

        It is safe to call again after a lost connection: nothing is appended twice. Without cameras it only reads: the
        cursor stays where it is, so that no change is missed, except that `NEWER` becomes the newest id.

        Raises:
            RedisError: Redis is unreachable or refuses writes.
        """
        keys = [self._keys.assignments, self._keys.viewers, self._keys.epochs]
        args: list[str | bytes | int] = [tick, assignments_cursor, VIEWER_MS, SCHEMA]
        for camera in cameras:
            keys += [camera.lease.key, self._keys.tracks(camera.name), self._keys.camera(camera.name)]
            args += [camera.name, camera.lease.value, camera.lease.ttl_ms]
            args += [camera.time_ns, camera.n, camera.payload, camera.longest]
        sent_at = time.monotonic()
        now, gate, ticks_cursor, time_ns, cursor, lost, changes, watched, skipped = self._run(
            "complete_tick", keys, args
        )
        refused = frozenset(name.decode() for name in lost)
        for camera in cameras:
            if camera.name not in refused:
                camera.lease.note_renewed(sent_at)
        triples = zip(changes[::3], changes[1::3], changes[2::3], strict=True)
        entries = [self._gid_entry(name.decode(errors="replace"), track_id, gid) for name, track_id, gid in triples]
        return Progress(
            tick=int(now),
            gate=int(gate),
            ticks_cursor=ticks_cursor.decode(),
            time_ns=int(time_ns),
            assignments_cursor=cursor.decode(),
            lost=refused,
            gids=tuple(entry for entry in entries if entry is not None),
            watched=frozenset(name.decode(errors="replace") for name in watched),
            skipped=int(skipped),
        )

    def gids(self, camera: str) -> dict[int, int]:
        """The global-ID map of a camera: track_id → gid."""
        fields = self._client.hgetall(self._keys.gids(camera)).items()
        entries = [self._gid_entry(camera, track_id, gid) for track_id, gid in fields]
        return {entry[1]: entry[2] for entry in entries if entry is not None}

    def _gid_entry(self, camera: str, track_id: bytes, gid: bytes) -> tuple[str, int, int] | None:
        """An entry of the global-ID map as numbers; None if malformed, which is counted, and logged the first time."""
        try:
            numbers = int(track_id), int(gid)
        except ValueError:
            numbers = -1, -1
        if all(0 <= number < _NUMBERS_END for number in numbers):
            return camera, *numbers
        self.malformed_gids += 1
        if self.malformed_gids == 1:
            _log.warning(
                "skipped an entry of the global-ID map that is not a number; further ones are only counted",
                camera=camera,
                track_id=track_id[:_SHOWN].decode(errors="replace"),
                gid=gid[:_SHOWN].decode(errors="replace"),
            )
        return None

    def queue_handled(self, pipeline: Any, *, by_hash: bool = False) -> None:
        """Queues the query of how far the cameras are; `Handled.parse` parses the reply.

        With `by_hash` the text of the script is not sent. If the pipeline then raises NoScriptError, call
        `load_handled` and send all again.
        """
        if by_hash:
            self._scripts.queue("handled", self._gate_keys, self._gate_args, pipeline)
        else:
            self._run("handled", pipeline=pipeline)

    def load_handled(self) -> None:
        """Loads the script of `queue_handled`, which is several times longer than everything else in its pipeline."""
        self._scripts.load("handled")

    def wake(self) -> None:
        """Wakes the processes that wait for the gate; called after a cycle of the aggregator in virtual mode."""
        self._run("wake")

    def wait(self, cursor: str, timeout_s: float) -> Tick | None:
        """Waits until `clock:ticks` has an entry after `cursor`; returns the newest one, or None after `timeout_s`."""
        answer = self._client.xread({self._keys.ticks: cursor}, block=max(1, round(timeout_s * 1000)))
        if not answer:
            return None
        for entry_id, fields in reversed(answer[0][1]):
            tick, time_ns, gate = (whole(fields.get(name)) for name in (b"tick", b"time_ns", b"gate"))
            if tick is not None and time_ns is not None and gate is not None:
                return Tick(entry_id.decode(), tick, time_ns, gate)
        return None
