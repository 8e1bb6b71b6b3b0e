"""Checkpoints of the association, and recovery after a takeover."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import structlog

from services.aggregator.publication import Command, touched_keys
from services.aggregator.reader import newest_number
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
        return [_recorded(fields) for _, fields in self._client.xrange(self._keys.cycles, min=f"({tick}-0")]

    def newest_cycle(self) -> RecordedCycle | None:
        """The last committed cycle."""
        newest = self._client.xrevrange(self._keys.cycles, count=1)
        return _recorded(newest[0][1]) if newest else None

    def stray_tracks(self, known: Mapping[str, set[int]]) -> list[tuple[str, int]]:
        """Tracks (camera, track id) in the global-ID map that are not `known`."""
        found = []
        for camera, track_ids in known.items():
            published = {int(track_id) for track_id in self._client.hkeys(self._keys.gids(camera))}
            found += [(camera, track_id) for track_id in sorted(published - track_ids)]
        return found

    def exist(self) -> bool:
        """Whether a checkpoint was ever saved, damaged or not."""
        return bool(self._generations())

    def last_event(self) -> int:
        """The number of the newest event, 0 if there is none."""
        return newest_number(self._client.xrevrange(self._keys.events, count=1))

    def without_entries_after(self, stream: str, last_id: str) -> list[Command]:
        """The commands that remove the entries of a stream after `last_id`, so that smaller ids can be added again."""
        foreign = [entry_id for entry_id, _ in self._client.xrange(stream, min=f"({last_id}", count=_FOREIGN_AT_ONCE)]
        kept = self._client.xrevrange(stream, max=last_id, count=1)
        if not kept:
            return [["DEL", stream]]
        return [*(["XDEL", stream, entry_id] for entry_id in foreign), ["XSETID", stream, kept[0][0]]]

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


def _recorded(fields: Mapping[bytes, bytes]) -> RecordedCycle:
    pairs = (part.partition("=") for part in fields[b"cursor"].decode().split())
    return RecordedCycle(
        int(fields[b"tick"]),
        int(fields[b"time_ns"]),
        int(fields[b"events"]),
        int(fields[b"next_gid"]),
        {camera: entry_id for camera, _, entry_id in pairs},
    )
