"""What reads a stream: FFmpeg, or for HTTP pictures the readers of `http_pictures`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import av

from vision.video.decoding import VideoInput


@dataclass(frozen=True)
class Arrival:
    """A decoded picture that has arrived."""

    frame: av.VideoFrame
    stamp_s: float | None = None
    """Its time stamp, if it is to be shown at the pace of the time stamps; None: now."""


@dataclass(frozen=True)
class StreamFacts:
    """What is known of an open stream besides its pictures."""

    kind: Literal["stream", "file", "pictures", "device"]
    """`file`: it has an end. `pictures`: an address that serves one picture, and is asked again and again."""
    codec: str | None = None
    """By FFmpeg's name; None: unknown."""


class StreamReader(Protocol):
    """An open stream, for use by one thread; `close` may be called by another one after the last read."""

    def pictures(self) -> Iterator[Arrival | None]:
        """The pictures as they arrive; None where something arrived that completes no picture.

        Raises:
            OSError: reading failed or timed out; also `av.FFmpegError`.
        """

    @property
    def facts(self) -> StreamFacts: ...
    @property
    def is_file(self) -> bool:
        """Whether the stream has an end, after which it can be played again."""

    @property
    def waits_for_key_frames(self) -> bool:
        """Whether the first picture may have to wait for a key frame."""

    def close(self) -> None: ...


class FfmpegReader:
    """Reads with FFmpeg."""

    waits_for_key_frames = True

    def __init__(self, video: VideoInput, *, paced: bool = False, is_file: bool = False) -> None:
        """`paced`: the stream arrives in bursts or all at once, so its time stamps say when to show a picture."""
        self._video, self._paced, self.is_file = video, paced, is_file

    @property
    def facts(self) -> StreamFacts:
        return StreamFacts("file" if self.is_file else "stream", self._video.stream.codec_context.name)

    def pictures(self) -> Iterator[Arrival | None]:
        base = self._video.stream.time_base
        for packet in self._video.all_packets():
            if packet is None:
                yield None
                continue
            frames = [frame for frame in self._video.decode(packet) if not frame.is_corrupt]
            for frame in frames:
                paced = self._paced and frame.pts is not None and base is not None
                yield Arrival(frame, float(frame.pts * base) if paced else None)  # type: ignore[operator]
            if not frames:
                yield None

    def close(self) -> None:
        self._video.close()
