"""What the tests share: a real Redis, the recordings beside the project, a site of four real cameras."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from hypothesis import HealthCheck, settings
from redis.exceptions import RedisError

from services.aggregator.saving import CheckpointSaver
from shared.errors import RedisUnusable
from shared.redis_connection import Client, connect
from shared.redis_server import RedisServer, find_binary
from tests.free_ports import free_port
from tests.running_site import RunningSite

# Services may run on threads of a test: what they log must not mix with what a command under test prints.
structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.__stderr__))
# How long an example takes depends on the machine. The same examples in every run: a rare one that fails is no error of
# the change that is tested. With MTMC_THOROUGH, others in each run.
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not os.environ.get("MTMC_THOROUGH"),
    database=None,
    print_blob=True,
)
settings.load_profile("any machine")
_SECOND_TRIES = os.environ.get("MTMC_SECOND_TRIES")
"""A file, if tests of running processes may fail once: the CI machine is shared, and sometimes halts for seconds."""
_START_SECONDS = 60.0
_IMAGE = "redis:7-alpine"
_REDIS_FIXTURES = {"redis_server_url", "redis_process"}
_ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that use a Redis server with `redis`; in CI, these and those marked `alone` get a second try."""
    for item in items:
        if _REDIS_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("redis")
        if _SECOND_TRIES and (item.get_closest_marker("redis") or item.get_closest_marker("alone")):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Lists the tests that needed a second try; `.ci/run` prints them."""
    if _SECOND_TRIES and report.outcome == "rerun" and "PYTEST_XDIST_WORKER" not in os.environ:
        with Path(_SECOND_TRIES).open("a") as file:
            file.write(f"{report.nodeid}\n")


class RedisProcess:
    """A Redis of a test's own, which can be stopped, killed and started again on the same port with its log."""

    def __init__(self, folder: Path) -> None:
        self.server = RedisServer(find_binary(), folder, free_port())
        self.server.write_settings()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """`redis://127.0.0.1:PORT/0`."""
        return self.server.url

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self, environment: Mapping[str, str] | None = None, binary: Path | None = None) -> None:
        """Starts the server, and returns once it has read its log and answers.

        `environment` is added to that of this process; `binary` replaces the server that would be used.
        """
        assert self._process is None, "the server runs already"
        with (self.server.folder / "redis.log").open("ab") as log:
            command = (str(binary), *self.server.command[1:]) if binary else self.server.command
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=os.environ | dict(environment or {})
            )
        _wait_until_it_answers(self.url, (self.server.folder / "redis.log").read_text)
        if binary is None:
            self._check_name()

    def stop(self) -> None:
        """Ends the server in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the server with SIGKILL."""
        self._end(signal.SIGKILL)

    def forget(self) -> None:
        """Deletes the data of the server, which must have ended."""
        assert self._process is None, "the server runs"
        for path in self.server.folder.glob("appendonly*"):  # a folder, or one file before Redis 7
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def restart(self) -> None:
        """Kills the server and starts it again: what it had acknowledged comes back from its log."""
        client = connect(self.url)
        # On a busy disk, the server may hold back for seconds what it has acknowledged.
        client.config_set("appendfsync", "always")
        client.set("written before the restart", 1)
        client.delete("written before the restart")
        client.close()
        self.kill()
        self.start()

    def _check_name(self) -> None:
        wanted = _wanted_server()
        if wanted is not None:
            with contextlib.closing(connect(self.url)) as client:
                name = client.info("server").get("server_name", "redis")  # Redis does not say its name
            if name != wanted:
                self.stop()
                pytest.fail(f"{self.server.binary} is {name}; put {wanted} first on PATH", pytrace=False)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(_START_SECONDS)
            self._process = None


def _wait_until_it_answers(url: str, log: Callable[[], str]) -> None:
    client = connect(url)
    deadline = time.monotonic() + _START_SECONDS
    try:
        while not _answers(client):
            assert time.monotonic() < deadline, f"Redis does not answer: {log()}"
            time.sleep(0.01)
    finally:
        client.close()


def _answers(client: Client) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def _wanted_server() -> str | None:
    """MTMC_TEST_SERVER, as `redis` or `valkey`: the tests must run on this server. None: on any."""
    return os.environ.get("MTMC_TEST_SERVER") or None


def _unavailable(reason: str) -> None:
    """A missing server skips a test here, and fails it where nobody would notice the skip."""
    if os.environ.get("CI") or _wanted_server():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def redis_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Redis for each test process: in a container when Docker answers, else the embedded one.

    With MTMC_TEST_SERVER, always the embedded one.
    """
    if _wanted_server() is None and _docker_has_redis():
        # The container is removed below; testcontainers' own reaper would be one more image to fetch.
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        from testcontainers.core.container import DockerContainer

        with DockerContainer(_IMAGE).with_exposed_ports(6379) as container:
            url = f"redis://{container.get_container_host_ip()}:{container.get_exposed_port(6379)}/0"
            _wait_until_it_answers(url, lambda: container.get_wrapped_container().logs().decode())
            yield url
        return
    try:
        process = RedisProcess(tmp_path_factory.mktemp("redis"))
    except RedisUnusable as error:
        _unavailable(str(error))
    process.start()
    yield process.url
    process.stop()


_QUIET: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def _docker_has_redis() -> bool:
    """Whether an engine answers and has the image, or can fetch it."""
    if shutil.which("docker") is None:
        return False
    try:
        # No pipes: a plugin that hangs would keep them open, and the time limit would wait for it.
        if subprocess.run(["docker", "info"], **_QUIET, timeout=2).returncode:
            return False
        if subprocess.run(["docker", "image", "inspect", _IMAGE], **_QUIET, timeout=5).returncode == 0:
            return True
        return subprocess.run(["docker", "pull", "--quiet", _IMAGE], **_QUIET, timeout=60).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@pytest.fixture(scope="session")
def checkpoint_savers() -> Iterator[weakref.WeakSet[CheckpointSaver]]:
    """All that exist."""
    savers: weakref.WeakSet[CheckpointSaver] = weakref.WeakSet()
    begin = CheckpointSaver.__init__

    def noted(saver: CheckpointSaver, *given: Any) -> None:
        begin(saver, *given)
        savers.add(saver)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointSaver, "__init__", noted)
        yield savers


@pytest.fixture(autouse=True)
def _saves_end_with_the_test(checkpoint_savers: weakref.WeakSet[CheckpointSaver]) -> Iterator[None]:
    """The thread of an aggregator that a test leaves behind must not save its state for the next test's aggregator."""
    yield
    for saver in tuple(checkpoint_savers):
        saver.abandon()
    for saver in tuple(checkpoint_savers):
        assert saver.wait(20), "a checkpoint is still being saved"


@pytest.fixture
def redis_client(redis_server_url: str) -> Iterator[Client]:
    """A client that answers bytes, on an empty database."""
    client = connect(redis_server_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def redis_url(redis_client: Client, redis_server_url: str) -> str:
    """The address of an empty database."""
    return redis_server_url


@pytest.fixture
def redis_process(tmp_path: Path) -> Iterator[RedisProcess]:
    """A running Redis that the test may stop, kill and restart."""
    try:
        process = RedisProcess(tmp_path / "redis")
    except RedisUnusable as error:
        _unavailable(str(error))
    process.start()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real recordings and models that lies beside the project, or where MTMC_SHARED says."""
    folder = Path(os.environ.get("MTMC_SHARED") or _ROOT.parent / "shared").resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"no recordings at {folder}; MTMC_SHARED names another folder")
    return folder


@pytest.fixture(scope="session")
def four_cameras_site(shared_data: Path) -> Callable[..., Path]:
    """Writes `folder/site.yaml` for four synchronised recordings of one room (10 fps, 268 frames), all overlapping.

    Called as `four_cameras_site(tmp_path, clock={"mode": "virtual"})`: an override replaces settings within its
    section, and a list or scalar as a whole.
    """
    recordings = shared_data / "data" / "ufes-four-cameras"
    weights = shared_data / "weights"
    cameras = [f"cam{i}" for i in range(4)]

    def write(folder: Path, **overrides: Any) -> Path:
        site: dict[str, Any] = {
            "site": "room",
            "clock": {"target_fps": 10},
            "detector": {"model": str(weights / "yolox_nano.onnx"), "classes": ["person"]},
            "embedder": {"model": str(weights / "osnet_x0_25_msmt17.onnx"), "width": 128, "height": 256},
            "cameras": [{"name": name, "source": str(recordings / f"{name}.mp4")} for name in cameras],
            "layout": {"overlaps": [cameras]},
            "streamer": {"port": free_port()},  # with 0, another program may have it before the streamer opens it
        }
        for key, value in overrides.items():
            site[key] = {**site.get(key, {}), **value} if isinstance(value, dict) else value
        path = folder / "site.yaml"
        path.write_text(yaml.safe_dump(site, sort_keys=False), encoding="utf-8")
        return path

    return write


@pytest.fixture
def start() -> Iterator[Callable[..., RunningSite]]:
    """Starts `mtmc up SITE.yaml …`; whatever still runs at the end of the test is stopped."""
    started: list[RunningSite] = []

    def start(site_file: Path, *words: str) -> RunningSite:
        started.append(RunningSite(site_file, *words))
        return started[-1]

    yield start
    for site in started:
        if site.process.poll() is None:
            site.end()
