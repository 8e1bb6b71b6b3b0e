"""Live sources against a real MJPEG server on this machine."""

import base64
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from structlog.testing import capture_logs

from shared.backoff import Backoff
from tests.free_ports import free_port
from tests.stopwatch import Stopwatch
from vision.video import live_source
from vision.video.address import SourceKind, display_name, is_local, kind_of, local_problem
from vision.video.decoding import Converter
from vision.video.live_source import LiveSource
from vision.video.opening import open_source
from vision.video.options import SourceOptions
from vision.video.source import SourceState, ThreadedSource
from vision.video.stream_readers import StreamFacts

PATIENCE_S = 20.0
ROOT = Path(__file__).parents[2]
USER, PASSWORD = "operator", "geh3im"


class MjpegServer:
    """Serves `/cam` as multipart/x-mixed-replace: picture `i` is uniformly grey with the value `8 * i`.

    Without `fps` it stops after a few pictures, and each `send` sends one more.
    """

    def __init__(self, port: int = 0, fps: float | None = 50.0, password: str | None = None) -> None:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                expected = "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()
                if password and self.headers.get("Authorization") != expected:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                number = 0
                try:
                    while not outer.stopped.is_set():
                        body = cv2.imencode(".jpg", np.full((48, 64, 3), 8 * (number % 32), np.uint8))[1].tobytes()
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
                        self.wfile.write(head.encode() + body + b"\r\n")
                        number += 1
                        if fps:
                            outer.stopped.wait(1 / fps)
                        else:
                            outer.await_turn(number)
                except OSError:
                    pass

            def log_message(self, format: str, *args: object) -> None: ...

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self.stopped, self.turn, self.allowed = threading.Event(), threading.Condition(), 4  # FFmpeg probes some
        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def await_turn(self, number: int) -> None:
        with self.turn:
            self.turn.wait_for(lambda: self.allowed > number or self.stopped.is_set())

    def send(self) -> None:
        with self.turn:
            self.allowed += 1
            self.turn.notify_all()

    def stop(self) -> None:
        self.stopped.set()
        with self.turn:
            self.turn.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving(**options: object) -> Iterator[MjpegServer]:
    server = MjpegServer(**options)  # type: ignore[arg-type]
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never sends anything."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


class CountedBackoff(Backoff):
    def __init__(self) -> None:
        super().__init__(0.05, 0.1)
        self.third_try, self._tries = threading.Event(), 0

    def next_s(self) -> float:
        self._tries += 1
        if self._tries == 3:
            self.third_try.set()
        return super().next_s()


Watch = Callable[..., LiveSource]


@pytest.fixture
def watch() -> Iterator[Watch]:
    opened: list[LiveSource] = []

    def open_live(url: str, **options: object) -> LiveSource:
        options.setdefault("backoff", Backoff(0.05, 0.2))
        options.setdefault("site_time_ns", time.time_ns)
        limits = {name: options.pop(name) for name in ("open_timeout_s", "read_timeout_s") if name in options}
        options.setdefault("options", SourceOptions(**limits))  # type: ignore[arg-type]
        opened.append(LiveSource(url, camera="c1", **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_live
    for source in opened:
        source.close()


def wait_for(source: ThreadedSource, state: SourceState) -> str:
    """Waits for a state; returns the error of that moment, or an empty string. A moment later it may be another one."""
    with source._changed:
        assert source._changed.wait_for(lambda: source.state is state, PATIENCE_S), source.state
        return source.error or ""


def test_each_picture_is_returned_once_with_the_site_time_of_its_capture(watch: Watch) -> None:
    with serving() as server:
        source = watch(f"http://127.0.0.1:{server.port}/cam", site_time_ns=lambda: time.time_ns() + 10**18)
        frames = [source.frame_at(0.0, PATIENCE_S) for _ in range(5)]
        assert source.answered.is_set()
    indices = [frame.index for frame in frames if frame]
    times = [frame.time_ns for frame in frames if frame]
    assert len(indices) == 5
    assert indices == sorted(set(indices))
    assert times == sorted(times)
    assert abs(times[-1] - 10**18 - time.time_ns()) < PATIENCE_S * 1e9
    assert frames[0] is not None
    assert frames[0].image.shape == (48, 64, 3)
    assert frames[0].loop == 0


def test_without_a_new_picture_the_result_is_none_after_the_timeout(watch: Watch) -> None:
    with serving(fps=None) as server:
        source = watch(f"http://127.0.0.1:{server.port}/cam")
        last = source.frame_at(0.0, PATIENCE_S)
        assert last is not None
        quiet = 0
        while quiet < 2:  # Once may be a machine that was held up.
            frame = source.frame_at(0.0, 0.3)
            last, quiet = (last, quiet + 1) if frame is None else (frame, 0)
        began_s = time.monotonic()
        assert source.frame_at(0.0, 0.1) is None
        assert time.monotonic() - began_s >= 0.1
        server.send()
        server.send()
        following = source.frame_at(0.0, PATIENCE_S)
        assert following is not None
        assert following.index > last.index


def test_pictures_that_were_not_requested_are_dropped_and_counted(watch: Watch) -> None:
    with serving(fps=200.0) as server:
        source = watch(f"http://127.0.0.1:{server.port}/cam")
        with source._changed:
            assert source._changed.wait_for(lambda: source.dropped >= 10, PATIENCE_S)
        frame = source.frame_at(0.0, 0.0)
        assert frame is not None
        assert frame.index >= 10
        assert int(frame.image.mean()) == pytest.approx(8 * (frame.index % 32), abs=3)


def test_site_time_never_goes_back_when_the_clock_offset_shrinks(watch: Watch) -> None:
    with serving() as server:
        clock = iter(range(10**6, 0, -1))
        source = watch(f"http://127.0.0.1:{server.port}/cam", site_time_ns=lambda: next(clock))
        times = [frame.time_ns for _ in range(3) if (frame := source.frame_at(0.0, PATIENCE_S))]
    assert times == [10**6] * 3


def test_the_source_reconnects_after_a_server_restart(watch: Watch) -> None:
    with capture_logs() as logs:
        with serving(port=free_port()) as server:
            backoff = CountedBackoff()
            source = watch(f"http://127.0.0.1:{server.port}/cam", backoff=backoff)
            assert source.frame_at(0.0, PATIENCE_S) is not None
        wait_for(source, SourceState.DOWN)
        assert source.error is not None
        assert source.failures >= 1
        assert backoff.third_try.wait(PATIENCE_S)
        source.frame_at(0.0, 0.0)  # the last picture before the failure
        watch = Stopwatch()
        assert source.frame_at(0.0, None) is None  # returns at once while the source is down
        assert watch.within(1.0), watch.seconds
        with serving(port=server.port):
            wait_for(source, SourceState.LIVE)
            assert source.error is None
            assert source.frame_at(0.0, PATIENCE_S) is not None
            source.close()
    assert source.failures >= 3
    assert source.restarts == 0
    events = [entry["event"] for entry in logs if entry["log_level"] != "debug"]  # none per frame, none per retry
    assert events == ["source is live", "source is down", "source is live"]


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_never_answers_is_down_after_the_timeout(watch: Watch, scheme: str) -> None:
    with silent_port() as port:
        source = watch(f"{scheme}://{USER}:{PASSWORD}@127.0.0.1:{port}/cam", open_timeout_s=0.3)
        assert source.answered.wait(PATIENCE_S)
        assert source.state is SourceState.DOWN
        assert source.error == f"{scheme}://127.0.0.1:{port} did not answer within 0.3 s; check address and network"


def test_a_stream_that_stops_sending_is_down_after_the_timeout(watch: Watch) -> None:
    with serving(fps=None) as server:
        source = watch(f"http://127.0.0.1:{server.port}/cam", read_timeout_s=0.3)
        wait_for(source, SourceState.LIVE)
        assert "sent no picture for 0.3 s" in wait_for(source, SourceState.DOWN)


@pytest.mark.parametrize("hanging", ["open", "read", "backoff"])
def test_closing_takes_less_than_a_second_even_if_something_hangs(watch: Watch, hanging: str) -> None:
    with silent_port() as port, serving(fps=None) as server:
        if hanging == "backoff":
            source = watch("device:97", backoff=Backoff(30.0, 60.0))
            wait_for(source, SourceState.DOWN)
        else:
            source = watch(f"http://127.0.0.1:{port if hanging == 'open' else server.port}/cam", read_timeout_s=2.5,
                           open_timeout_s=2.5)  # fmt: skip
            if hanging == "read":
                wait_for(source, SourceState.LIVE)
        watch = Stopwatch()
        source.close()
        assert watch.within(1.0), watch.seconds
        assert source.frame_at(0.0, None) is None
        source._thread.join(PATIENCE_S)
        assert not source._thread.is_alive()


def test_a_decoder_that_fails_is_retried_and_does_not_show_the_address(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def __init__(self, *args: object, **options: object) -> None: ...
        def pictures(self) -> Iterator[None]:
            raise av.error.UnknownError(5, f"rtsp://{USER}:{PASSWORD}@host/ is damaged")
            yield

        facts = StreamFacts("stream")
        is_file = waits_for_key_frames = False

        def close(self) -> None: ...

    with monkeypatch.context() as patched:
        patched.setattr(live_source, "VideoInput", Broken)
        patched.setattr(live_source, "FfmpegReader", Broken)
        source = watch(f"rtsp://{USER}:{PASSWORD}@host/")
        assert source.answered.wait(PATIENCE_S)
        assert source.state is SourceState.DOWN
        assert source.error == "rtsp://host ended or was interrupted"
        source.close()


def test_an_unexpected_exception_is_logged_counted_and_retried(watch: Watch) -> None:
    failures = iter([ZeroDivisionError(f"rtsp://{USER}:{PASSWORD}@host/"), KeyError("offset")])

    def site_time_ns() -> int:
        for error in failures:
            raise error
        return time.time_ns()

    with serving() as server, capture_logs() as logs:
        source = watch(f"http://127.0.0.1:{server.port}/cam", site_time_ns=site_time_ns)
        assert source.answered.wait(PATIENCE_S)
        wait_for(source, SourceState.LIVE)
        assert source.frame_at(0.0, PATIENCE_S) is not None
        assert (source.failures, source.restarts) == (2, 2)
    tracebacks = [entry for entry in logs if entry["event"] == "reading a source failed unexpectedly"]
    assert [type(entry["exc_info"]) for entry in tracebacks] == [ZeroDivisionError, KeyError]
    assert all(entry["camera"] == "c1" and entry["retry_in_s"] > 0 for entry in tracebacks)
    down = next(entry for entry in logs if entry["event"] == "source is down")
    assert down["reason"].endswith("reading failed unexpectedly (ZeroDivisionError); see the worker's log")


def test_a_wrong_password_is_named_as_a_possible_cause(watch: Watch) -> None:
    with serving(password=PASSWORD) as server:
        source = watch(f"http://{USER}:wr0ng@127.0.0.1:{server.port}/cam")
        wait_for(source, SourceState.DOWN)
        assert "user and password" in str(source.error)
        assert "wr0ng" not in str(source.error)


OBSERVED = """
import json, sys, time
from vision.video.opening import open_source
from vision.video.options import SourceOptions
from shared.backoff import Backoff
from vision.video.live_source import LiveSource
out = []
for url, limit_s in json.loads(sys.argv[1]):
    source = LiveSource(url, camera="c1", site_time_ns=time.time_ns, options=SourceOptions("auto", limit_s, limit_s),
                        backoff=Backoff(0.05, 0.1))
    assert source.answered.wait(20)
    frame = source.frame_at(0.0, 5.0)
    out.append([source.state.value, source.error, frame is not None])
    source.close()
print(json.dumps(out))
"""


def test_credentials_never_reach_stdout_or_stderr_of_the_process() -> None:
    with serving(password=PASSWORD) as server, silent_port() as silent:
        login = f"{USER}:{PASSWORD}"
        urls = [
            f"http://{login}@127.0.0.1:{server.port}/cam",
            f"http://{USER}:x{PASSWORD}@127.0.0.1:{server.port}/cam",
            f"http://{login}@127.0.0.1:{silent}/cam?pw={PASSWORD}",
            f"rtsp://{login}@127.0.0.1:{silent}/user={USER}_password={PASSWORD}",
            f"rtsp://{login}@127.0.0.1:1/cam",
            f"rtsp://{USER}:p@{PASSWORD}@127.0.0.1:1/cam",
            f"https://{login}@127.0.0.1:{server.port}/cam",
        ]
        limited = [(url, 0.5 if f":{silent}/" in url else 15.0) for url in urls]
        done = subprocess.run(
            [sys.executable, "-c", OBSERVED, json.dumps(limited)], cwd=ROOT, capture_output=True, text=True, timeout=90,
            env={k: v for k, v in os.environ.items() if not k.startswith("OPENCV")},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no output from OpenCV or FFmpeg
    assert PASSWORD not in done.stdout
    assert USER not in done.stdout
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome[0] == ["live", None, True]  # the credentials are used but not shown
    assert [state for state, _, _ in outcome[1:]] == ["down"] * 6


def test_a_process_ends_cleanly_while_a_read_hangs() -> None:
    script = """
import sys, time
from vision.video.opening import open_source
from vision.video.options import SourceOptions
source = open_source(sys.argv[1], camera="c1", site_time_ns=time.time_ns, options=SourceOptions(open_timeout_s=60))
source.close()
"""
    with silent_port() as port:
        done = subprocess.run(
            [sys.executable, "-c", script, f"http://127.0.0.1:{port}/"], cwd=ROOT, capture_output=True, timeout=30
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_rtsp_prefers_tcp_unless_the_transport_is_set() -> None:
    assert SourceOptions().for_ffmpeg("rtsp") == {"rtsp_flags": "prefer_tcp"}
    assert SourceOptions(transport="udp").for_ffmpeg("rtsps") == {"rtsp_transport": "udp"}
    assert SourceOptions(transport="tcp").for_ffmpeg("http") == {}
    assert SourceOptions(ffmpeg={"max_delay": "5"}).for_ffmpeg("http") == {"max_delay": "5"}


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("videos/a.mp4", SourceKind.FILE), ("/videos/a.mp4", SourceKind.FILE), ("a:b.mp4", SourceKind.FILE),
        ("rtsp://h/x", SourceKind.STREAM), ("RTSPS://h/x", SourceKind.STREAM), ("https://h/x", SourceKind.STREAM),
        ("/dev/video2", SourceKind.DEVICE), ("device:0", SourceKind.DEVICE), ("3", SourceKind.DEVICE),
    ],
)  # fmt: skip
def test_the_kind_of_a_source_follows_from_its_form(source: str, kind: SourceKind) -> None:
    assert kind_of(source) is kind
    assert is_local(source) == (kind is not SourceKind.STREAM)


@pytest.mark.parametrize("source", ["", " ", "ftp://u:geh3im@h/x", "rtsp:/u:geh3im@h/x"])
def test_an_unsupported_source_is_refused_without_its_credentials(source: str) -> None:
    with pytest.raises(ValueError, match=r"use the path|is empty|two slashes") as refused:
        open_source(source, camera="c1", site_time_ns=time.time_ns)
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://u:p@host:554/live?x=1", "rtsp://host:554"), ("http://host/user=a_password=b", "http://host"),
        ("rtsp://u:p@ss@host/live", "rtsp://host"), ("rtsp://u:p/w@host/live", "rtsp://***"),
        ("rtsp://u:p?w@host", "rtsp://***"), ("rtsp://u:p@s/w@host", "rtsp://***"), ("a/b.mp4", "a/b.mp4"),
    ],
)  # fmt: skip
def test_only_the_host_of_a_url_is_shown(url: str, shown: str) -> None:
    assert display_name(url) == shown


def test_a_missing_local_source_is_reported_at_once(tmp_path: Path) -> None:
    assert "no file" in str(local_problem(str(tmp_path / "a.mp4")))
    assert "is a folder" in str(local_problem(str(tmp_path)))
    assert local_problem(__file__) is None
    assert local_problem("rtsp://host/live") is None
    if sys.platform.startswith("linux"):
        assert "/dev/video97" in str(local_problem("device:97"))


def test_sources_that_hang_while_they_are_opened_delay_no_other(watch: Watch) -> None:
    with ExitStack() as stack:
        for _ in range(32):
            port = stack.enter_context(silent_port())
            watch(f"rtsp://127.0.0.1:{port}/cam", open_timeout_s=10.0)
        server = stack.enter_context(serving())
        stopwatch = Stopwatch()
        source = watch(f"http://127.0.0.1:{server.port}/cam")
        assert source.frame_at(0.0, PATIENCE_S) is not None
        assert stopwatch.within(5.0), stopwatch.seconds


def test_a_picture_that_cannot_be_converted_does_not_reach_the_loop(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Converter, frame: object) -> None:
        raise av.error.InvalidDataError(5, "no such format")

    with serving() as server:
        source = watch(f"http://127.0.0.1:{server.port}/cam")
        assert source.frame_at(0.0, PATIENCE_S) is not None
        monkeypatch.setattr(Converter, "image", broken)
        assert source.frame_at(0.0, PATIENCE_S) is None
        assert "the decoder failed" in wait_for(source, SourceState.DOWN)


def test_a_malformed_answer_does_not_print_the_address(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        source = LiveSource(
            f"http://127.0.0.1:{server.getsockname()[1]}/secret-path?pw={PASSWORD}",
            camera="c1",
            site_time_ns=time.time_ns,
        )
        connection = server.accept()[0]
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nno header\r\nContent-Type: image/jpeg\r\n\r\n")
        connection.close()
        assert source.answered.wait(PATIENCE_S)
        source.close()
    assert "secret-path" not in caplog.text
    assert PASSWORD not in caplog.text
