"""The clock: one process at a time publishes the site's ticks; any number of others are standbys."""

from __future__ import annotations

import time

import structlog

from services.clock.metrics import ClockMetrics
from shared.errors import LeaseLost
from shared.gate import Advanced, Gate
from shared.leases import Lease, Leases
from shared.monitoring.monitor import Monitor
from shared.redis_connection import RETRYABLE, Client, server_time_ns
from shared.site import PublishedSite
from shared.site_copy import SiteCopy

_log = structlog.get_logger()
LEASE_SECONDS = 2.0
_STANDBY_POLL_S = 0.25


class Clock:
    """Owns the lease `clock`, or waits for it."""

    def __init__(self, client: Client, site: PublishedSite, monitor: Monitor | None = None) -> None:
        self._client, self._keys = client, site.keys
        self._config = site.config.clock
        self._gate = Gate(client, site.keys, self._config)
        self._leases = Leases(client, site.keys)
        self._lease: Lease | None = None
        self._site_copy = SiteCopy(client, site)
        self._metrics = ClockMetrics((monitor or Monitor()).registry)
        self._origin_us = 0
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
            time.sleep(_STANDBY_POLL_S)
            return
        assert self._lease is not None
        lease = self._lease
        try:
            lease.renew_if_due()
            self._site_copy.look_if_due()
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
        # By Redis time, so that ticks are on time even if this host's clock runs fast or slow.
        now_us = server_time_ns(self._client) // 1000
        next_us = self._origin_us + (advanced.tick + 1) * 1e6 / self._config.target_fps
        # Even at a low tick rate, stalls must be detected and the lease renewed in time.
        due_s = min((next_us - now_us) / 1e6, self._config.stall_seconds / 4, LEASE_SECONDS / 4)
        self._next_at = time.monotonic() + max(0.0, due_s)
        return advanced

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
        advanced = self._gate.advance(lease, self._origin_us, resumed=resumed)
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
        """Redis time of tick 0, µs, chosen so that ticks continue from the last published one, also at another rate."""
        newest = self._client.xrevrange(self._keys.ticks, count=1)
        if newest:
            fields = newest[0][1]
            begun_us, tick = int(fields[b"time_ns"]) // 1000, int(fields[b"tick"])
            return begun_us - round(tick * 1e6 / self._config.target_fps)
        if self._config.mode == "virtual":
            return 0
        return server_time_ns(self._client) // 1000
