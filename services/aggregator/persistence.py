"""Checkpoints of the association, and recovery after a takeover."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack
import structlog

from services.aggregator.publication import Command
from services.aggregator.reader import START, entry_order, newest_number
from shared.errors import MessageError, MtmcError
from shared.keys import Keys
from shared.operator_commands import OperatorCommand, decode_commands
from shared.redis_connection import Client

_log = structlog.get_logger()
CHUNK_BYTES = 4 * 1024 * 1024
_FIRST_READ_BYTES, _LEAST_READ_BYTES = 64 * 1024, 4 * 1024
_READ_SECONDS = 0.2
"""What reading a piece should take: far less than the lease."""
SCHEMA = 8
"""Of checkpoints. 1 had no number and nothing that is learned; 2 had no travel times, overlaps or divided tracks; 3 had
no time offsets of cameras; 4 had the free rows of the track table; 5 had nothing of operators; 6 had means of all
crops of a camera instead of its objects; 7 had no places where tracks begin and end."""


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
    commands: Mapping[str, Any] = field(default_factory=dict)
    """Cursor in the operators' commands, and the answers to the last of them."""


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
    commands: tuple[OperatorCommand, ...] = ()
    """What operators asked for."""
    commands_cursor: str = START
    """Id of the last entry of `commands` that was used by then."""
    cameras: tuple[str, ...] = ()
    """The cameras in use from this cycle on; empty: those of the cycle before, or an earlier version wrote it."""


class Checkpoints:
    """Saves and loads checkpoints of one site."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def load(self, progressed: Callable[[], None] = lambda: None) -> Checkpoint | None:
        """The newest intact checkpoint; None if there is none. Damaged ones are logged.

        It is read in pieces; `progressed` is called after each, for example to renew a lease.

        Raises:
            UnknownState: a newer version of mtmc wrote it.
        """
        every = self.generations()
        newest = every[:1]
        for generation in every:
            packed = self._read(generation, progressed)
            if hashlib.sha256(packed).hexdigest() == generation["sha256"]:
                progressed()
                return unpack(packed, self._keys.site)
            if self.generations()[:1] != newest:
                return self.load(progressed)  # The owner has replaced it meanwhile.
            _log.error("a checkpoint is damaged; using the previous one", generation=generation["generation"])
        return None

    def _read(self, generation: Mapping[str, Any], progressed: Callable[[], None]) -> bytearray:
        packed, length = bytearray(), _FIRST_READ_BYTES
        for name in self.chunk_names(generation):
            at = 0
            while True:
                began = time.monotonic()
                piece = self._client.getrange(name, at, at + length - 1)
                packed += piece
                progressed()
                if len(piece) < length:
                    break
                at += length
                wanted = round(length * _READ_SECONDS / max(time.monotonic() - began, 1e-6))
                length = min(max(wanted, _LEAST_READ_BYTES), 2 * length, CHUNK_BYTES)
        return packed

    def written_bytes(self, names: Sequence[str]) -> int:
        """How many bytes chunks have together."""
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.strlen(name)
            return sum(pipe.execute())

    def cycles_since(self, tick: int, count: int | None = None) -> list[RecordedCycle]:
        """The oldest `count` cycles from `tick` on, those of earlier ticks excluded."""
        found = self._client.xrange(self._keys.cycles, min=f"{tick}-0", count=count)
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
                return [*removals, ["CUT", stream, kept]]
            before = f"({kept}"

    def exist(self) -> bool:
        """Whether a checkpoint was ever saved, damaged or not."""
        return bool(self.generations())

    def are_gone(self) -> bool:
        """Whether nothing says which checkpoint is valid, not even something that cannot be read."""
        return not self._client.exists(self._keys.state_current)

    def last_event(self) -> int:
        """The number of the newest event, 0 if there is none."""
        return self.last_number(self._keys.events)

    def last_number(self, stream: str) -> int:
        """The first part of the newest id of a stream, 0 if it is empty."""
        return newest_number(self._client.xrevrange(stream, count=1))

    def generations(self) -> list[dict[str, Any]]:
        """Descriptions of the valid checkpoint and the previous one, as far as they exist."""
        if self._client.type(self._keys.state_current) not in (b"string", b"none"):
            return []
        try:
            current = json.loads(self._client.get(self._keys.state_current) or b"null")
            found = [one for one in (current, current and current["before"]) if one]
            return [{name: one[name] for name in ("generation", "chunks", "bytes", "sha256", "tick")} for one in found]
        except (ValueError, LookupError, TypeError, RecursionError):
            _log.error("the description of the checkpoints cannot be read", key=self._keys.state_current)
            return []

    def chunk_names(self, current: Mapping[str, Any]) -> list[str]:
        """The keys of a checkpoint."""
        return [self._keys.state_chunk(int(current["generation"]), index) for index in range(int(current["chunks"]))]


@dataclass(frozen=True)
class PackedCheckpoint:
    """A checkpoint as bytes, which no later cycle changes."""

    tick: int
    parts: tuple[bytes | bytearray, ...]
    """Their concatenation is one msgpack object. The embeddings are a part of their own, because a copy of all would
    take long."""


def pack(checkpoint: Checkpoint) -> PackedCheckpoint:
    """A checkpoint as bytes, with the number of its schema."""
    table = dict(checkpoint.association["table"])
    sums = table.pop("sums")
    content = vars(checkpoint) | {"cameras": list(checkpoint.cameras), "schema": SCHEMA}
    content["association"] = {**checkpoint.association, "table": table}
    items = b"".join(msgpack.packb(part) for item in content.items() for part in item)
    head = msgpack.Packer().pack_map_header(len(content) + 1) + items + msgpack.packb("sums")
    return PackedCheckpoint(checkpoint.tick, (head + b"\xc6" + len(sums).to_bytes(4, "big"), sums))


def unpack(packed: bytes | bytearray, site: str) -> Checkpoint:
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
    if "sums" in content:
        content["association"]["table"]["sums"] = content.pop("sums")
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
            tuple(decode_commands(fields.get(b"commands", b"[]"))),
            fields.get(b"commands_cursor", START.encode()).decode(),
            tuple(fields.get(b"cameras", b"").decode().split()),
        )
        entry_order(cycle.commands_cursor)
        all(entry_order(last) for last in cycle.cursors.values())
    except (KeyError, ValueError, MessageError):
        return None
    return cycle if entry_id == f"{cycle.tick}-0".encode() else None
