"""Which sightings can be one object: the rules of space and time. Pure; times are site time in ns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shared.layout import Layout

NEVER_NS = 2**63 - 1
"""A track that has not ended stays open until then."""
_LONG_AGO_NS = -(2**63)


class Visit(NamedTuple):
    """One stay in one camera, as far as the rules care."""

    camera: int
    """Index in the layout."""
    first_ns: int
    last_ns: int
    """When it was last seen."""
    open_until_ns: int
    """When its track ended, `NEVER_NS` as long as it has not. Since `last_ns` the object was hidden, or had left."""


class Possibility:
    """The rules of one layout."""

    def __init__(self, layout: Layout) -> None:
        n = len(layout.cameras)
        overlapping = layout.overlapping
        self._near = [frozenset(j for j in range(n) if overlapping[i, j]) for i in range(n)]
        # Plain lists: the rules look at single numbers, and numpy is slow at that.
        self._compatible: list[list[bool]] = layout.compatible.tolist()
        self._dtmin_ns: list[list[float]] = (layout.dtmin * 1e9).tolist()
        self._dtmax_ns: list[list[float]] = (layout.dtmax * 1e9).tolist()

    def holds(self, visits: Iterable[Visit], settled_ns: int = _LONG_AGO_NS) -> bool:
        """Whether one object can have made all these visits.

        - Two visits to one camera never overlap in time.
        - Each one, when it starts, is a possible step: into a view that overlaps with one still open, or from the last
          one that was seen, within that step's times.
        - Whenever several are seen at once, overlapping views that are open then form a chain between all of them.

        A visit whose track is hidden when another one starts may still be there or have left, whichever fits. What
        happened up to `settled_ns` is not asked again, but for the first rule: some visits of then are forgotten.
        """
        in_order = sorted(visits, key=_start)
        for i in range(1, len(in_order)):
            if not self._may_start(in_order[i], in_order[:i], settled_ns):
                return False
        return all(
            self._seen_in_a_chain(in_order, ended.open_until_ns)
            for ended in in_order
            if settled_ns < ended.open_until_ns < NEVER_NS
        )

    def _may_start(self, visit: Visit, earlier: Sequence[Visit], settled_ns: int) -> bool:
        camera, now_ns = visit.camera, visit.first_ns
        seen = {other.camera for other in earlier if other.last_ns >= now_ns}
        if camera in seen:
            return False
        if now_ns <= settled_ns:
            return True
        still_open = {other.camera for other in earlier if other.open_until_ns >= now_ns}
        if seen:
            return self._chained({camera, *seen}, still_open)
        return not self._near[camera].isdisjoint(still_open) or self._follows(earlier, visit)

    def _follows(self, earlier: Sequence[Visit], visit: Visit) -> bool:
        """Whether it is a step from the last one that was seen; where several were at that instant, from any."""
        left_ns = max(other.last_ns for other in earlier)
        took_ns = visit.first_ns - left_ns
        to = visit.camera
        return any(
            self._compatible[source][to] and self._dtmin_ns[source][to] <= took_ns <= self._dtmax_ns[source][to]
            for source in {other.camera for other in earlier if other.last_ns == left_ns}
        )

    def _seen_in_a_chain(self, visits: Sequence[Visit], after_ns: int) -> bool:
        """Whether what is seen on beyond `after_ns` is still connected: a link of the chain has just ended."""
        seen = {visit.camera for visit in visits if visit.first_ns <= after_ns < visit.last_ns}
        if len(seen) < 2:
            return True
        return self._chained(
            seen, {visit.camera for visit in visits if visit.first_ns <= after_ns < visit.open_until_ns}
        )

    def _chained(self, cameras: set[int], still_open: set[int]) -> bool:
        """Whether overlapping views form a chain between all of `cameras`, by way of `still_open`."""
        unreached = cameras | still_open
        frontier = [next(iter(cameras))]
        unreached.discard(frontier[0])
        while frontier:
            found = self._near[frontier.pop()] & unreached
            unreached -= found
            frontier.extend(found)
        return unreached.isdisjoint(cameras)


def _start(visit: Visit) -> tuple[int, int]:
    return visit.first_ns, visit.camera
