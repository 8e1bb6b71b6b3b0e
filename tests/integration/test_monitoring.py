"""`/metrics`, `/healthz` and `/readyz` over real HTTP, around a service's loop and a real Redis."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry

from shared.errors import LeaseLost, MtmcError
from shared.logs import logs_of_command
from shared.monitoring import health, http_server
from shared.monitoring.http_server import OFF, Address, serving
from shared.monitoring.monitor import Monitor
from shared.redis_connection import Client, connect
from shared.service import run
from tests.conftest import RedisProcess
from tests.free_ports import free_port
from tests.stopwatch import Stopwatch

SECRET = "hunter2"  # noqa: S105


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


class Working:
    """Contacts Redis at every step; a test can block it or set a problem."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.complaint: str | None = None
        self.lose_lease = False
        self.may_close = threading.Event()

    def step(self) -> None:
        assert self.may_go_on.wait(30)
        if self.lose_lease:
            self.lose_lease = False
            raise LeaseLost("clock")
        self.client.incr("steps")
        time.sleep(0.001)

    def problem(self) -> str | None:
        return self.complaint

    def close(self) -> None:
        assert self.may_close.wait(30)
        self.client.close()


class Probed:
    """A service on its own thread, and a client of its probes."""

    def __init__(self, service: Working, stack: ExitStack) -> None:
        self.monitor = Monitor("worker", "yard")
        self.address = stack.enter_context(serving(self.monitor, "127.0.0.1", 0))
        self.stop = threading.Event()
        thread = threading.Thread(target=run, args=(service, self.stop, lambda: False, self.monitor))
        thread.start()
        stack.callback(thread.join, 15)
        stack.callback(service.may_go_on.set)
        stack.callback(service.may_close.set)
        stack.callback(self.stop.set)

    def get(self, path: str) -> tuple[int, str]:
        assert self.address is not None
        return get(self.address, path)

    def ready(self) -> bool:
        return self.get("/readyz") == (200, "ready\n")

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.get("/metrics")[1], re.MULTILINE)
        assert found, name
        return float(found[1])


def get(address: Address, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection(address.host, address.port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.fixture
def probe() -> Iterator[Callable[[Working], Probed]]:
    with ExitStack() as stack:
        yield lambda service: Probed(service, stack)


def test_a_service_is_ready_while_redis_answers_and_counts_how_often_it_was_lost(
    redis_process: RedisProcess, probe: Callable[[Working], Probed]
) -> None:
    probed = probe(Working(connect(redis_process.url)))
    wait_for(probed.ready)
    assert probed.metric("mtmc_service_redis_reconnects_total") == 0
    for times in (1, 2):
        redis_process.kill()
        wait_for(lambda: probed.get("/readyz")[1].startswith("Redis does not answer: "))
        status, reason = probed.get("/readyz")
        assert (status, reason.count("\n")) == (503, 1)
        assert probed.get("/healthz") == (200, "ok\n"), "a restart would not help"
        assert probed.metric("mtmc_service_ready") == 0
        redis_process.start()
        wait_for(probed.ready)
        assert probed.metric("mtmc_service_redis_reconnects_total") == times
    assert probed.metric('mtmc_service_redis_failures_total{reason="unreachable"}') >= 2
    assert probed.metric('mtmc_service_redis_failures_total{reason="refused"}') == 0
    assert probed.metric("mtmc_service_ready") == 1
    assert probed.metric("mtmc_service_step_seconds_count") > 2


def test_a_redis_that_refuses_writes_is_reported_as_such(
    redis_process: RedisProcess, probe: Callable[[Working], Probed]
) -> None:
    probed, admin = probe(Working(connect(redis_process.url))), connect(redis_process.url)
    wait_for(probed.ready)
    admin.config_set("maxmemory", 1)
    wait_for(lambda: probed.get("/readyz")[1].startswith("Redis refuses writes: its memory is full"))
    assert probed.metric('mtmc_service_redis_failures_total{reason="refused"}') > 0
    admin.config_set("maxmemory", 0)
    wait_for(probed.ready)
    admin.close()


def test_a_hung_redis_makes_the_service_unready_within_seconds(
    redis_process: RedisProcess, probe: Callable[[Working], Probed]
) -> None:
    probed = probe(Working(connect(redis_process.url)))
    wait_for(probed.ready)
    os.kill(redis_process.pid, signal.SIGSTOP)
    watch = Stopwatch()
    try:
        said = [(200, "ready\n")]
        wait_for(lambda: said.append(probed.get("/readyz")) or said[-1][0] == 503)
        assert watch.within(health.READY_SECONDS + 1), watch.seconds
        assert "finished no step" in said[-1][1]
    finally:
        os.kill(redis_process.pid, signal.SIGCONT)
    wait_for(probed.ready)


def test_a_hung_loop_is_not_ready_and_then_not_healthy(
    redis_client: Client, redis_url: str, probe: Callable[[Working], Probed], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Working(connect(redis_url))
    probed = probe(service)
    wait_for(probed.ready)
    service.may_go_on.clear()
    with monkeypatch.context() as patch:
        patch.setattr(health, "READY_SECONDS", 0.2)
        wait_for(lambda: "finished no step" in probed.get("/readyz")[1])
        assert probed.get("/readyz")[0] == 503
        patch.setattr(health, "HUNG_SECONDS", 0.6)
        wait_for(lambda: probed.get("/healthz")[0] == 503)
        assert probed.get("/healthz")[1].startswith("its loop has made no progress for ")
        assert probed.metric("mtmc_service_step_age_seconds") > 0.6
    service.may_go_on.set()
    wait_for(probed.ready)
    assert probed.get("/healthz") == (200, "ok\n")


def test_a_lost_lease_is_counted_and_leaves_a_standby_ready(
    redis_client: Client, redis_url: str, probe: Callable[[Working], Probed]
) -> None:
    service = Working(connect(redis_url))
    probed = probe(service)
    service.lose_lease = True
    wait_for(lambda: probed.metric("mtmc_service_leases_lost_total") == 1)
    wait_for(probed.ready)


def test_a_stopping_service_is_not_ready(
    redis_client: Client, redis_url: str, probe: Callable[[Working], Probed]
) -> None:
    probed = probe(Working(connect(redis_url)))
    wait_for(probed.ready)
    probed.stop.set()
    wait_for(lambda: probed.get("/readyz") == (503, "it is stopping\n"))
    assert probed.get("/healthz") == (200, "ok\n")


def test_no_probe_shows_a_credential(redis_process: RedisProcess, probe: Callable[[Working], Probed]) -> None:
    admin = connect(redis_process.url)
    admin.config_set("requirepass", SECRET)
    url = redis_process.url.replace("redis://", f"redis://:{SECRET}@")
    service = Working(connect(url))
    probed = probe(service)
    wait_for(probed.ready)
    service.complaint = f"cannot open rtsp://me:{SECRET}@box/1"
    assert probed.get("/readyz") == (503, "cannot open rtsp://***@box/1\n")
    redis_process.kill()
    wait_for(lambda: probed.get("/readyz")[1].startswith("Redis does not answer"))
    for path in ("/metrics", "/healthz", "/readyz", f"/{SECRET}"):
        assert SECRET not in probed.get(path)[1]
    redis_process.start()  # without a password, so that the old password is refused
    wait_for(lambda: not probed.get("/readyz")[1].startswith("Redis does not answer: Error"))
    assert SECRET not in probed.get("/readyz")[1]
    admin.close()


def test_a_reload_is_counted_after_its_metrics_are_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor, seen = Monitor(), list[CollectorRegistry]()
    before = monitor.registry
    monkeypatch.setattr(monitor.loop.site_reloads, "inc", lambda: seen.append(monitor.registry))
    monitor.start_over()
    assert len(seen) == 1
    assert seen[0] is not before


def test_only_three_paths_are_served_and_their_heads(redis_client: Client) -> None:
    with serving(Monitor("clock", "yard"), "127.0.0.1", 0) as address:
        assert address is not None
        assert get(address, "/")[0] == 404
        assert get(address, "/metrics?x=1")[0] == 200
        head = raw_answer(address, "HEAD")
        assert head.startswith(b"HTTP/1.0 200 OK\r\n")
        assert head.endswith(b"\r\n\r\n"), "without a body"
        assert get(address, "/healthz", "POST")[0] == 501
        assert 'mtmc_service_info{service="clock",site="yard",version=' in get(address, "/metrics")[1]


def test_with_port_minus_1_nothing_listens() -> None:
    before = set(threading.enumerate())
    with serving(Monitor(), "127.0.0.1", OFF) as address:
        assert address is None
        assert set(threading.enumerate()) <= before


def test_a_port_in_use_is_reported_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(MtmcError, match=rf"port {port} for metrics is in use; .* --metrics-port") as error,
            serving(Monitor(), "127.0.0.1", port),
        ):
            pass
    assert error.value.exit_code == 2
    with pytest.raises(MtmcError, match="--metrics-host"), serving(Monitor(), "no.such.host.invalid", 0):
        pass
    with pytest.raises(MtmcError, match="--metrics-host"), serving(Monitor(), "192.0.2.1", 0):
        pass


def test_a_port_can_be_opened_again_at_once() -> None:
    with serving(Monitor(), "127.0.0.1", free_port()) as first:
        assert first is not None
        assert raw_answer(first, "GET").endswith(b"ok\n"), "the server hangs up first, so its port stays in TIME_WAIT"
    with serving(Monitor(), "127.0.0.1", first.port) as second:
        assert second == first


def test_ipv6_addresses_are_served_too() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(Monitor(), "::1", 0) as address:
        assert address is not None
        assert address.url == f"http://[::1]:{address.port}"
        assert get(address, "/healthz")[0] == 200


def test_the_oldest_of_too_many_connections_are_closed_and_probes_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server._Handler, "timeout", 60)
    with serving(Monitor(), "127.0.0.1", 0) as address, ExitStack() as stack:
        assert address is not None
        silent = [stack.enter_context(connected(address)) for _ in range(40)]
        newest = silent[-http_server._CONNECTIONS :]
        wait_for(lambda: len(select.select(silent, [], [], 0)[0]) == 40 - len(newest))
        assert select.select(newest, [], [], 0)[0] == []
        assert get(address, "/healthz")[0] == 200
        wait_for(lambda: sum("process_request_thread" in thread.name for thread in threading.enumerate()) <= 16)


def test_silent_clients_are_disconnected_and_do_not_block_others_for_long() -> None:
    with serving(Monitor(), "127.0.0.1", 0) as address, ExitStack() as stack:
        assert address is not None
        silent = [stack.enter_context(connected(address)) for _ in range(http_server._CONNECTIONS)]
        watch = Stopwatch()
        wait_for(lambda: len(select.select(silent, [], [], 0)[0]) == len(silent))
        assert watch.within(6), watch.seconds
        assert get(address, "/healthz")[0] == 200


def test_a_slowly_dribbling_client_is_disconnected_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_CONNECTION_S", 0.5)
    with (
        serving(Monitor(), "127.0.0.1", 0) as address,
        connected(address) as dribbling,
    ):
        watch = Stopwatch()
        with contextlib.suppress(OSError):  # broken pipe, or reset
            while watch.seconds < 30:
                dribbling.sendall(b"x")
                time.sleep(0.01)
        assert watch.within(3), watch.seconds


def test_a_failing_probe_is_logged_without_credentials_and_the_next_one_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monitor = Monitor()

    def broken() -> str | None:
        raise ValueError(f"rtsp://me:{SECRET}@box")

    monitor.health.enter_loop(broken)
    monitor.health.stepped()
    with logs_of_command("test"), serving(monitor, "127.0.0.1", 0) as address:
        assert address is not None
        with pytest.raises(http.client.RemoteDisconnected):
            get(address, "/readyz")
        assert get(address, "/healthz") == (200, "ok\n")
    said = capsys.readouterr().err
    assert "a probe failed" in said
    assert "ValueError: rtsp://***@box" in said
    assert SECRET not in said


def raw_answer(address: Address, method: str) -> bytes:
    with connected(address) as raw:
        raw.sendall(f"{method} /healthz HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: raw.recv(1000), b""))


def connected(address: Address) -> socket.socket:
    return socket.create_connection((address.host, address.port), timeout=10)
