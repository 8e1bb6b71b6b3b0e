"""Finds the worst confusions between published gids and true objects. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from evaluation.matching import NOBODY, CameraMatch
from evaluation.tracks import NO_GID

ConfusionKind = Literal["merged", "split"]


@dataclass(frozen=True)
class Sight:
    """One box as an example of one side of a confusion."""

    camera: str
    row: int
    """Row of the camera's tracks."""
    tick: int
    box_xyxy: tuple[float, float, float, float]
    """Pixels of the source frame."""
    gid: int
    identity: int


@dataclass(frozen=True)
class Confusion:
    """`merged`: two objects under one gid. `split`: one object under two gids."""

    kind: ConfusionKind
    boxes: int
    """Number of boxes with the less frequent of the two objects or gids."""
    usual: Sight
    """Example of the gid's most frequent object, or of the object's most frequent gid."""
    other: Sight
    """Example of the other object or gid."""


def worst_confusions(matches: Mapping[str, CameraMatch], most: int = 12) -> list[Confusion]:
    """The confusions with the most boxes, at most `most` / 2 of each kind; each side is shown by its clearest box."""
    table = _Table(matches)
    found = []
    for kind, groups, members in (("merged", table.gids, table.objects), ("split", table.objects, table.gids)):
        found += _of_kind(table, kind, groups, members)[: most // 2]  # type: ignore[arg-type]
    return sorted(found, key=lambda confusion: -confusion.boxes)


class _Table:
    """All boxes of all cameras that have a gid and show an object."""

    def __init__(self, matches: Mapping[str, CameraMatch]) -> None:
        self.names, self.matches = list(matches), list(matches.values())
        cameras, rows = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for index, match in enumerate(self.matches):
            both = np.flatnonzero((match.tracks.gids != NO_GID) & (match.shown != NOBODY))
            cameras.append(np.full(len(both), index))
            rows.append(both)
        self.cameras, self.rows = np.concatenate(cameras), np.concatenate(rows)
        self.gids = self._column([match.tracks.gids for match in self.matches]).astype(np.int64)
        self.objects = self._column([match.shown for match in self.matches]).astype(np.int64)
        self.clearness = self._column([match.overlaps * _areas(match) for match in self.matches])

    def _column(self, of_cameras: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        parts = [column[self.rows[self.cameras == index]] for index, column in enumerate(of_cameras)]
        return np.concatenate([np.zeros(0), *parts])

    def sight(self, chosen: npt.NDArray[np.bool_]) -> Sight:
        """The clearest of the boxes selected by the mask `chosen`."""
        at = np.flatnonzero(chosen)
        best = int(at[self.clearness[at].argmax()])
        index, row = int(self.cameras[best]), int(self.rows[best])
        tracks = self.matches[index].tracks
        left, top, right, bottom = tracks.boxes_xyxy[row].tolist()
        return Sight(
            self.names[index],
            row,
            int(tracks.ticks[row]),
            (left, top, right, bottom),
            int(self.gids[best]),
            int(self.objects[best]),
        )


def _areas(match: CameraMatch) -> npt.NDArray[np.float64]:
    sizes = match.tracks.boxes_xyxy[:, 2:] - match.tracks.boxes_xyxy[:, :2]
    areas: npt.NDArray[np.float64] = sizes.prod(axis=1)
    return areas


def _of_kind(
    table: _Table, kind: ConfusionKind, groups: npt.NDArray[np.int64], members: npt.NDArray[np.int64]
) -> list[Confusion]:
    if not len(groups):
        return []
    pairs, counts = np.unique(np.stack([groups, members]), axis=1, return_counts=True)
    found = []
    for group in np.unique(pairs[0]):
        own = np.flatnonzero(pairs[0] == group)
        usual = own[counts[own].argmax()]
        for other in own:
            if other == usual:
                continue
            sides = [table.sight((groups == group) & (members == pairs[1][side])) for side in (usual, other)]
            found.append(Confusion(kind, int(counts[other]), sides[0], sides[1]))
    return sorted(found, key=lambda confusion: -confusion.boxes)
