"""Fetching models from a real HTTP server on this machine, which does whatever goes wrong elsewhere."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.server
import io
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from tenacity import wait_none

from cli.models.pull import pull_models
from model_store import download as download_module
from model_store.download import download
from model_store.manifest import ModelEntry
from model_store.store import KnownModel, ModelStore
from shared.errors import MtmcError
from tests.free_ports import free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
CONTENT = random.Random(1).randbytes(600_000)
HALF = 18 << 14  # a whole number of the pieces in which it is read, of which a cut loses the last
OTHER = random.Random(2).randbytes(600_000)

Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


class ModelServer:
    """Answers each request as the next of `answers` says, then with `CONTENT`, or the part of it asked for."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.requests: list[dict[str, str]] = []
        outer = self

        class OneRequest(Handler):
            def do_GET(self) -> None:  # noqa: N802
                outer.requests.append(dict(self.headers))
                answer = outer.answers.popleft() if outer.answers else whole
                with contextlib.suppress(ConnectionError):  # the client may have heard enough
                    answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OneRequest)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/tiny.onnx"

    @property
    def ranges(self) -> list[str | None]:
        """What part each request asked for."""
        return [request.get("Range") for request in self.requests]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def send(handler: Handler, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(body)


def whole(handler: Handler, content: bytes = CONTENT, stop_after: int | None = None) -> None:
    """`content` from where it is asked for; with `stop_after` so many bytes, then the line is cut."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    start = int(asked[1]) if asked else 0
    body = content[start:]
    if asked and not body:
        send(handler, 416, b"", 0, Content_Range=f"bytes */{len(content)}")
    elif asked:
        where = f"bytes {start}-{len(content) - 1}/{len(content)}"
        send(handler, 206, body[:stop_after], len(body), Content_Range=where)
    else:
        send(handler, 200, body[:stop_after], len(body))


def cut_after(count: int) -> Answer:
    return lambda handler: whole(handler, stop_after=count)


def says(status: int) -> Answer:
    return lambda handler: send(handler, status, b"", 0)


def gives(body: bytes, length: int | None = None, **headers: str) -> Answer:
    """`body` as a whole, whatever part was asked for; without `length` it ends where the connection ends."""
    return lambda handler: send(handler, 200, body, length, **headers)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = ModelServer()
    yield server
    server.close()


def entry(url: str) -> ModelEntry:
    checksum = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    return ModelEntry(
        name="tiny", kind="detector", what="noise", licence="MIT", url=url, size_bytes=len(CONTENT), checksum=checksum
    )


@pytest.fixture
def model(server: ModelServer, tmp_path: Path) -> KnownModel:
    return KnownModel(entry(server.url), tmp_path / "models" / "tiny.onnx")


class Reported:
    """What one download reports."""

    def __init__(self) -> None:
        self.bytes_here: list[int] = []
        self.retries: list[str] = []

    def fetch(self, model: KnownModel) -> Reported:
        download(model, self.bytes_here.append, lambda reason, _: self.retries.append(reason), wait_none())
        return self

    def refusal(self, model: KnownModel) -> str:
        with pytest.raises(MtmcError) as refused:
            self.fetch(model)
        assert "\n" not in str(refused.value)
        return str(refused.value)


def partial(model: KnownModel, content: bytes) -> None:
    model.path.parent.mkdir(parents=True)
    model.partial.write_bytes(content)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def assert_it_is_here(model: KnownModel) -> None:
    assert model.path.read_bytes() == CONTENT
    assert names_in(model.path.parent) == [model.path.name]


def assert_nothing_is_kept(model: KnownModel) -> None:
    assert names_in(model.path.parent) == []


def test_a_whole_file_arrives_and_every_byte_is_told(server: ModelServer, model: KnownModel) -> None:
    told = Reported().fetch(model)
    assert_it_is_here(model)
    assert told.bytes_here == sorted(told.bytes_here)
    assert told.bytes_here[-1] == len(CONTENT)
    assert told.retries == []
    # What is packed for the way would have another size and could not be resumed.
    assert server.requests[0]["Accept-Encoding"] == "identity"


def test_a_redirection_is_followed_with_its_range(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(lambda handler: send(handler, 302, b"", 0, Location="/elsewhere/tiny.onnx"))
    partial(model, CONTENT[:1000])
    Reported().fetch(model)
    assert_it_is_here(model)
    assert server.ranges == ["bytes=1000-"] * 2


def test_after_a_cut_it_goes_on_where_it_was(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(cut_after(HALF))
    told = Reported().fetch(model)
    assert_it_is_here(model)
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert len(told.retries) == 1


def test_many_cuts_do_no_harm_while_something_arrives(server: ModelServer, model: KnownModel) -> None:
    server.answers.extend([cut_after(HALF // 3)] * 6)
    Reported().fetch(model)
    assert_it_is_here(model)
    assert len(server.requests) == 7


def test_a_later_pull_goes_on_where_an_earlier_one_gave_up(server: ModelServer, model: KnownModel) -> None:
    server.answers.extend([cut_after(HALF), *[says(503)] * 3])
    refusal = Reported().refusal(model)
    assert "503 Service Unavailable (49% of it is here" in refusal
    assert not model.path.exists()
    Reported().fetch(model)
    assert_it_is_here(model)
    assert server.ranges[-1] == f"bytes={HALF}-"


def test_a_killed_pull_is_gone_on_with(server: ModelServer, model: KnownModel, tmp_path: Path) -> None:
    hold = threading.Event()

    def half(handler: Handler) -> None:
        whole(handler, stop_after=HALF)
        hold.wait(PATIENCE_S)

    server.answers.append(half)
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"models": [entry(server.url).model_dump()]}))
    code = (
        "import pathlib, sys\n"
        "from rich.console import Console\n"
        "from cli.models.pull import pull_models\n"
        "from model_store.store import ModelStore\n"
        "pull_models(['tiny'], ModelStore(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])), Console(), Console())"
    )
    command = [sys.executable, "-c", code, model.path.parent, tmp_path / "models.yaml"]
    pulling = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_for(lambda: model.partial.exists() and model.partial.stat().st_size == HALF)
    finally:
        pulling.send_signal(signal.SIGKILL)
        pulling.wait(PATIENCE_S)
        hold.set()
    Reported().fetch(model)
    assert_it_is_here(model)
    assert server.ranges == [None, f"bytes={HALF}-"]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_server_in_trouble_is_asked_again(status: int, server: ModelServer, model: KnownModel) -> None:
    server.answers.extend([says(status)] * 2)
    told = Reported().fetch(model)
    assert_it_is_here(model)
    assert len(told.retries) == 2
    assert str(status) in told.retries[0]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_server_that_says_no_is_asked_once(status: int, server: ModelServer, model: KnownModel) -> None:
    server.answers.append(says(status))
    refusal = Reported().refusal(model)
    assert f"the server says {status}" in refusal
    assert f"fetch {server.url} on another machine and put it at {model.path}" in refusal
    assert len(server.requests) == 1
    assert_nothing_is_kept(model)


def test_another_file_of_the_same_size_is_refused_and_the_old_file_stays(
    server: ModelServer, model: KnownModel
) -> None:
    server.answers.append(gives(OTHER, len(OTHER)))
    model.path.parent.mkdir(parents=True)
    model.path.write_bytes(b"an older one")
    refusal = Reported().refusal(model)
    assert "is not the file that was published: its sha256 is " in refusal
    assert names_in(model.path.parent) == [model.path.name]
    assert model.path.read_bytes() == b"an older one"
    assert len(server.requests) == 1


def test_what_nobody_published_is_not_said_to_be_published(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(gives(OTHER, len(OTHER)))
    recorded = KnownModel(model.entry.model_copy(update={"checksum_by": "others"}), model.path)
    refusal = Reported().refusal(recorded)
    assert "is not the file that others got from there" in refusal
    assert "published" not in refusal


def test_another_size_is_refused_before_a_byte_is_taken(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(gives(OTHER[:1000], 1000))
    told = Reported()
    assert "it has 1,000 bytes instead of 600,000" in told.refusal(model)
    assert max(told.bytes_here, default=0) == 0
    assert_nothing_is_kept(model)


def test_a_file_that_does_not_end_is_refused_where_the_right_one_ends(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(gives(CONTENT * 2))
    told = Reported()
    assert "it has more than 600,000 bytes" in told.refusal(model)
    assert max(told.bytes_here) <= len(CONTENT)
    assert_nothing_is_kept(model)


def test_the_page_of_a_proxy_is_no_model(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(gives(b"<html>Please log in</html>", Content_Type="text/html; charset=utf-8"))
    refusal = Reported().refusal(model)
    assert "it is a web page" in refusal
    assert "Look whether a proxy answers" in refusal
    assert_nothing_is_kept(model)


def test_a_server_that_ignores_the_range_gives_all_of_it_anew(server: ModelServer, model: KnownModel) -> None:
    partial(model, OTHER[:100_000])
    server.answers.append(gives(CONTENT, len(CONTENT)))
    told = Reported().fetch(model)
    assert_it_is_here(model)
    assert server.ranges == ["bytes=100000-"]
    assert 0 in told.bytes_here


def test_pieces_of_two_files_are_thrown_away_and_all_is_fetched_anew(server: ModelServer, model: KnownModel) -> None:
    partial(model, OTHER[:100_000])
    told = Reported().fetch(model)
    assert_it_is_here(model)
    assert server.ranges == ["bytes=100000-", None]
    assert told.retries == ["its pieces do not fit together"]


def test_a_complete_partial_file_needs_no_server(server: ModelServer, model: KnownModel) -> None:
    partial(model, CONTENT)
    Reported().fetch(model)
    assert_it_is_here(model)
    assert server.requests == []


def test_a_partial_file_that_is_too_long_is_thrown_away(server: ModelServer, model: KnownModel) -> None:
    partial(model, CONTENT + b"!")
    Reported().fetch(model)
    assert_it_is_here(model)
    assert server.ranges == [None]


def test_a_server_whose_file_ends_before_what_is_here_is_asked_for_all(server: ModelServer, model: KnownModel) -> None:
    partial(model, CONTENT[:100_000])
    server.answers.append(lambda handler: whole(handler, CONTENT[:50_000]))
    Reported().fetch(model)
    assert_it_is_here(model)
    assert server.ranges == ["bytes=100000-", None]


def test_another_part_than_was_asked_for_is_not_taken(server: ModelServer, model: KnownModel) -> None:
    partial(model, CONTENT[:100_000])
    where = f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"
    server.answers.append(lambda handler: send(handler, 206, CONTENT[5:], len(CONTENT) - 5, Content_Range=where))
    Reported().fetch(model)
    assert_it_is_here(model)
    assert server.ranges == ["bytes=100000-", None]


def test_where_nothing_listens_it_says_so_and_what_to_do(model: KnownModel, server: ModelServer) -> None:
    url = f"http://127.0.0.1:{free_port()}/tiny.onnx"
    told = Reported()
    refusal = told.refusal(KnownModel(entry(url), model.path))
    assert "tiny cannot be fetched from 127.0.0.1: Connection refused; " in refusal
    assert f"fetch {url} on another machine and put it at {model.path}" in refusal
    assert len(told.retries) == 2
    assert_nothing_is_kept(model)


def test_a_proxy_that_is_away_is_named_as_such(
    model: KnownModel, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:geh3im@127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "")
    refusal = Reported().refusal(model)
    assert "the proxy: Connection refused" in refusal
    assert "geh3im" not in refusal
    assert server.requests == []


def test_a_silent_server_is_given_up(server: ModelServer, model: KnownModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "_SILENCE_S", 0.1)
    hold = threading.Event()
    server.answers.extend([lambda _: bool(hold.wait(PATIENCE_S)) and None] * 3)
    try:
        assert "it does not answer" in Reported().refusal(model)
    finally:
        hold.set()
    assert_nothing_is_kept(model)


def test_a_disk_that_fills_up_keeps_what_it_has(server: ModelServer, model: KnownModel) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, hard))
    try:
        refusal = Reported().refusal(model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"{model.path.parent} has no room for it" in refusal
    assert "--to" in refusal
    assert model.partial.read_bytes() == CONTENT[:250_000]
    Reported().fetch(model)
    assert_it_is_here(model)
    assert server.ranges == [None, "bytes=250000-"]


def test_a_disk_without_room_is_not_written_to(
    server: ModelServer, model: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(model.path.parents[1])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    assert "has no room for it (0.6 MB are missing, 0.1 MB are free)" in Reported().refusal(model)
    assert server.requests == []
    assert_nothing_is_kept(model)


def test_a_folder_that_cannot_be_made_or_written_is_named(
    server: ModelServer, model: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.path.parent.write_text("a file where the folder should be")
    assert f"cannot be stored in {model.path.parent} (" in Reported().refusal(model)
    model.path.parent.unlink()

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", denied)
    refusal = Reported().refusal(model)
    assert "(Permission denied); name another folder with --to" in refusal
    assert server.requests == []


def test_of_two_pulls_at_once_one_fetches_and_the_other_says_so(server: ModelServer, model: KnownModel) -> None:
    asked, hold = threading.Event(), threading.Event()

    def slowly(handler: Handler) -> None:
        asked.set()
        hold.wait(PATIENCE_S)
        whole(handler)

    server.answers.append(slowly)
    first = threading.Thread(target=Reported().fetch, args=[model])
    first.start()
    try:
        assert asked.wait(PATIENCE_S)
        assert "another process is fetching it" in Reported().refusal(model)
    finally:
        hold.set()
        first.join(PATIENCE_S)
    assert_it_is_here(model)
    assert len(server.requests) == 1


class Pulled:
    """`mtmc models pull` on a manifest of the test's own."""

    def __init__(self, folder: Path, manifest: Path) -> None:
        self._store = ModelStore(folder, manifest)

    def __call__(self, *names: str, beside_site: bool = False) -> tuple[str, str]:
        out, err = io.StringIO(), io.StringIO()
        pull_models(
            names, self._store, Console(file=out, width=80), Console(file=err, width=80), beside_site=beside_site
        )
        return out.getvalue(), err.getvalue()


@pytest.fixture
def pulled(model: KnownModel, server: ModelServer, tmp_path: Path) -> Pulled:
    shipped = {**entry(server.url).model_dump(exclude={"url"}), "name": "shipped", "settings": {"classes": ["car"]}}
    (tmp_path / "models.yaml").write_text(yaml.safe_dump({"models": [entry(server.url).model_dump(), shipped]}))
    (tmp_path / "shipped.onnx").write_bytes(CONTENT)
    return Pulled(model.path.parent, tmp_path / "models.yaml")


def test_what_is_pulled_comes_with_what_a_site_file_needs(pulled: Pulled, model: KnownModel, tmp_path: Path) -> None:
    out, err = pulled("tiny", "shipped")
    assert out.splitlines() == [
        "# tiny: MIT",
        "detector:",
        f"  model: {model.path}",
        "# shipped: MIT",
        "detector:",
        f"  model: {tmp_path / 'shipped.onnx'}",
        "  classes: [car]",
    ]
    assert err.splitlines() == [
        f"tiny is here, its size and checksum are right: {model.path}",
        f"shipped comes with mtmc: {tmp_path / 'shipped.onnx'}",
    ]
    assert_it_is_here(model)


def test_beside_a_site_file_a_model_needs_no_path(pulled: Pulled, tmp_path: Path) -> None:
    out, _ = pulled("tiny", "shipped", beside_site=True)
    assert [line for line in out.splitlines() if "model:" in line] == [
        "  model: tiny.onnx",
        f"  model: {tmp_path / 'shipped.onnx'}",
    ]


def test_what_is_here_is_not_fetched_again_unless_it_is_damaged(
    pulled: Pulled, model: KnownModel, server: ModelServer
) -> None:
    pulled("tiny")
    assert "tiny is here already, and sound" in pulled("tiny")[1]
    assert len(server.requests) == 1
    model.path.write_bytes(OTHER)
    assert "its size and checksum are right" in pulled("tiny")[1]
    assert len(server.requests) == 2
    assert_it_is_here(model)


def test_a_shipped_file_that_is_damaged_cannot_be_fetched(pulled: Pulled, tmp_path: Path) -> None:
    (tmp_path / "shipped.onnx").write_bytes(OTHER)
    with pytest.raises(MtmcError, match="is missing or damaged; install mtmc again"):
        pulled("shipped")


def test_weights_that_ultralytics_publishes_go_by_their_name(
    pulled: Pulled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights = tmp_path / "mtmc" / "weights" / "yolo11n.pt"
    weights.parent.mkdir(parents=True)
    weights.touch()  # its package would have fetched it
    out, err = pulled("yolo11n")
    assert out.splitlines() == ["# yolo11n: AGPL-3.0", "detector:", "  model: yolo11n"]
    assert str(weights) in err


def test_nothing_is_fetched_when_one_name_is_wrong(pulled: Pulled, server: ModelServer) -> None:
    with pytest.raises(MtmcError, match="tini: no model of this name is known; did you mean tiny"):
        pulled("tiny", "tini")
    assert server.requests == []
