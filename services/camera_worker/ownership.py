"""Which cameras a worker should claim or release. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class LiveWorker:
    """The properties of a live worker that decide what it may claim."""

    labels: frozenset[str]
    capacity: int


@dataclass(frozen=True)
class CameraToClaim:
    """The properties of an enabled camera that decide who may claim it."""

    labels: frozenset[str]
    owner: str | None
    """The live worker that owns it, or None if it is free."""
    refused: frozenset[str] = frozenset()
    """Workers whose host cannot open its source: a file or device of another host."""


def can_take(name: str, camera: CameraToClaim, workers: Mapping[str, LiveWorker]) -> bool:
    """Whether a worker has the labels and has not refused. If all have refused, any can, so that one reports why."""
    fitting = {name for name, worker in workers.items() if camera.labels <= worker.labels}
    return name in fitting and (name not in camera.refused or fitting <= camera.refused)


def wanted_changes(
    me: str, workers: Mapping[str, LiveWorker], cameras: Mapping[str, CameraToClaim], *, rebalance: bool
) -> tuple[list[str], list[str]]:
    """The cameras that worker `me` should claim, and those that it should release, each sorted by name.

    Every worker claims its even share, and more only if the others cannot. If the cameras cannot be divided evenly, the
    remainder is left to workers with fewer cameras. With `rebalance`, a worker with more cameras releases some to
    workers with fewer.
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
        """The other workers that can claim the camera and own fewer than `share`."""
        return [
            name
            for name, worker in others.items()
            if can_take(name, cameras[camera], workers) and owned[name] < min(share, worker.capacity)
        ]

    def missing(names: Sequence[str], share: int) -> int:
        """How many of the cameras `names` the others can claim until each owns `share`."""
        behind = Counter(taker for name in names for taker in takers(name, share))
        return sum(min(count, min(share, others[taker].capacity) - owned[taker]) for taker, count in behind.items())

    mine = [name for name, camera in sorted(cameras.items()) if camera.owner == me]
    free = [name for name, camera in sorted(cameras.items()) if camera.owner is None]
    open_to_me = [name for name in free if can_take(me, cameras[name], workers)]
    room = max(0, workers[me].capacity - len(mine))
    wanted = min(len(open_to_me) - missing(free, least), most - len(mine))
    claims = open_to_me[: min(room, max(least - len(mine), wanted, 0))]
    # Cameras that no other worker can claim are claimed beyond the share.
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
    """Minimum and maximum number of cameras per worker when they are divided evenly, within the capacities."""
    least = cameras // len(capacities)
    while least < max(capacities) and sum(min(capacity, least + 1) for capacity in capacities) <= cameras:
        least += 1
    rest = cameras - sum(min(capacity, least) for capacity in capacities)
    return least, least + (rest > 0)
