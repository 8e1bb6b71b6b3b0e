"""Reads `tracks:*` in order: what has arrived, what may be used, and where to go on after a restart."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from shared.errors import MessageError
from shared.gate import Gate, Handled
from shared.keys import Keys
from shared.messages import TrackEntry
from shared.redis_connection import Client

_log = structlog.get_logger()
START = "0-0"
_READ_AT_ONCE = 200
_DEAD_LETTERS_KEPT = 1000


@dataclass(frozen=True)
class Received:
    """One entry, decoded; `entry` is None for one that nobody can decode."""

    entry_id: str
    tick: int
    entry: TrackEntry | None


@dataclass(frozen=True)
class Gap:
    """Entries of a camera that were never read: they were trimmed, or lost by Redis."""

    camera: str
    after_seq: int
    next_seq: int


class TrackReader:
    """The streams of all cameras of a site, each read from its cursor on."""

    def __init__(self, client: Client, keys: Keys, cameras: Iterable[str], gate: Gate) -> None:
        self._client, self._keys, self._gate = client, keys, gate
        self._camera_of = {keys.tracks(camera).encode(): camera for camera in cameras}
        self._waiting: dict[str, deque[Received]] = {camera: deque() for camera in self._camera_of.values()}
        self._read_upto = dict.fromkeys(self._waiting, START)
        self._ticks_cursor = "$"
        self.last_seq: dict[str, int] = {}
        self.gaps: list[Gap] = []

    def start_at(self, cursors: Mapping[str, str], last_seq: Mapping[str, int]) -> None:
        """Reads on after the entry ids `cursors`; everything read so far is forgotten."""
        self._read_upto = {camera: cursors.get(camera, START) for camera in self._waiting}
        self._waiting = {camera: deque() for camera in self._waiting}
        self.last_seq = dict(last_seq)
        self.gaps = []

    def read(self) -> Handled:
        """Takes in what has arrived; `upto` of the answer is lowered to what was really read."""
        streams = {key: self._read_upto[camera] for key, camera in self._camera_of.items()}
        with self._client.pipeline(transaction=True) as pipe:
            self._gate.queue_handled(pipe)
            pipe.xread(streams, count=_READ_AT_ONCE)
            handled, answer = pipe.execute()
        progress = Handled.parse(handled)
        upto = progress.upto
        self._take_all(answer)
        for key, entries in answer:
            camera = self._camera_of[key]
            if len(entries) == _READ_AT_ONCE and self._waiting[camera]:
                upto = min(upto, self._waiting[camera][-1].tick)
        return Handled(upto, progress.tick, progress.time_ns)

    def read_more(self) -> bool:
        """Takes in what has arrived, without asking how far the cameras are; whether there was anything."""
        streams = {key: self._read_upto[camera] for key, camera in self._camera_of.items()}
        answer = self._client.xread(streams, count=_READ_AT_ONCE)
        self._take_all(answer)
        return bool(answer)

    def wait(self, timeout_s: float) -> None:
        """Blocks until something arrives or the clock ticks."""
        streams = {key: self._read_upto[camera] for key, camera in self._camera_of.items()}
        streams[self._keys.ticks.encode()] = self._ticks_cursor
        answer = self._client.xread(streams, count=1, block=max(1, round(timeout_s * 1000)))
        for key, entries in answer:
            if key == self._keys.ticks.encode():
                self._ticks_cursor = entries[-1][0].decode()

    def ticks_upto(self, upto: int) -> list[int]:
        """The ticks, up to `upto`, of the entries that wait to be used."""
        return sorted(
            {received.tick for queue in self._waiting.values() for received in queue if received.tick <= upto}
        )

    def take_upto(self, tick: int) -> tuple[list[TrackEntry], dict[str, str]]:
        """Hands out the entries up to `tick`, sorted by (tick, camera in order), and the id of the last of each camera.

        A camera's entries are handed out in the order of its stream.
        """
        taken: list[tuple[int, int, TrackEntry]] = []
        cursors: dict[str, str] = {}
        for index, (camera, queue) in enumerate(self._waiting.items()):
            while queue and queue[0].tick <= tick:
                received = queue.popleft()
                cursors[camera] = received.entry_id
                if received.entry is not None:
                    taken.append((received.tick, index, received.entry))
                    self.last_seq[camera] = received.entry.seq
        taken.sort(key=lambda item: item[:2])
        return [entry for _, _, entry in taken], cursors

    def take_exactly(self, cursors: Mapping[str, str]) -> list[TrackEntry]:
        """What `take_upto` handed out when it returned these `cursors`, as far as it is still there."""
        taken: list[tuple[int, int, TrackEntry]] = []
        for index, (camera, queue) in enumerate(self._waiting.items()):
            if camera not in cursors:
                continue
            last = entry_order(cursors[camera])
            while queue and entry_order(queue[0].entry_id) <= last:
                received = queue.popleft()
                if received.entry is not None:
                    taken.append((received.tick, index, received.entry))
                    self.last_seq[camera] = received.entry.seq
        taken.sort(key=lambda item: item[:2])
        return [entry for _, _, entry in taken]

    def _take_all(self, answer: Iterable[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]) -> None:
        for key, entries in answer:
            for entry_id, fields in entries:
                self._take(self._camera_of[key], entry_id.decode(), fields)

    def _take(self, camera: str, entry_id: str, fields: Mapping[bytes, bytes]) -> None:
        self._read_upto[camera] = entry_id
        queue = self._waiting[camera]
        try:
            entry = TrackEntry.decode(fields)
            if entry.camera != camera:
                raise MessageError(f"the entry of camera {entry.camera} stands in the stream of {camera}")
        except MessageError as error:
            _log.warning("an entry cannot be decoded", camera=camera, entry=entry_id, reason=str(error))
            letter = {"stream": self._keys.tracks(camera), "entry": entry_id, "reason": str(error)}
            self._client.xadd(self._keys.dead_letters, letter, maxlen=_DEAD_LETTERS_KEPT, approximate=True)
            # It is passed over together with its neighbours, so that the cursor moves on.
            queue.append(Received(entry_id, queue[-1].tick if queue else 0, None))
            return
        before = queue[-1].entry.seq if queue and queue[-1].entry else self.last_seq.get(camera)
        if before is not None and entry.seq != before + 1:
            _log.warning("entries are missing", camera=camera, after_seq=before, next_seq=entry.seq)
            self.gaps.append(Gap(camera, before, entry.seq))
        queue.append(Received(entry_id, entry.tick, entry))


def entry_order(entry_id: str) -> tuple[int, int]:
    """A stream id as numbers that compare as Redis compares ids."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)
