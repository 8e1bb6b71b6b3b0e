"""A network stream or a local device: always returns the newest picture."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import cv2

from shared.backoff import Backoff
from vision.video.address import SourceKind, device_of, display_name, kind_of
from vision.video.source import Frame, SourceState, ThreadedSource


class LiveSource(ThreadedSource):
    """Reads as fast as the source delivers and keeps only the newest picture; `dropped` counts the others."""

    def __init__(
        self,
        source: str,
        *,
        camera: str,
        site_time_ns: Callable[[], int],
        open_timeout_s: float = 5.0,
        read_timeout_s: float = 5.0,
        decoder_threads: int = 1,
        backoff: Backoff | None = None,
    ) -> None:
        """Start reading. `site_time_ns` is called on the reading thread, once per picture.

        One decoder thread also has the lowest latency: FFmpeg delays a stream by one picture per additional thread.
        """
        super().__init__(camera, display_name(source), backoff)
        self._source, self._kind = source, kind_of(source)
        self._site_time_ns = site_time_ns
        self._open_timeout_s, self._read_timeout_s = open_timeout_s, read_timeout_s
        self._decoder_threads = decoder_threads
        self._newest: Frame | None = None
        self._last_ns = 0
        self._thread.start()

    def frame_at(self, media_time_s: float, wait_s: float | None) -> Frame | None:
        """The newest picture that was not returned before; waits for one up to `wait_s` seconds (None: no limit).

        `media_time_s` is ignored. Returns None on timeout, and immediately while the source is down.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._newest is not None or self._closed or self._state is SourceState.DOWN, wait_s
            )
            frame, self._newest = self._newest, None
            return None if self._closed else frame

    def _play(self) -> None:
        capture = self._open()
        try:
            index = 0
            while not self._closed:
                began_s = time.monotonic()
                ok, image = capture.read()
                captured_at_ns = self._site_time_ns()
                if not ok or image is None:
                    raise self._unavailable(self._read_failure(time.monotonic() - began_s))
                image.setflags(write=False)
                with self._changed:
                    # The measured offset to server time may shrink slightly, but site time must never go back.
                    self._last_ns = max(self._last_ns, captured_at_ns)
                    self._dropped += self._newest is not None
                    self._newest = Frame(image, self._last_ns, index, 0)
                    self._changed.notify_all()
                if self._state is not SourceState.LIVE:
                    self._enter(SourceState.LIVE)
                index += 1
        finally:
            capture.release()

    def _open(self) -> Any:
        began_s = time.monotonic()
        if self._kind is SourceKind.DEVICE:
            capture = cv2.VideoCapture(
                device_of(self._source), cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
            )
        else:
            capture = cv2.VideoCapture(
                self._source,
                cv2.CAP_FFMPEG,
                [
                    cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
                    int(self._open_timeout_s * 1000),
                    cv2.CAP_PROP_READ_TIMEOUT_MSEC,
                    int(self._read_timeout_s * 1000),
                    cv2.CAP_PROP_N_THREADS,
                    self._decoder_threads,
                ],
            )
        if not capture.isOpened():
            capture.release()
            raise self._unavailable(self._open_failure(time.monotonic() - began_s))
        return capture

    def _open_failure(self, took_s: float) -> str:
        if self._kind is SourceKind.DEVICE:
            return f"{self._name} cannot be opened; check that the camera is attached and no other program uses it"
        if took_s >= self._open_timeout_s:
            return f"{self._name} did not answer within {self._open_timeout_s:g} s; check address and network"
        return f"{self._name} cannot be opened; check address, path, user and password, and that it is a video stream"

    def _read_failure(self, took_s: float) -> str:
        if self._kind is SourceKind.STREAM and took_s >= self._read_timeout_s:
            return f"{self._name} sent no picture for {self._read_timeout_s:g} s"
        return f"{self._name} ended or was interrupted"
