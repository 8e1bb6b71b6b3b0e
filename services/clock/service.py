"""The clock: one process at a time publishes the site's ticks; any number of others are standbys."""

from __future__ import annotations

import time

import structlog

from services.clock.metrics import ClockMetrics
from services.clock.redis_clock import STEP_US, RedisClock
from shared.errors import LeaseLost
from shared.gate import Advanced, Gate, UnexpectedTime
from shared.key_repair import KeyRepair
from shared.leases import Lease, Leases
from shared.lenient_reads import text_at
from shared.lenient_values import whole
from shared.monitoring.monitor import Monitor
from shared.redis_connection import RETRYABLE, Client
from shared.site import PublishedSite
from shared.site_copy import SiteCopy

_log = structlog.get_logger()
LEASE_SECONDS = 2.0
_STANDBY_POLL_S = 0.25
MOST_TICKS = 2**50
"""A larger tick is damage: it is more than the ticks of 100,000 years."""


class Clock:
    """Owns the lease `clock`, or waits for it."""

    def __init__(self, client: Client, site: PublishedSite, monitor: Monitor | None = None) -> None:
        self._client, self._keys = client, site.keys
        self._config = site.config.clock
        self._gate = Gate(client, site.keys, self._config)
        self._leases = Leases(client, site.keys)
        self._lease: Lease | None = None
        self._site_copy, self._key_repair = SiteCopy(client, site), KeyRepair(client, site.keys)
        self._metrics = ClockMetrics((monitor or Monitor()).registry)
        self._redis_clock = RedisClock(client)
        self._origin_us = 0
        self._last_step_us = 0
        """By how much Redis's clock was set when that last happened while this one was a standby."""
        self._cursor = "0-0"
        self._next_at = 0.0
        self._paused = True
        """Whether the ticks were interrupted until now: no clock was running, or Redis was unreachable."""

    def step(self) -> None:
        """Waits until the next tick is due and publishes it; a standby tries to get the lease.

        Raises:
            LeaseLost: another clock took over; from the next call on this one is a standby.
        """
        if self._lease is None and not self._acquire():
            if self._config.mode != "virtual":
                self._last_step_us = self._redis_clock.measure() or self._last_step_us
            time.sleep(_STANDBY_POLL_S)
            return
        assert self._lease is not None
        lease = self._lease
        try:
            lease.renew_if_due()
            self._site_copy.look_if_due()
            self._metrics.forget_all_but(self._site_copy.camera_names)
            self._key_repair.look_if_due()
            if self._config.mode == "virtual":
                advanced = self._step_virtual(lease)
            else:
                advanced = self._step_live(lease)
        except LeaseLost:
            self._stand_by()
            raise
        except RETRYABLE:
            self._paused = True
            # Another clock may have taken over meanwhile, so this one must acquire the lease again before it ticks.
            if lease.expired():
                self._stand_by()
            raise
        for camera in advanced.stalled:
            _log.warning("camera stalled; the others no longer wait for it", camera=camera, tick=advanced.tick)

    def problem(self) -> str | None:
        """Always None: a clock that steps either ticks or is a standby."""
        return None

    def close(self) -> None:
        """Releases the lease, so that a standby takes over at once."""
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def _stand_by(self) -> None:
        self._lease = None
        self._metrics.stands_by()

    def _step_live(self, lease: Lease) -> Advanced:
        wait = self._next_at - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        advanced = self._advance(lease, resumed=self._paused)
        self._paused = False
        self._follow_redis_clock()
        # By Redis time, so that ticks are on time even if this host's clock runs fast or slow.
        next_us = self._origin_us + (advanced.tick + 1) * 1e6 / self._config.target_fps
        # Even at a low tick rate, stalls must be detected and the lease renewed in time.
        due_s = min(
            (next_us - self._redis_clock.expected_us()) / 1e6, self._config.stall_seconds / 4, LEASE_SECONDS / 4
        )
        self._next_at = time.monotonic() + max(0.0, due_s)
        return advanced

    def _follow_redis_clock(self) -> None:
        """Moves the origin of the ticks if Redis's clock was set, so that they go on at their rate."""
        step_us = self._redis_clock.measure()
        if not step_us:
            return
        self._origin_us += step_us
        self._metrics.redis_clock_steps.inc()
        _log.error(
            "somebody set Redis's clock; the ticks go on at their rate. Check time synchronisation on its host",
            by_seconds=round(step_us / 1e6, 1),
        )
        self._client.hset(
            self._keys.skew,
            mapping={"step_ms": step_us // 1000, "stepped_at_ms": self._redis_clock.expected_us() // 1000},
        )

    def _step_virtual(self, lease: Lease) -> Advanced:
        advanced = self._advance(lease)
        if advanced.gate <= advanced.tick:
            newest = self._client.xrevrange(self._keys.ticks, count=1)
            cursor = newest[0][0].decode() if newest else "0-0"
            # A mark may have moved the gate between `_advance` and this read, so check again before waiting.
            if cursor == self._cursor or self._advance(lease).tick == advanced.tick:
                self._gate.wait(cursor, LEASE_SECONDS / 4)
            self._cursor = cursor
        return advanced

    def _advance(self, lease: Lease, *, resumed: bool = False) -> Advanced:
        expected_us = 0 if self._config.mode == "virtual" else self._redis_clock.expected_us()
        try:
            advanced = self._gate.advance(
                lease, self._origin_us, resumed=resumed, expected_us=expected_us, tolerance_us=STEP_US
            )
        except UnexpectedTime:
            self._follow_redis_clock()
            advanced = self._gate.advance(lease, self._origin_us, resumed=True)
        self._metrics.advanced(advanced)
        return advanced

    def _acquire(self) -> bool:
        lease = self._leases.acquire("clock", LEASE_SECONDS)
        if lease is None:
            return False
        # If the connection breaks here, the lease expires unused: without an origin there are no ticks.
        self._origin_us = self._origin()
        self._lease, self._paused = lease, True
        self._metrics.owns()
        _log.info("acquired the clock", mode=self._config.mode, fps=self._config.target_fps, epoch=lease.epoch)
        return True

    def _origin(self) -> int:
        """Redis time of tick 0, µs, chosen so that ticks continue from the last published one, also at another rate.

        Entries that cannot be read are skipped.
        """
        if self._config.mode != "virtual":
            self._last_step_us = self._redis_clock.measure() or self._last_step_us
        newest = self._newest_tick()
        if self._config.mode == "virtual":
            tick, begun_us = newest or (0, 0)
            return begun_us - round(tick * 1e6 / self._config.target_fps)
        now_us = self._redis_clock.expected_us()
        # Redis's clock may have been set back while no clock ran; and a tick without a time continues from now.
        tick, begun_us = newest or (self._highest_known_tick(), now_us)
        if abs(now_us - begun_us - self._last_step_us) < abs(now_us - begun_us):
            begun_us += self._last_step_us  # The last tick is from before the step.
        return min(begun_us, now_us) - round(tick * 1e6 / self._config.target_fps)

    def _highest_known_tick(self) -> int:
        """A tick that nobody is ahead of, if `clock:ticks` was lost: the aggregator may have survived."""
        cycles = self._client.xrevrange(self._keys.cycles, count=1)
        known = (whole(text_at(self._client, self._keys.tick)), whole(cycles[0][0].partition(b"-")[0]) if cycles else 0)
        return max((tick for tick in known if tick is not None and 0 <= tick < MOST_TICKS), default=0)

    def _newest_tick(self) -> tuple[int, int] | None:
        """The newest published tick and its time, µs."""
        for _, fields in self._client.xrevrange(self._keys.ticks, count=100):
            tick, time_ns = whole(fields.get(b"tick")), whole(fields.get(b"time_ns"))
            if tick is not None and time_ns is not None and 0 <= tick < MOST_TICKS and time_ns >= 0:
                return tick, time_ns // 1000
        return None
