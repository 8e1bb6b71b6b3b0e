"""A video file as a camera: returns the picture nearest to a requested time, at any request rate."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from shared.backoff import Backoff
from vision.video.decoding import Converter
from vision.video.picture_health import PictureHealth
from vision.video.source import Frame, SourceState, ThreadedSource
from vision.video.video_file import GAP_INTERVALS, GAP_S, Picture, VideoFile

log = structlog.get_logger()

LATEST_S = 1.0  # a picture later than this is stale
STARVED_S = 0.5
"""A decoder slower than real time never reaches the requested picture; it shows the one it has got to this often."""
SEEK_FROM_S = 10.0
"""Pictures nearer than this are reached by decoding instead of seeking.

x264's default key frame interval is 250 pictures; within one interval a seek saves nothing.
"""
_LENGTH = re.compile(r"(?P<seconds>\d+\.\d+)s (?P<bytes>\d+)")
_LENGTH_TOLERANCE_S = 0.5
_TIE_S = 1e-6
"""Halfway between two pictures the earlier one is shown, despite binary fractions."""


def is_needed(from_s: float, to_s: float, asked_s: float, interval_s: float | None) -> bool:
    """Whether a request falls into `(from_s, to_s]`.

    Requests are expected at `asked_s` and every `interval_s` seconds after it; without an interval, at any time from
    `asked_s` on.
    """
    if interval_s is None or from_s < asked_s:
        return to_s >= asked_s
    step = math.floor((from_s - asked_s) / interval_s + 1e-9) + 1
    return asked_s + step * interval_s <= to_s


@dataclass(frozen=True)
class _Span:
    """The times at which one picture, or none, is shown: `(from_s, to_s]`, in media time over all loops."""

    from_s: float
    to_s: float
    frame: Frame | None


class FileSource(ThreadedSource):
    """Reads a few pictures ahead on a thread, and seeks when requests jump.

    Every picture is shown from halfway after the one before to halfway before the next, so the picture of a request is
    the one with the nearest time stamp; in a gap nothing is shown. Positions are media time over all loops: a picture
    at `t` of loop `l` is at `l * duration + t`. The duration, to the end of the last picture, is determined by reaching
    the end, because headers may be wrong.
    """

    def __init__(
        self,
        path: Path,
        *,
        camera: str,
        origin_ns: int = 0,
        loop: bool = False,
        fps: float | None = None,
        interval_s: float | None = None,
        known_length: str | None = None,
        buffer_frames: int = 4,
        decoder_threads: int = 1,
        hwaccel: str = "none",
        backoff: Backoff | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        """Start decoding.

        `fps` is that of `VideoFile`. `interval_s` is the media time between two requests, in seconds, if they are
        regular. `known_length` is `length` as a previous reader of the file found it, so that the end need not be
        searched again. `secrets` are parts of the path that appear in no log or error.
        """
        # What does not move in a file was recorded so.
        super().__init__(camera, str(path), backoff, PictureHealth(freeze_s=0), secrets)
        self._path, self._origin_ns, self._looping = path, origin_ns, loop
        self._given_fps, self._interval_s = fps, interval_s
        self._buffer_frames, self._decoder_threads, self._hwaccel = buffer_frames, decoder_threads, hwaccel
        self._fps: float | None = None
        self._duration_s: float | None = None
        self._bytes = 0
        self._known_length = known_length
        self._asked_s = 0.0
        self._asked = False  # before the first request, any picture may be needed
        self._buffer: deque[_Span] = deque()
        self._shown: _Span | None = None
        self._late: _Span | None = None  # decoded after its time had passed
        self._kept_at_s = time.monotonic()
        self._end_s: float | None = None  # until when the last picture is shown; None until it is known
        # Used by the decoding thread only:
        self._converter = Converter()
        self._loop = 0
        self._pending: Picture | None = None  # decoded, but the time of the next one tells how long it is shown
        self._from_s: float | None = None  # where its span begins; None after a jump
        self._heading_s = 0.0  # the position to which the last jump leads
        self._at_end = False
        self._thread.start()

    @property
    def fps(self) -> float | None:
        """Average pictures per second of media time; None until the file is open."""
        return self._fps

    @property
    def duration_s(self) -> float | None:
        """Duration of the file in seconds; None until its end has been reached once."""
        return self._duration_s

    @property
    def length(self) -> str | None:
        """`"SECONDSs BYTES"` of the file; None until its end has been reached once."""
        return None if self._duration_s is None else f"{self._duration_s:.9f}s {self._bytes}"

    def frame_at(self, media_time_s: float, wait_s: float | None) -> Frame | None:
        """The picture nearest to `media_time_s` (seconds since the origin, over all loops).

        Repeated requests for the same picture return the same object. Waits for the picture at most `wait_s` seconds
        (None: no limit). On timeout, returns the newest decoded picture if it was not returned before and is at most
        `LATEST_S` late, else None. Returns None immediately in a gap, and while the file cannot be read. Requesting a
        time past the end of a file that does not loop returns None and changes the state to `ENDED`.
        """
        with self._changed:
            self._asked_s, self._asked = max(0.0, media_time_s), True
            self._changed.notify_all()
            self._changed.wait_for(self._decided, wait_s)
            if self._closed or self._state is SourceState.ENDED:
                return None
            if self._shown is None or not self._covers(self._shown):
                if self._late is None or self._state is not SourceState.LIVE:
                    return None
                self._shown, self._late = self._late, None
            return self._shown.frame

    def _covers(self, span: _Span) -> bool:
        return span.from_s < self._asked_s <= span.to_s

    def _decided(self) -> bool:
        """Take the wanted picture from the buffer if it is there; whether to stop waiting. Lock held."""
        if self._closed or self._state is SourceState.ENDED:
            return True
        if self._fps is None:
            return self._state is SourceState.DOWN
        while self._buffer and self._buffer[0].to_s < self._asked_s:
            passed = self._buffer.popleft()
            if passed.frame is not None:
                self._dropped += self._late is not None
                self._late = passed
            self._changed.notify_all()
        shown_to_s = self._shown.to_s if self._shown is not None else -math.inf
        if self._late is not None and not max(shown_to_s, self._asked_s - LATEST_S) < self._late.to_s < self._asked_s:
            self._late = None
            self._dropped += 1
        if self._buffer and self._covers(self._buffer[0]):
            self._dropped += self._late is not None
            self._shown, self._late = self._buffer.popleft(), None
            self._changed.notify_all()
        return (self._shown is not None and self._covers(self._shown)) or self._state is SourceState.DOWN

    # -- the decoding thread -----------------------------------------------------------------------------

    def _play(self) -> None:
        video = VideoFile(self._path, self._camera, self._decoder_threads, fps=self._given_fps, hwaccel=self._hwaccel)
        try:
            self._start(video)
            while (target_s := self._next_target()) is not None:
                self._approach(video, target_s)
                self._step(video)
        finally:
            video.close()

    def _start(self, video: VideoFile) -> None:
        if video.stated_fps is None and self._given_fps is None and not video.has_time_stamps:
            log.warning(
                "file has neither time stamps nor a plausible frame rate; set the camera's 'fps'",
                camera=self._camera,
                path=self._name,
                used=video.fps,
            )
        with self._changed:
            # After a failure this may be a different file of the same name, so forget everything about the old one.
            self._fps, self._duration_s, self._shown = video.fps, self._previous_duration_s(), None
            self._dropped += len(self._buffer)
            self._buffer.clear()
            self._changed.notify_all()
        self._end_s = None
        self._move_to(0)

    def _previous_duration_s(self) -> float | None:
        """The duration that a previous reader found, if the file still has the same size. Used only once."""
        known, self._known_length = self._known_length, None
        with contextlib.suppress(OSError):
            self._bytes = self._path.stat().st_size
        match = _LENGTH.fullmatch(known or "")
        found = float(match["seconds"]) if match and int(match["bytes"]) == self._bytes else 0.0
        return found if found > 0 else None

    def _next_target(self) -> float | None:
        """Wait until another picture is needed and the buffer has room; the position to decode towards, or None once
        closed or ended.
        """
        while True:
            with self._changed:
                if self._closed:
                    return None
                asked_s, here_s = self._asked_s, self._from_s
                spans = [*self._buffer, *([self._shown] if self._shown is not None else [])]
                if here_s is not None and asked_s <= here_s and not any(self._covers(span) for span in spans):
                    # A request for an earlier time, or for a picture that was skipped.
                    self._dropped += len(self._buffer)
                    self._buffer.clear()
                    self._from_s = None
                    return asked_s
                if not self._is_past_end(asked_s):
                    if len(self._buffer) < self._buffer_frames and not self._at_end:
                        return asked_s if here_s is None else max(asked_s, here_s)
                    self._changed.wait()
                    continue
            self._enter(SourceState.ENDED)
            return None

    def _is_past_end(self, position_s: float) -> bool:
        if self._looping or self._duration_s is None:
            return False
        return position_s >= self._duration_s or (self._end_s is not None and position_s > self._end_s)

    def _approach(self, video: VideoFile, target_s: float) -> None:
        """Seek or rewind, unless decoding on from here reaches `target_s` soon, or is the only way."""
        if self._duration_s is not None:
            loop, time_s = divmod(target_s, self._duration_s) if self._looping else (0, min(target_s, self._duration_s))
            goal_s = target_s
        else:
            loop, time_s = 0, target_s
            if video.claimed_seconds is not None:
                # `target_s` may be past the end; near the claimed end is the fastest way to find the real one.
                time_s = min(target_s, max(0.0, video.claimed_seconds - 2 / video.fps))
            goal_s = time_s
        if self._at_end:
            pass
        elif self._from_s is not None and self._from_s <= target_s:
            # A key frame may be far before the place that it leads to: do not seek to it again and again.
            reach_s = max(self._from_s, self._heading_s) + SEEK_FROM_S
            if goal_s < reach_s or (loop == self._loop and not video.seekable):
                return
        elif self._pending is None and self._loop == 0 and target_s < SEEK_FROM_S:
            return  # at the start of the file
        if not (video.seekable and time_s > SEEK_FROM_S and video.seek(time_s)):
            video.rewind()
        self._move_to(int(loop))
        self._heading_s = goal_s

    def _move_to(self, loop: int) -> None:
        """Forget what was decoded, because the next picture is one of loop `loop` that does not follow it."""
        self._loop, self._pending, self._from_s, self._at_end = loop, None, None, False
        self._heading_s = 0.0

    def _step(self, video: VideoFile) -> None:
        """Decode one picture, and buffer the one before it if it is needed."""
        picture = video.read()
        if picture is None:
            self._reach_end(video)
            return
        if self._pending is not None:
            self._finish_pending(self._pending, picture.time_s - self._pending.time_s, 1 / video.fps)
        elif self._from_s is None:
            starts_s = self._loop * (self._duration_s or 0.0) + picture.time_s
            self._from_s = -math.inf if starts_s == 0 else starts_s - 0.5 / video.fps
        self._pending = picture

    def _finish_pending(self, pending: Picture, step_s: float, interval_s: float) -> None:
        """Buffer the pending picture if it is needed, now that it is known that the next one follows `step_s` later."""
        at_s = self._loop * (self._duration_s or 0.0) + pending.time_s
        is_gap = step_s > max(GAP_S, GAP_INTERVALS * interval_s)
        to_s = at_s + (interval_s if is_gap else step_s) / 2 + _TIE_S
        assert self._from_s is not None
        interval = self._interval_s if self._asked else None
        starved = self._asked and time.monotonic() - self._kept_at_s > STARVED_S
        if starved or is_needed(self._from_s, to_s, self._asked_s, interval):
            time_ns = self._origin_ns + round(at_s * 1_000_000_000)
            frame = Frame(self._converter.image(pending.frame), time_ns, pending.number, self._loop)
            if self._health.is_due(at_s):
                self._health.look(frame.image, at_s, time_ns)
            self._keep(_Span(self._from_s, to_s, frame))
            if self._state is not SourceState.LIVE:
                self._enter(SourceState.LIVE)
        self._from_s = to_s
        if is_gap:
            self._from_s = at_s + step_s - interval_s / 2
            self._keep(_Span(to_s, self._from_s, None))

    def _keep(self, span: _Span) -> None:
        with self._changed:
            self._buffer.append(span)
            self._kept_at_s = time.monotonic()
            self._changed.notify_all()

    def _reach_end(self, video: VideoFile) -> None:
        pending, interval_s = self._pending, 1 / video.fps
        if pending is None:
            raise self._unavailable(f"{self._path} has no frame that can be decoded; convert it, or copy it again")
        duration_s = pending.time_s + interval_s
        known_s = self._duration_s
        if known_s is not None and duration_s < known_s - max(2 * interval_s, _LENGTH_TOLERANCE_S):
            raise self._unavailable(f"{self._path} ends early, at {duration_s:.1f} s of {known_s:.1f}; was it changed?")
        if known_s is None:
            if video.claimed_seconds is not None and duration_s < video.claimed_seconds - max(1.0, 2 * interval_s):
                log.warning(
                    "file is shorter than its header claims",
                    camera=self._camera,
                    path=self._name,
                    seconds=round(duration_s, 1),
                    claims=round(video.claimed_seconds, 1),
                )
            with self._changed:
                self._duration_s = duration_s
                self._changed.notify_all()
        if self._looping and pending.number == 0:
            # A single picture: starting over would end all tracks at every tick.
            self._finish_pending(pending, math.inf, math.inf)
            self._pending, self._at_end = None, True
            return
        self._finish_pending(pending, interval_s, interval_s)
        self._pending = None
        if self._looping:
            video.rewind()
            self._loop += 1
        else:
            self._end_s, self._at_end = self._from_s, True
