"""Makes what is published agree with the state: after a recovery, and when it was damaged, lost or has expired."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from association.adoption import Adopted, Published
from services.aggregator.persistence import Checkpoints
from services.aggregator.publication import Command, touched_keys
from services.aggregator.published import PublishedIds
from services.aggregator.reader import START, DeadLetter
from services.aggregator.repair import NUMBERS_END, repair
from services.aggregator.state import AggregatorState
from shared.leases import Lease, UnusableKey, UnusableKeys
from shared.operator_commands import ANSWERED_FOR_S
from shared.redis_connection import Client

_log = structlog.get_logger()
_RESTATED_AT_ONCE = 2000
"""Commands per commit when the whole state is written again: a commit should take milliseconds."""


class Reconciliation:
    """Repairs and rewrites what is published. Every method commits with the lease of the owner.

    All raise LeaseLost if another aggregator owns the site, and RedisError if Redis is unreachable; they can be called
    again then.
    """

    def __init__(
        self, client: Client, state: AggregatorState, checkpoints: Checkpoints, progressed: Callable[[], None]
    ) -> None:
        """`progressed` is called after each commit of many."""
        self._state, self._keys, self._checkpoints = state, state.keys, checkpoints
        self._published = PublishedIds(client, state.keys)
        self._progressed = progressed

    def clear_keys(self, lease: Lease, *, with_cycles: bool = True) -> set[str]:
        """Deletes keys of the wrong type, and entries of `cycles` that are not cycles; the deleted keys."""
        wrong = self._published.wrong_types({*self._state.cameras, *self._state.site_cameras()})
        streams = {self._keys.events, self._keys.assignments, self._keys.dead_letters, self._keys.commands}
        for key in sorted(streams.difference(one.key for one in wrong)):
            last = self._checkpoints.last_number(key)
            wrong += [UnusableKey(key, "id", f"{last}-0")] if last >= NUMBERS_END else []
        found = repair(wrong, self._keys, 0)
        looks = with_cycles and self._keys.cycles not in found.deleted
        if looks and (foreign := self._checkpoints.foreign_cycles()):
            reason = f"{len(foreign)} entries are not cycles: they were deleted"
            _log.error("another program has written into a key of the aggregator", key=self._keys.cycles, done=reason)
            found.commands += self._checkpoints.without_entries(self._keys.cycles, foreign)
            found.letters.append(DeadLetter(self._keys.cycles, "", reason))
        if found.commands:
            commands = [*found.commands, *self._state.publication.letters(found.letters)]
            lease.commit(commands, touched_keys(commands))
        return found.deleted

    def reconcile(self, lease: Lease, time_ns: int, deleted: Collection[str]) -> None:
        """Makes the state and what is published agree; safe to repeat.

        If the cycles of the last owner had another outcome here, the published ids win. Otherwise the state does: what
        is missing is written, and tracks that it does not have are removed from the global-ID map.

        Args:
            lease: of the owner.
            time_ns: time of the last cycle.
            deleted: as `clear_keys` returned it; what the state knows of their content is written again.
        """
        state = self._state
        table, identities, publication = state.association.table, state.association.identities, state.publication
        published, commands = self._published.gids(state.cameras)
        identities.next_gid = max(identities.next_gid, 1 + max(published.values(), default=0))
        if state.differs_since is not None:
            adopted = self._adopt(published, state.differs_since)
            if adopted.tracks:
                _log.warning("the published ids were kept", tracks=adopted.tracks, differs_since=state.differs_since)
                state.events += 1
                commands += publication.recovered(state.events, state.last_tick, time_ns, adopted, state.association)
        shown = table.rows[table.shown()]
        cameras = [state.cameras[index] for index in shown["camera"].tolist()]
        believed = dict(zip(zip(cameras, shown["track_id"].tolist(), strict=True), shown["gid"].tolist(), strict=True))
        changes = dict.fromkeys(sorted(published.keys() - believed.keys()), 0)
        rewritten = {camera for camera in state.cameras if publication.gids_key(camera) in deleted}
        changes |= {
            track: gid for track, gid in believed.items() if published.get(track) != gid and track[0] not in rewritten
        }
        commands += self._published.wrong_names(identities)
        commands += publication.rewritten(deleted, state.association)
        commands += publication.changes(state.last_tick, changes)
        self._restate(lease, commands, confirm=True)
        state.differs_since = None

    def _adopt(self, published: Mapping[tuple[str, int], int], since: int) -> Adopted:
        def indexed(gids: Mapping[tuple[str, int], int]) -> dict[tuple[int, int], int]:
            known = self._state.camera_index
            return {(known[camera], track): gid for (camera, track), gid in gids.items() if camera in known}

        earlier = self._published.gids_since(since)
        return self._state.association.adopt(
            Published(indexed(published), indexed(earlier), self._published.aliases(), self._published.names())
        )

    def write_expired(self, lease: Lease) -> None:
        """Writes again what expired because Redis's clock was set ahead."""
        self._restate(lease, self._state.publication.restatement(self._state.association))

    def write_lost(self, lease: Lease) -> None:
        """Writes the whole state again after Redis came back empty, and says so in `events`."""
        state = self._state
        identities = state.association.identities
        _log.error(
            "Redis came back empty; writing the identities and their tracks again",
            identities=len(identities),
            tick=state.last_tick,
        )
        state.uncommitted = None
        newest = self._checkpoints.newest_cycle()
        answered_since_ns = state.last_time_ns - ANSWERED_FOR_S * 10**9
        answers = [answer for answer in state.answers if answer.time_ns > answered_since_ns]
        lost = state.publication.restatement(state.association, state.last_tick)
        self._restate(lease, [*lost, *state.publication.answers(answers)])
        # The sequence numbers of the entries begin anew; that is no gap of its own.
        state.reader.start_at(state.cursors, {})
        state.commands_read.start_at(START)
        state.events += 1
        commands = state.publication.restored(
            state.events,
            state.last_tick,
            state.last_time_ns,
            state.cursors,
            state.association,
            with_cycle=newest is None or newest.tick != state.last_tick,
        )
        # Before the commit: if only its reply is lost, the cycle is found as committed, and nothing has to be loaded.
        state.committed_tick = state.last_tick
        self._commit(lease, commands, confirm=True)

    def _restate(self, lease: Lease, commands: Sequence[Command], *, confirm: bool = False) -> None:
        """Writes published state again, in several commits."""
        for start in range(0, len(commands), _RESTATED_AT_ONCE):
            self._commit(lease, commands[start : start + _RESTATED_AT_ONCE], confirm=confirm)
            self._progressed()

    def _commit(self, lease: Lease, commands: Sequence[Command], *, confirm: bool) -> None:
        """Commits; repairs keys first that another program has overwritten."""
        try:
            lease.commit(commands, touched_keys(commands), confirm=confirm)
        except UnusableKeys as error:
            found = repair(error.keys, self._keys, self._state.committed_tick)
            commands = [*found.commands, *self._state.publication.letters(found.letters), *commands]
            lease.commit(commands, touched_keys(commands), confirm=confirm)
