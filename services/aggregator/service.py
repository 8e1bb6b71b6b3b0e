"""The aggregator: one process at a time groups tracks into identities; any number of others are standbys."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import replace

import numpy as np
import structlog

from association.adoption import Adopted, Published
from association.core import Association
from association.outcome import CameraTick, CycleResult
from association.settings import AssociationSettings
from services.aggregator.metrics import AggregatorMetrics
from services.aggregator.persistence import Checkpoint, Checkpoints, RecordedCycle, pack
from services.aggregator.publication import CYCLES_KEPT, Command, CycleRecord, Publication, digest, touched_keys
from services.aggregator.published import PublishedIds
from services.aggregator.reader import DeadLetter, TrackReader
from services.aggregator.repair import NUMBERS_END, repair
from services.aggregator.saving import CheckpointSaver
from shared.camera_settings import camera_names, read_settings
from shared.errors import LeaseLost
from shared.gate import Gate, Handled
from shared.leases import Lease, Leases, UnusableKey, UnusableKeys
from shared.lenient_reads import hash_at
from shared.messages import TrackEntry
from shared.monitoring.health import READY_SECONDS
from shared.monitoring.monitor import Monitor
from shared.redis_connection import RETRYABLE, Client
from shared.site import PublishedSite

_log = structlog.get_logger()
LEASE_SECONDS = 2.0
_POLL_S = 0.25
_LOOK_AROUND_S = 0.4
_OUTPUT_EVERY_S = 1.0
_RESTATED_AT_ONCE = 2000
"""Commands per commit when the whole state is written again: a commit should take milliseconds."""
_FOLLOW_EVERY_S = 0.5
_FOLLOWED_AT_ONCE = 50
"""A standby applies so many cycles before it looks whether the lease is free."""
_CLOSING_S = 5.0
"""How long an aggregator that stops tries to save its state."""
_REPAIRS = 5
"""A commit is retried so often; each time, another program has made keys unusable."""


class Aggregator:
    """Owns the lease `aggregator`, or waits for it."""

    def __init__(self, client: Client, site: PublishedSite, monitor: Monitor | None = None) -> None:
        self._client, self._site, self._keys = client, site, site.keys
        self._config = site.config
        self._virtual = site.config.clock.mode == "virtual"
        self._association_settings = AssociationSettings.of(self._config)
        # Two checkpoints are kept, and the entries since the older one must still exist to be replayed.
        association = site.config.association
        checkpoint_seconds = min(association.checkpoint_seconds, association.replay_seconds / 3)
        self._checkpoint_ticks = max(1, round(checkpoint_seconds * site.config.clock.target_fps))
        # Older cycles cannot be re-run: their entries are gone.
        replay_ticks = math.ceil(association.replay_seconds * site.config.clock.target_fps)
        self._cycles_kept = CYCLES_KEPT + replay_ticks
        self._gate = Gate(client, self._keys, site.config.clock)
        self._leases = Leases(client, self._keys)
        self._checkpoints = Checkpoints(client, self._keys)
        self._published = PublishedIds(client, self._keys)
        self._monitor = monitor or Monitor()
        self._saver = CheckpointSaver(client, self._keys, self._checkpoints)
        self._metrics = AggregatorMetrics(self._monitor.registry)
        self._lease: Lease | None = None
        self._following: int | None = None
        """On standby: the generation of the checkpoint from which this one follows the owner; 0: there was none."""
        self._follow_at = 0.0
        self._highest_used_gid = 0
        self._reset()

    def _reset(self) -> None:
        self._saver.abandon()
        self._titles = {camera.name: camera.title for camera in self._config.cameras if camera.title}
        self._use_cameras(())
        self._cursors: dict[str, str] = {}
        self._last_tick = self._committed_tick = self._checkpoint_tick = self._last_time_ns = 0
        self._events = 0
        self._uncommitted: tuple[CycleRecord, list[Command]] | None = None
        self._differs_since: int | None = None
        """Tick of the first cycle of the last owner that had another outcome here."""
        self._recovered = False
        self._must_resync = False
        """Whether a connection was lost, so that it is unknown what Redis has."""
        self._site_tick = 0
        self._unwatched_upto = 0
        """Up to this tick, Redis, the clock or this process was away: without entries, nobody looked."""
        self._look_at = self._look_at_output = 0.0

    def _use_cameras(self, names: Iterable[str]) -> None:
        """Starts an empty association with the cameras of the site file, in its order, then the other `names`.

        The relative order of two cameras never changes, so a cycle can be replayed after cameras were added.
        """
        configured = self._config.camera_names
        self._cameras = (*configured, *sorted(set(names).difference(configured)))
        self._camera_index = {camera: index for index, camera in enumerate(self._cameras)}
        layout = self._site.layout.over(self._cameras)
        self.association = Association(layout, self._association_settings)
        self._reader = TrackReader(self._client, self._keys, self._cameras, self._gate)
        self._publication = Publication(
            self._keys, self._cameras, self._config.association.retention_seconds, self._titles, self._cycles_kept
        )

    # -- the loop ------------------------------------------------------------------------------------

    def step(self) -> None:
        """Runs every cycle that is due, or waits for one.

        Raises:
            LeaseLost: another aggregator took over; from the next call on this one is a standby.
            RedisError: Redis is unreachable; the next call continues.
        """
        if self._lease is None:
            self._lease = self._leases.acquire("aggregator", LEASE_SECONDS)
            self._recovered = False
        if self._lease is None:
            if not self._follow():
                time.sleep(_POLL_S)
            return
        try:
            self._lease.renew_if_due()
            if not self._recovered:
                self._recover(self._lease)
            elif self._must_resync:
                self._resync(self._lease)
            self._follow_cameras()
            self._look_after_output(lease=self._lease)
            if not self._run_due_cycles(self._lease):
                self._reader.wait(_POLL_S)
        except LeaseLost:
            self._lease = None
            self._following = None
            self._saver.abandon()
            self._metrics.stands_by()
            raise
        except RETRYABLE:
            self._must_resync = True
            raise

    def problem(self) -> str | None:
        """Why it is not ready (loading, or behind the cameras); None if ready or on standby."""
        if self._lease is None:
            return None
        if not self._recovered:
            return "it is loading the state of the last aggregator"
        behind_ticks = self._reader.unread_ticks
        behind_s = behind_ticks / self._config.clock.target_fps
        return f"it is {behind_ticks} ticks ({behind_s:.1f} s) behind the cameras" if behind_s > READY_SECONDS else None

    def close(self) -> None:
        """Saves a checkpoint and releases the lease, so that a standby takes over at once."""
        lease, self._lease = self._lease, None
        if lease is None:
            self._saver.close()
            return
        if self._recovered and not self._must_resync and self._last_tick > self._checkpoint_tick:
            try:
                self._save_last_checkpoint(lease)
            except LeaseLost as error:
                _log.warning("lost a lease", role=error.role)
        self._saver.close()
        lease.release()

    def _save_last_checkpoint(self, lease: Lease) -> None:
        self._saver.abandon()
        deadline = time.monotonic() + _CLOSING_S
        is_last = False
        while time.monotonic() < deadline:
            lease.renew_if_due()
            if not self._saver.wait(_POLL_S):
                continue
            self._saver.finished()
            if is_last:
                return
            self._start_saving(lease)
            is_last = True
        _log.warning("the last checkpoint takes too long; the next owner re-runs the cycles since the one before")

    def _follow_cameras(self) -> None:
        """Adds the cameras that were added to the site while this process runs.

        A removed camera is kept as long as tracks or entries of it remain: its tracks end in the usual way, and their
        identities live on.
        """
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_AROUND_S
        present = self._site_cameras()
        gone = set(self._cameras) - present if present else set()
        for camera in gone:
            self._reader.last_seq.pop(camera, None)  # It may be added again and then count from one.
        if not present <= self._camera_index.keys():
            self._add_cameras(present, gone)

    def _add_cameras(self, present: Set[str], gone: Set[str] = frozenset()) -> None:
        """Adds the cameras of `present` that are new, and forgets those of `gone` of which nothing is left."""
        rows = self.association.table.rows
        used = {self._cameras[index] for index in rows["camera"][rows["used"]].tolist()}
        unused = [camera for camera in gone - used if not self._client.exists(self._keys.tracks(camera))]
        state, before, last_seq = self.association.to_dict(), self._cameras, self._reader.last_seq
        self._read_titles()
        self._use_cameras({*before, *present}.difference(unused))
        self.association.restore(state, [self._camera_index.get(camera, -1) for camera in before])
        self._cursors = {camera: at for camera, at in self._cursors.items() if camera in self._camera_index}
        self._reader.start_at(self._cursors, last_seq)
        _log.info("cameras were added", cameras=" ".join(sorted(present - set(before))))

    def _look_after_output(self, lease: Lease) -> None:
        """Writes again what another program has damaged or deleted in the global-ID map; looks once per second."""
        now = time.monotonic()
        if now < self._look_at_output:
            return
        self._look_at_output = now + _OUTPUT_EVERY_S
        self._reconcile(lease, self._last_time_ns, self._clear_keys(lease, with_cycles=False))

    def _site_cameras(self) -> set[str]:
        return set(camera_names(hash_at(self._client, self._keys.cameras)))

    def _read_titles(self) -> None:
        """Reads the titles of the cameras that were added at run time."""
        settings = read_settings(self._client, self._keys)
        self._titles |= {name: camera.title for name, camera in settings.items() if camera and camera.title}

    def _run_due_cycles(self, lease: Lease) -> bool:
        handled, known_tick = self._reader.read()
        if known_tick != self._committed_tick:
            # redis-py reconnects silently, and the server that it reconnects to may have lost the last writes.
            self._recover_lost_writes(lease, known_tick)
            return True
        was_away = not self._virtual and handled.tick - self._site_tick > self._config.clock.target_fps
        self._unwatched_upto = handled.tick if was_away else min(self._unwatched_upto, handled.tick)
        self._site_tick = handled.tick
        before = self._last_tick
        while (tick := self._next_tick(handled.upto)) is not None:
            lease.renew_if_due()
            with self._metrics.cycle_seconds.time():
                self._run_cycle(lease, tick, handled)
            self._monitor.health.progressed()
        return self._last_tick > before

    def _next_tick(self, upto: int) -> int | None:
        """The tick of the next cycle up to `upto`: one with entries, or one at which the grouping is revised.

        In virtual mode it depends on the entries and not on when they were read, so that a run can be repeated exactly.
        """
        due = []
        waiting = self._reader.first_tick()
        if waiting is not None:
            due.append(max(waiting, self._last_tick + 1))
        if len(self.association.table):
            interval = self.association.settings.interval_ticks
            # After an outage, a revision without entries would find all tracks lost.
            due.append((max(self._last_tick, self._unwatched_upto) // interval + 1) * interval)
        tick = min(due, default=upto + 1)
        if tick <= upto:
            return tick
        # In virtual mode the clock waits for the cycle of every tick.
        return upto if self._virtual and upto > self._last_tick else None

    def _run_cycle(self, lease: Lease, tick: int, handled: Handled) -> None:
        taken = self._reader.take_upto(tick)
        now_ns = handled.time_ns - round((handled.tick - tick) * 1e9 / self._config.clock.target_fps)
        late = sum(tick - entry.tick > self._config.association.max_late_ticks for entry in taken.entries)
        if late:
            _log.warning("entries arrived late and are used in this cycle", tick=tick, count=late)
        result = self._apply(tick, now_ns, taken.entries)
        self._cursors |= taken.cursors
        self._last_tick, self._last_time_ns = tick, now_ns
        identities = self.association.identities
        record = CycleRecord(
            tick,
            now_ns,
            taken.cursors,
            result,
            taken.gaps,
            taken.dead_letters,
            identities.next_gid,
            self._events,
            late,
            len(taken.entries),
        )
        self._events = record.events
        self._uncommitted = (record, self._publication.commands(record, self.association.table, identities))
        self._commit(lease)
        if result.step_ns > 0:
            _log.warning("Redis's clock was set ahead; writing again what expired", by_s=result.step_ns // 10**9)
            self._restate(lease, self._publication.restatement(self.association))
        self._save_checkpoint_if_due(lease)

    def _restate(self, lease: Lease, commands: Sequence[Command]) -> None:
        """Writes published state again, in several commits."""
        for start in range(0, len(commands), _RESTATED_AT_ONCE):
            part = commands[start : start + _RESTATED_AT_ONCE]
            lease.commit(part, touched_keys(part))
            self._monitor.health.progressed()

    def _apply(self, tick: int, now_ns: int, entries: list[TrackEntry]) -> CycleResult:
        seen = [
            CameraTick(self._camera_index[entry.camera], entry.tick, entry.time_ns, entry.batch) for entry in entries
        ]
        return self.association.cycle(tick, now_ns, seen)

    def _commit(self, lease: Lease) -> None:
        try:
            self._commit_repairing(lease)
        except RETRYABLE:
            self._note_gids()  # The script may have run, although its reply was lost.
            raise
        self._committed()

    def _commit_repairing(self, lease: Lease) -> None:
        """Commits the cycle; keys that have become unusable are repaired by the same script."""
        unusable: dict[str, UnusableKey] = {}
        for _ in range(_REPAIRS):
            assert self._uncommitted is not None
            record, commands = self._uncommitted
            try:
                lease.commit(commands, touched_keys(commands), confirm=True)
            except UnusableKeys as error:
                newest = self._checkpoints.newest_cycle()
                if newest is not None and newest.tick == record.tick:
                    return  # The script has run before.
                unusable |= {one.key: one for one in error.keys}
                self._uncommitted = self._repaired(record, list(unusable.values()))
            else:
                return
        raise AssertionError(f"after {_REPAIRS} repairs these keys are unusable again: {', '.join(unusable)}")

    def _repaired(self, record: CycleRecord, unusable: Sequence[UnusableKey]) -> tuple[CycleRecord, list[Command]]:
        """The cycle with the commands that make `unusable` keys usable before it."""
        found = repair(unusable, self._keys, self._checkpoints, self._committed_tick)
        letters = [*(one for one in record.dead_letters if one.entry_id), *found.letters]
        events = record.events_before if found.last_event is None else found.last_event
        record = replace(record, dead_letters=letters, events_before=events)
        self._events = record.events
        table, identities = self.association.table, self.association.identities
        rewritten = self._publication.rewritten(found.deleted, self.association)
        return record, [*found.commands, *rewritten, *self._publication.commands(record, table, identities)]

    def _note_gids(self) -> None:
        """Marks gids as used, so that none that may have been published is reused; gids of a rejected cycle may be."""
        self._highest_used_gid = max(self._highest_used_gid, self.association.identities.next_gid - 1)

    def _committed(self) -> None:
        assert self._uncommitted is not None
        record, self._uncommitted = self._uncommitted[0], None
        self._note_gids()
        self._committed_tick = self._last_tick
        rows = self.association.table.rows
        self._metrics.committed(
            record,
            lag_ticks=self._site_tick - record.tick,
            identities=len(self.association.identities),
            live_tracks=int(np.count_nonzero(rows["used"] & ~rows["ended"])),
        )
        if self._virtual:
            self._gate.wake()

    # -- standby ---------------------------------------------------------------------------------------

    def _follow(self) -> bool:
        """Follows the owner a step further, so that a takeover takes no time; whether there is more to do at once.

        It only reads. Whether its state is that of the owner is known from the digests; where it is not, it starts over
        from the next checkpoint, and until then a takeover keeps the published ids.
        """
        if time.monotonic() < self._follow_at:
            return False
        self._follow_at = time.monotonic() + _FOLLOW_EVERY_S
        cycles = self._cycles_to_follow(_FOLLOWED_AT_ONCE) if self._following is not None else None
        if cycles is None or self._differs_since is not None:
            newest = self._newest_generation()
            if newest != self._following:
                cycles = self._load(lambda: None)[:_FOLLOWED_AT_ONCE]
                self._following = newest
                _log.info("follows the aggregator", tick=self._last_tick, identities=len(self.association.identities))
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
        cycles = self._checkpoints.cycles_since(self._last_tick, None if count is None else count + 1)
        if self._last_tick == 0:
            return cycles if self._newest_generation() == self._following else None
        return cycles[1:] if cycles and cycles[0].tick == self._last_tick else None

    # -- recovery --------------------------------------------------------------------------------------

    def _resync(self, lease: Lease) -> None:
        """After a lost connection: finishes the pending commit, or recovers from what Redis has."""
        lease.renew()
        newest = self._checkpoints.newest_cycle()
        known_tick = newest.tick if newest else 0
        if known_tick not in (self._last_tick, self._committed_tick):
            self._recover_lost_writes(lease, known_tick)
            return
        if self._uncommitted is not None:
            if known_tick == self._last_tick:
                self._committed()  # The script ran, and only its reply was lost.
            else:
                self._commit(lease)
        # Entries that were read but not used are read again: Redis may have lost them.
        self._reader.start_at(self._cursors, self._reader.last_seq)
        self._must_resync = False

    def _recover_lost_writes(self, lease: Lease, known_tick: int) -> None:
        # This raises LeaseLost if the difference is due to another owner.
        lease.renew()
        if known_tick == 0 and self._committed_tick > 0 and not self._checkpoints.exist():
            self._write_lost_state(lease)
            return
        _log.warning("Redis lost its last writes; reloading the state", tick=self._last_tick, known=known_tick)
        self._recover(lease)

    def _write_lost_state(self, lease: Lease) -> None:
        """Writes the whole state again after Redis came back empty, and says so in `events`."""
        identities = self.association.identities
        _log.error(
            "Redis came back empty; writing the identities and their tracks again",
            identities=len(identities),
            tick=self._last_tick,
        )
        self._uncommitted = None
        self._restate(lease, self._publication.restatement(self.association, self._last_tick))
        # The sequence numbers of the entries begin anew; that is no gap of its own.
        self._reader.start_at(self._cursors, {})
        self._events += 1
        commands = self._publication.restored(
            self._events, self._last_tick, self._last_time_ns, self._cursors, self.association
        )
        lease.commit(commands, touched_keys(commands), confirm=True)
        self._committed_tick = self._last_tick
        self._checkpoint_tick = self._last_tick - self._checkpoint_ticks
        self._save_checkpoint_if_due(lease)
        self._must_resync = False

    def _recover(self, lease: Lease) -> None:
        """Loads the newest checkpoint, re-runs the cycles since, and corrects the global-ID map."""
        is_followed = self._following is not None
        deleted = self._clear_keys(lease)
        cycles = self._cycles_to_follow() if is_followed else None
        if cycles is None:
            cycles = self._load(lease.renew_if_due)
        self._replay(cycles, lease.renew_if_due)
        self._following = None
        newest = self._checkpoints.newest_cycle()
        self._committed_tick = newest.tick if newest else 0
        self._events = max(self._events, self._checkpoints.last_event())
        identities = self.association.identities
        known = newest.next_gid if newest else 1 + self._published.highest_gid_of_workers()
        identities.next_gid = max(identities.next_gid, self._highest_used_gid + 1, known)
        self._note_gids()
        self._reconcile(lease, newest.time_ns if newest else 0, deleted)
        # Entries that were read but not used are read again.
        self._reader.start_at(self._cursors, self._reader.last_seq)
        self._recovered = True
        self._must_resync = False
        self._metrics.owns()
        _log.info(
            "acquired the aggregator",
            tick=self._last_tick,
            identities=len(identities),
            epoch=lease.epoch,
            cycles_replayed=len(cycles),
            was_following=is_followed,
        )

    def _load(self, progressed: Callable[[], None]) -> list[RecordedCycle]:
        """Loads the newest checkpoint; the cycles that were committed since.

        Without an intact checkpoint, although there was one, the state is empty after the last of these cycles.
        """

        def loads() -> None:
            progressed()
            self._monitor.health.progressed()

        self._reset()
        checkpoint = self._checkpoints.load(loads)
        cycles = self._checkpoints.cycles_since(checkpoint.tick + 1 if checkpoint else 0)
        self._read_titles()
        self._use_cameras(
            {
                *self._site_cameras(),
                *(checkpoint.cameras if checkpoint else ()),
                *(camera for cycle in cycles for camera in cycle.cursors),
            }
        )
        if checkpoint is not None:
            places = [self._camera_index[camera] for camera in checkpoint.cameras]
            self.association.restore(checkpoint.association, places)
            self._cursors = dict(checkpoint.cursors)
            self._last_tick = self._checkpoint_tick = checkpoint.tick
            self._events = checkpoint.events
        elif self._checkpoints.exist():
            for cycle in cycles:
                self._cursors |= cycle.cursors
                self._last_tick, self._last_time_ns, self._events = cycle.tick, cycle.time_ns, cycle.events
            cycles = []
        self._reader.start_at(self._cursors, checkpoint.last_seq if checkpoint else {})
        return cycles

    def _replay(self, cycles: Sequence[RecordedCycle], progressed: Callable[[], None]) -> None:
        """Re-runs committed cycles without publishing."""
        for cycle in cycles:
            progressed()
            if not cycle.cursors.keys() <= self._camera_index.keys():
                self._add_cameras(cycle.cursors.keys())
            while not self._reader.has_read(cycle.cursors) and self._reader.read_more():
                progressed()
            entries = self._reader.take_exactly(cycle.tick, cycle.cursors).entries
            self._compare(cycle, self._apply(cycle.tick, cycle.time_ns, entries))
            self._monitor.health.progressed()
            self._cursors |= cycle.cursors
            self._last_tick, self._last_time_ns, self._events = cycle.tick, cycle.time_ns, cycle.events
        self._metrics.replayed(len(cycles))

    def _compare(self, cycle: RecordedCycle, result: CycleResult) -> None:
        if self._differs_since is None and cycle.digest != digest(result, self._cameras):
            self._differs_since = cycle.tick
            _log.warning("a cycle had another outcome when it was run again", tick=cycle.tick)

    def _clear_keys(self, lease: Lease, *, with_cycles: bool = True) -> set[str]:
        """Deletes keys of the wrong type, and entries of `cycles` that are not cycles; the deleted keys."""
        wrong = self._published.wrong_types({*self._cameras, *self._site_cameras()})
        for key in {self._keys.events, self._keys.assignments, self._keys.dead_letters}.difference(
            one.key for one in wrong
        ):
            last = self._checkpoints.last_number(key)
            wrong += [UnusableKey(key, "id", f"{last}-0")] if last >= NUMBERS_END else []
        found = repair(wrong, self._keys, self._checkpoints, 0)
        looks = with_cycles and self._keys.cycles not in found.deleted
        if looks and (foreign := self._checkpoints.foreign_cycles()):
            reason = f"{len(foreign)} entries are not cycles: they were deleted"
            _log.error("another program has written into a key of the aggregator", key=self._keys.cycles, done=reason)
            found.commands += self._checkpoints.without_entries(self._keys.cycles, foreign)
            found.letters.append(DeadLetter(self._keys.cycles, "", reason))
        if found.commands:
            commands = [*found.commands, *self._publication.letters(found.letters)]
            lease.commit(commands, touched_keys(commands))
        return found.deleted

    def _reconcile(self, lease: Lease, time_ns: int, deleted: Collection[str]) -> None:
        """Makes the state and what is published agree; safe to repeat.

        If the cycles of the last owner had another outcome here, the published ids win. Otherwise the state does: what
        is missing is written, and tracks that it does not have are removed from the global-ID map.
        """
        table, identities, publication = self.association.table, self.association.identities, self._publication
        published, commands = self._published.gids(self._cameras)
        identities.next_gid = max(identities.next_gid, 1 + max(published.values(), default=0))
        if self._differs_since is not None:
            adopted = self._adopt(published, self._differs_since)
            if adopted.tracks:
                _log.warning("the published ids were kept", tracks=adopted.tracks, differs_since=self._differs_since)
                self._events += 1
                commands += publication.recovered(self._events, self._last_tick, time_ns, adopted, self.association)
        shown = table.rows[table.shown()]
        cameras = [self._cameras[index] for index in shown["camera"].tolist()]
        believed = dict(zip(zip(cameras, shown["track_id"].tolist(), strict=True), shown["gid"].tolist(), strict=True))
        changes = dict.fromkeys(sorted(published.keys() - believed.keys()), 0)
        changes |= {track: gid for track, gid in believed.items() if published.get(track) != gid}
        commands += publication.rewritten(deleted, self.association)
        commands += publication.changes(self._last_tick, changes)
        if commands:
            lease.commit(commands, touched_keys(commands), confirm=True)

    def _adopt(self, published: Mapping[tuple[str, int], int], since: int) -> Adopted:
        def indexed(gids: Mapping[tuple[str, int], int]) -> dict[tuple[int, int], int]:
            known = self._camera_index
            return {(known[camera], track): gid for (camera, track), gid in gids.items() if camera in known}

        earlier = self._published.gids_since(since)
        return self.association.adopt(Published(indexed(published), indexed(earlier), self._published.aliases()))

    def _save_checkpoint_if_due(self, lease: Lease) -> None:
        saved_tick = self._saver.finished()
        if saved_tick is not None:
            self._checkpoint_tick = saved_tick
            self._metrics.saved_checkpoint()
        if not self._saver.is_busy and self._last_tick - self._checkpoint_tick >= self._checkpoint_ticks:
            self._start_saving(lease)

    def _start_saving(self, lease: Lease) -> None:
        checkpoint = Checkpoint(
            self._last_tick,
            self._events,
            self._cursors,
            self._reader.last_seq,
            self._cameras,
            self.association.to_dict(),
        )
        self._saver.start(lease, pack(checkpoint), [self._learned_layout()])

    def _learned_layout(self) -> Command:
        learned, key = self.association.learned(), self._keys.learned_layout
        if learned is None:
            return ["DEL", key]
        return ["SET", key, json.dumps({"tick": self._last_tick} | learned.to_dict(self._cameras))]
