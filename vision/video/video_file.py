"""A video file: its pictures in the order of their time stamps."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import structlog
from av.video.stream import VideoStream
from numpy.typing import NDArray

from shared.errors import SourceUnavailable
from vision.video.address import file_problem
from vision.video.decoding import NoVideo, VideoInput

log = structlog.get_logger()

DEFAULT_FPS = 25.0
"""Of files that state no rate; FFmpeg assumes the same."""
MAX_FPS = 1000.0  # a container that claims more reports a time base, not a frame rate
JUMP_S = 10.0
"""A larger step forward is a jump of the clock in formats where it may jump (MPEG-TS); FFmpeg has the same limit."""
BACK_S = 1.0
"""A larger step back is a jump of the clock; a smaller one is a wrong time stamp."""
GAP_S = 1.0
GAP_INTERVALS = 5
"""Between two pictures that are further apart than both, the file has a gap, in which nothing is seen."""
_SMALLEST_STEP_S = 0.001
_SEEK_EARLIER_S = (0.0, 2.0, 10.0)
"""How much earlier to ask if the container lands after the wanted time."""
_RECENT = 31
"""The number of intervals whose median is the present one."""
_FORMATS_IN_DECODING_ORDER = ("avi",)
"""They have no presentation times, and those that FFmpeg computes are wrong with B-frames. Decoding times are right."""


@dataclass(frozen=True)
class Picture:
    """One decoded picture, not yet converted."""

    time_s: float
    """Media time: seconds since the first picture of the file."""
    number: int
    """How many pictures of the file come before it; after a seek, computed from the average rate."""
    frame: av.VideoFrame


@dataclass(frozen=True)
class Scan:
    """What reading through a file finds."""

    times_s: NDArray[np.float64]
    """Media time of each picture, `(n,)`, ascending."""
    is_whole: bool
    """Whether the end was reached."""
    is_continuous: bool
    """Whether the clock of the time stamps never jumps."""


def stated_rate(stream: VideoStream) -> float:
    """Average pictures per second that the container states; 0 if it states none."""
    return float(stream.average_rate or stream.base_rate or 0)


class VideoFile:
    """An open video file, for use by one thread.

    Media time is that of the time stamps, from the first picture on. Jumps of an MPEG-TS clock are taken out. Files
    without time stamps (raw H.264, images) play at a constant rate.
    """

    def __init__(
        self,
        path: Path,
        camera: str,
        decoder_threads: int = 1,
        *,
        fps: float | None = None,
        hwaccel: str = "none",
    ) -> None:
        """Open the file.

        `fps`: the rate at which to play a file that has no time stamps. Of other files, media time is scaled so that
        their average rate becomes `fps`.

        Raises:
            SourceUnavailable: the file is missing or not a video.
        """
        self._path, self._camera, self._threads, self._hwaccel = path, camera, decoder_threads, hwaccel
        self._opened_as = self._signature()
        self._input = self._open()
        stream, container = self._input.stream, self._input.container
        rate = stated_rate(stream)
        self.stated_fps = rate if 0 < rate <= MAX_FPS else None
        """Average rate that the container states, before scaling; None: none, or an implausible one."""
        flags = av.format.Flags(container.format.flags)
        self.has_time_stamps = av.format.Flags.no_timestamps not in flags
        self._clock_may_jump = av.format.Flags.ts_discont in flags
        self._decoding_order = container.format.name in _FORMATS_IN_DECODING_ORDER
        self._scale = self.stated_fps / fps if fps and self.has_time_stamps and self.stated_fps else 1.0
        self.fps = fps or self.stated_fps or DEFAULT_FPS
        """Average number of pictures per second of media time."""
        self.claimed_seconds = self._claimed_seconds()
        """Duration by the header; None if it states none. It may be wrong."""
        self._seekable: bool | None = None if self.has_time_stamps else False
        self._first_s: float | None = None
        self._begin()

    def _begin(self) -> None:
        self._packets, self._decoded = self._input.packets(), deque[av.VideoFrame]()
        self._shift_s, self._number = 0.0, 0
        self._last_s: float | None = None
        self._last_stated_s: float | None = None
        self._intervals = deque[float](maxlen=_RECENT)
        self._held: Picture | None = None

    @property
    def interval_s(self) -> float:
        """The usual time between two pictures hereabouts, in media time."""
        return sorted(self._intervals)[len(self._intervals) // 2] if self._intervals else 1 / self.fps

    @property
    def seekable(self) -> bool:
        """Whether seeking may work; what has not been tried counts as seekable."""
        return self._seekable is not False

    def read(self) -> Picture | None:
        """The next picture, or None at the end, or where a damaged file stops."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        frame = self._next_frame()
        if frame is None:
            return None
        time_s = self._media_time_s(frame)
        picture = Picture(time_s, self._number, frame)
        self._number += 1
        return picture

    def seek(self, time_s: float) -> bool:
        """Make the next picture one at or before `time_s`, near it; False if the file cannot seek there.

        On failure the file is rewound to its start.

        Raises:
            SourceUnavailable: the file cannot be reopened after a failed seek.
        """
        if self._seekable is None:
            self._seekable = not self._clock_may_jump or self.scan().is_continuous
        if not self._seekable or (self._first_s is None and self.read() is None):
            self.rewind()
            return False
        for earlier_s in _SEEK_EARLIER_S:
            self._held = self._picture_from(max(0.0, time_s - earlier_s))
            # Check the picture's own time: some containers land anywhere.
            if self._held is not None and self._held.time_s <= time_s + 1e-6:
                return True
        self._seekable = False
        log.warning("cannot seek in the file", camera=self._camera, second=round(time_s, 3))
        self.rewind()
        return False

    def _picture_from(self, time_s: float) -> Picture | None:
        """The picture at which the container lands if asked for `time_s`."""
        stream = self._input.stream
        assert stream.time_base is not None
        assert self._first_s is not None
        try:
            stamp = int((time_s / self._scale + self._first_s) / stream.time_base)
            self._input.container.seek(stamp, stream=stream, backward=True)
        except av.FFmpegError:
            return None
        self._begin()
        # Without a time stamp it is unknown where this is.
        while (frame := self._next_frame()) is not None and self._stated_s(frame) is None:
            continue
        if frame is None:
            return None
        picture = Picture(self._media_time_s(frame), 0, frame)
        number = round(picture.time_s * self.fps)
        self._number = number + 1
        return Picture(picture.time_s, number, picture.frame)

    def rewind(self) -> None:
        """Go back to the start by reopening the file, which unlike seeking to 0 works for every container.

        Raises:
            SourceUnavailable: the file is missing or not a video.
        """
        self.close()
        self._input, self._first_s = self._open(), None
        if self._signature() != self._opened_as:
            self.close()
            raise SourceUnavailable(self._camera, f"{self._path} was changed while it played; starting over with it")
        self._begin()

    def close(self) -> None:
        self._input.close()

    def _signature(self) -> tuple[int, int] | None:
        """Changes when another file takes the place of this one."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _next_frame(self) -> av.VideoFrame | None:
        while not self._decoded:
            try:
                packet = next(self._packets, None)
            except av.FFmpegError:  # the rest of a damaged file cannot be read
                packet = None
            if packet is None:
                return None
            self._decoded.extend(frame for frame in self._input.decode(packet) if not frame.is_corrupt)
        return self._decoded.popleft()

    def _media_time_s(self, frame: av.VideoFrame) -> float:
        """The time of `frame`, later than that of the picture before it. Follows jumps of the clock."""
        stated_s, before_s = self._stated_s(frame), self._last_s
        if self._first_s is None:
            self._first_s = stated_s or 0.0
        if before_s is not None and (stated_s is None or stated_s == self._last_stated_s):
            # Without a time stamp of its own: where the picture before it ends. A wrong one is made good by the next.
            base = self._input.stream.time_base
            lasts_s = float(frame.duration * base) * self._scale if frame.duration and base else 0.0
            self._last_s = before_s + (lasts_s or self.interval_s)
            return self._last_s
        self._last_stated_s = stated_s
        if stated_s is None:
            time_s = 0.0
        else:
            time_s = self._scale * (stated_s - self._first_s) + self._shift_s
            if before_s is not None:
                step_s = time_s - before_s
                if not -BACK_S <= step_s <= self._longest_step_s:
                    self._shift_s += self.interval_s - step_s
                    self._seekable = False  # the time stamps no longer say where a picture is
                time_s = max(self._scale * (stated_s - self._first_s) + self._shift_s, before_s + _SMALLEST_STEP_S)
        if before_s is not None:
            self._intervals.append(time_s - before_s)
        self._last_s = time_s
        return time_s

    def _stated_s(self, frame: av.VideoFrame) -> float | None:
        if not self.has_time_stamps:
            return self._number / self.fps
        stamp = frame.dts if self._decoding_order else frame.pts
        base = self._input.stream.time_base
        return None if stamp is None or base is None else float(stamp * base)

    def _claimed_seconds(self) -> float | None:
        stream, container = self._input.stream, self._input.container
        if self._decoding_order and stream.frames and self.stated_fps:  # FFmpeg computes the duration from the size
            seconds = stream.frames / self.stated_fps
        elif stream.duration and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif container.duration:
            seconds = container.duration / av.time_base
        else:
            return None
        return seconds * self._scale if seconds > 0 else None

    def scan(self, limit_s: float = math.inf) -> Scan:
        """Reads the times of all pictures without decoding them; stops after `limit_s` seconds of reading.

        Raises:
            SourceUnavailable: the file cannot be opened again.
        """
        other, stamps, jumped = self._open(), list[float](), False
        base = float(other.stream.time_base or 1)
        before: float | None = None
        shift_s, until_s, is_whole = 0.0, time.monotonic() + limit_s, False
        try:
            for packet in other.packets():
                if packet.size == 0 or packet.is_discard:
                    continue
                stamp, order = self._packet_times(packet, base, len(stamps), (before or 0.0) - shift_s)
                if packet.dts is None and self.has_time_stamps:
                    stamps.append(stamp + shift_s)  # it says nothing about the order, and so about jumps
                    continue
                if before is not None and not -BACK_S <= order + shift_s - before <= self._longest_step_s:
                    shift_s, jumped = before + 1 / self.fps - order, True
                before = order + shift_s
                stamps.append(stamp + shift_s)
                if time.monotonic() > until_s:
                    break
            else:
                is_whole = True
        except av.FFmpegError:
            is_whole = True  # the rest of a damaged file cannot be read
        finally:
            other.close()
        times = np.sort(np.array(stamps, np.float64))
        scale = self._scale if self.has_time_stamps else 1.0
        return Scan((times - times[0]) * scale if len(times) else times, is_whole, not jumped)

    def _packet_times(
        self, packet: av.Packet[VideoStream], base: float, number: int, before_s: float
    ) -> tuple[float, float]:
        """When the picture of `packet` is shown, and when it is decoded, which is the order of the packets."""
        if not self.has_time_stamps:
            return number / self.fps, number / self.fps
        decoded = packet.dts if packet.dts is not None else packet.pts
        shown = decoded if self._decoding_order or packet.pts is None else packet.pts
        if shown is None or decoded is None:
            at_s = before_s + (float(packet.duration * base) if packet.duration else 1 / self.fps)
            return at_s, at_s
        return shown * base, decoded * base

    @property
    def _longest_step_s(self) -> float:
        return JUMP_S if self._clock_may_jump else math.inf

    def _open(self) -> VideoInput:
        if problem := file_problem(self._path):
            raise SourceUnavailable(self._camera, problem)
        try:
            # An absolute path, or FFmpeg would read the part of a name before a colon as a protocol.
            return VideoInput(str(self._path.absolute()), decoder_threads=self._threads, hwaccel=self._hwaccel)
        except NoVideo as problem:
            raise SourceUnavailable(self._camera, f"{self._path} {problem}") from None
        except av.FFmpegError:
            raise SourceUnavailable(
                self._camera, f"{self._path} is not a video that can be decoded; convert it, e.g. to MP4 with H.264"
            ) from None
