"""The loop of a replay: runs every tick of a recording through an aggregator, in this process or elsewhere."""

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
_NO_AGGREGATOR_S = 3.0


class InProcess:
    """An aggregator that runs inside the replay, and the wall time of each of its steps in seconds."""

    def __init__(self, aggregator: Service) -> None:
        self._aggregator = aggregator
        self.seconds: list[float] = []

    def catch_up(self) -> None:
        """Run one step without measuring it, because the aggregator may have to acquire its role first."""
        # On a busy machine its lease may have expired; the next step acquires it again.
        with contextlib.suppress(LeaseLost):
            self._aggregator.step()

    def handle_tick(self) -> None:
        """Run one step for a tick that was just published, and measure it."""
        began = time.perf_counter()
        self.catch_up()
        self.seconds.append(time.perf_counter() - began)


@dataclass(frozen=True)
class Watcher:
    """Callbacks of a replay."""

    progress: Callable[[int, int], None] = lambda done, total: None
    """Called with the number of ticks done and their total number."""
    no_aggregator: Callable[[], None] = lambda: None
    """Called once if there is no aggregator after three seconds of waiting."""


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
    """Play all ticks, each after the aggregator has handled the one before.

    Args:
        player: publishes the ticks.
        recording: the recording to play.
        published: reads the aggregator's results.
        aggregator: an aggregator in this process; None: wait for one that runs elsewhere.
        pace: limits the speed; None: as fast as possible.
        stop: ends the replay early when set.
        copy: a new recording to which every played entry is added.
        watcher: callbacks for progress.

    Returns:
        The number of ticks played.

    Raises:
        LeaseLost: another process has taken over a role.
        RedisError: the connection failed; a replay cannot be resumed.
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
            if copy is not None:
                copy.add_commands(tick, player.commands(tick))
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
    """Start a tick as soon as the gate allows it; False if `stop` was set first."""
    began, warned = time.monotonic(), False
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
        if not warned and time.monotonic() - began > _NO_AGGREGATOR_S and not player.has_aggregator():
            watcher.no_aggregator()
            warned = True
    return False


def _stopped_while_waiting(pace: Pace, stop: threading.Event) -> bool:
    wait = pace.due_in_s()
    return stop.wait(wait) if wait > 0 else stop.is_set()
