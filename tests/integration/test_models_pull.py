"""Downloads of models from a real local HTTP server, which simulates everything that can go wrong."""

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
HALF = 18 << 14  # a multiple of the chunk size, because a broken connection loses the last partial chunk
OTHER = random.Random(2).randbytes(600_000)

Handler = http.server.BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


class ModelServer:
    """Handles each request with the next of `answers`, then with `CONTENT` or the requested part of it."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.requests: list[dict[str, str]] = []
        outer = self

        class OneRequest(Handler):
            def do_GET(self) -> None:  # noqa: N802
                outer.requests.append(dict(self.headers))
                answer = outer.answers.popleft() if outer.answers else whole
                with contextlib.suppress(ConnectionError):  # the client may have closed the connection
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
        """The Range header of each request."""
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
    """Sends `content` from the requested offset; with `stop_after`, closes the connection after that many bytes."""
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
    """Sends all of `body` whatever range is requested; without `length`, closing the connection ends it."""
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
    """The reports of one download."""

    def __init__(self) -> None:
        self.bytes_done: list[int] = []
        self.retries: list[str] = []

    def fetch(self, model: KnownModel) -> Reported:
        download(model, self.bytes_done.append, lambda reason, _: self.retries.append(reason), wait_none())
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


def assert_it_is_complete(model: KnownModel) -> None:
    assert model.path.read_bytes() == CONTENT
    assert names_in(model.path.parent) == [model.path.name]


def assert_nothing_is_kept(model: KnownModel) -> None:
    assert names_in(model.path.parent) == []


def test_a_whole_file_is_downloaded_with_progress(server: ModelServer, model: KnownModel) -> None:
    reported = Reported().fetch(model)
    assert_it_is_complete(model)
    assert reported.bytes_done == sorted(reported.bytes_done)
    assert reported.bytes_done[-1] == len(CONTENT)
    assert reported.retries == []
    # Compressed content would have another size and could not be resumed.
    assert server.requests[0]["Accept-Encoding"] == "identity"


def test_a_redirection_is_followed_with_its_range(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(lambda handler: send(handler, 302, b"", 0, Location="/elsewhere/tiny.onnx"))
    partial(model, CONTENT[:1000])
    Reported().fetch(model)
    assert_it_is_complete(model)
    assert server.ranges == ["bytes=1000-"] * 2


def test_a_broken_connection_is_resumed(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(cut_after(HALF))
    reported = Reported().fetch(model)
    assert_it_is_complete(model)
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert len(reported.retries) == 1


def test_it_keeps_retrying_while_there_is_progress(server: ModelServer, model: KnownModel) -> None:
    server.answers.extend([cut_after(HALF // 3)] * 6)
    Reported().fetch(model)
    assert_it_is_complete(model)
    assert len(server.requests) == 7


def test_a_later_pull_resumes_where_an_earlier_one_gave_up(server: ModelServer, model: KnownModel) -> None:
    server.answers.extend([cut_after(HALF), *[says(503)] * 3])
    refusal = Reported().refusal(model)
    assert "503 Service Unavailable (49% downloaded" in refusal
    assert not model.path.exists()
    Reported().fetch(model)
    assert_it_is_complete(model)
    assert server.ranges[-1] == f"bytes={HALF}-"


def test_a_killed_pull_can_be_resumed(server: ModelServer, model: KnownModel, tmp_path: Path) -> None:
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
    assert_it_is_complete(model)
    assert server.ranges == [None, f"bytes={HALF}-"]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_temporary_server_error_is_retried(status: int, server: ModelServer, model: KnownModel) -> None:
    server.answers.extend([says(status)] * 2)
    reported = Reported().fetch(model)
    assert_it_is_complete(model)
    assert len(reported.retries) == 2
    assert str(status) in reported.retries[0]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_permanent_error_is_not_retried(status: int, server: ModelServer, model: KnownModel) -> None:
    server.answers.append(says(status))
    refusal = Reported().refusal(model)
    assert f"the server answered {status}" in refusal
    assert f"download {server.url} on another machine, save it as {model.path}, and run the same command" in refusal
    assert len(server.requests) == 1
    assert_nothing_is_kept(model)


def test_another_file_of_the_same_size_is_refused_and_the_old_file_stays(
    server: ModelServer, model: KnownModel
) -> None:
    server.answers.append(gives(OTHER, len(OTHER)))
    model.path.parent.mkdir(parents=True)
    model.path.write_bytes(b"an older one")
    refusal = Reported().refusal(model)
    assert "did not return the published file: its sha256 is " in refusal
    assert names_in(model.path.parent) == [model.path.name]
    assert model.path.read_bytes() == b"an older one"
    assert len(server.requests) == 1


def test_a_checksum_that_is_not_the_publishers_is_described_as_such(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(gives(OTHER, len(OTHER)))
    recorded = KnownModel(model.entry.model_copy(update={"checksum_by": "others"}), model.path)
    refusal = Reported().refusal(recorded)
    assert "did not return the file that others downloaded from there" in refusal
    assert "published" not in refusal


def test_a_wrong_size_is_refused_before_downloading(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(gives(OTHER[:1000], 1000))
    reported = Reported()
    assert "it has 1,000 bytes instead of 600,000" in reported.refusal(model)
    assert max(reported.bytes_done, default=0) == 0
    assert_nothing_is_kept(model)


def test_a_file_that_is_too_long_is_refused_at_the_expected_size(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(gives(CONTENT * 2))
    reported = Reported()
    assert "it has more than 600,000 bytes" in reported.refusal(model)
    assert max(reported.bytes_done) <= len(CONTENT)
    assert_nothing_is_kept(model)


def test_the_login_page_of_a_proxy_is_refused(server: ModelServer, model: KnownModel) -> None:
    server.answers.append(gives(b"<html>Please log in</html>", Content_Type="text/html; charset=utf-8"))
    refusal = Reported().refusal(model)
    assert "it is a web page" in refusal
    assert "Check whether a proxy answers" in refusal
    assert_nothing_is_kept(model)


def test_if_the_server_ignores_the_range_the_download_starts_over(server: ModelServer, model: KnownModel) -> None:
    partial(model, OTHER[:100_000])
    server.answers.append(gives(CONTENT, len(CONTENT)))
    reported = Reported().fetch(model)
    assert_it_is_complete(model)
    assert server.ranges == ["bytes=100000-"]
    assert 0 in reported.bytes_done


def test_a_mix_of_two_files_is_deleted_and_downloaded_again(server: ModelServer, model: KnownModel) -> None:
    partial(model, OTHER[:100_000])
    reported = Reported().fetch(model)
    assert_it_is_complete(model)
    assert server.ranges == ["bytes=100000-", None]
    assert reported.retries == ["the resumed download does not match the checksum; starting over"]


def test_a_complete_partial_file_needs_no_server(server: ModelServer, model: KnownModel) -> None:
    partial(model, CONTENT)
    Reported().fetch(model)
    assert_it_is_complete(model)
    assert server.requests == []


def test_a_partial_file_that_is_too_long_is_deleted(server: ModelServer, model: KnownModel) -> None:
    partial(model, CONTENT + b"!")
    Reported().fetch(model)
    assert_it_is_complete(model)
    assert server.ranges == [None]


def test_if_the_file_is_shorter_than_the_partial_file_the_download_starts_over(
    server: ModelServer, model: KnownModel
) -> None:
    partial(model, CONTENT[:100_000])
    server.answers.append(lambda handler: whole(handler, CONTENT[:50_000]))
    Reported().fetch(model)
    assert_it_is_complete(model)
    assert server.ranges == ["bytes=100000-", None]


def test_the_wrong_part_of_a_file_is_not_used(server: ModelServer, model: KnownModel) -> None:
    partial(model, CONTENT[:100_000])
    where = f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"
    server.answers.append(lambda handler: send(handler, 206, CONTENT[5:], len(CONTENT) - 5, Content_Range=where))
    Reported().fetch(model)
    assert_it_is_complete(model)
    assert server.ranges == ["bytes=100000-", None]


def test_a_refused_connection_is_reported_with_what_to_do(model: KnownModel, server: ModelServer) -> None:
    url = f"http://127.0.0.1:{free_port()}/tiny.onnx"
    reported = Reported()
    refusal = reported.refusal(KnownModel(entry(url), model.path))
    assert "tiny cannot be downloaded from 127.0.0.1: Connection refused; " in refusal
    assert f"download {url} on another machine, save it as {model.path}, and run the same command" in refusal
    assert len(reported.retries) == 2
    assert_nothing_is_kept(model)


def test_an_unreachable_proxy_is_named_in_the_error(
    model: KnownModel, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:geh3im@127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "")
    refusal = Reported().refusal(model)
    assert "the proxy: Connection refused" in refusal
    assert "geh3im" not in refusal
    assert server.requests == []


def test_a_server_that_does_not_answer_times_out(
    server: ModelServer, model: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "_READ_S", 0.1)
    hold = threading.Event()
    server.answers.extend([lambda _: bool(hold.wait(PATIENCE_S)) and None] * 3)
    try:
        assert "it does not answer" in Reported().refusal(model)
    finally:
        hold.set()
    assert_nothing_is_kept(model)


def test_a_full_disk_keeps_the_partial_file(server: ModelServer, model: KnownModel) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, hard))
    try:
        refusal = Reported().refusal(model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert f"not enough disk space in {model.path.parent}" in refusal
    assert "--to" in refusal
    assert model.partial.read_bytes() == CONTENT[:250_000]
    Reported().fetch(model)
    assert_it_is_complete(model)
    assert server.ranges == [None, "bytes=250000-"]


def test_the_disk_space_is_checked_before_downloading(
    server: ModelServer, model: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(model.path.parents[1])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    assert f"space in {model.path.parent} (0.6 MB needed, 0.1 MB free)" in Reported().refusal(model)
    assert server.requests == []
    assert_nothing_is_kept(model)


def test_a_folder_that_cannot_be_created_or_written_is_reported(
    server: ModelServer, model: KnownModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.path.parent.write_text("a file where the folder should be")
    assert f"cannot be stored in {model.path.parent} (" in Reported().refusal(model)
    model.path.parent.unlink()

    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", denied)
    refusal = Reported().refusal(model)
    assert "(Permission denied); give another folder with --to" in refusal
    assert server.requests == []


def test_two_pulls_of_one_model_do_not_run_at_the_same_time(server: ModelServer, model: KnownModel) -> None:
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
        assert "another process is downloading it" in Reported().refusal(model)
    finally:
        hold.set()
        first.join(PATIENCE_S)
    assert_it_is_complete(model)
    assert len(server.requests) == 1


class Pulled:
    """`mtmc models pull` with a manifest of the test."""

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


def test_pull_prints_the_settings_for_a_site_file(pulled: Pulled, model: KnownModel, tmp_path: Path) -> None:
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
        f"tiny downloaded and verified: {model.path}",
        f"shipped comes with mtmc: {tmp_path / 'shipped.onnx'}",
    ]
    assert_it_is_complete(model)


def test_beside_a_site_file_a_model_needs_no_path(pulled: Pulled, tmp_path: Path) -> None:
    out, _ = pulled("tiny", "shipped", beside_site=True)
    assert [line for line in out.splitlines() if "model:" in line] == [
        "  model: tiny.onnx",
        f"  model: {tmp_path / 'shipped.onnx'}",
    ]


def test_an_existing_model_is_not_downloaded_again_unless_it_is_damaged(
    pulled: Pulled, model: KnownModel, server: ModelServer
) -> None:
    pulled("tiny")
    assert "tiny is already downloaded and verified" in pulled("tiny")[1]
    assert len(server.requests) == 1
    model.path.write_bytes(OTHER)
    told = pulled("tiny")[1].splitlines()
    assert told[0].startswith(f"tiny: {model.path} is not the published file: its sha256 is ")
    assert told[0].endswith("; it will be replaced")
    assert told[1].startswith("tiny downloaded and verified")
    assert len(server.requests) == 2
    assert_it_is_complete(model)


def test_a_damaged_shipped_file_cannot_be_downloaded(pulled: Pulled, tmp_path: Path) -> None:
    (tmp_path / "shipped.onnx").write_bytes(OTHER)
    with pytest.raises(MtmcError, match="is missing or damaged; reinstall mtmc"):
        pulled("shipped")


def test_weights_of_ultralytics_are_pulled_by_name(
    pulled: Pulled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights = tmp_path / "mtmc" / "weights" / "yolo11n.pt"
    weights.parent.mkdir(parents=True)
    weights.touch()  # the package of Ultralytics would have downloaded it
    out, err = pulled("yolo11n")
    assert out.splitlines() == ["# yolo11n: AGPL-3.0", "detector:", "  model: yolo11n"]
    assert str(weights) in err


def test_without_a_network_every_model_is_named_with_its_address(server: ModelServer, tmp_path: Path) -> None:
    server.close()
    manifest, out, err = tmp_path / "models.yaml", io.StringIO(), io.StringIO()
    models = [entry(server.url).model_dump() | {"name": name} for name in ("tiny", "small", "other")]
    manifest.write_text(yaml.safe_dump({"models": models}))
    store, consoles = ModelStore(tmp_path / "m", manifest), (Console(file=out, width=80), Console(file=err, width=80))

    def pull() -> None:
        pull_models(["tiny", "small", "other"], store, *consoles)

    (tmp_path / "m").mkdir()
    store.named("small").path.write_bytes(CONTENT)
    with pytest.raises(MtmcError, match=r"other cannot be downloaded .*other\.onnx, and run the same command again"):
        pull()
    assert f"download {server.url} on another machine, save it as {store.named('tiny').path}" in err.getvalue()
    assert out.getvalue().count("model:") == 1
    for name in ("tiny", "other"):
        store.named(name).path.write_bytes(CONTENT)
    pull()
    assert out.getvalue().count("model:") == 4


def test_nothing_is_downloaded_if_one_name_is_wrong(pulled: Pulled, server: ModelServer) -> None:
    with pytest.raises(MtmcError, match="tini: unknown model; did you mean tiny"):
        pulled("tiny", "tini")
    assert server.requests == []
