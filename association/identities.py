"""Identities and their tracks. Every gid is used once and never reused.

What an operator decided is part of them: names, tracks that stay where they are, and identities that stay apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from association.correction_history import CorrectionHistory


@dataclass
class Identity:
    """One object across cameras."""

    gid: int
    class_id: int
    first_ns: int
    last_ns: int
    rows: list[int] = field(default_factory=list)
    """Rows of its tracks in the track table, in the order in which they joined."""
    present: bool = True
    """At least one of its tracks has not ended."""
    absorbed: list[int] = field(default_factory=list)
    """Gids merged into this one that can still be looked up."""
    settled_ns: int = 0
    """History up to this site time (ns) is not checked again, because tracks that ended by then were forgotten."""
    name: str = ""
    """As an operator calls it; empty: it has no name."""
    pinned: set[int] = field(default_factory=set)
    """Those of `rows` that an operator merged or split: no automatic decision takes them away or divides them."""
    apart: set[int] = field(default_factory=set)
    """Gids of the identities that an operator split from this one: no automatic decision merges them with it."""

    def drop(self, row: int) -> None:
        """Takes note that a track does not belong to it any more."""
        self.rows.remove(row)
        self.pinned.discard(row)

    def replace(self, row: int, by: int) -> None:
        """Takes note that the track of `row` is in the row `by` now."""
        self.rows[self.rows.index(row)] = by
        if row in self.pinned:
            self.pinned.remove(row)
            self.pinned.add(by)


class Identities:
    """All identities that are in view or may return."""

    def __init__(self) -> None:
        self._by_gid: dict[int, Identity] = {}
        self.next_gid = 1
        self.corrections = CorrectionHistory()
        """What operators corrected, as far as it can be undone."""

    def __len__(self) -> int:
        return len(self._by_gid)

    def __contains__(self, gid: int) -> bool:
        return gid in self._by_gid

    def __getitem__(self, gid: int) -> Identity:
        return self._by_gid[gid]

    def __iter__(self) -> Iterator[Identity]:
        return iter(self._by_gid.values())

    def by_gid(self) -> list[Identity]:
        """All identities in the order of their gids."""
        return [self._by_gid[gid] for gid in sorted(self._by_gid)]

    def create(self, class_id: int, first_ns: int, last_ns: int) -> Identity:
        """Create an identity with the next gid; times are site time in ns."""
        identity = Identity(self.next_gid, class_id, first_ns, last_ns)
        self.next_gid += 1
        self._by_gid[identity.gid] = identity
        return identity

    def add(self, identity: Identity) -> None:
        """Add an identity whose gid was published before."""
        self._by_gid[identity.gid] = identity
        self.next_gid = max(self.next_gid, identity.gid + 1)

    def remove(self, gid: int) -> Identity:
        """Forget an identity; its gid is never reused."""
        gone = self._by_gid.pop(gid)
        for other in gone.apart:
            self._by_gid[other].apart.discard(gid)
        return gone

    def resolve(self, gid: int) -> int:
        """The gid of the identity into which `gid` was merged, or `gid` itself."""
        if gid in self._by_gid:
            return gid
        return next((one.gid for one in self if gid in one.absorbed), gid)

    def set_apart(self, one: int, other: int, *, apart: bool) -> None:
        """Says whether an operator wants two identities to stay apart."""
        change = set.add if apart else set.discard
        change(self._by_gid[one].apart, other)
        change(self._by_gid[other].apart, one)

    def renumber_rows(self, new_rows: npt.NDArray[np.intp]) -> None:
        """Takes note that the track of row `i` is in row `new_rows[i]` now."""
        for identity in self:
            identity.rows = new_rows[identity.rows].tolist()
            if identity.pinned:
                identity.pinned = set(new_rows[sorted(identity.pinned)].tolist())
        self.corrections.renumber_rows(new_rows)

    def to_dict(self) -> dict[str, Any]:
        """The whole state for a checkpoint."""
        # Not asdict, which takes seconds for 100,000 identities.
        every = [
            [
                one.gid,
                one.class_id,
                one.first_ns,
                one.last_ns,
                list(one.rows),
                one.present,
                list(one.absorbed),
                one.settled_ns,
                one.name,
                sorted(one.pinned),
                sorted(one.apart),
            ]
            for one in self
        ]
        return {"next_gid": self.next_gid, "identities": every, "corrections": self.corrections.to_list()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Identities:
        """The inverse of `to_dict`, also of states before schema 6, which have nothing of operators."""
        identities = cls()
        identities.next_gid = data["next_gid"]
        for item in data["identities"]:
            # States before schema 5 have the names of the fields.
            identity = Identity(**item) if isinstance(item, dict) else Identity(*item)
            identity.pinned, identity.apart = set(identity.pinned), set(identity.apart)
            identities._by_gid[identity.gid] = identity
        identities.corrections = CorrectionHistory.from_list(data.get("corrections", ()))
        return identities


def may_be_one(one: Identity, other: Identity) -> bool:
    """Whether an automatic decision may merge two identities, as far as operators are concerned.

    It may not if an operator split one from the other, or gave them different names.
    """
    named_differently = one.name and other.name and one.name != other.name
    return other.gid not in one.apart and not named_differently
