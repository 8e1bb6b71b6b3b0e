"""Saves checkpoints on a thread of its own, so that cycles go on however slow the link to Redis is."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import structlog

from services.aggregator.persistence import CHUNK_BYTES, Checkpoints, PackedCheckpoint
from services.aggregator.publication import Command, touched_keys
from shared.backoff import Backoff
from shared.errors import LeaseLost
from shared.keys import Keys
from shared.leases import Lease, UnusableKeys
from shared.redis_connection import RETRYABLE, Client

_log = structlog.get_logger()
_FIRST_BYTES, _LEAST_BYTES, _MOST_BYTES = 32 * 1024, 4 * 1024, 1024 * 1024
_PIECE_SECONDS = 0.2
"""What a piece should take: far less than the lease, because the commits of cycles wait behind it on a slow link."""
_FAST_SECONDS = 0.02
"""After a piece that took longer, the link is left to the cycles for as long as the piece took."""
_EXPIRES_S, _KEEP_EVERY_S = 3600, 600
"""Chunks of a checkpoint that is not complete expire; while it is being written, this is postponed."""
_RETRY_FIRST_S, _RETRY_CAP_S = 0.1, 2.0


class Abandoned(Exception):
    """The aggregator has lost the role, or stops."""


class CheckpointSaver:
    """Writes one checkpoint at a time.

    The pieces are as large as the link allows in `_PIECE_SECONDS`. Each is fenced by the lease, which only the loop of
    the aggregator renews: a hung aggregator does not keep its role because it is saving.
    """

    def __init__(self, client: Client, keys: Keys, checkpoints: Checkpoints) -> None:
        self._client, self._keys, self._checkpoints = client, keys, checkpoints
        self._executor: Executor = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._running: Future[int | None] | None = None
        self._abandoned = threading.Event()
        self._piece_bytes = _FIRST_BYTES
        self._has_saved = False
        self.found_loss = False
        """Whether Redis did not have the last checkpoint any more when the next one was saved."""

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is being written, or its result was not taken yet."""
        return self._running is not None

    def start(self, lease: Lease, packed: PackedCheckpoint, with_it: Sequence[Command]) -> None:
        """Starts to save; `with_it`: commands that run when the checkpoint becomes valid. Call it if not `is_busy`."""
        self._abandoned = threading.Event()
        self._running = self._executor.submit(self._save, lease, packed, with_it, self._abandoned)

    def finished(self) -> int | None:
        """The tick of the checkpoint that has become valid since the last call; None if there is none.

        Raises:
            LeaseLost: another aggregator owns the site; its checkpoint stays valid.
        """
        if self._running is None or not self._running.done():
            return None
        running, self._running = self._running, None
        try:
            saved_tick = running.result()
        except Abandoned:
            return None
        except LeaseLost:
            # After Redis came back empty, the lease is missing until the loop takes it back.
            if self._abandoned.is_set():
                return None
            raise
        return None if self._abandoned.is_set() else saved_tick

    def wait(self, timeout_s: float) -> bool:
        """Waits until the running save, if any, has ended; whether it has."""
        try:
            if self._running is not None:
                self._running.exception(timeout_s)
        except TimeoutError:
            return False
        return True

    def abandon(self) -> None:
        """Ends the running save after its current piece."""
        self._abandoned.set()

    def start_anew(self) -> None:
        """Ends the running save, and takes note that Redis has none of the last ones."""
        self.abandon()
        self._has_saved = self.found_loss = False

    def close(self) -> None:
        """Ends the thread."""
        self.abandon()
        self._executor.shutdown(wait=False)

    def _save(
        self, lease: Lease, packed: PackedCheckpoint, with_it: Sequence[Command], abandoned: threading.Event
    ) -> int | None:
        """The tick of the checkpoint; None if it has to be repeated."""
        try:
            return self._written(lease, packed, with_it, abandoned)
        except UnusableKeys as error:  # Redis has lost a chunk, or another program has written into a key.
            _log.warning("a checkpoint is saved again", tick=packed.tick, reason=str(error))
            return None

    def _written(
        self, lease: Lease, packed: PackedCheckpoint, with_it: Sequence[Command], abandoned: threading.Event
    ) -> int | None:
        started = time.monotonic()
        kept = self._retrying(abandoned, self._checkpoints.generations)
        before = kept[0] if kept else None
        generation = int(before["generation"]) + 1 if before else 1
        self._look_for_loss(abandoned)
        digest, size = hashlib.sha256(), 0
        names: list[str] = []
        keep_at = started + _KEEP_EVERY_S
        for chunk, offset, piece in self._pieces(packed.parts):
            name = self._keys.state_chunk(generation, chunk)
            # SETRANGE can be repeated after a lost reply. Fenced too: a former owner that wakes up must not overwrite a
            # checkpoint of the new owner.
            write: Command = ["SETRANGE", name, offset, piece] if offset else ["SET", name, piece, "EX", _EXPIRES_S]
            names += [] if offset else [name]
            commands = [write]
            if time.monotonic() >= keep_at:
                commands += [["EXPIRE", one, _EXPIRES_S] for one in names]
                keep_at = time.monotonic() + _KEEP_EVERY_S
            sent_at = time.monotonic()
            self._commit(lease, commands, abandoned)
            self._adapt(len(piece), time.monotonic() - sent_at, abandoned)
            digest.update(piece)
            size += len(piece)
        current = {"generation": generation, "chunks": len(names), "bytes": size, "sha256": digest.hexdigest()}
        current |= {"tick": packed.tick, "before": before}
        valid: list[Command] = [["PERSIST", name] for name in names]
        valid.append(["SET", self._keys.state_current, json.dumps(current)])
        valid += [["DEL", name] for one in kept[1:] for name in self._checkpoints.chunk_names(one)]
        # Enough cycles stay to start from the checkpoint before this one, should this one be damaged.
        keep_from = int(before["tick"]) if before else packed.tick
        valid.append(["XTRIM", self._keys.cycles, "MINID", f"{keep_from}-0"])
        self._look_for_loss(abandoned)  # This checkpoint would hide that Redis came back empty meanwhile.
        if self._retrying(abandoned, lambda: self._checkpoints.written_bytes(names)) != size:
            _log.error("parts of a checkpoint are missing in Redis; it is saved again", tick=packed.tick)
            return None
        self._commit(lease, [*valid, *with_it], abandoned)
        self._has_saved = True
        _log.info("saved a checkpoint", tick=packed.tick, bytes=size, seconds=round(time.monotonic() - started, 1))
        return packed.tick

    def _look_for_loss(self, abandoned: threading.Event) -> None:
        if self._has_saved and self._retrying(abandoned, self._checkpoints.are_gone):
            self.found_loss = True

    def _pieces(self, parts: Sequence[bytes | bytearray]) -> Iterator[tuple[int, int, bytes]]:
        """Number of the chunk, offset in it, and content of each piece; pieces end where a chunk ends."""
        at = 0
        for part in parts:
            view, begin = memoryview(part), 0
            while begin < len(view):
                end = min(begin + self._piece_bytes, begin + CHUNK_BYTES - at % CHUNK_BYTES, len(view))
                yield at // CHUNK_BYTES, at % CHUNK_BYTES, bytes(view[begin:end])
                at, begin = at + end - begin, end

    def _adapt(self, size: int, seconds: float, abandoned: threading.Event) -> None:
        if size >= self._piece_bytes:
            wanted = round(size * _PIECE_SECONDS / max(seconds, 1e-6))
            self._piece_bytes = min(max(wanted, _LEAST_BYTES), 2 * self._piece_bytes, _MOST_BYTES)
        if seconds > _FAST_SECONDS:
            abandoned.wait(seconds)

    def _commit(self, lease: Lease, commands: Sequence[Command], abandoned: threading.Event) -> None:
        self._retrying(abandoned, lambda: lease.commit(commands, touched_keys(commands), renew=False))

    def _retrying(self, abandoned: threading.Event, call: Any) -> Any:
        """`call`, again and again while Redis does not answer or refuses writes."""
        backoff = Backoff(_RETRY_FIRST_S, _RETRY_CAP_S)
        while not abandoned.is_set():
            try:
                return call()
            except RETRYABLE:
                self._piece_bytes = max(_LEAST_BYTES, self._piece_bytes // 2)
                abandoned.wait(backoff.next_s())
        raise Abandoned
