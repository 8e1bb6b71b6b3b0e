from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.config import SiteConfig
from shared.errors import LeaseLost
from shared.keys import Keys
from shared.leases import Lease, Leases
from shared.process import ServiceOptions, connect_site
from shared.redis_connection import Client, connect
from shared.service import run
from shared.site import publish_site
from tests.stopwatch import Stopwatch

ROOT = Path(__file__).resolve().parents[2]


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class Counting:
    """Counts in its memory, and writes the count to Redis."""

    def __init__(self, client: Client) -> None:
        self.client, self.count, self.attempts, self.closed = client, 0, 0, 0

    def step(self) -> None:
        self.attempts += 1
        self.client.set("count", self.count + 1)
        self.count += 1
        time.sleep(0.001)

    def problem(self) -> str | None:
        return None

    def close(self) -> None:
        self.closed += 1
        self.client.delete("count")


class Running:
    """Runs a service on its own thread; raises its error at the end."""

    def __init__(self, service: Any) -> None:
        self.stop = threading.Event()
        self.error: RuntimeError | None = None
        self._thread = threading.Thread(target=self._run, args=(service,))
        self._thread.start()

    def _run(self, service: Any) -> None:
        try:
            run(service, self.stop)
        except RuntimeError as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(15)
        assert not self._thread.is_alive()

    def finish(self) -> None:
        self.stop.set()
        self.join()


def test_a_lost_connection_is_logged_once_and_retried_with_the_state_intact(redis_process: Any) -> None:
    service = Counting(connect(redis_process.url))
    with capture_logs() as logs:
        running = Running(service)
        wait_for(lambda: service.count > 10)
        redis_process.kill()
        attempts = service.attempts
        wait_for(lambda: service.attempts > attempts + 3)
        count = service.count
        redis_process.start()
        wait_for(lambda: service.count > count + 10)
        running.finish()
    assert service.closed == 1
    assert [line["event"] for line in logs] == ["Redis is unreachable, retrying until it is back", "Redis is back"]


def test_retries_back_off_up_to_a_short_limit(redis_process: Any) -> None:
    service = Counting(connect(redis_process.url))
    redis_process.kill()
    running = Running(service)
    watch = Stopwatch()
    wait_for(lambda: service.attempts >= 12)
    assert watch.seconds > 0.1
    assert watch.within(8)
    watch = Stopwatch()
    running.finish()
    assert watch.within(1), "stopping interrupts the wait"


def test_stopping_while_redis_is_unreachable_does_not_raise(redis_process: Any) -> None:
    service = Counting(connect(redis_process.url))
    running = Running(service)
    wait_for(lambda: service.count > 1)
    redis_process.kill()
    with capture_logs() as logs:
        running.finish()
    assert service.closed == 1
    assert running.error is None
    assert "the leases will expire" in logs[-1]["event"]


class Owning:
    """Owns a role that another process takes over."""

    def __init__(self, client: Client, *, at_close: bool = False) -> None:
        self.leases = Leases(client, Keys("yard"))
        self.lease: Lease | None = None
        self.acquired = self.lost = 0
        self.at_close = at_close

    def owned(self) -> Lease:
        if self.lease is None:
            self.lease = self.leases.acquire("clock", 30)
            assert self.lease is not None
            self.acquired += 1
        return self.lease

    def step(self) -> None:
        try:
            self.owned().renew()
        except LeaseLost:
            self.lease, self.lost = None, self.lost + 1
            raise
        time.sleep(0.001)

    def problem(self) -> str | None:
        return None

    def close(self) -> None:
        if self.at_close:
            raise LeaseLost("clock")


def test_a_lost_lease_is_logged_and_the_service_continues(redis_client: Client) -> None:
    service = Owning(redis_client)
    with capture_logs() as logs:
        running = Running(service)
        wait_for(lambda: service.acquired == 1)
        with redis_client.pipeline(transaction=True) as pipe:  # Both at once: the service renews all the time.
            pipe.hincrby(Keys("yard").epochs, "clock", 1)
            pipe.delete(Keys("yard").lease("clock"))
            pipe.execute()
        wait_for(lambda: service.acquired == 2)
        running.finish()
    assert service.lost == 1
    assert {"event": "lost a lease", "role": "clock", "log_level": "warning"} in logs


def test_a_lease_lost_while_stopping_is_not_an_error(redis_client: Client) -> None:
    service = Owning(redis_client, at_close=True)
    running = Running(service)
    wait_for(lambda: service.acquired)
    running.finish()
    assert running.error is None


def test_a_bug_ends_the_service_after_it_released_its_leases(redis_client: Client) -> None:
    class Broken(Counting):
        def step(self) -> None:
            raise RuntimeError("a bug")

    service = Broken(redis_client)
    running = Running(service)
    running.join()
    assert isinstance(running.error, RuntimeError)
    assert service.closed == 1


SERVICE = """
import sys, time
from shared.redis_connection import connect
from shared.service import run, stop_on_signals

class Beating:
    def __init__(self, client):
        self.client = client
    def step(self):
        self.client.incr("beats")
        time.sleep(0.01)
    def problem(self):
        return None
    def close(self):
        self.client.set("closed", 1)

run(Beating(connect(sys.argv[1])), stop_on_signals())
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_a_service_whose_parent_died_stops(redis_client: Client, redis_url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, SERVICE, redis_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            wait_for(lambda: redis_client.get("beats"))
            parent.kill()
            parent.wait()
            wait_for(lambda: redis_client.exists("closed"))
        finally:
            parent.kill()
            if not redis_client.exists("closed"):
                os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_a_service_cleanly(redis_client: Client, redis_url: str, number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", SERVICE, redis_url], cwd=ROOT) as process:
        try:
            wait_for(lambda: redis_client.get("beats"))
            process.send_signal(number)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert redis_client.exists("closed")


_WAITING = """
import signal
from shared.service import stop_on_signals
stop = stop_on_signals()
with stop._cond:  # as inside `stop.wait()`
    signal.raise_signal(signal.SIGTERM)
assert stop.is_set()
"""


def test_a_signal_that_arrives_while_its_thread_begins_to_wait_does_not_deadlock() -> None:
    assert subprocess.run([sys.executable, "-c", _WAITING], cwd=ROOT, timeout=60).returncode == 0


def test_a_service_waits_for_redis_and_for_the_site_until_it_is_stopped(redis_process: Any) -> None:
    redis_process.kill()
    stop, answers = threading.Event(), []
    options = ServiceOptions(site="yard", redis_url=redis_process.url)
    with capture_logs() as logs:
        thread = threading.Thread(target=lambda: answers.append(connect_site(options, stop)), daemon=True)
        thread.start()
        wait_for(lambda: logs)
        redis_process.start()
        stop.set()
        thread.join(10)
    assert answers == [None]
    assert "Redis does not answer yet" in logs[0]["reason"]


def test_a_connection_dropped_between_two_commands_of_the_start_is_retried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        met = threading.Semaphore(0)

        def answer_only_pings() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        while request := connection.recv(4096).upper():
                            if b"INFO" in request:
                                met.release()
                                break
                            commands = request.count(b"*")
                            connection.sendall(b"+PONG\r\n" if b"PING" in request else b"+OK\r\n" * commands)

        threading.Thread(target=answer_only_pings, daemon=True).start()
        stop, answers = threading.Event(), list[object]()
        options = ServiceOptions(site="yard", redis_url=f"redis://127.0.0.1:{server.getsockname()[1]}")
        with capture_logs() as logs:
            thread = threading.Thread(target=lambda: answers.append(connect_site(options, stop)), daemon=True)
            thread.start()
            assert met.acquire(timeout=60)
            assert met.acquire(timeout=60), "it tries again"
            stop.set()
            thread.join(60)
    assert answers == [None]
    assert "does not answer" in logs[0]["reason"]


def test_options_show_no_password() -> None:
    assert "s3cr3t" not in repr(ServiceOptions("yard", "redis://:s3cr3t@h", "s3cr3t", "redis://:s3cr3t@h"))


FOLLOWER = """
import sys, time
from shared.errors import ModelError
from shared.process import ServiceOptions, serve
from shared.service import stop_on_signals

class Following:
    def __init__(self, connected, _):
        print(connected.site.revision, connected.site.config.clock.target_fps, flush=True)
        if connected.site.config.clock.target_fps == 13:
            raise ModelError("no such model")
    def step(self):
        time.sleep(0.01)
    def problem(self):
        return None
    def close(self):
        print("closed", flush=True)

serve("clock", ServiceOptions(site="yard", redis_url=sys.argv[1]), Following, stop_on_signals())
"""


def publish_yard(client: Client, target_fps: float) -> None:
    publish_site(
        client,
        SiteConfig.model_validate(
            {
                "site": "yard",
                "clock": {"target_fps": target_fps},
                "detector": {"model": "detector.onnx"},
                "embedder": {"model": "embedder.onnx"},
                "cameras": [{"name": "gate", "source": "rtsp://192.0.2.1/"}],
            }
        ),
    )


def test_a_service_restarts_when_the_site_is_published_again(redis_client: Client, redis_url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FOLLOWER, redis_url], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            publish_yard(redis_client, 5)
            assert process.stdout.readline() == "1 5.0\n"
            publish_yard(redis_client, 5)
            publish_yard(redis_client, 10)
            assert [process.stdout.readline() for _ in range(2)] == ["closed\n", "2 10.0\n"]
            publish_yard(redis_client, 13)
            lines = [process.stdout.readline() for _ in range(3)]
            assert lines == ["closed\n", "3 13.0\n", "2 10.0\n"], "it goes on with the last one that works"
            keys = Keys("yard")
            redis_client.set(keys.revision, "4")
            redis_client.set(keys.config, b"\xff garbage")
            time.sleep(1.5)
            redis_client.flushall()
            time.sleep(1.5)
            publish_yard(redis_client, 20)
            assert [process.stdout.readline() for _ in range(2)] == ["closed\n", "1 20.0\n"]
            process.terminate()
            assert process.stdout.readline() == "closed\n"
            assert process.wait(30) == 0
        finally:
            process.kill()
