"""The changes that a grouping makes to identities, each with its events, sightings and assignments. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from association.decisions import Decision
from association.identities import Identities, Identity
from association.outcome import Asked, Assignment, CycleResult, Event, Sighting
from association.track_table import TrackTable

_ABSORBED_KEPT = 1000
"""Maximum number of merged gids of an identity that can be looked up; an identity that never leaves can absorb any
number."""


class IdentityChanges:
    """Creates, joins, splits and merges identities, and reports it in the result of the cycle."""

    def __init__(self, table: TrackTable, identities: Identities) -> None:
        self._table, self._identities = table, identities

    def create(self, row: int) -> Identity:
        """Create an identity for a track, which still has to join it."""
        rows = self._table.rows
        return self._identities.create(int(rows["class"][row]), int(rows["first_ns"][row]), int(rows["last_ns"][row]))

    def create_again(self, row: int, gid: int) -> Identity:
        """Create an identity whose gid had ceased to exist, for a track, which still has to join it."""
        rows = self._table.rows
        identity = Identity(gid, int(rows["class"][row]), int(rows["first_ns"][row]), int(rows["last_ns"][row]))
        self._identities.add(identity)
        return identity

    def join(self, row: int, identity: Identity, decision: Decision | None, result: CycleResult) -> None:
        """Give a track its first gid."""
        rows = self._table.rows
        before = max(identity.rows, key=lambda other: int(rows["last_ns"][other]), default=None)
        camera, track_id = int(rows["camera"][row]), self._table.track_id(row)
        if before is None:
            result.events.append(Event("appeared", identity.gid, camera, track_id, decision=decision))
        elif rows["camera"][before] != camera:
            left = int(rows["camera"][before])
            result.events.append(Event("handover", identity.gid, camera, track_id, from_camera=left, decision=decision))
        identity.rows.append(row)
        self._take_over(row, identity, decision, result)

    def move(self, row: int, there: Identity, decision: Decision, result: CycleResult) -> None:
        """Move a track from its identity to another one. The identity that it leaves may be empty then."""
        rows = self._table.rows
        home = self._identities[int(rows["gid"][row])]
        home.drop(row)
        there.rows.append(row)
        camera, track_id = int(rows["camera"][row]), self._table.track_id(row)
        result.events.append(Event("split", there.gid, camera, track_id, home.gid, decision=decision))
        result.touched.add(home.gid)
        self._take_over(row, there, decision, result)

    def split(self, identity: Identity, row: int, decision: Decision, result: CycleResult) -> Identity:
        """Make a track an identity of its own; `decision` says how badly it fits the one that it leaves."""
        newcomer = self.create(row)
        self.split_into(identity, newcomer, [row], decision, result)
        return newcomer

    def split_into(
        self,
        identity: Identity,
        newcomer: Identity,
        rows: Sequence[int],
        decision: Decision,
        result: CycleResult,
        asked: Asked | None = None,
    ) -> None:
        """Give tracks of an identity to another one, which may have none yet; `asked`: by whom, if not by evidence."""
        for row in rows:
            identity.drop(row)
            newcomer.rows.append(row)
            camera, track_id = int(self._table.rows["camera"][row]), self._table.track_id(row)
            result.events.append(
                Event("split", newcomer.gid, camera, track_id, identity.gid, decision=decision, asked=asked)
            )
            self._take_over(row, newcomer, None, result)
        result.touched.add(identity.gid)

    def cut(self, row: int, ended: int, result: CycleResult) -> bool:
        """Take note that a track was divided: its identity keeps the part that ended, in the row `ended`.

        Returns:
            Whether it had an identity.
        """
        gid = int(self._table.rows["gid"][ended])
        if not gid:
            return False
        identity = self._identities[gid]
        identity.replace(row, ended)
        self._identities.corrections.replace_row(row, ended)
        result.sightings.append(self.sighting(ended))
        result.touched.add(gid)
        return True

    def merge(
        self,
        older: Identity,
        younger: Identity,
        decision: Decision,
        result: CycleResult,
        asked: Asked | None = None,
    ) -> None:
        """Merge two identities; the gid of `younger` becomes an alias, and a name of `older` wins.

        `asked`: by whom, if not by evidence.
        """
        for gid in younger.apart - {older.gid}:
            self._identities.set_apart(older.gid, gid, apart=True)
        self._identities.remove(younger.gid)
        older.rows.extend(younger.rows)
        older.pinned |= younger.pinned
        if younger.name:
            result.renamed |= {older.gid, younger.gid}
            older.name = older.name or younger.name
        older.settled_ns = max(older.settled_ns, younger.settled_ns)
        older.absorbed.extend([*younger.absorbed, younger.gid])
        result.aliases |= dict.fromkeys([*younger.absorbed, younger.gid], older.gid)
        result.dropped_aliases += older.absorbed[:-_ABSORBED_KEPT]
        del older.absorbed[:-_ABSORBED_KEPT]
        # An operator may have undone and repeated a merge in this cycle.
        result.dropped_aliases = [gid for gid in result.dropped_aliases if gid not in older.absorbed]
        result.events.append(Event("merged", older.gid, other_gid=younger.gid, decision=decision, asked=asked))
        result.touched.discard(younger.gid)
        for row in younger.rows:
            self._take_over(row, older, decision, result)

    def _take_over(self, row: int, identity: Identity, decision: Decision | None, result: CycleResult) -> None:
        rows = self._table.rows
        rows["gid"][row] = identity.gid
        identity.first_ns = min(identity.first_ns, int(rows["first_ns"][row]))
        identity.last_ns = max(identity.last_ns, int(rows["last_ns"][row]))
        identity.present = identity.present or not rows["ended"][row]
        result.touched.add(identity.gid)
        result.sightings.append(self.sighting(row, decision))
        if not rows["ended"][row] or rows["lingering"][row]:
            result.assignments.append(self.assignment(row))

    def assignment(self, row: int) -> Assignment:
        """The track's entry of the global-ID map."""
        rows = self._table.rows
        return Assignment(int(rows["camera"][row]), int(rows["track_id"][row]), int(rows["gid"][row]))

    def sighting(self, row: int, decision: Decision | None = None) -> Sighting:
        """The track as a sighting of its identity."""
        names = ("gid", "camera", "first_ns", "last_ns", "first_tick", "last_tick")
        values = {name: int(self._table.rows[name][row]) for name in names}
        ended = bool(self._table.rows["ended"][row])
        return Sighting(track_id=self._table.track_id(row), **values, ended=ended, decision=decision)


def waiting_tracks(table: TrackTable, min_embeddings: int, below: int = 2**31) -> list[int]:
    """Rows of the tracks without a gid that have `min_embeddings` or more, but less than `below`, oldest first."""
    rows = table.rows
    embedded = rows["embedded"]
    pending = np.flatnonzero(rows["used"] & (rows["gid"] == 0) & (embedded >= min_embeddings) & (embedded < below))
    order = np.lexsort((rows["track_id"][pending], rows["camera"][pending], rows["first_ns"][pending]))
    waiting: list[int] = pending[order].tolist()
    return waiting
