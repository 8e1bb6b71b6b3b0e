"""Opens containers with FFmpeg (PyAV) and converts its pictures."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import IO, Any, cast

import av
import cv2
import numpy as np
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}
"""Degrees by which a picture must be turned counterclockwise to be upright → the OpenCV code that does it."""
_CODEC = re.compile(r"Video: (?P<codec>\w+)")
_NO_HARDWARE = (
    av.error.PermissionError,
    av.error.ExternalError,
    av.error.UnknownError,
    av.error.NotImplementedError,
    av.error.ArgumentError,
    av.error.FileNotFoundError,
)
"""What FFmpeg raises where a device cannot be used."""


class NoVideo(Exception):
    """A container without a video stream that can be decoded; `str()` says why, as the end of a sentence."""


class VideoInput:
    """An open container and its first video stream, for use by one thread.

    `packets` gives its encoded pictures and `decode` turns one of them into pictures.
    """

    def __init__(
        self,
        address: str | IO[bytes],
        *,
        options: dict[str, str] | None = None,
        open_timeout_s: float | None = None,
        read_timeout_s: float | None = None,
        decoder_threads: int = 1,
        hwaccel: str = "none",
    ) -> None:
        """Open `address`, a path, a URL or a file object.

        Args:
            address: what to open.
            options: options of FFmpeg's demuxer and protocols.
            open_timeout_s: timeout of opening, seconds; None: no timeout.
            read_timeout_s: timeout of each read, seconds; None: no timeout.
            decoder_threads: threads of the decoder. Each additional one delays a stream by one picture.
            hwaccel: hardware that decodes, by FFmpeg's name; `none`: decode on the CPU; `auto`: the first hardware
                that works, otherwise the CPU.

        Raises:
            NoVideo: it has no video that can be decoded.
            av.FFmpegError: FFmpeg cannot open it. The error's text may contain the address, so do not show it.
        """

        def opened(device: HWAccel | None) -> InputContainer:
            return av.open(
                address,
                "r",
                options=dict(options or {}),
                metadata_errors="replace",
                timeout=(open_timeout_s, read_timeout_s),
                hwaccel=device,
            )

        self.container = _opened_on(hwaccel, opened)
        try:
            self.stream = _video_stream(self.container)
            self.stream.codec_context.thread_count = decoder_threads
        except BaseException:
            self.container.close()
            raise

    def all_packets(self) -> Iterator[av.Packet[VideoStream] | None]:
        """As `packets`, with None for each packet of another stream: audio may go on when the video has stopped."""
        for packet in self.container.demux():
            yield cast("av.Packet[VideoStream]", packet) if packet.stream_index == self.stream.index else None

    def packets(self) -> Iterator[av.Packet[VideoStream]]:
        """The packets of the video stream, in the order of the container; the last one is empty and ends the decoder.

        Raises:
            av.FFmpegError: reading failed or timed out.
        """
        return self.container.demux(self.stream)

    @staticmethod
    def decode(packet: av.Packet[VideoStream]) -> list[av.VideoFrame]:
        """The pictures that `packet` completes. Empty if the packet is damaged or the decoder needs more of them."""
        try:
            return list(packet.decode())
        except (av.error.MemoryError, av.error.ExitError):
            raise
        except av.FFmpegError:  # decoders report damage in many ways
            return []

    def close(self) -> None:
        """Close the container; may take as long as its read timeout."""
        with suppress(av.FFmpegError):
            self.container.close()


class Converter:
    """Turns decoded pictures into images, for use by one thread. It keeps what depends on size and format only."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def image(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """The picture upright, `(height, width, 3)` uint8 BGR, read-only; its rows may be padded.

        Colour matrix and range are those that the stream states; a stream that states none is converted as BT.601,
        limited range, which is also what OpenCV does.

        Raises:
            av.FFmpegError: the picture cannot be converted.
        """
        converted = self._reformatter.reformat(frame, format="bgr24", threads=1)
        plane = converted.planes[0]
        shape, strides = (converted.height, converted.width, 3), (plane.line_size, 3, 1)
        # The memory of the converted picture, which the array keeps alive: a copy takes a tenth of the time again.
        image: NDArray[Any] = np.ndarray(shape, np.uint8, cast("Any", plane), 0, strides)
        turn = _TURNS.get(round(frame.rotation / 90) * 90 % 360)
        if turn is not None:
            image = cv2.rotate(image, turn)
        image.setflags(write=False)
        return image


def _video_stream(container: InputContainer) -> VideoStream:
    if not container.streams.video:
        others = sorted({stream.type for stream in container.streams})
        raise NoVideo(f"contains no video{', only ' + ' and '.join(others) if others else ''}")
    # A cover picture of a film is not what to watch.
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    stream = (streams or list(container.streams.video))[0]
    if stream.codec_context is None:
        raise NoVideo(
            f"is encoded as {_codec_name(container)}, which cannot be decoded here; use H.264, H.265 or MJPEG"
        )
    return stream


def _codec_name(container: InputContainer) -> str:
    """The codec as FFmpeg describes it; nothing else of the description, because it has the address in it.

    PyAV returns the description only while its logging is on.
    """
    libav = logging.getLogger("libav")
    libav.propagate = False
    libav.handlers = [logging.NullHandler()]
    av.logging.set_level(av.logging.INFO)
    try:
        match = _CODEC.search(cast("Any", container).dumps_format())
    finally:
        av.logging.set_level(None)
    return match["codec"].strip() if match else "an unknown codec"


def _opened_on(hardware: str, opened: Callable[[HWAccel | None], InputContainer]) -> InputContainer:
    """The container, opened with the first device of `hardware` that works.

    Raises:
        NoVideo: `hardware` names one that does not work.
    """
    available = hwdevices_available()
    wanted = {"none": [], "auto": available}.get(hardware, [hardware])
    for device in wanted:
        try:
            return opened(HWAccel(device))
        except av.FFmpegError as failure:
            if not isinstance(failure, _NO_HARDWARE):
                raise  # of the source; trying again would only repeat a refused login
        except (RuntimeError, ValueError):  # not in this build, or not for this codec
            continue
    container = opened(None)
    if hardware in ("none", "auto"):
        return container
    container.close()
    known = f"this build of FFmpeg knows {', '.join(available)}" if available else "this build of FFmpeg knows none"
    raise NoVideo(f"cannot be decoded on {hardware} here ({known}); set hwaccel to auto or none")
