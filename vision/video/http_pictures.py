"""HTTP addresses: finds out what they serve, and reads MJPEG and snapshots in the dialects of the field."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote

import av
import requests
import urllib3
from requests.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth

from shared.stream_url import StreamUrl
from vision.video.decoding import NoVideo, VideoInput
from vision.video.options import SourceOptions
from vision.video.picture_splitter import MAX_BYTES, PictureSplitter
from vision.video.stream_readers import Arrival, StreamFacts

_CHUNK = 64 * 1024
_LOOK_BYTES = 4096
_JPEG = b"\xff\xd8\xff"
_PICTURES = (_JPEG, b"\x89PNG\r\n", b"GIF8")
_LONGEST_PLAYLIST = 4 * 1024 * 1024
_FASTEST_POLL_S = 0.04
_STALE_CONNECTIONS = 2
"""A login with digest takes two requests, and each may meet a connection that the server has closed."""


class Serves(Enum):
    """What an HTTP address serves."""

    MJPEG = "JPEG pictures, one after the other"
    SNAPSHOT = "one picture, which changes"
    PLAYLIST = "HLS or DASH"
    FILE = "a video with an end"
    STREAM = "any other video"
    PAGE = "a web page"


class BadStatus(Exception):
    """The server answered with an error."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"status {status}")


@dataclass(frozen=True)
class HttpAnswer:
    """The answer of a server, of which the beginning has been read."""

    session: requests.Session
    response: requests.Response
    beginning: bytes
    serves: Serves

    def close(self) -> None:
        with suppress(OSError, requests.RequestException, urllib3.exceptions.HTTPError):
            self.response.close()
        self.session.close()


def ask(url: StreamUrl, options: SourceOptions) -> HttpAnswer:
    """Ask a server for `url` and look at the beginning of what it sends.

    Raises:
        BadStatus: it answered with an error.
        requests.RequestException: it could not be reached.
    """
    session = requests.Session()
    session.headers["User-Agent"] = options.ffmpeg.get("user_agent", "mtmc")
    session.headers["Accept-Encoding"] = "identity"  # pictures are compressed already
    if "referer" in options.ffmpeg:
        session.headers["Referer"] = options.ffmpeg["referer"]
    try:
        response = _get(session, url, options)
        if response.status_code != requests.codes.ok:
            response.close()
            raise BadStatus(response.status_code)
        beginning = _first_bytes(response, time.monotonic() + options.open_timeout_s)
        _set_timeout(response, options.read_timeout_s)
        return HttpAnswer(session, response, beginning, _served(response, beginning))
    except BaseException:
        session.close()
        raise


def _get(session: requests.Session, url: StreamUrl, options: SourceOptions) -> requests.Response:
    address = f"{url.scheme}://{url.host}{url.path}"
    timeout = (options.open_timeout_s, options.open_timeout_s)
    session.auth = _login(url, HTTPBasicAuth)
    response = _get_anew(session, address, {}, timeout, options)
    if response.status_code == requests.codes.unauthorized and "digest" in _challenge(response):
        response.close()
        session.auth = _login(url, HTTPDigestAuth)
        response = _get_anew(session, address, {}, timeout, options)
    return response


def _get_anew(
    session: requests.Session,
    address: str,
    headers: dict[str, str],
    timeout: tuple[float, float],
    options: SourceOptions,
) -> requests.Response:
    """The answer, over another connection if the server closed the last one without saying so, as many cameras do."""
    verify = options.ffmpeg.get("tls_verify") == "1"  # otherwise not: cameras sign their own certificates
    proxy = options.ffmpeg.get("http_proxy")
    proxies = {"http": proxy, "https": proxy} if proxy else None
    for left in range(_STALE_CONNECTIONS, -1, -1):
        try:
            return session.get(address, headers=headers, stream=True, timeout=timeout, verify=verify, proxies=proxies)
        except (requests.Timeout, requests.exceptions.SSLError, requests.exceptions.ProxyError):
            raise
        except requests.ConnectionError:
            if not left:
                raise
    raise AssertionError


def _set_timeout(response: requests.Response, seconds: float) -> None:
    """The timeout of all further reads; the request itself had that of opening."""
    sock = getattr(response.raw.connection, "sock", None)
    if sock is None:
        # The server ends the answer by closing the connection, which urllib3 no longer counts as its own then.
        stream = getattr(getattr(response.raw, "_fp", None), "fp", None)
        sock = getattr(getattr(stream, "raw", None), "_sock", None)
    if sock is not None:
        sock.settimeout(seconds)


def _login(url: StreamUrl, kind: type[HTTPBasicAuth] | type[HTTPDigestAuth]) -> AuthBase | None:
    user, _, password = url.login.partition(":")
    if not url.login:
        return None
    if kind is HTTPBasicAuth:  # takes bytes as they are; text would have to be Latin-1
        return HTTPBasicAuth(unquote(user).encode(), unquote(password).encode())
    return kind(unquote(user), unquote(password))


def _challenge(response: requests.Response) -> str:
    return response.headers.get("WWW-Authenticate", "").lower()


def _first_bytes(response: requests.Response, until_s: float) -> bytes:
    """Enough to recognise the kind: MJPEG may begin with empty or text parts. Playlists are read whole.

    Raises:
        requests.Timeout: that has not come by `until_s`, monotonic seconds.
    """
    data = b""
    is_multipart = _type(response).startswith("multipart/")
    wanted = _LOOK_BYTES
    while len(data) < wanted and not is_multipart and _JPEG not in data:
        if time.monotonic() > until_s:
            raise requests.Timeout
        chunk = response.raw.read1(_LOOK_BYTES)
        if not chunk:
            break
        data += chunk
        if b"#EXTM3U" in data[:_LOOK_BYTES]:
            wanted = _LONGEST_PLAYLIST
    return data


def _type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").strip().lower()


def _served(response: requests.Response, beginning: bytes) -> Serves:
    kind, text = _type(response), beginning.lstrip(b"\xef\xbb\xbf \t\r\n")
    if kind.startswith("multipart/"):
        return Serves.MJPEG
    if text.startswith(b"#EXTM3U") or b"<MPD" in text:
        return Serves.PLAYLIST
    is_webp = text.startswith(b"RIFF") and text[8:12] == b"WEBP"
    if text.startswith(_PICTURES) or is_webp or kind.startswith("image/"):
        return Serves.SNAPSHOT
    if _JPEG in beginning:  # parts without the header that announces them
        return Serves.MJPEG
    if text[:200].lower().startswith((b"<!doctype html", b"<html")) or kind.startswith("text/html"):
        return Serves.PAGE
    has_end = response.headers.get("Content-Length", "").isdigit()
    return Serves.FILE if has_end else Serves.STREAM


class PictureDecoder:
    """Decodes single pictures; keeps the decoder of JPEG."""

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("mjpeg", "r")

    def decode(self, encoded: bytes) -> av.VideoFrame | None:
        """The picture; None if it is damaged. Formats other than JPEG take longer."""
        if not encoded.startswith(_JPEG):
            return _decoded(encoded)
        try:
            frames = self._codec.decode(av.Packet(encoded))
        except av.FFmpegError:
            return None
        frame = frames[0] if frames else None
        return frame if isinstance(frame, av.VideoFrame) and not frame.is_corrupt else None


class MjpegReader:
    """Reads JPEG or PNG pictures that follow each other in one response."""

    facts = StreamFacts("stream", "mjpeg")
    is_file = waits_for_key_frames = False

    def __init__(self, answer: HttpAnswer) -> None:
        self._answer = answer

    def pictures(self) -> Iterator[Arrival | None]:
        splitter, decoder = PictureSplitter(), PictureDecoder()
        chunk = self._answer.beginning
        while True:
            frames = [decoder.decode(picture) for picture in splitter.feed(chunk)]
            yield from (Arrival(frame) if frame is not None else None for frame in frames)
            if not frames:
                yield None
            chunk = self._answer.response.raw.read1(_CHUNK)
            if not chunk:
                return

    def close(self) -> None:
        self._answer.close()


class SnapshotReader:
    """Asks again and again for an address that serves one picture.

    An answer may also hold many pictures one after the other without a type that says so; then they are read as they
    arrive.
    """

    facts = StreamFacts("pictures")
    is_file = waits_for_key_frames = False

    def __init__(self, answer: HttpAnswer, url: StreamUrl, options: SourceOptions, interval_s: float) -> None:
        """`interval_s`: time between two requests, seconds."""
        self._answer, self._options = answer, options
        # Not where the last answer came from: it may name another picture next time, on a host that must not get the
        # login.
        self._address = f"{url.scheme}://{url.host}{url.path}"
        self._interval_s = max(interval_s, _FASTEST_POLL_S)
        self._decoder = PictureDecoder()
        self._last: av.VideoFrame | None = None

    def pictures(self) -> Iterator[Arrival | None]:
        response = self._answer.response
        yield from self._rest_of(response, self._answer.beginning)
        timeout = (self._options.open_timeout_s, self._options.read_timeout_s)
        due_s = time.monotonic()
        while True:
            due_s = max(due_s + self._interval_s, time.monotonic())
            time.sleep(max(0.0, due_s - time.monotonic()))
            headers = _conditions(response)
            latest = _get_anew(self._answer.session, self._address, headers, timeout, self._options)
            if latest.status_code == requests.codes.not_modified:
                latest.close()
                yield Arrival(self._last) if self._last is not None else None
                continue
            if latest.status_code != requests.codes.ok:
                latest.close()
                raise BadStatus(latest.status_code)
            response = latest
            yield from self._rest_of(response, b"")

    def _rest_of(self, response: requests.Response, beginning: bytes) -> Iterator[Arrival | None]:
        splitter, data, found = PictureSplitter(), bytearray(beginning), False
        chunk = beginning
        while True:
            for encoded in splitter.feed(chunk):
                frame = self._decoder.decode(encoded)
                found = True
                if frame is not None:
                    self._last = frame
                    yield Arrival(frame)
            if found:
                data.clear()
            chunk = response.raw.read1(_CHUNK)
            if not chunk:
                break
            data += chunk
            yield None
            if len(data) > MAX_BYTES:
                break
        response.close()
        if not found:
            frame = None if data.startswith(_JPEG) else _decoded(bytes(data))  # a JPEG without its end is damaged
            self._last = frame or self._last
            yield Arrival(frame) if frame is not None else None

    def close(self) -> None:
        self._answer.close()


def _conditions(response: requests.Response) -> dict[str, str]:
    """The headers of a request for what has changed since `response`."""
    pairs = (("ETag", "If-None-Match"), ("Last-Modified", "If-Modified-Since"))
    return {condition: response.headers[name] for name, condition in pairs if name in response.headers}


def _decoded(encoded: bytes) -> av.VideoFrame | None:
    """A picture in any format that FFmpeg knows."""
    try:
        video = VideoInput(io.BytesIO(encoded))
    except (av.FFmpegError, NoVideo):
        return None
    try:
        frames = (frame for packet in video.packets() for frame in video.decode(packet))
        return next((frame for frame in frames if not frame.is_corrupt), None)
    except av.FFmpegError:
        return None
    finally:
        video.close()
