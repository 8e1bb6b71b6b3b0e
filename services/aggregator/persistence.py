"""Checkpoints of the association, and the way back to where the last owner stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import structlog

from services.aggregator.publication import touched_keys
from services.aggregator.reader import entry_order
from shared.keys import Keys
from shared.leases import Lease
from shared.redis_connection import Client

_log = structlog.get_logger()
_CHUNK_BYTES = 512 * 1024
_UNFINISHED_EXPIRES_S = 600


@dataclass(frozen=True)
class Checkpoint:
    """The whole state after the cycle `tick`."""

    tick: int
    events: int
    """Number of the last event."""
    cursors: Mapping[str, str]
    """Camera → id of the last entry used."""
    last_seq: Mapping[str, int]
    cameras: tuple[str, ...]
    association: Mapping[str, Any]


@dataclass(frozen=True)
class RecordedCycle:
    """A cycle that was committed after the checkpoint."""

    tick: int
    time_ns: int
    events: int
    cursors: Mapping[str, str]


class Checkpoints:
    """Saves and loads checkpoints of one site."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def save(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """Writes the chunks, then makes them the valid checkpoint, then lets go of what came before.

        Raises:
            LeaseLost: another aggregator owns the site; its checkpoint stays valid.
        """
        packed = msgpack.packb(vars(checkpoint) | {"cameras": list(checkpoint.cameras)})
        pieces = [packed[at : at + _CHUNK_BYTES] for at in range(0, len(packed), _CHUNK_BYTES)]
        before = self._current()
        generation = int(before["generation"]) + 1 if before else 1
        names = [self._keys.state_chunk(generation, index) for index in range(len(pieces))]
        for name, piece in zip(names, pieces, strict=True):
            self._client.set(name, piece, ex=_UNFINISHED_EXPIRES_S)
        current = {
            "generation": generation,
            "chunks": len(pieces),
            "bytes": len(packed),
            "sha256": hashlib.sha256(packed).hexdigest(),
            "tick": checkpoint.tick,
        }
        commands: list[list[str | bytes | int]] = [["PERSIST", name] for name in names]
        commands.append(["SET", self._keys.state_current, json.dumps(current)])
        if before:
            commands += [["DEL", name] for name in self._names(before)]
        # The newest cycle stays: it tells how far the aggregator is.
        commands.append(["XTRIM", self._keys.cycles, "MINID", f"{checkpoint.tick}-0"])
        lease.commit(commands, touched_keys(commands))

    def load(self) -> Checkpoint | None:
        """The valid checkpoint; None when there is none, or when it is damaged (which is logged)."""
        current = self._current()
        if current is None:
            return None
        pieces = self._client.mget(self._names(current))
        packed = b"".join(piece or b"" for piece in pieces)
        if hashlib.sha256(packed).hexdigest() != current["sha256"]:
            _log.error("the checkpoint is damaged; identities start afresh", generation=current["generation"])
            return None
        content = msgpack.unpackb(packed, strict_map_key=False)
        return Checkpoint(**(content | {"cameras": tuple(content["cameras"])}))

    def cycles_after(self, tick: int) -> list[RecordedCycle]:
        """The cycles that were committed after `tick`."""
        cycles = []
        for _, fields in self._client.xrange(self._keys.cycles, min=f"({tick}-0"):
            pairs = (part.partition("=") for part in fields[b"cursor"].decode().split())
            cycles.append(
                RecordedCycle(
                    int(fields[b"tick"]),
                    int(fields[b"time_ns"]),
                    int(fields[b"events"]),
                    {camera: entry_id for camera, _, entry_id in pairs},
                )
            )
        return cycles

    def last_cycle_tick(self) -> int:
        """The tick of the newest committed cycle, 0 when there is none."""
        newest = self._client.xrevrange(self._keys.cycles, count=1)
        return entry_order(newest[0][0].decode())[0] if newest else 0

    def highest_published_gid(self, cameras: tuple[str, ...]) -> int:
        """The highest gid that stands anywhere, so that none is given twice also where the state was lost."""
        with self._client.pipeline(transaction=False) as pipe:
            for camera in cameras:
                pipe.hvals(self._keys.gids(camera))
            pipe.hkeys(self._keys.aliases)
            answers = pipe.execute()
        newest = self._client.xrevrange(self._keys.assignments, count=1000)
        found = [int(gid) for answer in answers for gid in answer]
        return max([*found, *(int(fields[b"gid"]) for _, fields in newest)], default=0)

    def _current(self) -> dict[str, Any] | None:
        text = self._client.get(self._keys.state_current)
        return json.loads(text) if text else None

    def _names(self, current: Mapping[str, Any]) -> list[str]:
        return [self._keys.state_chunk(int(current["generation"]), index) for index in range(int(current["chunks"]))]
