"""The identities: which tracks each one has, under a gid that is given once and never again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
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
    """Some track of it has not ended."""
    absorbed: list[int] = field(default_factory=list)
    """Gids that were merged into this one, and that can still be found."""
    settled_ns: int = 0
    """Until when its history is no longer questioned: tracks that had ended by then were forgotten."""


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

    def create(self, class_id: int, first_ns: int, last_ns: int) -> Identity:
        """A new identity, under the next gid."""
        identity = Identity(self.next_gid, class_id, first_ns, last_ns)
        self.next_gid += 1
        self._by_gid[identity.gid] = identity
        return identity

    def remove(self, gid: int) -> Identity:
        """Forgets an identity; its gid is not given again."""
        return self._by_gid.pop(gid)

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"next_gid": self.next_gid, "identities": [asdict(identity) for identity in self]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Identities:
        """The reverse of `to_dict`."""
        identities = cls()
        identities.next_gid = data["next_gid"]
        for item in data["identities"]:
            identities._by_gid[item["gid"]] = Identity(**item)
        return identities
