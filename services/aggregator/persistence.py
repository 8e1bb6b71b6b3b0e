"""Checkpoints of the association, and recovery after a takeover."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import structlog

from services.aggregator.publication import Command, touched_keys
from services.aggregator.reader import entry_order, newest_number
from shared.errors import MtmcError
from shared.keys import Keys
from shared.leases import Lease
from shared.redis_connection import Client

_log = structlog.get_logger()
_CHUNK_BYTES = 512 * 1024
_UNFINISHED_EXPIRES_S = 600
_FOREIGN_AT_ONCE = 10_000
SCHEMA = 4
"""Of checkpoints. 1 had no number and nothing that is learned; 2 had no travel times, overlaps or divided tracks; 3 had
no time offsets of cameras."""


class UnknownState(MtmcError):
    """The state of the site was written by a newer version."""


@dataclass(frozen=True)
class Checkpoint:
    """The complete state of the association after the cycle `tick`."""

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
    """A committed cycle."""

    tick: int
    time_ns: int
    events: int
    next_gid: int
    cursors: Mapping[str, str]
    digest: str
    """Of what it published, see `publication.digest`; empty if an earlier version wrote it."""


class Checkpoints:
    """Saves and loads checkpoints of one site."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def save(self, lease: Lease, checkpoint: Checkpoint) -> None:
        """Writes the chunks, makes them the valid checkpoint, and deletes all but the previous checkpoint.

        Raises:
            LeaseLost: another aggregator owns the site; its checkpoint stays valid.
        """
        packed = pack(checkpoint)
        pieces = [packed[at : at + _CHUNK_BYTES] for at in range(0, len(packed), _CHUNK_BYTES)]
        kept = self._generations()
        before, old = (kept[0], kept[1:]) if kept else (None, [])
        generation = int(before["generation"]) + 1 if before else 1
        names = [self._keys.state_chunk(generation, index) for index in range(len(pieces))]
        for name, piece in zip(names, pieces, strict=True):
            # Fenced too: a former owner that wakes up must not overwrite a checkpoint of the new owner.
            lease.commit([["SET", name, piece, "EX", _UNFINISHED_EXPIRES_S]], [name])
        current = {
            "generation": generation,
            "chunks": len(pieces),
            "bytes": len(packed),
            "sha256": hashlib.sha256(packed).hexdigest(),
            "tick": checkpoint.tick,
            "before": before,
        }
        commands: list[list[str | bytes | int]] = [["PERSIST", name] for name in names]
        commands.append(["SET", self._keys.state_current, json.dumps(current)])
        commands += [["DEL", name] for one in old for name in self._names(one)]
        # Enough cycles stay to start from the checkpoint before this one, should this one be damaged.
        keep_from = int(before["tick"]) if before else checkpoint.tick
        commands.append(["XTRIM", self._keys.cycles, "MINID", f"{keep_from}-0"])
        lease.commit(commands, touched_keys(commands))

    def load(self) -> Checkpoint | None:
        """The newest intact checkpoint; None if there is none. Damaged ones are logged.

        Raises:
            UnknownState: a newer version of mtmc wrote it.
        """
        for generation in self._generations():
            pieces = self._client.mget(self._names(generation))
            packed = b"".join(piece or b"" for piece in pieces)
            if hashlib.sha256(packed).hexdigest() == generation["sha256"]:
                return unpack(packed, self._keys.site)
            _log.error("a checkpoint is damaged; using the previous one", generation=generation["generation"])
        return None

    def cycles_after(self, tick: int) -> list[RecordedCycle]:
        """The cycles that were committed after `tick`."""
        found = self._client.xrange(self._keys.cycles, min=f"({tick}-0")
        return [cycle for entry_id, fields in found if (cycle := _recorded(entry_id, fields))]

    def newest_cycle(self) -> RecordedCycle | None:
        """The last committed cycle; None if there is none, or if the newest entry is not a cycle."""
        newest = self._client.xrevrange(self._keys.cycles, count=1)
        return _recorded(*newest[0]) if newest else None

    def foreign_cycles(self) -> list[str]:
        """The ids of the entries of `cycles` that are not cycles."""
        entries = self._client.xrange(self._keys.cycles)
        return [entry_id.decode() for entry_id, fields in entries if _recorded(entry_id, fields) is None]

    def without_entries(self, stream: str, entry_ids: Sequence[str]) -> list[Command]:
        """The commands that remove entries of a stream, so that ids after the last one that is kept can be added."""
        removed, before = set(entry_ids), "+"
        removals: list[Command] = [["XDEL", stream, entry_id] for entry_id in entry_ids]
        while True:
            newest = self._client.xrevrange(stream, max=before, count=1)
            if not newest:
                return [["DEL", stream]]
            kept = newest[0][0].decode()
            if kept not in removed:
                return [*removals, ["XSETID", stream, kept]]
            before = f"({kept}"

    def exist(self) -> bool:
        """Whether a checkpoint was ever saved, damaged or not."""
        return bool(self._generations())

    def last_event(self) -> int:
        """The number of the newest event, 0 if there is none."""
        return self.last_number(self._keys.events)

    def last_number(self, stream: str) -> int:
        """The first part of the newest id of a stream, 0 if it is empty."""
        return newest_number(self._client.xrevrange(stream, count=1))

    def without_entries_after(self, stream: str, last_id: str) -> list[Command]:
        """As `without_entries`, for the entries after `last_id`."""
        entries = self._client.xrange(stream, min=f"({last_id}", count=_FOREIGN_AT_ONCE)
        return self.without_entries(stream, [entry_id.decode() for entry_id, _ in entries])

    def _generations(self) -> list[dict[str, Any]]:
        """Descriptions of the valid checkpoint and the previous one, as far as they exist."""
        text = self._client.get(self._keys.state_current)
        current = json.loads(text) if text else None
        if current is None:
            return []
        before = current.pop("before")
        return [current, before] if before else [current]

    def _names(self, current: Mapping[str, Any]) -> list[str]:
        return [self._keys.state_chunk(int(current["generation"]), index) for index in range(int(current["chunks"]))]


def pack(checkpoint: Checkpoint) -> bytes:
    """A checkpoint as bytes, with the number of its schema."""
    packed: bytes = msgpack.packb(vars(checkpoint) | {"cameras": list(checkpoint.cameras), "schema": SCHEMA})
    return packed


def unpack(packed: bytes, site: str) -> Checkpoint:
    """The inverse of `pack`, for all schemas up to `SCHEMA`.

    Raises:
        UnknownState: a newer version of mtmc wrote it.
    """
    content = msgpack.unpackb(packed, strict_map_key=False)
    schema = content.pop("schema", 1)
    if schema > SCHEMA:
        raise UnknownState(
            f"the state of site {site} in Redis has schema {schema}, and this version of mtmc reads up to {SCHEMA}: a "
            "newer version wrote it. Run that version, or delete the site's keys state:* and cycles to begin with new "
            "identities"
        )
    return Checkpoint(**(content | {"cameras": tuple(content["cameras"])}))


def _recorded(entry_id: bytes, fields: Mapping[bytes, bytes]) -> RecordedCycle | None:
    """An entry of `cycles`; None if it is something else."""
    try:
        pairs = (part.partition("=") for part in fields[b"cursor"].decode().split())
        cycle = RecordedCycle(
            int(fields[b"tick"]),
            int(fields[b"time_ns"]),
            int(fields[b"events"]),
            int(fields[b"next_gid"]),
            {camera: entry_id for camera, _, entry_id in pairs},
            fields.get(b"digest", b"").decode(),
        )
        all(entry_order(last) for last in cycle.cursors.values())
    except (KeyError, ValueError):
        return None
    return cycle if entry_id == f"{cycle.tick}-0".encode() else None
