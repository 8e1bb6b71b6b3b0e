"""One worker's side of the cameras in Redis: heartbeat, claiming, renewing, releasing, and facts about each camera."""

from __future__ import annotations

import math
import os
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from services.camera_worker.ownership import CameraToClaim, LiveWorker, can_take, wanted_changes
from shared.camera_config import CameraConfig
from shared.camera_settings import read_cameras
from shared.errors import LeaseLost
from shared.keys import Keys
from shared.leases import Lease, Leases, lasts_too_long
from shared.lenient_values import LONGEST_NAME, whole
from shared.redis_connection import Client
from shared.site_state.states import WORKER_GONE_MS

_log = structlog.get_logger()
_WORKER_HASH_EXPIRES_S = 60


@dataclass(frozen=True)
class Wanted:
    """What a worker should change now."""

    claims: dict[str, CameraConfig]
    releases: list[str]
    paused: list[str]
    """Own cameras that the operator paused or removed."""
    cameras: dict[str, CameraConfig]
    """The present settings of all cameras of the site."""
    refused: dict[str, frozenset[str]]
    """For each claim, the workers that cannot open its source."""
    movable: frozenset[str]
    """The claims that another live worker could make instead."""


class Claims:
    """Decides which cameras to claim and to release, and carries out claims."""

    def __init__(
        self, client: Client, keys: Keys, *, labels: frozenset[str], capacity: int, ttl_seconds: float, rebalance: bool
    ) -> None:
        self._client, self._keys, self._leases = client, keys, Leases(client, keys)
        self._labels, self._capacity, self._ttl_seconds = labels, capacity, ttl_seconds
        self._rebalance = rebalance
        self.worker = f"{socket.gethostname().split('.')[0]}-{os.getpid()}-{secrets.token_hex(2)}"
        self._free_since: dict[str, float] = {}
        self._has_looked = False

    def heartbeat(self, facts: Mapping[str, str | int | float]) -> None:
        """Sends a heartbeat with `facts` about the worker, as plain text for people.

        Raises:
            RedisError: Redis is unreachable.
        """
        key = self._keys.worker(self.worker)
        with self._client.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.hset(
                key,
                mapping={
                    "host": socket.gethostname(),
                    "pid": os.getpid(),
                    "labels": " ".join(sorted(self._labels)),
                    "capacity": self._capacity,
                    **facts,
                },
            )
            pipe.expire(key, _WORKER_HASH_EXPIRES_S)
            seconds, microseconds = pipe.execute()[0]
        now_ms = seconds * 1000 + microseconds // 1000
        with self._client.pipeline(transaction=False) as pipe:
            pipe.zadd(self._keys.workers, {self.worker: now_ms})
            pipe.zremrangebyscore(self._keys.workers, "-inf", now_ms - WORKER_GONE_MS)
            # Nobody lives in the future: the heartbeat is damaged, or from before Redis's clock was set back.
            pipe.zremrangebyscore(self._keys.workers, now_ms + WORKER_GONE_MS, "+inf")
            pipe.execute()

    def look(self, mine: Mapping[str, Lease]) -> Wanted:
        """Reads the site and returns what this worker, which owns `mine`, should change.

        Raises:
            RedisError: Redis is unreachable.
        """
        cameras = read_cameras(self._client, self._keys)
        workers = self._live_workers()
        enabled = {name: camera for name, camera in cameras.items() if not camera.paused}
        views = self._camera_views(enabled, mine, workers)
        claims, releases = wanted_changes(self.worker, workers, views, rebalance=self._rebalance)
        return Wanted(
            {name: cameras[name] for name in claims},
            releases,
            sorted(set(mine) - set(enabled)),
            cameras,
            {name: views[name].refused for name in claims},
            frozenset(name for name in claims if self._another_can_take(views[name], workers)),
        )

    def _another_can_take(self, camera: CameraToClaim, workers: Mapping[str, LiveWorker]) -> bool:
        refused = replace(camera, refused=camera.refused | {self.worker})
        return any(can_take(name, refused, workers) for name in workers if name not in refused.refused)

    def claim(self, camera: CameraConfig, least_epoch: int | None) -> Lease | None:
        """The lease of a camera; None if another worker was faster, or the camera was removed.

        Raises:
            RedisError: Redis is unreachable.
        """
        lease = self._leases.acquire(f"camera:{camera.name}", self._ttl_seconds, least_epoch=least_epoch)
        if lease is None:
            return None
        if not self._client.hexists(self._keys.cameras, camera.name):
            lease.release()  # It was removed since `look`; what is written for it now would never be deleted.
            return None
        self._free_since.pop(camera.name, None)
        return lease

    def write_facts(self, camera: str, lease: Lease, facts: Mapping[str, str | int]) -> None:
        """Writes `facts` to the hash of an owned camera; does not renew its lease, so that a hung loop loses it.

        Raises:
            LeaseLost: another worker has owned the camera since, or it was removed.
        """
        key = self._keys.camera(camera)
        lease.commit([["HSET", key, *(part for pair in facts.items() for part in pair)]], [key], renew=False)

    def renew(self, leases: Mapping[str, Lease]) -> list[str]:
        """Renews the leases that are due; returns the cameras whose lease was lost."""
        lost = []
        for camera, lease in leases.items():
            try:
                lease.renew_if_due()
            except LeaseLost:
                lost.append(camera)
        return lost

    def resign(self) -> None:
        """Removes this worker from the list of workers."""
        self._client.zrem(self._keys.workers, self.worker)
        self._client.delete(self._keys.worker(self.worker))

    def _live_workers(self) -> dict[str, LiveWorker]:
        listed = self._client.zrange(self._keys.workers, 0, -1)
        names = [name.decode(errors="replace") for name in listed if len(name) <= LONGEST_NAME]
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hmget(self._keys.worker(name), "labels", "capacity")
            answers = pipe.execute(raise_on_error=False)
        views = {}
        for name, answer in zip(names, answers, strict=True):
            # A worker without these fields is not one that could take a camera.
            labels, capacity = answer if isinstance(answer, list) else (None, None)
            if labels is not None and (most := whole(capacity)) is not None and most > 0:
                views[name] = LiveWorker(frozenset(labels.decode(errors="replace").split()), most)
        return views | {self.worker: LiveWorker(self._labels, self._capacity)}

    def _camera_views(
        self, enabled: Mapping[str, CameraConfig], mine: Mapping[str, Lease], workers: Mapping[str, LiveWorker]
    ) -> dict[str, CameraToClaim]:
        with self._client.pipeline(transaction=False) as pipe:
            for name in enabled:
                pipe.pttl(self._keys.lease(f"camera:{name}"))
                pipe.hmget(self._keys.camera(name), "owner", "state", "refused")
            answers = pipe.execute()
        now = time.monotonic()
        self._free_since = {name: since for name, since in self._free_since.items() if name in enabled}
        views = {}
        for (name, camera), left_ms, (owner, state, refused) in zip(
            enabled.items(), answers[::2], answers[1::2], strict=True
        ):
            held = left_ms >= 0 and not lasts_too_long(left_ms, round(self._ttl_seconds * 1000))
            holder: str | None = (owner or b"").decode(errors="replace") or "unknown"
            if name in mine:
                holder = self.worker
            elif not held:
                # A camera that is free at the first look needs no grace period: it passed while this worker started.
                since = self._free_since.setdefault(name, now if self._has_looked else -math.inf)
                # An owner that only lost its connection takes its lease back as soon as Redis is reachable again. The
                # grace period lets it, because with another worker all objects would get new tracks.
                given_up = owner is None or state in (None, b"released", b"paused")
                if given_up or now - since >= self._ttl_seconds / 2:
                    holder = None
            if held:
                self._free_since.pop(name, None)
            # Only live workers count as refusing, otherwise the list would grow with every restart.
            unable = frozenset((refused or b"").decode(errors="replace").split()) & workers.keys()
            views[name] = CameraToClaim(frozenset(camera.labels), holder, unable)
        self._has_looked = True
        return views
