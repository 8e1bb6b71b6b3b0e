"""What the live mode learns of the cameras of a site: overlaps, mappings between pictures, travel times. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from association.evidence import Evidence
from association.identities import Identities, Identity
from association.learned_layout import LearnedLayout, LearnedOverlap, OverlapSource
from association.outcome import CameraTick
from association.overlap import ViewOverlaps
from association.possibility import Possibility
from association.track_table import TrackTable
from association.travel import TravelTimes
from association.view_pairs import Pair

_CONFIRMED_RATIO = 3.0
"""A handover is learned from if this much speaks for it, apart from the travel time."""


class Learning:
    """Learns from what is certain, in the order of cycles only."""

    def __init__(self, table: TrackTable, identities: Identities, possibility: Possibility, evidence: Evidence) -> None:
        self._table, self._identities = table, identities
        self._possibility, self._evidence = possibility, evidence
        self.overlaps = ViewOverlaps(table, possibility.unknown)
        self.travel = TravelTimes(table, identities, possibility.layout, evidence.passages)

    def observe(self, seen: CameraTick) -> None:
        """Take note that a camera was watched."""
        self.travel.observe(seen)

    def cut(self, row: int, ended: int) -> None:
        """Take note that a track was divided; the row `ended` has the part that ended."""
        self.travel.cut(row, ended)
        self.overlaps.forget(row)

    def forget(self, row: int) -> None:
        """Forget a track; another one may use its row."""
        self.travel.forget(row)
        self.overlaps.forget(row)

    def renumber_rows(self, new_rows: npt.NDArray[np.intp]) -> None:
        """Take note that the track of row `i` is in row `new_rows[i]` now."""
        self.travel.renumber_rows(new_rows)
        self.overlaps.renumber_rows(new_rows)

    def learn(self) -> None:
        """Learn from the tracks and identities of this moment."""
        self._evidence.learn_dimensions()
        self._learn_overlaps()
        self._learn_places()
        self.travel.learn(self._is_alike)

    def learned(self) -> LearnedLayout:
        """What has been learned of the cameras."""
        places, overlaps = self._evidence.view_pairs, []
        for one, other in combinations(range(len(self._possibility.near)), 2):
            pair = one, other
            if pair in self.overlaps.unknown:
                source: OverlapSource = "learned" if pair in self.overlaps.learned else "unknown"
                asked, found = self.overlaps.asked(pair), self.overlaps.found(pair)
                probability = self.overlaps.probability(pair)
                overlaps.append(LearnedOverlap(pair, source, probability, asked, found, places.knows(pair)))
            elif other in self._possibility.near[one]:
                is_open = bool(self._possibility.layout.pairs_unknown[pair])
                overlaps.append(
                    LearnedOverlap(pair, "calibration" if is_open else "layout", None, 0, 0, places.knows(pair))
                )
        offsets = tuple(self._evidence.time_offsets.learned())
        appearance = tuple(self._evidence.learned_appearance())
        return LearnedLayout(tuple(overlaps), tuple(self.travel.learned()), offsets, appearance)

    def _is_alike(self, identity: Identity, row: int) -> bool:
        at_home = self._evidence.at_home([identity.rows])
        return bool(at_home[identity.rows.index(row)] > _CONFIRMED_RATIO)

    def _learn_places(self) -> None:
        rows, couples = self._table.rows, []
        for identity in self._identities.by_gid():
            live = [row for row in identity.rows if not rows["ended"][row]] if identity.present else []
            for one in live:
                for other in live:
                    cameras = int(rows["camera"][one]), int(rows["camera"][other])
                    if cameras[0] < cameras[1] and cameras[1] in self._possibility.near[cameras[0]]:
                        tracks = int(rows["track_id"][one]), int(rows["track_id"][other])
                        couples.append((cameras, (one, other), tracks))
        self._evidence.learn_places([*couples, *self.overlaps.couples()])

    def _learn_overlaps(self) -> None:
        places = self._evidence.view_pairs
        self.overlaps.learn(self._evidence.compare, places.mapped(), places.disagreeing())
        self._apply_overlaps()

    def _apply_overlaps(self) -> None:
        for pair in self.overlaps.unknown:
            overlap = pair in self.overlaps.learned
            if not overlap and pair[1] in self._possibility.near[pair[0]]:
                self._accept_history(pair)
            self._possibility.set_overlap(*pair, overlap=overlap)

    def _accept_history(self, pair: Pair) -> None:
        """Before two views no longer overlap: what identities did in them is not checked again, only what they do now.

        Otherwise, tracks in view would lose their gid for what others of it did long ago.
        """
        rows = self._table.rows
        for identity in self._identities:
            if set(pair) <= set(rows["camera"][identity.rows].tolist()):
                live = [row for row in identity.rows if not rows["ended"][row]]
                upto_ns = rows["first_ns"][live].min() - 1 if live else rows["ended_ns"][identity.rows].max()
                identity.settled_ns = max(identity.settled_ns, int(upto_ns))

    def _learn_overlaps_of_identities(self) -> None:
        """Keep the identities of an earlier version whole, which took views for overlapping that it knew nothing of."""
        for identity in self._identities:
            live = [row for row in identity.rows if not self._table.rows["ended"][row]]
            cameras = sorted(set(self._table.rows["camera"][live].tolist()))
            self.overlaps.learned |= {pair for pair in combinations(cameras, 2) if pair in self.overlaps.unknown}

    def to_dict(self) -> dict[str, Any]:
        """Everything learned, for a checkpoint."""
        return {"travel": self.travel.to_dict(), "overlaps": self.overlaps.to_dict()}

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore `to_dict`, also of a state without it; camera `i` has index `camera_index[i]` now."""
        self.travel.restore(data.get("travel", {}), camera_index)
        self.overlaps.restore(data.get("overlaps", {}), camera_index)
        if "overlaps" not in data:
            self._learn_overlaps_of_identities()
        self._apply_overlaps()
