"""The aggregator: one process at a time turns tracks into identities; any number stand by."""

from __future__ import annotations

import time

import structlog
from redis.exceptions import ResponseError

from services.aggregator.association import Association, AssociationSettings, CameraTick, CycleResult
from services.aggregator.persistence import Checkpoint, Checkpoints
from services.aggregator.publication import Command, CycleRecord, Publication, touched_keys
from services.aggregator.reader import TrackReader
from shared.config import SiteConfig
from shared.errors import LeaseLost
from shared.gate import Gate, Handled
from shared.leases import Lease, Leases
from shared.messages import TrackEntry
from shared.redis_connection import RETRYABLE, Client
from shared.site import PublishedSite

_log = structlog.get_logger()
LEASE_SECONDS = 2.0
_POLL_S = 0.25
_LOST_MARGIN_S = 1.0
"""A track is taken for ended so much later than its own tracker would end it."""


def association_settings(config: SiteConfig) -> AssociationSettings:
    """The pure core's settings, in ticks and ns."""
    association = config.association
    return AssociationSettings(
        min_similarity=association.min_similarity,
        linkage=association.linkage,
        min_track_frames=association.min_track_frames,
        interval_ticks=max(1, round(association.cluster_interval_seconds * config.clock.target_fps)),
        retention_ns=round(association.retention_seconds * 1e9),
        linger_ns=round(association.linger_seconds * 1e9),
        lost_ns=round((config.tracker.max_lost_seconds + _LOST_MARGIN_S) * 1e9),
    )


class Aggregator:
    """Owns the lease `aggregator`, or waits for it."""

    def __init__(self, client: Client, site: PublishedSite) -> None:
        self._client, self._site, self._keys = client, site, site.keys
        self._config = site.config
        self._cameras = site.config.camera_names
        self._camera_index = {camera: index for index, camera in enumerate(self._cameras)}
        self._virtual = site.config.clock.mode == "virtual"
        self._checkpoint_ticks = round(site.config.association.checkpoint_seconds * site.config.clock.target_fps)
        self._gate = Gate(client, self._keys, site.config.clock)
        self._leases = Leases(client, self._keys)
        self._checkpoints = Checkpoints(client, self._keys)
        self._publication = Publication(self._keys, self._cameras, site.config.association.retention_seconds)
        self._lease: Lease | None = None
        self._gids_given_upto = 0
        self._forget_everything()

    def _forget_everything(self) -> None:
        self.association = Association(self._site.layout, association_settings(self._config))
        self._reader = TrackReader(self._client, self._keys, self._cameras, self._gate)
        self._cursors: dict[str, str] = {}
        self._last_tick = self._committed_tick = self._checkpoint_tick = 0
        self._events = 0
        self._uncommitted: list[Command] | None = None
        self._unsure = False
        self.late_entries = 0

    # -- the loop ------------------------------------------------------------------------------------

    def step(self) -> None:
        """Runs every cycle that is due, or waits for one.

        Raises:
            LeaseLost: another aggregator took over; the next call stands by.
        """
        if self._lease is None and not self._acquire():
            time.sleep(_POLL_S)
            return
        assert self._lease is not None
        try:
            self._lease.renew_if_due()
            if self._unsure:
                self._make_sure()
            if not self._run_due_cycles(self._lease):
                self._reader.wait(_POLL_S)
        except LeaseLost:
            self._lease = None
            raise
        except RETRYABLE:
            self._unsure = True
            raise

    def close(self) -> None:
        """Leaves a checkpoint and hands the role to a standby at once."""
        if self._lease is not None:
            if not self._unsure and self._last_tick > self._checkpoint_tick:
                self._save_checkpoint(self._lease)
            self._lease.release()
            self._lease = None

    def _run_due_cycles(self, lease: Lease) -> bool:
        handled = self._reader.read()
        if handled.upto <= self._last_tick:
            return False
        ticks = self._reader.ticks_upto(handled.upto)
        for tick in sorted({*(max(tick, self._last_tick + 1) for tick in ticks), handled.upto}):
            self._run_cycle(lease, tick, handled)
        return True

    def _run_cycle(self, lease: Lease, tick: int, handled: Handled) -> None:
        entries, cursors = self._reader.take_upto(tick)
        now_ns = handled.time_ns - round((handled.tick - tick) * 1e9 / self._config.clock.target_fps)
        late = sum(tick - entry.tick > self._config.association.max_late_ticks for entry in entries)
        if late:
            self.late_entries += late
            _log.warning("entries came too late; they join this cycle", tick=tick, count=late)
        gaps, self._reader.gaps = self._reader.gaps, []
        result = self._apply(tick, now_ns, entries)
        self._cursors |= cursors
        self._last_tick = tick
        record = CycleRecord(tick, now_ns, cursors, result, gaps, self._events)
        self._events = record.events
        self._uncommitted = self._publication.commands(record, self.association.table, self.association.identities)
        self._commit(lease)
        if self._virtual:
            self._gate.wake()
        if tick - self._checkpoint_tick >= self._checkpoint_ticks:
            self._save_checkpoint(lease)

    def _apply(self, tick: int, now_ns: int, entries: list[TrackEntry]) -> CycleResult:
        seen = [
            CameraTick(self._camera_index[entry.camera], entry.tick, entry.time_ns, entry.batch) for entry in entries
        ]
        return self.association.cycle(tick, now_ns, seen)

    def _commit(self, lease: Lease) -> None:
        assert self._uncommitted is not None
        try:
            lease.commit(self._uncommitted, touched_keys(self._uncommitted))
        except ResponseError as error:
            # The id of a cycle is its tick: it was committed before the connection broke.
            if "equal or smaller" not in str(error):
                raise
        self._uncommitted = None
        self._committed_tick = self._last_tick

    # -- recovery --------------------------------------------------------------------------------------

    def _acquire(self) -> bool:
        self._lease = self._leases.acquire("aggregator", LEASE_SECONDS)
        if self._lease is None:
            return False
        self._recover()
        _log.info(
            "this aggregator associates now",
            tick=self._last_tick,
            identities=len(self.association.identities),
            epoch=self._lease.epoch,
        )
        return True

    def _make_sure(self) -> None:
        """After a lost connection: finishes what was being committed, or starts over from what Redis knows."""
        assert self._lease is not None
        self._lease.renew()
        known = self._checkpoints.last_cycle_tick()
        if self._uncommitted is not None and known in (self._last_tick, self._committed_tick):
            self._commit(self._lease)
        if known not in (self._last_tick, self._committed_tick):
            _log.warning("Redis lost its last writes; the state is loaded anew", tick=self._last_tick, known=known)
            self._recover()
        else:
            # What was read and not yet used is read again: nothing of it is known to be still there.
            self._reader.start_at(self._cursors, self._reader.last_seq)
        self._unsure = False

    def _recover(self) -> None:
        self._gids_given_upto = max(self._gids_given_upto, self.association.identities.next_gid - 1)
        self._forget_everything()
        checkpoint = self._checkpoints.load()
        if checkpoint is not None:
            self.association.restore(checkpoint.association, checkpoint.cameras, self._cameras)
            self._cursors = {c: i for c, i in checkpoint.cursors.items() if c in self._camera_index}
            self._last_tick = self._checkpoint_tick = checkpoint.tick
            self._events = checkpoint.events
        self._reader.start_at(self._cursors, checkpoint.last_seq if checkpoint else {})
        self._replay()
        self._committed_tick = self._last_tick
        identities = self.association.identities
        highest = max(self._gids_given_upto, self._checkpoints.highest_published_gid(self._cameras))
        identities.next_gid = max(identities.next_gid, highest + 1)

    def _replay(self) -> None:
        """Repeats the committed cycles without publishing anything."""
        cycles = self._checkpoints.cycles_after(self._last_tick)
        if not cycles:
            return
        while self._reader.read_more():
            pass
        for cycle in cycles:
            self._apply(cycle.tick, cycle.time_ns, self._reader.take_exactly(cycle.cursors))
            self._cursors |= cycle.cursors
            self._last_tick, self._events = cycle.tick, cycle.events
        # Gaps that were found again have been reported by the cycle that met them first.
        self._reader.start_at(self._cursors, self._reader.last_seq)
        _log.info("cycles replayed", count=len(cycles), tick=self._last_tick)

    def _save_checkpoint(self, lease: Lease) -> None:
        self._checkpoints.save(
            lease,
            Checkpoint(
                self._last_tick,
                self._events,
                self._cursors,
                self._reader.last_seq,
                self._cameras,
                self.association.to_dict(),
            ),
        )
        self._checkpoint_tick = self._last_tick
