"""Reads `tracks:*` in order, hands entries to cycles, and continues from cursors after a restart."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from redis.exceptions import NoScriptError, ResponseError

from shared.errors import MessageError
from shared.gate import Gate, Handled
from shared.keys import Keys
from shared.messages import TrackEntry
from shared.redis_connection import Client

if TYPE_CHECKING:
    from services.aggregator.operators import CommandReader

_log = structlog.get_logger()
START = "0-0"
_READ_AT_ONCE = 200
FOREIGN_ID = 2**53
"""Ids are Redis time in ms. A larger one is from another program."""
NEVER = 2**63
"""A tick after all ticks."""


@dataclass(frozen=True)
class Gap:
    """Entries of a camera that were trimmed, or lost by Redis, before they were read."""

    camera: str
    after_seq: int
    next_seq: int


@dataclass(frozen=True)
class DeadLetter:
    """An entry that cannot be decoded."""

    stream: str
    entry_id: str
    reason: str


@dataclass(frozen=True)
class Received:
    """One entry; `entry` is None for a dead letter."""

    entry_id: str
    tick: int
    seq: int | None
    """Number of this entry, or of the last one before it with a known number; None: not known yet."""
    entry: TrackEntry | None
    gap: Gap | None = None
    dead: DeadLetter | None = None


@dataclass(frozen=True)
class Taken:
    """The input of a cycle."""

    entries: list[TrackEntry]
    """Sorted by (tick, index of the camera); entries of one camera stay in the order of its stream."""
    cursors: dict[str, str]
    """Camera → id of the last entry."""
    gaps: list[Gap]
    dead_letters: list[DeadLetter]


class TrackReader:
    """Reads the streams of all cameras of a site, each from its cursor."""

    def __init__(self, client: Client, keys: Keys, cameras: Iterable[str], gate: Gate, commands: CommandReader) -> None:
        """`commands` gets what operators ask for, read in the same transaction."""
        self._client, self._keys, self._gate, self._commands = client, keys, gate, commands
        self._camera_of = {keys.tracks(camera).encode(): camera for camera in cameras}
        self._waiting: dict[str, deque[Received]] = {camera: deque() for camera in self._camera_of.values()}
        self._read_upto = dict.fromkeys(self._waiting, START)
        self._ticks_cursor = "$"
        self.last_seq: dict[str, int] = {}
        """Camera → number of the last entry that was handed out."""
        self._clock_tick = 0
        """The highest tick of the clock that is known."""
        self.unread_ticks = 0
        """Number of ticks that the cameras have handled but whose entries are not read yet."""

    def start_at(self, cursors: Mapping[str, str], last_seq: Mapping[str, int]) -> None:
        """Continues reading after the entry ids `cursors`, and discards everything read so far."""
        self._read_upto = {camera: cursors.get(camera, START) for camera in self._waiting}
        self._waiting = {camera: deque() for camera in self._waiting}
        self.last_seq = dict(last_seq)

    def read(self) -> tuple[Handled, int]:
        """Reads the entries that have arrived and how far the cameras are; `upto` is limited to what was read.

        The second value is the tick of the newest committed cycle, 0 if there is none.

        Raises:
            RedisError: Redis is unreachable.
        """
        try:
            handled, answer, newest, commands = self._ask()
        except NoScriptError:
            self._gate.load_handled()
            handled, answer, newest, commands = self._ask()
        if not isinstance(commands, ResponseError):  # another program has overwritten the stream
            self._commands.accept(commands)
        progress = Handled.parse(handled)
        upto = progress.upto
        self._clock_tick = max(self._clock_tick, progress.tick)
        self._take_all(answer, self._clock_tick)
        for key, entries in answer:
            camera = self._camera_of[key]
            if len(entries) == _READ_AT_ONCE and self._waiting[camera]:
                upto = min(upto, self._waiting[camera][-1].tick)
        self.unread_ticks = progress.upto - upto
        return Handled(upto, progress.tick, progress.time_ns), newest_number(newest)

    def _ask(self) -> list[Any]:
        streams = self._positions()
        with self._client.pipeline(transaction=True) as pipe:
            self._gate.queue_handled(pipe, by_hash=True)
            pipe.xread(streams, count=_READ_AT_ONCE)
            pipe.xrevrange(self._keys.cycles, count=1)
            self._commands.ask(pipe)
            *answers, commands = pipe.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [*answers, commands]

    def _positions(self) -> dict[bytes, str]:
        """Key → id of the last entry read; of a site without cameras, of one in which nothing is new."""
        positions = {key: self._read_upto[camera] for key, camera in self._camera_of.items()}
        return positions or {self._keys.ticks.encode(): "$"}  # XREAD needs a key

    def read_more(self) -> bool:
        """Reads the entries that have arrived, without checking how far the cameras are; False if there were none."""
        answer = self._client.xread(self._positions(), count=_READ_AT_ONCE)
        self._take_all(answer, NEVER)
        return bool(answer)

    def has_read(self, cursors: Mapping[str, str]) -> bool:
        """Whether everything up to the entry ids `cursors` was read."""
        return all(
            entry_order(self._read_upto.get(camera, START)) >= entry_order(last) for camera, last in cursors.items()
        )

    def wait(self, timeout_s: float) -> None:
        """Waits until an entry arrives or the clock ticks, up to `timeout_s`."""
        streams = {key: self._read_upto[camera] for key, camera in self._camera_of.items()}
        streams[self._keys.ticks.encode()] = self._ticks_cursor
        answer = self._client.xread(streams, count=1, block=max(1, round(timeout_s * 1000)))
        for key, entries in answer:
            if key == self._keys.ticks.encode():
                self._ticks_cursor = entries[-1][0].decode()

    def first_tick(self) -> int | None:
        """The lowest tick among the next unused entries of all cameras; None if there are none."""
        return min((queue[0].tick for queue in self._waiting.values() if queue), default=None)

    def take_upto(self, tick: int) -> Taken:
        """Removes and returns the entries up to `tick`."""
        return self._hand_out(lambda _, received: received.tick <= tick)

    def take_exactly(self, tick: int, cursors: Mapping[str, str]) -> Taken:
        """The entries that `take_upto(tick)` returned together with these `cursors`, if they still exist."""
        last = {camera: entry_order(entry_id) for camera, entry_id in cursors.items()}
        return self._hand_out(
            lambda camera, received: camera in last and entry_order(received.entry_id) <= last[camera], tick
        )

    def _hand_out(self, wanted: Callable[[str, Received], bool], upto: int = NEVER) -> Taken:
        """Those of the next entries that are `wanted`; of those after the tick `upto`, only the cursor."""
        taken: list[tuple[int, int, Received]] = []
        cursors: dict[str, str] = {}
        for index, (camera, queue) in enumerate(self._waiting.items()):
            while queue and wanted(camera, queue[0]):
                received = queue.popleft()
                cursors[camera] = received.entry_id
                if received.seq is not None:
                    self.last_seq[camera] = received.seq
                taken.append((received.tick, index, received))
        taken.sort(key=lambda item: item[:2])
        return Taken(
            [received.entry for _, _, received in taken if received.entry and received.tick <= upto],
            cursors,
            [received.gap for _, _, received in taken if received.gap],
            [received.dead for _, _, received in taken if received.dead],
        )

    def _take_all(
        self, answer: Iterable[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]], clock_tick: int
    ) -> None:
        for key, entries in answer:
            for entry_id, fields in entries:
                # Nothing can follow such an id; the clock deletes the stream, and the cursor stays where it can go on.
                if entry_order(entry_id.decode())[0] < FOREIGN_ID:
                    self._take(self._camera_of[key], entry_id.decode(), fields, clock_tick)

    def _take(self, camera: str, entry_id: str, fields: Mapping[bytes, bytes], clock_tick: int) -> None:
        self._read_upto[camera] = entry_id
        queue = self._waiting[camera]
        before = queue[-1].seq if queue else self.last_seq.get(camera)
        try:
            entry = TrackEntry.decode(fields)
            if entry.camera != camera:
                raise MessageError(f"an entry of camera {entry.camera} is in the stream of {camera}")
            if entry.tick > clock_tick:
                raise MessageError(f"its tick {entry.tick} is in the future: the clock is at {clock_tick}")
        except MessageError as error:
            _log.warning("skipped an entry that cannot be decoded", camera=camera, entry=entry_id, reason=str(error))
            dead = DeadLetter(self._keys.tracks(camera), entry_id, str(error))
            # It stays in the queue, so that the cursor moves past it. It counts as the next number only if its own
            # `seq` says so: an entry of a foreign writer is not part of the numbering.
            due = before is not None and fields.get(b"seq") == str(before + 1).encode()
            seq = before + 1 if before is not None and due else before
            queue.append(Received(entry_id, queue[-1].tick if queue else 0, seq, None, dead=dead))
            return
        gap = None
        if before is not None and entry.seq != before + 1:
            _log.warning("entries are missing", camera=camera, after_seq=before, next_seq=entry.seq)
            gap = Gap(camera, before, entry.seq)
        queue.append(Received(entry_id, entry.tick, entry.seq, entry, gap))


def newest_number(newest: Sequence[tuple[bytes, Any]]) -> int:
    """The first part of a stream's newest id (tick of a cycle, number of an event) from XREVRANGE; 0 if empty."""
    return entry_order(newest[0][0].decode())[0] if newest else 0


def entry_order(entry_id: str) -> tuple[int, int]:
    """A stream id as two numbers, which sort in the same order as Redis sorts ids."""
    ms, _, number = entry_id.partition("-")
    return int(ms), int(number or 0)
