"""Streams as cameras really send them, from real servers: HTTP in all its dialects, and RTSP."""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import av
import cv2
import numpy as np
import pytest

from shared.backoff import Backoff
from tests.free_ports import free_port
from tests.http_server import Exchange, serving_http
from tests.rtsp_server import RtspServer, is_available, serving_rtsp
from tests.stopwatch import Stopwatch
from tests.videos import SIZE, number_in, picture, write_video
from vision.video.live_source import LiveSource
from vision.video.options import SourceOptions
from vision.video.source import Frame, SourceState

PATIENCE_S = 20.0
PICTURES_PER_S = 25
Watch = Callable[..., LiveSource]


@pytest.fixture
def watch() -> Iterator[Watch]:
    opened: list[LiveSource] = []

    def open_live(url: str, loop: bool = False, interval_s: float = 0.05, **options: object) -> LiveSource:
        opened.append(
            LiveSource(
                url,
                camera="c1",
                site_time_ns=time.time_ns,
                options=SourceOptions(**options),  # type: ignore[arg-type]
                loop=loop,
                interval_s=interval_s,
                backoff=Backoff(0.05, 0.2),
            )
        )
        return opened[-1]

    yield open_live
    for source in opened:
        source.close()


def jpeg(number: int, size: tuple[int, int] = SIZE) -> bytes:
    return cv2.imencode(".jpg", picture(number, size))[1].tobytes()


def frames(source: LiveSource, count: int) -> list[Frame]:
    found = []
    for _ in range(count):
        frame = source.frame_at(0.0, PATIENCE_S)
        assert frame is not None, source.error
        found.append(frame)
    return found


def frames_at_last(source: LiveSource, count: int) -> None:
    """Waits for pictures of a source with a short timeout, which is down for a moment if the machine is held up."""
    for _ in range(count):
        wait_for(source, lambda: source.frame_at(0.0, 1.0))


def wait_for(source: LiveSource, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, (source.state, source.error, source.fault)
        time.sleep(0.01)


def down(source: LiveSource, reason: str = "") -> str:
    """Why it is down. With `reason`, waits until that is why: a camera that closes early may first seem unreachable."""
    wait_for(source, lambda: source.state is SourceState.DOWN and reason in (source.error or ""))
    assert source.error is not None
    return source.error


# -- HTTP ------------------------------------------------------------------------------------------------


def part(body: bytes, header: str) -> bytes:
    return header.encode().replace(b"\n", b"\r\n") + body + b"\r\n"


def with_boundary(number: int, header: str = "--b\nContent-Type: image/jpeg\n\n") -> bytes:
    return part(jpeg(number), header)


DIALECTS: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "as documented": ("multipart/x-mixed-replace; boundary=b", with_boundary),
    "no boundary before the first part": (
        "multipart/x-mixed-replace;boundary=b",
        lambda i: (b"" if i == 0 else b"--b\r\nContent-Type: image/jpeg\r\n\r\n") + jpeg(i) + b"\r\n",
    ),
    "parts of type image/jpg": (
        "multipart/x-mixed-replace;boundary=b",
        lambda i: with_boundary(i, "--b\nContent-Type: image/jpg\n\n"),
    ),
    "a size in the type": (
        "multipart/x-mixed-replace;boundary=--b",
        lambda i: with_boundary(i, "--b\nContent-Type: image/jpeg;size=1234\n\n"),
    ),
    "no type": ("multipart/x-mixed-replace", lambda i: with_boundary(i, "--b\n\n")),
    "empty and text parts in between": (
        'multipart/x-mixed-replace; boundary="b"',
        lambda i: b"--b\r\nContent-Type: text/plain\r\n\r\nstatus: ok\r\n--b\r\n\r\n\r\n" + with_boundary(i),
    ),
    "a wrong Content-Length": (
        "multipart/x-mixed-replace;boundary=b",
        lambda i: with_boundary(i, f"--b\nContent-Type: image/jpeg\nContent-Length: {i * 7}\n\n"),
    ),
    "JPEG pictures in a row": ("image/jpeg", jpeg),
    "no type of the whole": ("application/octet-stream", with_boundary),
    "PNG pictures": (
        "multipart/x-mixed-replace;boundary=b",
        lambda i: part(cv2.imencode(".png", picture(i))[1].tobytes(), "--b\nContent-Type: image/png\n\n"),
    ),
    "line feeds alone": (
        "multipart/x-mixed-replace; boundary=b",
        lambda i: b"--b\nContent-Type: image/jpeg\n\n" + jpeg(i),
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_of_mjpeg_is_shown_without_delay(watch: Watch, dialect: str) -> None:
    content_type, encoded = DIALECTS[dialect]
    sent: list[int] = []

    def answer(exchange: Exchange) -> None:
        exchange.begin(content_type)
        for number in itertools.count():
            sent.append(number)
            exchange.send(encoded(number))
            if not exchange.wait(1 / PICTURES_PER_S):
                return

    with serving_http(answer) as address:
        source = watch(f"{address}/stream")
        numbers = [number_in(frame.image) for frame in frames(source, 10)]
        newest = number_in(frames(source, 1)[0].image)
        behind = len(sent) - 1 - newest
        assert source.failures == 0
    assert numbers == sorted(set(numbers))
    assert behind < 2 * PICTURES_PER_S  # a reader that waits for a full buffer is many pictures behind


def test_a_damaged_jpeg_is_left_out(watch: Watch) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin("multipart/x-mixed-replace; boundary=b")
        for number in itertools.count():
            whole = with_boundary(number)
            exchange.send(whole if number % 2 else whole[: len(whole) // 2])
            if not exchange.wait(0.02):
                return

    with serving_http(answer) as address:
        numbers = [number_in(frame.image) for frame in frames(watch(f"{address}/"), 5)]
    assert all(number % 2 for number in numbers)


def test_a_stream_of_damaged_pictures_alone_is_named(watch: Watch) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin("multipart/x-mixed-replace; boundary=b")
        while exchange.wait(0.02):
            exchange.send(b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg(1)[:300])

    with serving_http(answer) as address:
        down(watch(f"{address}/", read_timeout_s=0.4), "sends data, but no intact picture for 0.4 s")


class Snapshots:
    """Serves one picture, whose number grows `per_second` times a second from 0, with an ETag."""

    def __init__(self, encode: Callable[[int], bytes] = jpeg, per_second: float = 5.0) -> None:
        self.encode, self.per_second, self.began_s = encode, per_second, time.monotonic()
        self.conditional = self.not_modified = self.asked = 0
        self.broken = False

    def __call__(self, exchange: Exchange) -> None:
        self.asked += 1
        body = self.encode(int((time.monotonic() - self.began_s) * self.per_second))
        tag = f'"{hashlib.sha256(body).hexdigest()[:12]}"'
        wanted = exchange.headers.get("If-None-Match")
        self.conditional += wanted is not None
        if self.broken:
            exchange.begin(None, 503, Content_Length="0")
        elif wanted == tag:
            self.not_modified += 1
            exchange.begin(None, 304, ETag=tag)
        else:
            exchange.begin("image/jpeg", Content_Length=str(len(body)), ETag=tag)
            exchange.send(body)


def test_a_snapshot_is_asked_for_again_and_again_if_it_has_changed(watch: Watch) -> None:
    server = Snapshots()
    with serving_http(server) as address:
        source = watch(f"{address}/snapshot.jpg")
        numbers: list[int] = []
        stopwatch = Stopwatch()
        while len(set(numbers)) < 3 or server.not_modified < 5:
            assert stopwatch.within(PATIENCE_S), (numbers, server.not_modified)
            numbers += [number_in(frame.image) for frame in frames(source, 1)]
        assert source.failures == 0
        assert numbers == sorted(numbers)
        assert server.conditional >= server.asked - 1


def test_a_snapshot_server_that_fails_for_long_is_back_within_a_second(watch: Watch) -> None:
    server = Snapshots()
    with serving_http(server) as address:
        source = watch(f"{address}/snapshot.jpg")
        frames(source, 1)
        server.broken = True
        assert "answered with an error of its own (503)" in down(source)
        wait_for(source, lambda: source.failures >= 4)
        server.broken = False
        stopwatch = Stopwatch()
        wait_for(source, lambda: source.state is SourceState.LIVE)
        assert stopwatch.within(2.0), stopwatch.seconds


def test_a_snapshot_is_live_however_rarely_it_is_asked_for(watch: Watch) -> None:
    with serving_http(Snapshots()) as address:
        source = watch(f"{address}/snapshot.jpg", interval_s=3.2, read_timeout_s=2.9)
        frames(source, 3)
        assert source.failures == 0


def test_a_snapshot_server_that_begins_to_answer_byte_by_byte_is_down_in_time(watch: Watch) -> None:
    hangs = False

    def answer(exchange: Exchange) -> None:
        if not hangs:
            body = jpeg(7)
            exchange.begin("image/jpeg", Content_Length=str(len(body)))
            exchange.send(body)
            return
        exchange.send(b"HTTP/1.1 200 OK\r\nX-A: ")
        while exchange.wait(0.1):
            exchange.send(b"a")  # so that no read ever times out

    with serving_http(answer) as address:
        source = watch(f"{address}/x.jpg", read_timeout_s=0.5)
        frames_at_last(source, 2)
        hangs = True
        stopwatch = Stopwatch()
        assert "sent no picture for 0.55 s" in down(source)
        assert stopwatch.within(2.0), stopwatch.seconds


def test_a_snapshot_server_that_begins_to_refuse_the_login_is_asked_less_and_less_often(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("shared.backoff.random.uniform", lambda _, longest: waits.append(longest) or longest)
    refuses, refused_s = False, list[float]()

    def answer(exchange: Exchange) -> None:
        if refuses:
            exchange.begin(None, 401, WWW_Authenticate='Basic realm="cam"', Content_Length="0")
            refused_s.append(time.monotonic())
            return
        body = jpeg(7)
        exchange.begin("image/jpeg", Content_Length=str(len(body)))
        exchange.send(body)

    with serving_http(answer) as address:
        source = watch(address.replace("://", "://user:s3cret@") + "/x.jpg")
        frames(source, 1)
        began_s, refuses = time.monotonic(), True
        assert "refused user and password (401)" in down(source)
        wait_for(source, lambda: len(refused_s) >= 3)
        assert refused_s[2] - began_s > 2.5  # 1 s and then 2 s, not a second each
        assert waits[:2] == [1.0, 2.0]


def test_a_snapshot_may_be_a_png(watch: Watch) -> None:
    def png(number: int) -> bytes:
        return cv2.imencode(".png", picture(number))[1].tobytes()

    with serving_http(Snapshots(png)) as address:
        numbers = [number_in(frame.image) for frame in frames(watch(f"{address}/x"), 6)]
    assert numbers == sorted(numbers)


def test_a_login_with_digest_is_understood_also_with_special_characters(watch: Watch) -> None:
    user, password = "operator", "p:s/w%#d"

    def md5(text: str) -> str:
        return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

    def answer(exchange: Exchange) -> None:
        given = dict(re.findall(r'(\w+)="?([^",]+)"?', exchange.headers.get("Authorization", "")))
        secret = md5(f"{user}:cam:{password}")
        expected = md5(
            f"{secret}:n1:{given.get('nc')}:{given.get('cnonce')}:auth:{md5(f'GET:{unquote(exchange.path)}')}"
        )
        if given.get("response") != expected:
            challenge = 'Digest realm="cam", nonce="n1", qop="auth", algorithm=MD5'
            exchange.begin(None, 401, WWW_Authenticate=challenge, Content_Length="0")
            return
        exchange.begin("multipart/x-mixed-replace; boundary=b")
        for number in itertools.count():
            exchange.send(with_boundary(number))
            if not exchange.wait(0.02):
                return

    with serving_http(answer) as address:
        host = address.removeprefix("http://")
        frames(watch(f"http://{user}:p:s%2Fw%25%23d@{host}/live"), 3)
        assert down(watch(f"http://{user}:wrong@{host}/live"), "refused user and password (401)")
        assert "requires a user and a password (401)" in down(watch(f"http://{host}/live"))


@pytest.mark.parametrize(
    ("status", "says"), [(403, "denies access (403)"), (404, "no stream at this path (404)"), (500, "error of its own")]
)
def test_the_status_of_a_refusal_is_explained(watch: Watch, status: int, says: str) -> None:
    with serving_http(lambda exchange: exchange.begin(None, status, Content_Length="0")) as address:
        assert says in down(watch(f"{address}/x"))


def test_a_web_page_is_named(watch: Watch) -> None:
    def answer(exchange: Exchange) -> None:
        page = b"<!doctype html><title>camera</title>"
        exchange.begin("text/html", Content_Length=str(len(page)))
        exchange.send(page)

    with serving_http(answer) as address:
        assert "serves a web page, not a video" in down(watch(f"{address}/"))


def file_server(path: Path) -> Callable[[Exchange], None]:
    """Serves the files next to `path`, with ranges."""

    def answer(exchange: Exchange) -> None:
        data = (path.parent / exchange.path.lstrip("/")).read_bytes()
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", exchange.headers.get("Range", ""))
        first = int(match[1]) if match else 0
        last = int(match[2]) if match and match[2] else len(data) - 1
        ranges = {"Content_Range": f"bytes {first}-{last}/{len(data)}"} if match else {}
        body = data[first : last + 1]
        kind = "application/vnd.apple.mpegurl" if exchange.path.endswith("m3u8") else "video/mp4"
        exchange.begin(kind, 206 if match else 200, Content_Length=str(len(body)), Accept_Ranges="bytes", **ranges)
        exchange.send(body)

    return answer


@pytest.mark.parametrize("loop", [False, True])
def test_a_file_over_http_plays_at_its_own_speed_and_ends_or_loops(watch: Watch, tmp_path: Path, loop: bool) -> None:
    path = write_video(tmp_path / "a.mp4", [i / 25 for i in range(50)])
    with serving_http(file_server(path)) as address:
        began_s, stopwatch = time.monotonic(), Stopwatch()
        source, seen = watch(f"{address}/a.mp4", loop=loop), dict[int, list[int]]()

        def whole_loops() -> bool:
            """Whether a loop is over. A machine that is held up until the next one begins loses its last pictures."""
            return any(numbers[-1] >= 47 for number, numbers in seen.items() if number < max(seen))

        while (frame := source.frame_at(0.0, PATIENCE_S)) is not None:
            seen.setdefault(frame.loop, []).append(number_in(frame.image))
            assert stopwatch.within(PATIENCE_S)
            if whole_loops():
                break
        assert time.monotonic() - began_s > 1.5  # it lasts 2 s
        assert all(numbers == sorted(numbers) for numbers in seen.values())
        if loop:
            assert whole_loops()
        else:
            assert seen[0][-1] >= 47
            wait_for(source, lambda: source.state is SourceState.ENDED)


def test_the_last_picture_of_a_film_belongs_to_its_loop_also_when_the_next_one_begins(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vision.video.live_source._SHORTEST_LOOP_S", 60.0)
    path = write_video(tmp_path / "a.mp4", [0.0])
    with serving_http(file_server(path)) as address:
        source = watch(f"{address}/a.mp4", loop=True)
        wait_for(source, lambda: source._loop == 1)
        assert frames(source, 1)[0].loop == 0


def test_hls_plays_at_the_pace_of_its_time_stamps(watch: Watch, tmp_path: Path) -> None:
    path = tmp_path / "live.m3u8"
    options = {"hls_time": "1", "hls_list_size": "0", "hls_flags": "omit_endlist"}
    write_video(path, [i / 25 for i in range(500)], container="hls", options={"g": "25"}, container_options=options)
    with serving_http(file_server(path)) as address:
        source = watch(f"{address}/live.m3u8")
        for _ in range(5):
            first = number_in(frames(source, 1)[0].image)
            began_s, numbers, arrivals = time.monotonic(), [first], [0.0]
            while arrivals[-1] < 2.0:
                numbers += [number_in(frames(source, 1)[0].image)]
                arrivals.append(time.monotonic() - began_s)
            assert numbers == sorted(numbers)
            shown_s = (numbers[-1] - numbers[0]) / 25
            # Not in one burst. A machine that is held up at the wrong moment needs another look.
            if shown_s == pytest.approx(arrivals[-1], abs=0.7) and len(numbers) >= 25:
                return
    pytest.fail(f"{len(numbers)} pictures of {shown_s:.2f} s arrived in {arrivals[-1]:.2f} s")


def test_mpeg_ts_over_http_shows_its_newest_picture(watch: Watch, tmp_path: Path) -> None:
    data = write_video(tmp_path / "a.ts", [i / 25 for i in range(250)], options={"g": "10"}).read_bytes()
    rate = len(data) / 10  # bytes per second

    def answer(exchange: Exchange) -> None:
        exchange.begin("video/mp2t")
        began_s, sent = time.monotonic(), 0
        while sent < len(data):
            due = min(len(data), int((time.monotonic() - began_s) * rate) + 20_000)
            exchange.send(data[sent:due])
            sent = due
            if not exchange.wait(0.02):
                return

    with serving_http(answer) as address:
        source = watch(f"{address}/live")
        numbers = [number_in(frame.image) for frame in frames(source, 15)]
        assert source.failures == 0
    assert numbers == sorted(set(numbers))


def test_a_picture_list_behind_a_redirect_is_followed_and_the_login_stays_at_its_host(watch: Watch) -> None:
    seen: list[str | None] = []

    def elsewhere(exchange: Exchange) -> None:
        seen.append(exchange.headers.get("Authorization"))
        body = jpeg(int(exchange.path.removeprefix("/pic")))
        exchange.begin("image/jpeg", Content_Length=str(len(body)))
        exchange.send(body)

    numbers = itertools.count()
    with serving_http(elsewhere) as other:
        target = other.replace("127.0.0.1", "localhost")

        def redirect(exchange: Exchange) -> None:
            exchange.begin(None, 302, Location=f"{target}/pic{next(numbers)}", Content_Length="0")

        with serving_http(redirect) as address:
            source = watch(address.replace("://", "://user:s3cret@") + "/snapshot")
            shown = [number_in(frame.image) for frame in frames(source, 6)]
    assert shown == sorted(set(shown))
    assert set(seen) == {None}


def test_a_snapshot_that_becomes_a_login_page_or_is_cut_off_is_not_shown_as_live(watch: Watch) -> None:
    broken = [b""]

    def answer(exchange: Exchange) -> None:
        body = broken[0] or jpeg(7)
        exchange.begin("text/html" if body.startswith(b"<") else "image/jpeg", Content_Length=str(len(body)))
        exchange.send(body)

    for body in (b"<html>please log in</html>", jpeg(7)[:400]):
        broken[0] = b""
        with serving_http(answer) as address:
            source = watch(f"{address}/x.jpg", read_timeout_s=0.5)
            frames_at_last(source, 2)
            broken[0] = body
            down(source, "no intact picture")


def test_a_server_that_answers_byte_by_byte_is_down_in_time(watch: Watch) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nX-A: ")
        while exchange.wait(0.1):
            exchange.send(b"a")

    with serving_http(answer) as address:
        source = watch(f"{address}/x", open_timeout_s=0.5)
        stopwatch = Stopwatch()
        assert "did not answer within 0.5 s" in down(source)
        assert source.answered.is_set()
        assert stopwatch.within(2.5), stopwatch.seconds


def test_a_camera_whose_sound_goes_on_when_its_video_stops_is_opened_again(watch: Watch, tmp_path: Path) -> None:
    path, asked = tmp_path / "a.ts", [0]
    output = av.open(str(path), "w", options={"muxdelay": "0"})
    video, sound = output.add_stream("libx264", rate=25), output.add_stream("aac", rate=8000)
    video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
    video.options = {"tune": "zerolatency", "g": "5"}
    for number in range(25):
        frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
        output.mux(video.encode(frame))
    samples = av.AudioFrame.from_ndarray(np.zeros((1, 8000 * 300), np.float32), format="fltp", layout="mono")
    samples.rate = 8000
    output.mux(sound.encode(samples))
    output.mux(sound.encode())
    output.mux(video.encode())
    output.close()
    data = path.read_bytes()

    def answer(exchange: Exchange) -> None:
        asked[0] += 1
        exchange.begin("video/mp2t")
        half = len(data) // 2
        exchange.send(data[:half])
        for start in range(half, len(data), 188):
            exchange.send(data[start : start + 188])
            if not exchange.wait(0.1):
                return

    with serving_http(answer) as address:
        source = watch(f"{address}/x", read_timeout_s=0.6)
        frames_at_last(source, 1)
        down(source)
        wait_for(source, lambda: asked[0] >= 4)


def test_a_short_film_over_http_that_loops_is_not_asked_for_all_the_time(watch: Watch, tmp_path: Path) -> None:
    path, asked = write_video(tmp_path / "a.mp4", [0.0]), [0]
    serve = file_server(path)

    def answer(exchange: Exchange) -> None:
        asked[0] += 1
        serve(exchange)

    with serving_http(answer) as address:
        source = watch(f"{address}/a.mp4", loop=True)
        frames(source, 1)
        time.sleep(2.0)
        assert asked[0] <= 12


@pytest.mark.parametrize("name", ["a.avi", "a.mkv"])
def test_a_film_over_http_is_no_snapshot_also_in_chunks(watch: Watch, tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, [i / 25 for i in range(50)], rate=25)

    def answer(exchange: Exchange) -> None:
        body = path.read_bytes()
        exchange.begin("application/octet-stream", Content_Length=str(len(body)))
        exchange.send(body)

    with serving_http(answer) as address:
        source = watch(f"{address}/{name}")
        seen = [number_in(frame.image) for frame in frames(source, 10)]
        assert seen == sorted(set(seen))
        wait_for(source, lambda: source.state is SourceState.ENDED)


def test_a_playlist_with_an_end_ends(watch: Watch, tmp_path: Path) -> None:
    path = tmp_path / "film.m3u8"
    options = {"hls_time": "1", "hls_list_size": "0"}
    write_video(path, [i / 25 for i in range(50)], container="hls", options={"g": "25"}, container_options=options)
    with serving_http(file_server(path)) as address:
        source = watch(f"{address}/film.m3u8")
        frames(source, 3)
        wait_for(source, lambda: source.state is SourceState.ENDED)


def test_a_login_in_any_script_is_understood(watch: Watch) -> None:
    login = "оператор:пароль"

    def answer(exchange: Exchange) -> None:
        given = exchange.headers.get("Authorization", "").removeprefix("Basic ")
        if base64.b64decode(given).decode() != login:
            exchange.begin(None, 401, WWW_Authenticate='Basic realm="cam"', Content_Length="0")
            return
        body = jpeg(3)
        exchange.begin("image/jpeg", Content_Length=str(len(body)))
        exchange.send(body)

    with serving_http(answer) as address:
        frames(watch(address.replace("http://", f"HTTP://{login}@") + "/x"), 1)


def test_the_backoff_starts_over_after_a_stream_that_was_live_for_long(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LiveSource, "SETTLED_S", 0.2)
    resets = []
    monkeypatch.setattr(Backoff, "reset", lambda self: resets.append(1))

    def answer(exchange: Exchange) -> None:
        exchange.begin("multipart/x-mixed-replace; boundary=b")
        for number in range(10):
            exchange.send(with_boundary(number))
            exchange.wait(0.05)
        exchange.wait(30)

    with serving_http(answer) as address:
        source = watch(f"{address}/x", read_timeout_s=0.3)
        wait_for(source, lambda: source.state is SourceState.LIVE)
        wait_for(source, lambda: source.state is SourceState.DOWN)  # noticed here, before the read gives up
        wait_for(source, lambda: source.failures >= 1)
    assert resets


@pytest.mark.parametrize("host", ["cam..local", "192.168.0.9：554", "a" * 300])
def test_a_host_that_cannot_be_is_refused_without_the_password(host: str) -> None:
    with pytest.raises(ValueError, match="host") as refused:
        LiveSource(f"rtsp://admin:s3cret@{host}/x", camera="c1", site_time_ns=time.time_ns)
    assert "s3cret" not in str(refused.value)


# -- RTSP ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rtsp() -> Iterator[RtspServer]:
    require_rtsp()
    with serving_rtsp() as server:
        yield server


def require_rtsp() -> None:
    if not is_available():
        if os.environ.get("CI"):
            pytest.fail("GStreamer's RTSP server is not installed; run tools/install-system-packages")
        pytest.skip("GStreamer's RTSP server is not installed; `make test` installs it")


@pytest.mark.parametrize(
    ("path", "transport"),
    [("/cam", "auto"), ("/cam", "tcp"), ("/cam", "udp"), ("/udp", "auto"), ("/udp", "udp"), ("/mjpeg", "auto")],
)
def test_rtsp_is_live_over_tcp_and_udp(watch: Watch, rtsp: RtspServer, path: str, transport: str) -> None:
    source = watch(rtsp.url(path), transport=transport)
    found = frames(source, 5)
    assert {frame.image.shape for frame in found} == {(240, 320, 3)}
    assert source.fault is None


@pytest.mark.parametrize(
    ("path", "options", "says"),
    [
        ("/nothing", {}, "has no stream at this path (404)"),
        ("/sound", {}, "contains no video, only audio"),
        ("/udp", {"transport": "tcp"}, "does not support this transport (461)"),
    ],
)
def test_what_is_wrong_with_an_rtsp_address_is_named(
    watch: Watch, rtsp: RtspServer, path: str, options: dict[str, str], says: str
) -> None:
    assert says in down(watch(rtsp.url(path), **options))


def test_tls_where_there_is_none_is_named(watch: Watch, rtsp: RtspServer) -> None:
    assert "does not accept a TLS connection" in down(watch(rtsp.url("/cam").replace("rtsp:", "rtsps:")))


def test_a_port_without_a_server_and_an_unknown_host_are_named(watch: Watch) -> None:
    assert "refused the connection" in down(watch("rtsp://127.0.0.1:1/cam"))
    assert "its host name is unknown" in down(watch("rtsp://camera.invalid/cam"))


def test_a_login_over_rtsp_is_understood_or_refused(watch: Watch) -> None:
    require_rtsp()
    with serving_rtsp(login=("operator", "p@ss/w")) as server:
        frames(watch(server.url("/cam", "operator:p@ss%2Fw")), 1)
        assert "refused user and password (401)" in down(watch(server.url("/cam", "operator:wrong")))
        assert "requires a user and a password (401)" in down(watch(server.url("/cam")))


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_frozen_rtsp_server_is_down_within_the_timeout_and_comes_back(watch: Watch, transport: str) -> None:
    require_rtsp()
    with serving_rtsp() as server:
        source = watch(server.url("/cam"), read_timeout_s=1.0, transport=transport)
        frames_at_last(source, 3)
        server.freeze()
        stopwatch = Stopwatch()
        wait_for(source, lambda: source.state is SourceState.DOWN)
        assert stopwatch.within(1.6), stopwatch.seconds
        assert "sent no picture for 1 s" in str(source.error)
        server.thaw()
        wait_for(source, lambda: source.state is SourceState.LIVE)
        frames_at_last(source, 2)


def test_an_rtsp_server_that_is_killed_and_restarted_with_another_size_is_shown_again(watch: Watch) -> None:
    require_rtsp()
    with serving_rtsp(free_port()) as server:
        source = watch(server.url("/cam"), read_timeout_s=1.0)
        frames_at_last(source, 2)
        port = server.port
        server.kill()
        wait_for(source, lambda: source.state is SourceState.DOWN)
        wait_for(source, lambda: "refused the connection" in str(source.error))
        with serving_rtsp(port, (480, 360)):
            wait_for(source, lambda: source.state is SourceState.LIVE)
            wait_for(source, lambda: (f := source.frame_at(0.0, 1.0)) is not None and f.image.shape == (360, 480, 3))


@pytest.mark.parametrize(
    ("path", "options", "kind", "says"),
    [
        ("/still", {"freeze_s": 1.0}, "frozen", "the picture has not changed for 1 s"),
        ("/black", {"freeze_s": 0.0}, "blank", "the picture is all black"),
    ],
)
def test_a_frozen_and_a_black_picture_are_named(
    watch: Watch, rtsp: RtspServer, path: str, options: dict[str, float], kind: str, says: str
) -> None:
    source = watch(rtsp.url(path), **options)
    wait_for(source, lambda: source.fault is not None)
    assert source.fault is not None
    assert source.fault.kind.value == kind
    assert says in source.fault.message
    assert source.state is SourceState.LIVE


def test_closing_a_stream_whose_server_hangs_does_not_wait_for_it(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_rtsp()
    with serving_rtsp() as server:
        source = watch(server.url("/cam"), read_timeout_s=30.0)
        frames(source, 1)
        server.freeze()
        stopwatch = Stopwatch()
        source.close()
        assert stopwatch.within(1.0), stopwatch.seconds
        server.thaw()
