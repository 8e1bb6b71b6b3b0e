"""The loop of a replay: every tick of a recording through an aggregator, its own or one that runs elsewhere."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from recording.playing import Pace, Player, ticks_of
from recording.published import PublishedReader
from recording.reading import Recording
from recording.writing import RecordingWriter
from shared.errors import LeaseLost
from shared.service import Service

_READ_EVERY_TICKS = 50
_LONELY_S = 3.0


class InProcess:
    """An aggregator that is stepped by the replay itself, and the wall time of each of its steps."""

    def __init__(self, aggregator: Service) -> None:
        self._aggregator = aggregator
        self.seconds: list[float] = []

    def catch_up(self) -> None:
        """Handles what is there, unmeasured: it may have to take over first."""
        # On a machine that was busy with something else its lease has merely run out: the next step takes it anew.
        with contextlib.suppress(LeaseLost):
            self._aggregator.step()

    def handle_tick(self) -> None:
        """Handles a tick that has just been fed."""
        began = time.perf_counter()
        self.catch_up()
        self.seconds.append(time.perf_counter() - began)


@dataclass(frozen=True)
class Watcher:
    """Whom a replay tells how it goes."""

    progress: Callable[[int, int], None] = lambda done, total: None
    """Ticks done, and their number."""
    lonely: Callable[[], None] = lambda: None
    """No aggregator has come for three seconds."""


def play(
    player: Player,
    recording: Recording,
    published: PublishedReader,
    *,
    aggregator: InProcess | None = None,
    pace: Pace | None = None,
    stop: threading.Event | None = None,
    copy: RecordingWriter | None = None,
    watcher: Watcher | None = None,
) -> int:
    """Plays all ticks, each once the aggregator has handled the one before; how many were played before `stop`.

    Without `aggregator` one that runs elsewhere is waited for. `copy` takes every entry that was played.

    Raises:
        LeaseLost: somebody else took a role over.
        RedisError: Redis is away; a replay cannot be resumed.
    """
    watcher, stop = watcher or Watcher(), stop or threading.Event()
    total = recording.last_tick - recording.first_tick + 1
    done = 0
    player.begin()
    try:
        for tick, entries in ticks_of(recording):
            if (pace is not None and _stopped_while_waiting(pace, stop)) or not _begin(
                player, tick, aggregator, stop, watcher
            ):
                break
            player.feed(tick, entries)
            if pace is not None:
                pace.ticked()
            if aggregator is not None:
                aggregator.handle_tick()
            for entry in entries if copy is not None else ():
                if entry is not None and copy is not None:
                    copy.add(entry)
            done += 1
            if done % _READ_EVERY_TICKS == 0:
                published.read()
                watcher.progress(done, total)
        last = recording.first_tick + done - 1
        while done and not player.wait_for_aggregator(last) and not stop.is_set():
            if aggregator is not None:
                aggregator.catch_up()
        published.read()
        watcher.progress(done, total)
    finally:
        player.close()
    return done


def _begin(player: Player, tick: int, aggregator: InProcess | None, stop: threading.Event, watcher: Watcher) -> bool:
    """Begins a tick once it may begin; whether it did, or `stop` came first."""
    began, told = time.monotonic(), False
    if player.advance(tick):
        return not stop.is_set()
    while not stop.is_set():
        if aggregator is not None:
            aggregator.catch_up()
            if player.advance(tick):
                return True
            continue
        if player.wait(tick):
            return True
        if not told and time.monotonic() - began > _LONELY_S and not player.has_aggregator():
            watcher.lonely()
            told = True
    return False


def _stopped_while_waiting(pace: Pace, stop: threading.Event) -> bool:
    wait = pace.due_in_s()
    return stop.wait(wait) if wait > 0 else stop.is_set()
