"""A video file as a camera: returns the frame nearest to a requested time, at any request rate."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import structlog

from shared.backoff import Backoff
from vision.video.source import Frame, SourceState, ThreadedSource
from vision.video.video_file import DEFAULT_FPS, VideoFile, nearest_frame, plausible_fps

log = structlog.get_logger()

LATEST_S = 1.0  # a frame later than this is stale
STARVED_S = 0.5
"""A decoder slower than real time never reaches the requested frame; it shows the frame it has got to this often."""
_LENGTH = re.compile(r"(?P<frames>\d+) (?P<bytes>\d+)")
SEEK_FROM_FRAMES = 250
"""Frames nearer than this are reached by decoding instead of seeking.

x264's default key frame interval; within one interval a seek saves nothing.
"""


def next_needed(position: int, asked_s: float, interval_s: float | None, fps: float) -> int:
    """The first frame at or after `position` that a request would return, in frames since the origin.

    Requests are expected at `asked_s` (seconds since the origin) and every `interval_s` seconds after it. Without an
    interval, every frame from the one nearest to `asked_s` on may be needed.
    """
    wanted = nearest_frame(asked_s, fps)
    if position <= wanted:
        return wanted
    if interval_s is None:
        return position
    step = max(0, math.floor(((position - 1) / fps - asked_s) / interval_s))
    while (needed := nearest_frame(asked_s + step * interval_s, fps)) < position:
        step += 1
    return needed


@dataclass(frozen=True)
class _Decoded:
    position: int
    """Frames since the origin, over all loops."""
    frame: Frame


class FileSource(ThreadedSource):
    """Reads a few frames ahead on a thread, and seeks when requests jump.

    Positions count frames since the origin over all loops: frame `i` of loop `l` is at `l * frame_count + i`, so the
    file's duration is `frame_count / fps` and frames stay evenly spaced where a loop begins. The frame count is
    determined by reaching the end, because containers may not contain it.
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
        backoff: Backoff | None = None,
    ) -> None:
        """Start decoding.

        `fps` overrides the container's frame rate. `interval_s` is the media time between two requests, in seconds, if
        they are regular. `known_length` is `length` as a previous reader of the file found it, so that the end need
        not be searched again.
        """
        super().__init__(camera, str(path), backoff)
        self._path, self._origin_ns, self._looping = path, origin_ns, loop
        self._given_fps, self._interval_s = fps, interval_s
        self._buffer_frames, self._decoder_threads = buffer_frames, decoder_threads
        self._fps: float | None = None
        self._count: int | None = None
        self._bytes = 0
        self._known_length = known_length
        self._loop = 0
        self._asked_s = 0.0
        self._asked = False  # before the first request, any frame may be needed
        self._buffer: deque[_Decoded] = deque()
        self._handed: _Decoded | None = None
        self._late: _Decoded | None = None  # decoded after its time had passed
        self._kept_at_s = time.monotonic()
        self._thread.start()

    @property
    def fps(self) -> float | None:
        """Frames per second of media time; None until the file is open."""
        return self._fps

    @property
    def frame_count(self) -> int | None:
        """Frames in the file; None until its end has been reached once."""
        return self._count

    @property
    def length(self) -> str | None:
        """`"FRAMES BYTES"` of the file; None until its end has been reached once."""
        return None if self._count is None else f"{self._count} {self._bytes}"

    def frame_at(self, media_time_s: float, wait_s: float | None) -> Frame | None:
        """The frame nearest to `media_time_s` (seconds since the origin, over all loops).

        Repeated requests for the same frame return the same object. Waits for the frame at most `wait_s` seconds
        (None: no limit). On timeout, returns the newest decoded frame if it was not returned before and is at most
        `LATEST_S` late, else None. Returns None immediately while the file cannot be read. Requesting a time more than
        half a frame past the end of a file that does not loop returns None and changes the state to `ENDED`.
        """
        with self._changed:
            self._asked_s, self._asked = media_time_s, True
            self._changed.notify_all()
            self._changed.wait_for(self._decided, wait_s)
            if self._handed is None or self._handed.position != self._wanted():
                if self._late is None or self._state is not SourceState.LIVE:
                    return None
                self._handed, self._late = self._late, None
            return None if self._closed or self._state is SourceState.ENDED else self._handed.frame

    def _wanted(self) -> int:
        return nearest_frame(self._asked_s, self._fps or DEFAULT_FPS)

    def _decided(self) -> bool:
        """Take the wanted frame from the buffer if it is there; whether to stop waiting. Lock held."""
        if self._closed or self._state is SourceState.ENDED:
            return True
        if self._fps is None:
            return self._state is SourceState.DOWN
        wanted = self._wanted()
        while self._buffer and self._buffer[0].position < wanted:
            self._dropped += self._late is not None
            self._late = self._buffer.popleft()
            self._changed.notify_all()
        newest = self._handed.position if self._handed is not None else -1
        if (
            self._late is not None
            and not max(newest + 1, wanted - LATEST_S * self._fps) <= self._late.position <= wanted
        ):
            self._late = None
            self._dropped += 1
        if self._buffer and self._buffer[0].position == wanted:
            self._dropped += self._late is not None
            self._handed, self._late = self._buffer.popleft(), None
            self._changed.notify_all()
        return (self._handed is not None and self._handed.position == wanted) or self._state is SourceState.DOWN

    def _play(self) -> None:
        video = VideoFile(self._path, self._camera, self._decoder_threads)
        try:
            self._start(video)
            while (position := self._next_position(video)) is not None:
                self._step(video, position)
        finally:
            video.release()

    def _start(self, video: VideoFile) -> None:
        fps = self._given_fps or video.container_fps
        if not plausible_fps(fps):
            log.warning(
                "file has no plausible frame rate; set the camera's 'fps'",
                camera=self._camera,
                path=self._name,
                claims=fps,
                used=DEFAULT_FPS,
            )
            fps = DEFAULT_FPS
        with self._changed:
            # After a failure this may be a different file of the same name, so forget everything about the old one.
            self._fps, self._count, self._loop, self._handed = fps, self._previous_count(), 0, None
            self._dropped += len(self._buffer)
            self._buffer.clear()
            self._changed.notify_all()

    def _previous_count(self) -> int | None:
        """The frame count that a previous reader found, if the file still has the same size. Used only once."""
        known, self._known_length = self._known_length, None
        with contextlib.suppress(OSError):
            self._bytes = self._path.stat().st_size
        match = _LENGTH.fullmatch(known or "")
        return int(match["frames"]) if match and int(match["bytes"]) == self._bytes else None

    def _position(self, video: VideoFile) -> int:
        return self._loop * (self._count or 0) + video.next_index

    def _next_position(self, video: VideoFile) -> int | None:
        """Wait until another frame is needed and the buffer has room; its position, or None once closed or ended."""
        while True:
            with self._changed:
                if self._closed:
                    return None
                wanted, position = self._wanted(), self._position(video)
                have = [decoded.position for decoded in self._buffer]
                if self._handed is not None:
                    have.append(self._handed.position)
                if wanted < position and wanted not in have:  # request for an earlier time, or for a skipped frame
                    self._dropped += len(self._buffer)
                    self._buffer.clear()
                    return wanted
                interval_s = self._interval_s if self._asked else None
                needed = next_needed(position, self._asked_s, interval_s, self._fps or DEFAULT_FPS)
                past_end = not self._looping and self._count is not None
                if not (past_end and wanted >= (self._count or 0)):
                    if len(self._buffer) < self._buffer_frames and not (past_end and needed >= (self._count or 0)):
                        return needed
                    self._changed.wait()
                    continue
            self._enter(SourceState.ENDED)
            return None

    def _step(self, video: VideoFile, needed: int) -> None:
        """Decode one frame towards position `needed`; buffer it if it is that frame."""
        self._approach(video, needed)
        position = self._position(video)
        if not video.grab():
            self._reach_end(video, video.next_index)
            return
        starved = self._asked and time.monotonic() - self._kept_at_s > STARVED_S
        if position != needed and not starved:
            return
        image = video.retrieve()
        if image is None:
            self._reach_end(video, video.next_index - 1)
            return
        fps = self._fps or DEFAULT_FPS
        index = video.next_index - 1
        frame = Frame(image, self._origin_ns + round(position * 1_000_000_000 / fps), index, self._loop)
        with self._changed:
            self._buffer.append(_Decoded(position, frame))
            self._kept_at_s = time.monotonic()
            self._changed.notify_all()
        if self._state is not SourceState.LIVE:
            self._enter(SourceState.LIVE)

    def _approach(self, video: VideoFile, needed: int) -> None:
        """Seek or rewind if decoding from here does not reach `needed` soon. Every loop has the same frames."""
        if self._count is not None:
            loop, index = divmod(needed, self._count)
        elif video.claimed_count:
            # `needed` may be past the end; seeking to the claimed last frame is the fastest way to find the real end.
            loop, index = 0, min(needed, max(video.claimed_count - 1, video.next_index))
        else:
            loop, index = 0, needed
        if not 0 <= index - video.next_index < SEEK_FROM_FRAMES:
            sought = index > 0 and video.seek(index)
            if not sought and index < video.next_index:
                video.rewind()
        self._loop = loop

    def _reach_end(self, video: VideoFile, count: int) -> None:
        if count == 0:
            raise self._unavailable(f"{self._path} has no frame that can be decoded; convert it, or copy it again")
        if self._count is None:
            if count < video.claimed_count:
                log.warning(
                    "file has fewer frames than its header claims",
                    camera=self._camera,
                    path=self._name,
                    frames=count,
                    claims=video.claimed_count,
                )
            with self._changed:
                self._count = count
                self._changed.notify_all()
        elif count < self._count:
            raise self._unavailable(f"{self._path} ends early, at frame {count} of {self._count}; was it changed?")
