"""Which cameras a worker should take or give up. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LiveWorker:
    """What is known of a live worker."""

    labels: frozenset[str]
    capacity: int


@dataclass(frozen=True)
class CameraToClaim:
    """What is known of an enabled camera."""

    labels: frozenset[str]
    owner: str | None
    """A live worker, or None when the camera is free to take."""
    refused: frozenset[str] = frozenset()
    """Workers whose host cannot open its source: a file or device of another host."""


def can_take(name: str, camera: CameraToClaim, workers: Mapping[str, LiveWorker]) -> bool:
    """Whether a worker has the labels and has not refused; where all have refused, one must hold it all the same."""
    fitting = {name for name, worker in workers.items() if camera.labels <= worker.labels}
    return name in fitting and (name not in camera.refused or fitting <= camera.refused)


def wanted_changes(
    me: str, workers: Mapping[str, LiveWorker], cameras: Mapping[str, CameraToClaim], *, rebalance: bool
) -> tuple[list[str], list[str]]:
    """The cameras that worker `me` should claim, and those it should release, each in order of name.

    Every worker takes its even share, and more only when others cannot. The last cameras of an uneven number are left
    to workers that are behind. With `rebalance`, a worker that is ahead gives cameras up to workers that are behind.
    """
    cameras = {
        name: camera
        for name, camera in cameras.items()
        if camera.owner is not None or any(can_take(worker, camera, workers) for worker in workers)
    }
    least, most = _even_share(len(cameras), [worker.capacity for worker in workers.values()])
    others = {name: worker for name, worker in workers.items() if name != me}
    owned = Counter(camera.owner for camera in cameras.values())

    def takers(camera: str, share: int) -> list[str]:
        """The other workers that may take the camera and own fewer than `share`."""
        return [
            name
            for name, worker in others.items()
            if can_take(name, cameras[camera], workers) and owned[name] < min(share, worker.capacity)
        ]

    def missing(names: Sequence[str], share: int) -> int:
        """How many of the cameras `names` others could take until each owns `share`."""
        behind = Counter(taker for name in names for taker in takers(name, share))
        return sum(min(count, min(share, others[taker].capacity) - owned[taker]) for taker, count in behind.items())

    mine = [name for name, camera in sorted(cameras.items()) if camera.owner == me]
    free = [name for name, camera in sorted(cameras.items()) if camera.owner is None]
    open_to_me = [name for name in free if can_take(me, cameras[name], workers)]
    room = max(0, workers[me].capacity - len(mine))
    wanted = min(len(open_to_me) - missing(free, least), most - len(mine))
    claims = open_to_me[: min(room, max(least - len(mine), wanted, 0))]
    # What nobody else may take is taken beyond the share.
    orphans = [name for name in open_to_me if name not in claims and not takers(name, most)]
    claims = sorted(claims + orphans[: room - len(claims)])
    releases: list[str] = []
    if rebalance and not free and len(mine) > least:
        shares = [(share, missing(mine, share)) for share in (least, most)]
        for name in reversed(mine):
            kept, given = len(mine) - len(releases), len(releases)
            if any(kept > share and given < short and takers(name, share) for share, short in shares):
                releases.append(name)
    return claims, sorted(releases)


def _even_share(cameras: int, capacities: Sequence[int]) -> tuple[int, int]:
    """How many cameras a worker owns at least and at most when all are shared out evenly, as far as capacities go."""
    least = cameras // len(capacities)
    while least < max(capacities) and sum(min(capacity, least + 1) for capacity in capacities) <= cameras:
        least += 1
    rest = cameras - sum(min(capacity, least) for capacity in capacities)
    return least, least + (rest > 0)
