"""The aggregator: one process at a time groups tracks into identities; any number of others are standbys."""

from __future__ import annotations

import time

import numpy as np
import structlog

from services.aggregator.checkpoint_schedule import CheckpointSchedule
from services.aggregator.commit import commit_cycle
from services.aggregator.erasure import Erasure
from services.aggregator.keeper import LeaseKeeper
from services.aggregator.metrics import AggregatorMetrics
from services.aggregator.persistence import Checkpoints
from services.aggregator.publication import CycleRecord
from services.aggregator.reconciliation import Reconciliation
from services.aggregator.recovery import Recovery
from services.aggregator.search import Search
from services.aggregator.state import AggregatorState
from shared.errors import LeaseLost
from shared.gate import Gate, Handled
from shared.leases import Lease, Leases
from shared.monitoring.health import READY_SECONDS
from shared.monitoring.monitor import Monitor
from shared.redis_connection import RETRYABLE, Client, server_time_ns
from shared.site import PublishedSite

_log = structlog.get_logger()
LEASE_SECONDS = 2.0
_POLL_S = 0.25
_LOOK_AROUND_S = 0.4
_OUTPUT_EVERY_S = 1.0


class Aggregator:
    """Owns the lease `aggregator`, or waits for it."""

    def __init__(
        self, client: Client, site: PublishedSite, monitor: Monitor | None = None, pictures: Client = None
    ) -> None:
        """`pictures`: the Redis for pictures; None: `client` has them, and nobody may search."""
        clock = site.config.clock
        self._fps, self._virtual = clock.target_fps, clock.mode == "virtual"
        self._client = client
        self._gate = Gate(client, site.keys, clock)
        self._leases = Leases(client, site.keys)
        self._monitor = monitor or Monitor()
        self._metrics = AggregatorMetrics(self._monitor.registry)
        self._keeper = LeaseKeeper()
        self._checkpoints = Checkpoints(client, site.keys)
        self.state = AggregatorState(client, site, self._gate)
        self._schedule = CheckpointSchedule(client, self.state, self._checkpoints, self._metrics)
        self._reconciliation = Reconciliation(client, self.state, self._checkpoints, self._progressed)
        self._recovery = Recovery(
            client, self.state, self._checkpoints, self._reconciliation, self._metrics, self._progressed
        )
        self._erasure = Erasure(client, pictures or client, site.keys)
        self._search = None if pictures is None else Search(pictures, site.keys, self.state, self._has_state)
        self._lease: Lease | None = None
        self._must_resync = False
        """Whether a connection was lost, so that it is unknown what Redis has."""
        self._site_tick = 0
        self._unwatched_upto = 0
        """Up to this tick, Redis, the clock or this process was away: without entries, nobody looked."""
        self._look_at = self._look_at_output = 0.0

    def step(self) -> None:
        """Runs every cycle that is due, or waits for one.

        Raises:
            LeaseLost: another aggregator took over; from the next call on this one is a standby.
            RedisError: Redis is unreachable; the next call continues.
        """
        if self._lease is None:
            self._lease = self._leases.acquire("aggregator", LEASE_SECONDS)
        if self._lease is None:
            if not self._recovery.follow():
                time.sleep(_POLL_S)
            return
        try:
            self._lease.renew_if_due()
            with self._keeper.keeping(self._lease):
                if self._recovery.is_needed:
                    self._recover(self._lease)
                elif self._must_resync:
                    self._resync(self._lease)
                self._follow_cameras()
                self._look_after_output(self._lease)
                did_run = self._run_due_cycles(self._lease)
                if self._search is not None:
                    self._search.work_off()
            if not did_run:
                self.state.reader.wait(_POLL_S)
        except LeaseLost:
            self._lease = None
            self._recovery.lost_the_role()
            self._schedule.abandon()
            self._metrics.stands_by()
            raise
        except RETRYABLE:
            self._must_resync = True
            raise

    def problem(self) -> str | None:
        """Why it is not ready (loading, or behind the cameras); None if ready or on standby."""
        if self._lease is None:
            return None
        if self._recovery.is_needed:
            return "it is loading the state of the last aggregator"
        behind_ticks = self.state.reader.unread_ticks
        behind_s = behind_ticks / self._fps
        return f"it is {behind_ticks} ticks ({behind_s:.1f} s) behind the cameras" if behind_s > READY_SECONDS else None

    def close(self) -> None:
        """Saves a checkpoint and releases the lease, so that a standby takes over at once."""
        lease, self._lease = self._lease, None
        if lease is None:
            self._end_threads()
            return
        is_saved = self.state.last_tick <= self.state.checkpoint_tick
        if not (self._recovery.is_needed or self._must_resync or is_saved):
            try:
                self._schedule.save_last(lease)
            except LeaseLost as error:
                _log.warning("lost a lease", role=error.role)
        self._end_threads()
        lease.release()

    def _end_threads(self) -> None:
        self._schedule.close()
        self._erasure.close()
        if self._search is not None:
            self._search.close()
        self._keeper.close()

    def _has_state(self) -> bool:
        """Whether it is active and knows all identities; called from any thread."""
        return self._lease is not None and not self._recovery.is_needed

    def _progressed(self) -> None:
        self._monitor.health.progressed()
        self._keeper.progressed()

    # -- between cycles --------------------------------------------------------------------------------

    def _follow_cameras(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_AROUND_S
        self.state.follow_cameras()

    def _look_after_output(self, lease: Lease) -> None:
        """Writes again what another program has damaged or deleted in the global-ID map; looks once per second."""
        now = time.monotonic()
        if now < self._look_at_output:
            return
        self._look_at_output = now + _OUTPUT_EVERY_S
        if self._schedule.are_lost():
            # Redis came back empty, and a cycle was committed before that was noticed.
            self._write_lost(lease)
        deleted = self._reconciliation.clear_keys(lease, with_cycles=False)
        self._reconciliation.reconcile(lease, self.state.last_time_ns, deleted)
        self._erasure.work_off(lease)

    def _recover(self, lease: Lease) -> None:
        self._schedule.abandon()
        self._recovery.recover(lease)
        self._must_resync = False
        self._look_at = self._look_at_output = 0.0

    def _resync(self, lease: Lease) -> None:
        """After a lost connection: finishes the pending commit, or recovers from what Redis has."""
        lease.renew()
        newest = self._checkpoints.newest_cycle()
        known_tick = newest.tick if newest else 0
        if known_tick not in (self.state.last_tick, self.state.committed_tick):
            self._recover_lost_writes(lease, known_tick)
            return
        if self.state.uncommitted is not None:
            if known_tick == self.state.last_tick:
                self._report(self.state.committed())  # The script ran, and only its reply was lost.
            else:
                self._commit(lease)
        self.state.read_unused_again()
        self._must_resync = False

    def _recover_lost_writes(self, lease: Lease, known_tick: int) -> None:
        # This raises LeaseLost if the difference is due to another owner.
        lease.renew()
        if known_tick == 0 and self.state.committed_tick > 0:
            # Also if there is a checkpoint: a save that was running may have ended since, and it is older than this.
            self._write_lost(lease)
            return
        _log.warning("Redis lost its last writes; reloading the state", tick=self.state.last_tick, known=known_tick)
        self._recover(lease)

    def _write_lost(self, lease: Lease) -> None:
        self._reconciliation.write_lost(lease)
        self._schedule.save_early(lease)
        self._must_resync = False

    # -- cycles ----------------------------------------------------------------------------------------

    def _run_due_cycles(self, lease: Lease) -> bool:
        handled, known_tick = self.state.reader.read()
        if known_tick != self.state.committed_tick:
            # redis-py reconnects silently, and the server that it reconnects to may have lost the last writes.
            self._recover_lost_writes(lease, known_tick)
            return True
        was_away = not self._virtual and handled.tick - self._site_tick > self._fps
        self._unwatched_upto = handled.tick if was_away else min(self._unwatched_upto, handled.tick)
        self._site_tick = handled.tick
        before = self.state.last_tick
        while (tick := self.state.next_tick(handled.upto, self._unwatched_upto)) is not None:
            lease.renew_if_due()
            with self._metrics.cycle_seconds.time():
                self._run_cycle(lease, tick, handled)
            self._progressed()
        return self.state.last_tick > before

    def _run_cycle(self, lease: Lease, tick: int, handled: Handled) -> None:
        now_ns = handled.time_ns - round((handled.tick - tick) * 1e9 / self._fps)
        result = self.state.run_cycle(tick, now_ns)
        self._erasure.remember((self.state.cameras[camera], track_id) for camera, track_id in result.erased_tracks)
        self._commit(lease)
        if not self._virtual:
            self._metrics.published_gids((server_time_ns(self._client) - now_ns) / 1e9)
        if result.step_ns > 0:
            _log.warning("Redis's clock was set ahead; writing again what expired", by_s=result.step_ns // 10**9)
            self._reconciliation.write_expired(lease)
        self._schedule.save_if_due(lease)

    def _commit(self, lease: Lease) -> None:
        self._report(commit_cycle(lease, self.state, self._checkpoints))

    def _report(self, cycle: CycleRecord) -> None:
        """Counts a committed cycle, and wakes the clock that waits for it."""
        association = self.state.association
        rows = association.table.rows
        self._metrics.committed(
            cycle,
            lag_ticks=self._site_tick - cycle.tick,
            identities=len(association.identities),
            live_tracks=int(np.count_nonzero(rows["used"] & ~rows["ended"])),
        )
        if self._virtual:
            self._gate.wake()
