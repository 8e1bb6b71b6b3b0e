"""Tries the address of a stream: opens it, takes the first picture, and watches it for a few seconds."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vision.video.live_source import LiveSource
from vision.video.options import SourceOptions
from vision.video.source import SourceState
from vision.video.stream_readers import StreamFacts

_SETTLE_S, _WATCH_S = 1.0, 2.0
"""How long a stream may send what it has kept back, and how long it is watched after that."""
_SLACK_S = 2.0
_LOOK_S = 0.2
LONGEST_S = SourceOptions().open_timeout_s + SourceOptions().read_timeout_s + _SLACK_S + _SETTLE_S + _WATCH_S + 1.0
"""How long a trial takes at most."""


@dataclass(frozen=True)
class Trial:
    """What became of it."""

    reason: str | None
    """Why there are no pictures, or why they ended; None: they arrive."""
    image: NDArray[np.uint8] | None = None
    """The first picture, `(height, width, 3)` uint8 BGR, read-only."""
    first_picture_s: float | None = None
    """Seconds until the first picture."""
    fps: float | None = None
    """Pictures per second that arrived; None: the stream or file was over too soon."""
    warning: str | None = None
    """What is wrong with the pictures."""
    facts: StreamFacts | None = None


def try_stream(address: str, options: SourceOptions, interval_s: float) -> Trial:
    """Tries the URL of a stream; returns within `LONGEST_S` with the default timeouts, even if the server hangs.

    `interval_s`: time between two requests of an address that serves one picture, seconds.

    Raises:
        ValueError: no kind of source can read `address`; the message contains no credentials.
    """
    began_s = time.monotonic()
    source = LiveSource(address, camera="trial", site_time_ns=time.time_ns, options=options, interval_s=interval_s)
    try:
        return _tried(source, began_s, options.open_timeout_s + options.read_timeout_s + _SLACK_S)
    finally:
        # On a thread of its own: if a read hangs, it takes almost a second.
        threading.Thread(target=source.close, name="close-trial", daemon=True).start()


def _tried(source: LiveSource, began_s: float, answer_s: float) -> Trial:
    while source.state is SourceState.STARTING and time.monotonic() < began_s + answer_s:
        source.answered.wait(_LOOK_S)
    frame = source.frame_at(0.0, 1.0) if source.state in (SourceState.LIVE, SourceState.ENDED) else None
    if frame is None:
        return Trial(source.error or f"no picture within {answer_s:.0f} s; check the camera", facts=source.facts)
    first_s = time.monotonic() - began_s
    ended = _watch(source, _SETTLE_S)[1]
    fps = None
    if not ended:
        pictures, ended = _watch(source, _WATCH_S)
        fps = pictures / _WATCH_S if source.state is SourceState.LIVE else None
    fault = source.fault
    return Trial(ended, frame.image, first_s, fps, fault.message if fault is not None else None, source.facts)


def _watch(source: LiveSource, seconds: float) -> tuple[int, str | None]:
    """The number of pictures that arrive in `seconds`, and why they ended; None: they go on, or the file is over."""
    source.frame_at(0.0, 0.0)
    until_s, before = time.monotonic() + seconds, source.dropped
    while (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(_LOOK_S, left_s))
        if source.state is not SourceState.LIVE:
            return 0, None if source.state is SourceState.ENDED else source.error or "the stream ended"
    return source.dropped - before + (source.frame_at(0.0, 0.0) is not None), None
