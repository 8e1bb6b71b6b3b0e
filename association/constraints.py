"""Which tracks and identities may be one object: the rules of space and time, and what operators decided. Pure."""

from __future__ import annotations

from collections.abc import Sequence, Set

from association.identities import Identity, may_be_one
from association.possibility import Clashes, Possibility, always
from association.track_table import TrackTable

_NOW_NS = 300_000_000
"""A track that was seen so recently is seen at this moment."""


class Constraints:
    """The rules for the tracks of one table."""

    def __init__(self, table: TrackTable, possibility: Possibility, clashes: Clashes = always) -> None:
        self._table, self._possibility, self._clashes = table, possibility, clashes

    def is_possible(self, identity: Identity) -> bool:
        """Whether the tracks of an identity can be one object."""
        return self._hold(identity.rows, identity.settled_ns, identity.pinned)

    def is_possible_without(self, identity: Identity, row: int) -> bool:
        """Whether the tracks of an identity can be one object if it loses one of them."""
        others = [other for other in identity.rows if other != row]
        return self._hold(others, identity.settled_ns, identity.pinned)

    def may_join(self, row: int, identity: Identity) -> bool:
        """Whether a track may be the object of an identity."""
        if self._is_elsewhere(row, identity):
            return False
        return self._hold([*identity.rows, row], identity.settled_ns, identity.pinned)

    def may_merge(self, one: Identity, other: Identity) -> bool:
        """Whether two identities may be one object."""
        if self._are_apart(one, other):
            return False
        settled_ns, pinned = max(one.settled_ns, other.settled_ns), one.pinned | other.pinned
        return may_be_one(one, other) and self._hold([*one.rows, *other.rows], settled_ns, pinned)

    def _is_elsewhere(self, row: int, identity: Identity) -> bool:
        """Whether an identity is seen at this moment in a view that is not known to overlap that of a track."""
        if not self._possibility.has_slack:
            return False
        rows = self._table.rows
        own = int(rows["camera"][row])
        seen = rows[identity.rows]
        now = seen["camera"][(seen["last_ns"] >= rows["last_ns"][row]) & ~seen["ended"]].tolist()
        return any(camera != own and camera not in self._possibility.near[own] for camera in now)

    def _are_apart(self, one: Identity, other: Identity) -> bool:
        """Whether two identities are seen at this moment, and no view of one is known to overlap any of the other."""
        if not self._possibility.has_slack:
            return False
        tracks, others = (self._table.rows[identity.rows] for identity in (one, other))
        now_ns = max(tracks["last_ns"].max(), others["last_ns"].max()) - _NOW_NS
        here, there = (
            set(rows["camera"][(rows["last_ns"] >= now_ns) & ~rows["ended"]].tolist()) for rows in (tracks, others)
        )
        return bool(here and there) and all(here.isdisjoint({view, *self._possibility.near[view]}) for view in there)

    def _hold(self, rows: Sequence[int], settled_ns: int, pinned: Set[int]) -> bool:
        return self._possibility.holds_with(self._table.visits(rows), settled_ns, pinned, self._clashes)
