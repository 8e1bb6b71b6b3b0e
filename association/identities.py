"""Identities and their tracks. Every gid is used once and never reused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


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


class Identities:
    """All identities that are in view or may return."""

    def __init__(self) -> None:
        self._by_gid: dict[int, Identity] = {}
        self.next_gid = 1

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
        return sorted(self, key=lambda identity: identity.gid)

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
        return self._by_gid.pop(gid)

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
            ]
            for one in self
        ]
        return {"next_gid": self.next_gid, "identities": every}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Identities:
        """The inverse of `to_dict`."""
        identities = cls()
        identities.next_gid = data["next_gid"]
        for item in data["identities"]:
            # States before schema 5 have names.
            identity = Identity(**item) if isinstance(item, dict) else Identity(*item)
            identities._by_gid[identity.gid] = identity
        return identities
