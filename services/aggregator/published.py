"""Reads back what the aggregator published: the global-ID map, its changes and the merges. Nothing in it is trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from association.identities import Identities
from services.aggregator.publication import Command
from services.aggregator.repair import NUMBERS_END
from shared.keys import Keys
from shared.leases import UnusableKey
from shared.lenient_values import whole
from shared.redis_connection import Client

_READ_AT_ONCE = 1000
Track = tuple[str, int]
"""Camera and track id."""


class PublishedIds:
    """The published ids of one site."""

    def __init__(self, client: Client, keys: Keys) -> None:
        self._client, self._keys = client, keys

    def wrong_types(self, cameras: Iterable[str]) -> list[UnusableKey]:
        """The keys of the aggregator that have another type than they should have."""
        keys = self._keys
        names = (keys.cycles, keys.events, keys.assignments, keys.dead_letters, keys.commands)
        streams = dict.fromkeys(names, "stream")
        wanted = streams | dict.fromkeys((keys.aliases, keys.names, keys.erased, *map(keys.gids, cameras)), "hash")
        with self._client.pipeline(transaction=False) as pipe:
            for key in wanted:
                pipe.type(key)
            types = [name.decode() for name in pipe.execute()]
        return [
            UnusableKey(key, "type", found)
            for key, found in zip(wanted, types, strict=True)
            if found not in ("none", wanted[key])
        ]

    def gids(self, cameras: Iterable[str]) -> tuple[dict[Track, int], list[Command]]:
        """The global-ID map, and the commands that remove what is not part of it."""
        found: dict[Track, int] = {}
        removals: list[Command] = []
        cameras = list(cameras)
        with self._client.pipeline(transaction=False) as pipe:
            for camera in cameras:
                pipe.hgetall(self._keys.gids(camera))
            answers = pipe.execute()
        for camera, answer in zip(cameras, answers, strict=True):
            key = self._keys.gids(camera)
            for track_id, gid in answer.items():
                numbers = _number(track_id), _number(gid)
                # A second spelling of a number is another field.
                if None in numbers or numbers[1] == 0 or track_id != str(numbers[0]).encode():
                    removals.append(["HDEL", key, track_id])
                else:
                    found[camera, int(track_id)] = int(gid)
        return found, removals

    def highest_gid_of_workers(self) -> int:
        """The highest gid that a live worker has seen; 0 if none has. For a Redis that lost what was published."""
        workers = self._client.zrange(self._keys.workers, 0, -1)
        with self._client.pipeline(transaction=False) as pipe:
            for worker in workers:
                pipe.hget(self._keys.worker(worker.decode(errors="replace")), "highest_gid")
            found = pipe.execute(raise_on_error=False)
        return max((int(gid) for gid in found if isinstance(gid, bytes) and _number(gid)), default=0)

    def aliases(self) -> dict[int, int]:
        """Merged gid → surviving gid."""
        pairs = self._client.hgetall(self._keys.aliases).items()
        return {int(younger): int(older) for younger, older in pairs if _number(younger) and _number(older)}

    def names(self) -> dict[int, str]:
        """Gid → the name that an operator gave."""
        pairs = self._client.hgetall(self._keys.names).items()
        return {int(gid): name.decode(errors="replace") for gid, name in pairs if _number(gid)}

    def wrong_names(self, identities: Identities) -> list[Command]:
        """The commands that correct or remove what is in `names`, but is not the name of an identity."""
        commands: list[Command] = []
        for gid, found in self._client.hgetall(self._keys.names).items():
            number = _number(gid)
            is_gid = number is not None and gid == str(number).encode() and number in identities
            name = identities[number].name if number is not None and is_gid else ""
            if name.encode() != found:
                commands.append(["HSET", self._keys.names, gid, name] if name else ["HDEL", self._keys.names, gid])
        return commands

    def gids_since(self, tick: int) -> dict[Track, int]:
        """The last gid of every track whose gid was published at `tick` or later."""
        found: dict[Track, int] = {}
        before = "+"
        while True:
            entries = self._client.xrevrange(self._keys.assignments, max=before, count=_READ_AT_ONCE)
            for _, fields in entries:
                change = _change(fields)
                if change is None:
                    continue
                at, track, gid = change
                if at < tick:
                    return found
                if gid:
                    found.setdefault(track, gid)
            if len(entries) < _READ_AT_ONCE:
                return found
            before = f"({entries[-1][0].decode()}"


def _change(fields: Mapping[bytes, bytes]) -> tuple[int, Track, int] | None:
    tick, track_id, gid = (_number(fields.get(name, b"")) for name in (b"tick", b"track_id", b"gid"))
    if tick is None or track_id is None or gid is None:
        return None
    return tick, (fields.get(b"camera", b"").decode(errors="replace"), track_id), gid


def _number(text: bytes) -> int | None:
    """A number from 0 to below `NUMBERS_END`; None if it is something else."""
    number = whole(text)
    return number if number is not None and 0 <= number < NUMBERS_END else None
