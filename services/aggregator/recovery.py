"""Brings the state to the last committed cycle: of a standby while it follows, and of a new owner."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import structlog

from association.outcome import CycleResult
from services.aggregator.metrics import AggregatorMetrics
from services.aggregator.persistence import Checkpoints, RecordedCycle, UnknownState
from services.aggregator.publication import digest, touched_keys
from services.aggregator.published import PublishedIds
from services.aggregator.reconciliation import Reconciliation
from services.aggregator.state import AggregatorState
from shared.leases import Lease
from shared.redis_connection import Client, server_time_ns

_log = structlog.get_logger()
_FOLLOW_EVERY_S = 0.5
_UNKNOWN_AGAIN_S = 60.0
_FOLLOWED_AT_ONCE = 50
"""A standby applies so many cycles before it looks whether the lease is free."""


class Recovery:
    """Loads checkpoints and re-runs the cycles that were committed since, without publishing."""

    def __init__(
        self,
        client: Client,
        state: AggregatorState,
        checkpoints: Checkpoints,
        reconciliation: Reconciliation,
        metrics: AggregatorMetrics,
        progressed: Callable[[], None],
    ) -> None:
        """`progressed` is called after each piece of a checkpoint and each cycle."""
        self._client, self._state, self._checkpoints = client, state, checkpoints
        self._published = PublishedIds(client, state.keys)
        self._reconciliation, self._metrics, self._progressed = reconciliation, metrics, progressed
        self.is_needed = True
        """Whether an owner has to recover before its next cycle."""
        self._following: int | None = None
        """On standby: the generation of the checkpoint from which this one follows the owner; 0: there was none."""
        self._follow_at = 0.0

    def lost_the_role(self) -> None:
        """Takes note that another aggregator owns the site, and changes the state from now on."""
        self.is_needed = True
        self._following = None

    # -- standby ---------------------------------------------------------------------------------------

    def follow(self) -> bool:
        """Follows the owner a step further, so that a takeover takes no time; whether there is more to do at once.

        It only reads. Whether its state is that of the owner is known from the digests; where it is not, it starts over
        from the next checkpoint, and until then a takeover keeps the published ids.

        Raises:
            RedisError: Redis is unreachable; the next call continues.
        """
        if time.monotonic() < self._follow_at:
            return False
        self._follow_at = time.monotonic() + _FOLLOW_EVERY_S
        cycles = self._cycles_to_follow(_FOLLOWED_AT_ONCE) if self._following is not None else None
        if cycles is None or self._state.differs_since is not None:
            newest = self._newest_generation()
            if newest != self._following:
                try:
                    cycles = self._load(lambda: None)[:_FOLLOWED_AT_ONCE]
                except UnknownState as error:  # It is an error once this one has to take over.
                    _log.warning("cannot follow the aggregator", reason=str(error))
                    self._follow_at = time.monotonic() + _UNKNOWN_AGAIN_S
                    return False
                self._following = newest
                _log.info(
                    "follows the aggregator",
                    tick=self._state.last_tick,
                    identities=len(self._state.association.identities),
                )
        if not cycles:
            return False
        self._replay(cycles, lambda: None)
        if len(cycles) < _FOLLOWED_AT_ONCE:
            return False
        self._follow_at = 0.0
        return True

    def _newest_generation(self) -> int:
        newest = self._checkpoints.generations()[:1]
        return int(newest[0]["generation"]) if newest else 0

    def _cycles_to_follow(self, count: int | None = None) -> list[RecordedCycle] | None:
        """The next cycles; None if some are missing: they were trimmed, or Redis has lost the last ones."""
        last_tick = self._state.last_tick
        cycles = self._checkpoints.cycles_since(last_tick, None if count is None else count + 1)
        if last_tick == 0:
            return cycles if self._newest_generation() == self._following else None
        return cycles[1:] if cycles and cycles[0].tick == last_tick else None

    # -- a new owner -----------------------------------------------------------------------------------

    def recover(self, lease: Lease) -> None:
        """Loads the newest checkpoint, re-runs the cycles since, and corrects the global-ID map.

        A standby that follows only re-runs the last cycles.

        Raises:
            LeaseLost: another aggregator owns the site.
            RedisError: Redis is unreachable; the next call continues.
            UnknownState: a newer version of mtmc wrote the checkpoint.
        """
        state, is_followed = self._state, self._following is not None
        deleted = self._reconciliation.clear_keys(lease)
        cycles = self._cycles_to_follow() if is_followed else None
        if cycles is None:
            cycles = self._load(lease.renew_if_due)
        self._replay(cycles, lease.renew_if_due)
        self._following = None
        state.follow_cameras()
        newest = self._checkpoints.newest_cycle()
        state.committed_tick = newest.tick if newest else 0
        state.events = max(state.events, self._checkpoints.last_event())
        identities = state.association.identities
        highest = newest.next_gid - 1 if newest else self._published.highest_gid_of_workers()
        identities.next_gid = max(identities.next_gid, state.highest_used_gid + 1, highest + 1)
        state.note_gids()
        if newest is None and highest:
            _log.error("Redis lost everything; gids continue above the highest that a worker knows", highest=highest)
            loss = state.publication.loss(server_time_ns(self._client), highest)
            lease.commit([loss], touched_keys([loss]))
        self._reconciliation.reconcile(lease, newest.time_ns if newest else 0, deleted)
        state.use_present_calibrations()
        state.read_unused_again()
        self.is_needed = False
        self._metrics.owns()
        _log.info(
            "acquired the aggregator",
            tick=state.last_tick,
            identities=len(identities),
            epoch=lease.epoch,
            cycles_replayed=len(cycles),
            was_following=is_followed,
        )

    # -- loading and re-running ------------------------------------------------------------------------

    def _load(self, renew: Callable[[], None]) -> list[RecordedCycle]:
        """Loads the newest checkpoint; the cycles that were committed since.

        Without an intact checkpoint, although there was one, the state is empty after the last of these cycles.
        """

        def loads() -> None:
            renew()
            self._progressed()

        state = self._state
        self.is_needed = True
        state.reset()
        checkpoint = self._checkpoints.load(loads)
        cycles = self._checkpoints.cycles_since(checkpoint.tick + 1 if checkpoint else 0)
        state.read_titles()
        if checkpoint is not None:
            state.use_cameras(checkpoint.cameras)
        elif cycles and cycles[0].cameras:
            state.use_cameras(cycles[0].cameras)
        else:
            state.use_cameras({*state.site_cameras(), *(camera for cycle in cycles for camera in cycle.cursors)})
        if checkpoint is not None:
            state.restore(checkpoint)
        elif self._checkpoints.exist():
            for cycle in cycles:
                state.continue_after(cycle)
            state.reader.start_at(state.cursors, {})
            cycles = []
        return cycles

    def _replay(self, cycles: Sequence[RecordedCycle], renew: Callable[[], None]) -> None:
        """Re-runs committed cycles without publishing."""
        state = self._state
        for cycle in cycles:
            renew()
            # What is not certain yet depends on which cameras there are, so each cycle has those that it had.
            if cycle.cameras and {*cycle.cameras, *state.config.camera_names} != set(state.cameras):
                state.change_cameras(set(cycle.cameras))
            elif not cycle.cursors.keys() <= state.camera_index.keys():
                state.add_cameras(cycle.cursors.keys())
            while not state.reader.has_read(cycle.cursors) and state.reader.read_more():
                renew()
            entries = state.reader.take_exactly(cycle.tick, cycle.cursors).entries
            result, _ = state.apply(cycle.tick, cycle.time_ns, entries, cycle.commands)
            self._compare(cycle, result)
            self._progressed()
            state.continue_after(cycle)
        self._metrics.replayed(len(cycles))

    def _compare(self, cycle: RecordedCycle, result: CycleResult) -> None:
        if self._state.differs_since is None and cycle.digest != digest(result, self._state.cameras):
            self._state.differs_since = cycle.tick
            _log.warning("a cycle had another outcome when it was run again", tick=cycle.tick)
