"""The rules of space and time: which sightings can be the same object. Pure; times are site time in ns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from association.ground import Ground
from shared.layout import Layout

NEVER_NS = 2**63 - 1
"""`Visit.open_until_ns` of a track that has not ended."""
_SLACK_NS = 1_000_000_000
"""Two views that are not known to overlap may show an object together for this long: edges touch, clocks differ."""
_LONG_AGO_NS = -(2**63)


class Visit(NamedTuple):
    """One track, reduced to what the rules need; a sighting, once an identity has the track."""

    camera: int
    """Index in the layout."""
    first_ns: int
    last_ns: int
    """When the object was last seen."""
    open_until_ns: int
    """When the track ended; `NEVER_NS` while it has not. From `last_ns` on the object was hidden or had left."""
    row: int = -1
    """Row of the track in the table; -1: not known."""


Clashes = Callable[[Visit, Visit], bool]
"""Whether two visits to one camera that overlap in time are two objects."""


def always(_one: Visit, _other: Visit) -> bool:
    """The strict rule: an object is never in one camera twice at once."""
    return True


class Possibility:
    """The rules for one layout."""

    def __init__(self, layout: Layout, *, assume_overlaps: bool = True) -> None:
        """`assume_overlaps`: views of which nothing is known overlap; otherwise only after `set_overlap`."""
        self.layout, self.ground = layout, Ground(layout)
        n = len(layout.cameras)
        overlapping, unknown_pairs = layout.overlapping, layout.pairs_unknown.copy()
        if not assume_overlaps:
            overlapping = overlapping & ~unknown_pairs
            for i, j in np.argwhere(np.triu(unknown_pairs, 1)).tolist():
                by_calibration = self.ground.overlap(i, j)
                if by_calibration is not None:
                    unknown_pairs[i, j] = unknown_pairs[j, i] = False
                    overlapping[i, j] = overlapping[j, i] = by_calibration
        self.unknown = [(i, j) for i, j in np.argwhere(np.triu(unknown_pairs, 1)).tolist()]
        """Pairs of cameras of which it has to be learned whether their views overlap."""
        self.near = [{j for j in range(n) if overlapping[i, j]} for i in range(n)]
        """For each camera the cameras whose views overlap it."""
        apart = layout.pairs_unknown & ~overlapping
        self._slack_ns: list[list[int]] = np.where(apart, _SLACK_NS, 0).tolist()
        self.has_slack = bool(apart.any())
        """Whether some views may show an object together for a moment although they are not known to overlap."""
        self.overlaps_changed = 0
        """How often `set_overlap` has changed something."""
        self._layout_ns = layout.compatible, layout.dtmin * 1e9, layout.dtmax * 1e9
        # Plain lists, because the rules read single elements, which is slow with numpy.
        self._compatible: list[list[bool]] = layout.compatible.tolist()
        self._dtmin_ns: list[list[float]] = (layout.dtmin * 1e9).tolist()
        self._dtmax_ns: list[list[float]] = (layout.dtmax * 1e9).tolist()

    def set_overlap(self, one: int, other: int, *, overlap: bool) -> None:
        """Say whether the views of two cameras overlap, of which the layout knows nothing."""
        if overlap == (other in self.near[one]):
            return
        self.overlaps_changed += 1
        change = set.add if overlap else set.remove
        change(self.near[one], other)
        change(self.near[other], one)
        self._slack_ns[one][other] = self._slack_ns[other][one] = 0 if overlap else _SLACK_NS

    def holds(self, visits: Iterable[Visit], settled_ns: int = _LONG_AGO_NS, clashes: Clashes = always) -> bool:
        """Whether a single object can have made all these visits.

        - Two visits to the same camera never overlap in time, unless `clashes` says that they may.
        - Each visit starts with a possible step: either into a view that overlaps a view whose visit is still open, or
          from the camera in which the object was last seen, within the travel times of that step.
        - While several visits are seen at once, they are connected by a chain of overlapping views with open visits.

        A visit whose track is hidden when another visit starts may count as ongoing or as left, whichever fits.
        For times up to `settled_ns` only the first rule is checked, because some of the visits have been forgotten.
        """
        in_order = sorted(visits, key=_start)
        for i in range(1, len(in_order)):
            if not self._may_start(in_order[i], in_order[:i], settled_ns, clashes):
                return False
        return all(
            self._seen_in_a_chain(in_order, ended.open_until_ns)
            for ended in in_order
            if settled_ns < ended.open_until_ns < NEVER_NS
        )

    def holds_with(
        self, visits: Sequence[Visit], settled_ns: int, vouched: Set[int], clashes: Clashes = always
    ) -> bool:
        """As `holds`, if an operator vouches that the tracks `vouched` (rows) are one object.

        Where these are impossible together, only what came after the last of them is checked in full.
        """
        if self.holds(visits, settled_ns, clashes):
            return True
        if not vouched:
            return False
        own = [visit for visit in visits if visit.row in vouched]
        if len(own) < 2 or self.holds(own, settled_ns, clashes):
            return False

        def others_clash(one: Visit, other: Visit) -> bool:
            return not {one.row, other.row} <= vouched and clashes(one, other)

        upto_ns = max(settled_ns, *(visit.open_until_ns for visit in own))
        return self.holds(visits, upto_ns, others_clash)

    def _may_start(self, visit: Visit, earlier: Sequence[Visit], settled_ns: int, clashes: Clashes) -> bool:
        camera, now_ns = visit.camera, visit.first_ns
        slack_ns = self._slack_ns[camera]
        seen = {other.camera for other in earlier if other.last_ns >= now_ns + slack_ns[other.camera]}
        if camera in seen:
            beside = [other for other in earlier if other.camera == camera and other.last_ns >= now_ns]
            return not any(clashes(other, visit) for other in beside)
        if now_ns <= settled_ns:
            return True
        still_open = {other.camera for other in earlier if other.open_until_ns >= now_ns}
        if seen:
            return self._chained({camera, *seen}, still_open)
        return not self.near[camera].isdisjoint(still_open) or self._follows(earlier, visit)

    def _follows(self, earlier: Sequence[Visit], visit: Visit) -> bool:
        """Whether `visit` is a possible step from the camera last seen, or from any of several last seen at once."""
        left_ns = max(other.last_ns for other in earlier)
        took_ns = visit.first_ns - left_ns
        to = visit.camera
        return any(
            self._compatible[source][to] and self._dtmin_ns[source][to] <= took_ns <= self._dtmax_ns[source][to]
            for source in {other.camera for other in earlier if other.last_ns == left_ns}
        )

    def steps(
        self, sources: npt.NDArray[np.intp], target: int, took_ns: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Whether an object can go from each camera of `sources` to `target` in the time, `(n,)`.

        Args:
            sources: `(n,)` cameras.
            target: camera.
            took_ns: `(n,)` from leaving a camera until entering `target`.
        """
        compatible, dtmin_ns, dtmax_ns = (of_step[sources, target] for of_step in self._layout_ns)
        possible: npt.NDArray[np.bool_] = compatible & (dtmin_ns <= took_ns) & (took_ns <= dtmax_ns)
        return possible

    def _seen_in_a_chain(self, visits: Sequence[Visit], after_ns: int) -> bool:
        """Whether the visits seen after `after_ns` are still connected, given that a link of the chain ended then."""
        seen = {visit.camera for visit in visits if visit.first_ns <= after_ns < visit.last_ns}
        if len(seen) < 2:
            return True
        if any(self._slack_ns[one][other] for one in seen for other in seen):
            longest_ns = max(map(max, self._slack_ns))
            seen = {visit.camera for visit in visits if visit.first_ns <= after_ns < visit.last_ns - longest_ns}
            if len(seen) < 2:
                return True
        return self._chained(
            seen, {visit.camera for visit in visits if visit.first_ns <= after_ns < visit.open_until_ns}
        )

    def _chained(self, cameras: set[int], still_open: set[int]) -> bool:
        """Whether overlapping views connect all of `cameras`, if necessary through `still_open`."""
        unreached = cameras | still_open
        frontier = [next(iter(cameras))]
        unreached.discard(frontier[0])
        while frontier:
            found = self.near[frontier.pop()] & unreached
            unreached -= found
            frontier.extend(found)
        return unreached.isdisjoint(cameras)


def _start(visit: Visit) -> tuple[int, int]:
    return visit.first_ns, visit.camera
