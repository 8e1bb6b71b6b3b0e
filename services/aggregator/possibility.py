"""Which sightings can be one object: the rules of space and time. Pure; times are site time in ns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shared.layout import Layout


@dataclass(frozen=True)
class Sightings:
    """A set of sightings, each array `(k,)`."""

    cameras: npt.NDArray[np.intp]
    """Index of the camera in the layout."""
    first_ns: npt.NDArray[np.int64]
    last_ns: npt.NDArray[np.int64]
    """When it was last seen."""
    ended: npt.NDArray[np.bool_]
    """A track that has not ended is alive, also while it is hidden."""

    def joined(self, other: Sightings) -> Sightings:
        """The sightings of both."""
        return Sightings(
            np.concatenate([self.cameras, other.cameras]),
            np.concatenate([self.first_ns, other.first_ns]),
            np.concatenate([self.last_ns, other.last_ns]),
            np.concatenate([self.ended, other.ended]),
        )


class Possibility:
    """The rules of one layout."""

    def __init__(self, layout: Layout) -> None:
        self._compatible = layout.compatible
        self._overlapping = layout.overlapping
        self._dtmin_ns, self._dtmax_ns = layout.dtmin * 1e9, layout.dtmax * 1e9

    def holds(self, sightings: Sightings) -> bool:
        """Whether one object can have made all these sightings.

        Each one, when it starts, must be a possible step: if others are alive then, all of them see the object through
        a chain of overlapping views; if none is, it follows the last one to have ended within that step's times. Two
        sightings of one camera never overlap in time.
        """
        order = np.lexsort((sightings.cameras, sightings.first_ns))
        cameras, first = sightings.cameras[order], sightings.first_ns[order]
        last, ended = sightings.last_ns[order], sightings.ended[order]
        for i in range(1, len(order)):
            earlier, same = slice(0, i), cameras[:i] == cameras[i]
            seen_still = last[earlier] >= first[i]
            if (same & seen_still).any():
                return False
            alive = ~same & (seen_still | ~ended[earlier])
            if alive.any():
                if not self._connected(np.append(cameras[earlier][alive], cameras[i])):
                    return False
            elif not self._follows(cameras[earlier], last[earlier], int(cameras[i]), int(first[i])):
                return False
        return True

    def _connected(self, cameras: npt.NDArray[np.intp]) -> bool:
        """Whether overlapping views form a chain between all of `cameras`."""
        present = np.unique(cameras)
        near = self._overlapping[np.ix_(present, present)]
        reached = np.zeros(len(present), bool)
        reached[0] = True
        while True:
            further = reached | near[reached].any(axis=0)
            if (further == reached).all():
                return bool(reached.all())
            reached = further

    def _follows(
        self, cameras: npt.NDArray[np.intp], last_ns: npt.NDArray[np.int64], camera: int, first_ns: int
    ) -> bool:
        left = int(np.argmax(last_ns))
        source, took_ns = cameras[left], first_ns - int(last_ns[left])
        return bool(
            self._compatible[source, camera]
            and self._dtmin_ns[source, camera] <= took_ns <= self._dtmax_ns[source, camera]
        )
