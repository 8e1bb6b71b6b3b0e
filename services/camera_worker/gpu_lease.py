"""Which GPU this process uses: workers take different ones by lease, and share them evenly if there are too few."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, MutableMapping, Sequence

import structlog
from redis.exceptions import RedisError, ResponseError

from shared.config import SiteConfig
from shared.errors import LeaseLost
from shared.keys import Keys
from shared.leases import Lease, Leases, lasts_too_long
from shared.redis_connection import RETRYABLE, Client
from vision.inference import gpus
from vision.inference.gpus import Gpu, Gpus

_log = structlog.get_logger()
TTL_S = 3.0
"""A worker that died has given its GPU free after this time."""
_POLL_S = 0.1
_PLACES = 16
"""More workers than this on one GPU are not counted."""
_FREE = -2
"""PTTL of a key that does not exist."""


class GpuLease:
    """One place on a GPU, held until `close`; a thread of its own renews it, because loading models takes minutes."""

    def __init__(self, client: Client, keys: Keys, gpu: Gpu, lease: Lease | None) -> None:
        """`lease` None: every place is taken; the GPU is used anyway, and a place is taken once one is free."""
        self.gpu = gpu
        self._client, self._keys, self._leases, self._lease = client, keys, Leases(client, keys), lease
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu-lease", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Gives the place free; if Redis is unreachable, it expires."""
        self._stop.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stop.wait(TTL_S / 6):
            try:
                self._renew()
            except RETRYABLE:  # The worker's loop logs it.
                continue
            except Exception:  # noqa: BLE001 (the top of a thread, which must not end unseen)
                _log.exception("renewing the lease of the GPU failed, retrying")
        if self._lease is not None:
            with contextlib.suppress(RedisError):
                self._lease.release()

    def _renew(self) -> None:
        if self._lease is None:
            _, self._lease = _take(self._leases, self._client, self._keys, [self.gpu])
            return
        try:
            self._lease.renew_if_due()
        except RETRYABLE:
            raise
        except (LeaseLost, ResponseError):  # lost or damaged: CUDA stays on its GPU, so take another place on it
            self._lease = None


class GpuChoice:
    """The GPU of this process. It is chosen once, before CUDA is first used, because CUDA cannot change it later."""

    def __init__(
        self,
        environ: MutableMapping[str, str] = os.environ,
        look: Callable[[MutableMapping[str, str]], Gpus] | None = None,
    ) -> None:
        """`environ`: of this process; CUDA_VISIBLE_DEVICES in it restricts the choice, and is set to the choice.

        `look` finds the GPUs; None: those of this machine.
        """
        self._environ, self._look = environ, look or gpus.look
        self._chosen: Gpu | None = None

    def lease(self, client: Client, keys: Keys, config: SiteConfig) -> GpuLease | None:
        """A lease of the GPU of this process; chooses it at the first call.

        It is the GPU with the fewest workers of the site. If all have some, it waits until the leases of workers that
        have died are over. None: the site wants no GPU, or there is none that can be used.

        Raises:
            RedisError: Redis is unreachable.
        """
        if config.detector.backend == config.embedder.backend == "cpu":
            return None
        leases = Leases(client, keys)
        if self._chosen is not None:
            return GpuLease(client, keys, *_take(leases, client, keys, [self._chosen]))
        usable = self._look(self._environ).usable
        if not usable:
            return None
        if len(usable) > 1:
            _wait_for_a_free_one(client, keys, usable)
        gpu, lease = _take(leases, client, keys, usable)
        self._chosen = gpu
        if len(usable) > 1:
            self._environ["CUDA_VISIBLE_DEVICES"] = gpu.uuid
        _log.info("uses a GPU", gpu=gpu.uuid, name=gpu.name, of=len(usable))
        if lease is None:
            _log.warning("too many workers use this GPU to count them", gpu=gpu.uuid, counted=_PLACES)
        return GpuLease(client, keys, gpu, lease)


def _wait_for_a_free_one(client: Client, keys: Keys, usable: Sequence[Gpu]) -> None:
    deadline = time.monotonic() + TTL_S + 2 * _POLL_S
    while all(map(_workers, _places(client, keys, usable))) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _take(leases: Leases, client: Client, keys: Keys, usable: Sequence[Gpu]) -> tuple[Gpu, Lease | None]:
    """A place on the GPU that has the fewest workers, the first of several; None if all places are taken.

    A place whose lease lasts too long is taken last: only when nobody has renewed it for some time.
    """
    while True:
        found = _places(client, keys, usable)
        gpu, places = min(zip(usable, found, strict=True), key=lambda pair: _workers(pair[1]))
        if all(map(_is_held, places)):
            return gpu, None
        place = min(range(len(places)), key=lambda index: (_is_held(places[index]), places[index] != _FREE))
        lease = leases.acquire(_role(gpu, place), TTL_S)
        if lease is not None or places[place] != _FREE:
            return gpu, lease
        # Another worker was faster.


def _places(client: Client, keys: Keys, usable: Sequence[Gpu]) -> list[list[int]]:
    """For each GPU, the PTTL of the lease of each place."""
    with client.pipeline(transaction=False) as pipe:
        for gpu in usable:
            for place in range(_PLACES):
                pipe.pttl(keys.lease(_role(gpu, place)))
        answers = list(map(int, pipe.execute()))
    return [answers[start : start + _PLACES] for start in range(0, len(answers), _PLACES)]


def _workers(places: Sequence[int]) -> int:
    return sum(map(_is_held, places))


def _is_held(left_ms: int) -> bool:
    return left_ms != _FREE and not lasts_too_long(left_ms, round(TTL_S * 1000))


def _role(gpu: Gpu, place: int) -> str:
    return f"gpu:{gpu.uuid}:{place}"
