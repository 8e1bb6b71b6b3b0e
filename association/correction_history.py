"""The last corrections of operators, with what is needed to undo them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

KEPT = 100
"""Number of corrections that can be undone."""


@dataclass
class Corrected:
    """One correction that was carried out."""

    command: str
    """Id of the command."""
    kind: str
    """`merge`, `split`, `name`, `unname` or `forget`."""
    gid: int
    """The identity that survived, was split off, was named or was forgotten."""
    other_gid: int = 0
    """`merge`: the gid that ceased to exist. `split`: the identity that the tracks left."""
    rows: list[int] = field(default_factory=list)
    """`merge`: the tracks of the identity that ceased to exist."""
    pinned: list[int] = field(default_factory=list)
    """The tracks that no automatic decision could take away since then."""
    names: list[str] = field(default_factory=list)
    """The names of `gid` and `other_gid` before; `merge`: and that of the result."""
    absorbed: list[int] = field(default_factory=list)
    """`merge`: the gids that had been merged into `other_gid`."""
    first_ns: list[int] = field(default_factory=list)
    """`merge`: when `gid` and `other_gid` had first been seen, steady time in ns."""
    apart: list[list[int]] = field(default_factory=list)
    """`merge`: the gids that had to stay apart from `gid` and from `other_gid`."""
    is_undone: bool = False


class CorrectionHistory:
    """The newest corrections, oldest first."""

    def __init__(self) -> None:
        self._every: list[Corrected] = []

    def __iter__(self) -> Iterator[Corrected]:
        return iter(self._every)

    def add(self, corrected: Corrected) -> None:
        """Adds the newest correction; the oldest one may be dropped."""
        self._every = [*self._every[1 - KEPT :], corrected]

    def find(self, command: str) -> Corrected | None:
        """The correction that a command made; without a command, the newest one that is not undone."""
        if not command:
            return next((one for one in reversed(self._every) if not one.is_undone), None)
        return next((one for one in self._every if one.command == command), None)

    def later_than(self, corrected: Corrected) -> list[Corrected]:
        """Corrections of the same identities that were made later and are not undone."""
        concerned = {corrected.gid, corrected.other_gid} - {0}
        later = self._every[self._every.index(corrected) + 1 :]
        return [one for one in later if not one.is_undone and concerned & {one.gid, one.other_gid}]

    def forget_identity(self, gids: Iterable[int]) -> None:
        """Forgets what is known of identities, except that they were corrected."""
        gone = set(gids)
        for one in self._every:
            if gone & {one.gid, one.other_gid}:
                one.rows, one.pinned, one.names = [], [], []

    def forget_row(self, row: int) -> None:
        """Forgets a track; another one may use its row."""
        for one in self._every:
            one.rows = [other for other in one.rows if other != row]
            one.pinned = [other for other in one.pinned if other != row]

    def renumber_rows(self, new_rows: npt.NDArray[np.intp]) -> None:
        """Takes note that the track of row `i` is in row `new_rows[i]` now."""
        for one in self._every:
            one.rows, one.pinned = ([int(new_rows[row]) for row in rows] for rows in (one.rows, one.pinned))

    def replace_row(self, row: int, by: int) -> None:
        """Takes note that the track of `row` is in the row `by` now."""
        for one in self._every:
            one.rows, one.pinned = ([by if it == row else it for it in rows] for rows in (one.rows, one.pinned))

    def to_list(self) -> list[list[Any]]:
        """The history for a checkpoint."""
        return [[getattr(one, name.name) for name in fields(Corrected)] for one in self._every]

    @classmethod
    def from_list(cls, data: Iterable[Iterable[Any]]) -> CorrectionHistory:
        """The inverse of `to_list`."""
        history = cls()
        history._every = [Corrected(*item) for item in data]
        return history
