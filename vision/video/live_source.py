"""A network stream or a local device: always returns the newest picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import av
import cv2
import requests
import urllib3

from shared.backoff import Backoff
from shared.stream_url import StreamUrl
from vision.video import reasons
from vision.video.address import SourceKind, display_name, kind_of
from vision.video.decoding import Converter, NoVideo, VideoInput
from vision.video.device import DeviceReader
from vision.video.http_pictures import BadStatus, MjpegReader, Serves, SnapshotReader, ask
from vision.video.options import SourceOptions
from vision.video.pace import Pace
from vision.video.picture_health import PictureHealth
from vision.video.source import Frame, SourceState, ThreadedSource
from vision.video.stream_readers import Arrival, FfmpegReader, StreamFacts, StreamReader

_PLAYLIST_TIMEOUT_S = 20.0
"""Shortest read timeout of HLS and DASH, which deliver a segment every 2 to 10 s."""
_SNAPSHOT_RETRY_S = 1.0
_REFUSED = (401, 403)
_OPENING_SLACK_S = 1.0
"""A server that answers byte by byte keeps within each timeout and exceeds them all."""
_FIRST_PICTURE_S = 30.0
"""How long to wait for the first key frame while data arrives."""
_SHORTEST_LOOP_S = 1.0
_FAILURES = (av.FFmpegError, requests.RequestException, urllib3.exceptions.HTTPError, OSError, UnicodeError)


class LiveSource(ThreadedSource):
    """Reads as fast as the source delivers and keeps only the newest picture; `dropped` counts the others."""

    def __init__(
        self,
        source: str,
        *,
        camera: str,
        site_time_ns: Callable[[], int],
        options: SourceOptions | None = None,
        loop: bool = False,
        interval_s: float = 0.1,
        moved: str | None = None,
        decoder_threads: int = 1,
        backoff: Backoff | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        """Start reading.

        Args:
            source: URL of a stream, or a local device.
            camera: name of the camera, for logs and errors.
            site_time_ns: returns the current site time in ns; called on the reading thread, once per picture.
            options: timeouts and how to open the source.
            loop: play a video that has an end again from the beginning.
            interval_s: time between two requests of an address that serves one picture, seconds.
            moved: that an earlier reader found the camera moved; see `PictureHealth`.
            decoder_threads: threads of the decoder.
            backoff: waits between retries.
            secrets: parts of the source that appear in no log or error.
        """
        options = options or SourceOptions()
        super().__init__(camera, display_name(source), backoff, PictureHealth(options.freeze_s, moved), secrets)
        self._source, self._kind, self._options = source, kind_of(source), options
        self._url = StreamUrl.parse(source) if self._kind is SourceKind.STREAM else None
        self._site_time_ns, self._looping, self._interval_s = site_time_ns, loop, interval_s
        self._decoder_threads = decoder_threads
        self._silence_limit_s = options.read_timeout_s
        self._newest: tuple[av.VideoFrame, int, int, int] | None = None  # picture, site time, index, loop
        self._arrived_at_s = time.monotonic()
        self._damaged = False  # whether data has arrived since the last picture
        self._to_show, self._to_check = Converter(), Converter()  # of the requesting and of the reading thread
        self._last_ns, self._index, self._loop = 0, 0, 0
        self._opening_since_s: float | None = None
        self.facts: StreamFacts | None = None
        """Of the stream as it was opened last; None: it has not been opened yet."""
        self._thread.start()

    @property
    def state(self) -> SourceState:
        """The present state. A stream that is silent for too long is `DOWN` even while its read hangs."""
        now_s = time.monotonic()
        if self._state is SourceState.LIVE and now_s - self._arrived_at_s > self._silence_limit_s:
            self._enter(SourceState.DOWN, self._silence())
        opening_since_s = self._opening_since_s
        limit_s = self._options.open_timeout_s + _OPENING_SLACK_S
        if self._state is SourceState.STARTING and opening_since_s is not None and now_s - opening_since_s > limit_s:
            attempt = self._attempt(self._options.open_timeout_s, now_s - opening_since_s)
            self._enter(SourceState.DOWN, reasons.opening_failed(attempt, TimeoutError()))
        return self._state

    def frame_at(self, media_time_s: float, wait_s: float | None) -> Frame | None:
        """The newest picture that was not returned before; waits for one up to `wait_s` seconds (None: no limit).

        `media_time_s` is ignored. Returns None on timeout, and immediately while the source is down.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._newest is not None or self._closed or (self._state is not SourceState.LIVE
                and self._state is not SourceState.STARTING), wait_s
            )  # fmt: skip
            newest, self._newest = self._newest, None
        if newest is None or self._closed:
            return None
        frame, time_ns, index, loop = newest
        try:
            image = self._to_show.image(frame)
        except (av.FFmpegError, cv2.error):
            # Only this picture is lost here; if all fail, the reading thread finds out and reports the source as down.
            return None
        return Frame(image, time_ns, index, loop)

    # -- the reading thread ------------------------------------------------------------------------------

    def _play(self) -> None:
        self._silence_limit_s = self._options.read_timeout_s
        self._opening_since_s = began_s = time.monotonic()
        reader = self._open()
        self._opening_since_s, self.facts = None, reader.facts
        first_index = self._index
        try:
            self._read(reader)
        finally:
            # On a thread of its own: closing an RTSP session waits for the camera's reply, and what failed is to be
            # reported at once.
            threading.Thread(target=reader.close, name=f"close-{self._camera}", daemon=True).start()
        if self._closed:
            return
        if not reader.is_file:
            raise self._unavailable(self._ending(None))
        if self._index == first_index:
            raise self._unavailable(f"{self._name} has no picture that can be decoded; convert it, or copy it again")
        if self._looping:
            self._loop += 1
            self._wait(began_s + _SHORTEST_LOOP_S - time.monotonic())
        else:
            self._enter(SourceState.ENDED)

    def _read(self, reader: StreamReader) -> None:
        pace, pictures = Pace(is_file=reader.is_file), reader.pictures()
        self._arrived_at_s = time.monotonic()
        first_index = self._index
        while not self._closed:
            asked_at_s = time.monotonic()
            try:
                arrival = next(pictures)
            except StopIteration:
                return
            except BadStatus as failure:
                if failure.status in _REFUSED:
                    self._backoff = Backoff()  # cameras lock an account that is tried too often
                reason = reasons.status_reason(failure.status, has_login=bool(self._url and self._url.login))
                raise self._unavailable(f"{self._name} {reason}") from None
            except _FAILURES as failure:
                raise self._unavailable(self._ending(failure)) from None
            if time.monotonic() - asked_at_s > self._silence_limit_s:
                # FFmpeg has given up, and hands over the last picture, which it had kept back.
                raise self._unavailable(self._silence())
            if arrival is None:
                self._damaged = True
                silent_s = time.monotonic() - self._arrived_at_s
                if silent_s <= self._silence_limit_s:
                    continue
                reason = self._silence()
                if reader.waits_for_key_frames and self._index == first_index and silent_s < _FIRST_PICTURE_S:
                    self._enter(SourceState.DOWN, reason)  # but a connection that is given up starts waiting again
                    continue
                raise self._unavailable(reason)
            if arrival.stamp_s is not None:
                wait_s = pace.wait_s(arrival.stamp_s, time.monotonic())
                self._arrived_at_s = time.monotonic() + wait_s  # it has arrived, and is not silent
                if not self._wait(wait_s):
                    return
            self._take(arrival)

    def _wait(self, seconds: float) -> bool:
        """Waits; False once closed."""
        if seconds > 0:
            with self._changed:
                self._changed.wait_for(lambda: self._closed, seconds)
        return not self._closed

    def _take(self, arrival: Arrival) -> None:
        captured_at_ns, now_s = self._site_time_ns(), time.monotonic()
        if self._health.is_due(now_s):
            self._health.look(self._to_check.image(arrival.frame), now_s, captured_at_ns)
        with self._changed:
            self._arrived_at_s, self._damaged = now_s, False
            # The measured offset to server time may shrink slightly, but site time must never go back.
            self._last_ns = max(self._last_ns, captured_at_ns)
            self._dropped += self._newest is not None
            self._newest = (arrival.frame, self._last_ns, self._index, self._loop)
            self._index += 1
            self._changed.notify_all()
        if self._state is not SourceState.LIVE:
            self._enter(SourceState.LIVE)

    def _silence(self) -> str:
        if self._damaged:
            return reasons.only_damaged(self._name, self._silence_limit_s)
        return reasons.no_picture(self._name, self._silence_limit_s)

    def _ending(self, failure: Exception | None) -> str:
        silent_s = time.monotonic() - self._arrived_at_s
        return reasons.reading_failed(self._attempt(self._silence_limit_s, silent_s), failure)

    def _attempt(self, timeout_s: float, took_s: float) -> reasons.Attempt:
        url = self._url
        scheme, host = (url.scheme, url.host) if url is not None else ("", "")
        return reasons.Attempt(self._name, scheme, host, bool(url and url.login), timeout_s, took_s)

    # -- opening -----------------------------------------------------------------------------------------

    def _open(self) -> StreamReader:
        if self._url is None:
            return DeviceReader(self._source, self._camera)
        began_s = time.monotonic()
        try:
            if self._url.scheme in ("http", "https"):
                return self._open_http(self._url)
            return FfmpegReader(self._video(self._options.read_timeout_s))
        except NoVideo as problem:
            raise self._unavailable(f"{self._name} {problem}") from None
        except BadStatus as failure:
            reason = reasons.status_reason(failure.status, has_login=bool(self._url.login))
            raise self._unavailable(f"{self._name} {reason}") from None
        except _FAILURES as failure:
            attempt = self._attempt(self._options.open_timeout_s, time.monotonic() - began_s)
            raise self._unavailable(reasons.opening_failed(attempt, failure)) from None

    def _open_http(self, url: StreamUrl) -> StreamReader:
        answer = ask(url, self._options)
        if answer.serves is Serves.MJPEG:
            return MjpegReader(answer)
        if answer.serves is Serves.SNAPSHOT:
            # A camera that serves single pictures is asked at its own pace, so a failure needs no growing backoff.
            self._backoff = Backoff(_SNAPSHOT_RETRY_S, _SNAPSHOT_RETRY_S)
            self._silence_limit_s += self._interval_s
            return SnapshotReader(answer, url, self._options, self._interval_s)
        answer.close()
        if answer.serves is Serves.PAGE:
            raise self._unavailable(
                f"{self._name} serves a web page, not a video; use the address of the stream itself"
            )
        if answer.serves is Serves.PLAYLIST:
            self._silence_limit_s = max(self._silence_limit_s, _PLAYLIST_TIMEOUT_S)
        video = self._video(self._silence_limit_s)
        is_file = answer.serves is Serves.FILE or b"#EXT-X-ENDLIST" in answer.beginning
        is_file |= video.container.duration is not None
        return FfmpegReader(video, paced=is_file or answer.serves is Serves.PLAYLIST, is_file=is_file)

    def _video(self, read_timeout_s: float) -> VideoInput:
        assert self._url is not None
        return VideoInput(
            str(self._url),
            options=self._options.for_ffmpeg(self._url.scheme),
            open_timeout_s=self._options.open_timeout_s,
            read_timeout_s=read_timeout_s,
            decoder_threads=self._decoder_threads,
            hwaccel=self._options.hwaccel,
        )
