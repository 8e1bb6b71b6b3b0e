"""Which cameras a worker should take or give up. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerView:
    """What is known of a live worker."""

    labels: frozenset[str]
    capacity: int


@dataclass(frozen=True)
class CameraView:
    """What is known of an enabled camera."""

    labels: frozenset[str]
    owner: str | None
    """A live worker, or None when the camera is free to take."""


def wanted_changes(
    me: str, workers: Mapping[str, WorkerView], cameras: Mapping[str, CameraView], *, rebalance: bool
) -> tuple[list[str], list[str]]:
    """The cameras that worker `me` should claim, and those it should release, each in order of name.

    Every worker takes its even share, and more only when others cannot. With `rebalance`, a worker above its share
    gives cameras up to workers that are below theirs.
    """
    mine = [name for name, camera in sorted(cameras.items()) if camera.owner == me]
    free = [
        name for name, camera in sorted(cameras.items()) if camera.owner is None and camera.labels <= workers[me].labels
    ]
    share = min(workers[me].capacity, math.ceil(len(cameras) / len(workers)))
    claims = free[: max(0, share - len(mine))]
    # What nobody else may take is taken beyond the share.
    others = {name: worker for name, worker in workers.items() if name != me}
    room = workers[me].capacity - len(mine) - len(claims)
    orphans = [name for name in free if name not in claims and not _takers(cameras[name], others, cameras, share)]
    claims += orphans[: max(0, room)]
    releases: list[str] = []
    if rebalance and not claims:
        for name in reversed(mine):
            below = math.floor(len(cameras) / len(workers))
            if len(mine) - len(releases) > share and _takers(cameras[name], others, cameras, max(1, below)):
                releases.append(name)
    return claims, releases


def _takers(
    camera: CameraView, others: Mapping[str, WorkerView], cameras: Mapping[str, CameraView], share: int
) -> Sequence[str]:
    """The other workers that may take the camera and own fewer than `share`."""
    return [
        name
        for name, worker in others.items()
        if camera.labels <= worker.labels
        and sum(one.owner == name for one in cameras.values()) < min(share, worker.capacity)
    ]
