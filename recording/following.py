"""Records until stopped or until the site ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from recording.recorder import Recorded, Recorder
from shared.redis_connection import RETRYABLE

_log = structlog.get_logger()
_GIVE_UP_AFTER_S = 5.0
_RETRY_S = 0.2


def follow(
    recorder: Recorder,
    stop: threading.Event,
    *,
    seconds: float | None = None,
    fps: float,
    after_step: Callable[[], None] = lambda: None,
) -> Recorded:
    """Run the recorder until `stop` is set, the site ends, or `seconds` of site time are recorded; close the recording.

    A lost connection is retried for five seconds, then the recording ends. `fps` is the number of ticks per second.
    `after_step` is called after each step.
    """
    last_tick = None if seconds is None else recorder.first_tick + round(seconds * fps) - 1
    why, lost_at = "stopped on request", None
    while not stop.is_set():
        try:
            ended = recorder.step()
            lost_at = None
        except RETRYABLE as error:
            if lost_at is None:
                lost_at = time.monotonic()
                _log.warning("lost the connection to Redis, retrying", reason=str(error))
            if time.monotonic() - lost_at > _GIVE_UP_AFTER_S:
                return recorder.cut_off("lost the connection to Redis")
            stop.wait(_RETRY_S)
            continue
        after_step()
        if ended:
            why = ended
            break
        if last_tick is not None and recorder.slowest_tick >= last_tick:
            why = f"{seconds:g} seconds were recorded"
            break
    try:
        return recorder.finish(why, last_tick)
    except RETRYABLE:
        return recorder.cut_off(f"{why}, then lost the connection to Redis")
