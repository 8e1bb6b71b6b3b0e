"""The list of running processes: in Redis, in `mtmc status` and in `mtmc doctor`."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.keys import Keys
from shared.monitoring.health import READY_SECONDS, Health
from shared.monitoring.http_server import Address
from shared.presence import FORGOTTEN_SECONDS, Presence
from shared.redis_connection import Client, connect
from shared.service_list import ServiceInfo, read_services
from shared.site import read_site
from shared.site_state.reading import StateReader
from site_checks.running_site import examine_running_site
from tests.command_line import CommandLine, command_line
from tests.conftest import RedisProcess
from tests.free_ports import free_port
from tests.running_services import Run, services_running, write_hall_site

ROOT = Path(__file__).resolve().parents[2]
KEYS = Keys("hall")
SECRET = "hunter2"  # noqa: S105


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    return write_hall_site(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts `mtmc run …`, its log in a file named `log`; terminates it at the end of the test."""
    with services_running(tmp_path / "log") as start:
        yield start


def get(url: str) -> tuple[int, str]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_every_process_is_listed_with_a_working_address(
    run: Run, site_file: Path, redis_client: Client, redis_url: str
) -> None:
    started = {
        role: run(role, site_file, "--redis", redis_url).pid for role in ("aggregator", "clock", "clock", "streamer")
    }
    wait_for(lambda: [one.ready for one in read_services(redis_client, KEYS)] == [True] * 4)
    services = read_services(redis_client, KEYS)
    assert [one.role for one in services] == ["aggregator", "clock", "clock", "streamer"]
    assert set(started.values()) < {one.pid for one in services}
    assert {one.host for one in services} == {socket.gethostname()}
    for one in services:
        assert one.metrics_url is not None
        assert one.heartbeat_age_seconds < 5
        assert one.uptime_seconds is not None
        status, text = get(one.metrics_url)
        assert status == 200
        assert f'mtmc_service_info{{service="{one.role}",site="hall",' in text
        assert get(one.metrics_url.replace("/metrics", "/readyz")) == (200, "ready\n")
        assert get(one.metrics_url.replace("/metrics", "/healthz")) == (200, "ok\n")
    owners = [re.findall(r"^mtmc_clock_owner (.*)$", get(url)[1], re.M)[0] for url in urls(services, "clock")]
    assert sorted(owners) == ["0.0", "1.0"], "one is the clock, the other a standby; both are ready"
    (of_streamer,) = urls(services, "streamer")
    assert "mtmc_redis_up 1.0" in get(of_streamer)[1]


def urls(services: tuple[ServiceInfo, ...], role: str) -> list[str]:
    return [one.metrics_url for one in services if one.role == role and one.metrics_url is not None]


def test_a_process_may_have_no_port_and_a_stopped_one_is_no_longer_listed(
    run: Run, site_file: Path, redis_client: Client, redis_url: str
) -> None:
    process = run("clock", site_file, "--redis", redis_url, "--metrics-port", "-1")
    wait_for(lambda: read_services(redis_client, KEYS))
    (clock,) = read_services(redis_client, KEYS)
    assert (clock.role, clock.pid, clock.metrics_url) == ("clock", process.pid, None)
    assert "serving metrics" not in (site_file.parent / "log").read_text()
    process.terminate()
    assert process.wait(30) == 0
    assert read_services(redis_client, KEYS) == ()
    assert redis_client.keys("mtmc:{hall}:service*") == []


def test_the_port_can_come_from_the_environment_and_one_in_use_ends_the_process(
    run: Run, site_file: Path, redis_client: Client, redis_url: str
) -> None:
    port = free_port()
    environment = {"MTMC_METRICS_PORT": str(port), "MTMC_METRICS_HOST": "0.0.0.0"}
    run("clock", site_file, "--redis", redis_url, **environment)
    wait_for(lambda: urls(read_services(redis_client, KEYS), "clock"))
    assert urls(read_services(redis_client, KEYS), "clock") == [f"http://{socket.gethostname()}:{port}/metrics"]
    assert get(f"http://127.0.0.1:{port}/healthz")[0] == 200
    assert run("clock", site_file, "--redis", redis_url, **environment).wait(60) == 2
    assert f"mtmc: port {port} for metrics is in use; stop" in (site_file.parent / "log").read_text()


def test_a_service_that_restarts_with_a_new_site_keeps_its_port_and_resets_its_counters(
    run: Run, site_file: Path, redis_client: Client, redis_url: str
) -> None:
    run("clock", site_file, "--redis", redis_url)
    wait_for(lambda: urls(read_services(redis_client, KEYS), "clock"))
    (url,) = urls(read_services(redis_client, KEYS), "clock")
    wait_for(lambda: metric(url, "mtmc_clock_ticks_total") >= 10)
    site_file.write_text(site_file.read_text() + "clock: {target_fps: 1}\n")
    run("aggregator", site_file, "--redis", redis_url)
    wait_for(lambda: metric(url, "mtmc_service_site_reloads_total") == 1)
    wait_for(lambda: metric(url, "mtmc_clock_ticks_total") > 0)
    assert metric(url, "mtmc_clock_ticks_total") < 10
    wait_for(lambda: urls(read_services(redis_client, KEYS), "clock") == [url])
    assert get(url.replace("/metrics", "/readyz")) == (200, "ready\n")


def metric(url: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", get(url)[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_a_process_that_waits_says_why_and_shows_no_password(run: Run, tmp_path: Path, redis_process: Any) -> None:
    redis_process.stop()
    port = free_port()
    url = redis_process.url.replace("redis://", f"redis://:{SECRET}@")
    run("clock", MTMC_SITE="hall", MTMC_REDIS_URL=url, MTMC_METRICS_PORT=str(port))
    address = f"http://127.0.0.1:{port}"
    wait_for(lambda: answers(address))
    wait_for(lambda: "Redis does not answer yet" in get(f"{address}/readyz")[1])
    assert get(f"{address}/readyz")[0] == 503
    assert get(f"{address}/healthz") == (200, "ok\n")
    for path in ("/readyz", "/metrics"):
        assert SECRET not in get(address + path)[1]


def test_a_process_whose_site_is_not_published_yet_says_so(run: Run, redis_client: Client, redis_url: str) -> None:
    port = free_port()
    run("clock", "--site", "hall", "--redis", redis_url, "--metrics-port", str(port))
    wait_for(lambda: answers(f"http://127.0.0.1:{port}"))
    wait_for(lambda: "the site is not published yet" in get(f"http://127.0.0.1:{port}/readyz")[1])


def answers(address: str) -> bool:
    try:
        return get(f"{address}/healthz")[0] == 200
    except OSError:
        return False


def test_a_process_that_is_stopped_loses_its_heartbeat_and_status_says_so(
    run: Run, site_file: Path, redis_client: Client, redis_url: str, mtmc: CommandLine
) -> None:
    process = run("clock", site_file, "--redis", redis_url)
    wait_for(lambda: any(one.ready for one in read_services(redis_client, KEYS)))
    shown = mtmc("status", "--site", "hall", "--redis", redis_url)
    (url,) = urls(read_services(redis_client, KEYS), "clock")
    assert url in shown.stdout
    assert re.search(rf"clock\b.*\b{process.pid}\b.*ready", shown.stdout)
    process.send_signal(signal.SIGSTOP)
    redis_client.set(KEYS.lease("clock"), "1:x")  # or status would say that nothing runs
    wait_for(lambda: read_services(redis_client, KEYS)[0].heartbeat_age_seconds > 5.5)
    assert re.search(r"no heartbeat for \d+ s", mtmc("status", "--site", "hall", "--redis", redis_url).stdout)


def test_the_json_of_status_matches_its_help(
    run: Run, site_file: Path, redis_client: Client, redis_url: str, mtmc: CommandLine
) -> None:
    run("clock", site_file, "--redis", redis_url)
    wait_for(lambda: any(one.ready for one in read_services(redis_client, KEYS)))
    shown = json.loads(mtmc("status", "--site", "hall", "--redis", redis_url, "--json").stdout)["services"]
    expected = [asdict(one) for one in read_services(redis_client, KEYS)]
    for one in (*shown, *expected):
        assert one.pop("heartbeat_age_seconds") < 5
        assert one.pop("uptime_seconds") < 60
    assert shown == expected
    help_text = " ".join(mtmc("status", "--help").stdout.replace("│", " ").split())
    assert f"services: {', '.join(field.name for field in fields(ServiceInfo))} " in help_text


# -- the list itself -----------------------------------------------------------------------------------------


@pytest.fixture
def present(redis_client: Client) -> Iterator[Callable[..., Presence]]:
    """Creates processes that are present until the end of the test."""
    made: list[Presence] = []

    def make(role: str, health: Health, address: Address | None = None, started_at: float = 0.0) -> Presence:
        made.append(Presence(redis_client, KEYS, role, health, address, started_at or time.monotonic()))
        return made[-1]

    yield make
    for presence in made:
        presence.close()


def test_a_problem_of_a_service_is_listed_also_while_its_loop_hangs(
    redis_client: Client, present: Callable[..., Presence]
) -> None:
    problems: list[str | None] = [None]
    now_s = [0.0]
    health = Health(lambda: now_s[0])
    health.enter_loop(lambda: problems[0])
    health.stepped()
    present("aggregator", health, Address("127.0.0.1", 9100), time.monotonic() - 90)
    wait_for(lambda: read_services(redis_client, KEYS))
    (info,) = read_services(redis_client, KEYS)
    assert (info.ready, info.problem, info.metrics_url) == (True, None, "http://127.0.0.1:9100/metrics")
    assert info.uptime_seconds is not None
    assert 90 <= info.uptime_seconds < 100
    problems[0] = f"cannot reach redis://:{SECRET}@box"
    wait_for(lambda: not read_services(redis_client, KEYS)[0].ready)
    assert read_services(redis_client, KEYS)[0].problem == "cannot reach redis://***@box"
    problems[0], now_s[0] = None, READY_SECONDS + 1
    wait_for(lambda: "its loop has finished no step" in (read_services(redis_client, KEYS)[0].problem or ""))


def test_processes_without_a_heartbeat_are_removed(redis_client: Client, present: Callable[..., Presence]) -> None:
    seconds, _ = redis_client.time()
    ages = {"recent": FORGOTTEN_SECONDS - 5, "old": FORGOTTEN_SECONDS + 5}
    redis_client.zadd(KEYS.services, {name: (seconds - age_s) * 1000 for name, age_s in ages.items()})
    for name in ages:
        redis_client.hset(KEYS.service(name), mapping={"role": name})
    assert [one.role for one in read_services(redis_client, KEYS)] == ["recent"]
    presence = present("clock", Health())
    wait_for(lambda: redis_client.zscore(KEYS.services, presence.id))
    assert redis_client.zscore(KEYS.services, "old") is None, "a heartbeat clears up"
    for key in (KEYS.services, KEYS.service(presence.id)):
        assert 0 < redis_client.pttl(key) <= FORGOTTEN_SECONDS * 1000


def test_a_failed_heartbeat_is_retried(redis_process: RedisProcess) -> None:
    client = connect(redis_process.url)
    presence = Presence(client, KEYS, "clock", Health(), None, time.monotonic())
    wait_for(lambda: read_services(client, KEYS))
    redis_process.kill()
    time_lost = time.monotonic()
    wait_for(lambda: time.monotonic() - time_lost > 1.5)
    redis_process.start()
    client.flushall()
    wait_for(lambda: read_services(client, KEYS))
    presence.close()
    assert read_services(client, KEYS) == ()
    client.close()


@pytest.mark.parametrize("spoilt", [KEYS.services, KEYS.service("bad")])
def test_malformed_entries_in_the_list_are_skipped(redis_client: Client, spoilt: str) -> None:
    seconds, _ = redis_client.time()
    beats = dict.fromkeys(("good", "bad", "odd", "gone", b"\xff\xfe"), seconds * 1000)
    redis_client.zadd(KEYS.services, {**beats, "endless": "inf"})
    redis_client.hset(KEYS.service("good"), mapping={"role": "clock", "host": "box", "pid": 7, "metrics_port": 80})
    odd = {"role": "\x1b[31m", "pid": "x", "metrics_port": "²", "started_ms": "9" * 400, b"\xff": b"\xfe"}
    redis_client.hset(KEYS.service("odd"), mapping=odd)
    redis_client.delete(spoilt)
    redis_client.set(spoilt, "nonsense")
    found = {one.id: one for one in read_services(redis_client, KEYS)}
    if spoilt == KEYS.services:
        assert found == {}
        return
    assert set(found) == {"good", "odd"}
    assert found["good"].metrics_url == "http://box:80/metrics"
    assert found["odd"].role == "\N{REPLACEMENT CHARACTER}[31m"
    assert (found["odd"].pid, found["odd"].metrics_url, found["odd"].uptime_seconds) == (None, None, None)


def test_doctor_names_a_process_that_is_not_ready(
    run: Run, site_file: Path, redis_client: Client, redis_url: str, present: Callable[..., Presence]
) -> None:
    run("clock", site_file, "--redis", redis_url)
    wait_for(lambda: any(one.ready for one in read_services(redis_client, KEYS)))
    health = Health()
    present("camera-worker", health)
    wait_for(lambda: len(read_services(redis_client, KEYS)) == 2)
    published = read_site(redis_client, "hall")
    assert published is not None
    reader = StateReader(redis_client, redis_client, published)
    said = [finding.what for finding in examine_running_site(redis_client, KEYS, reader.read(), reader)]
    host, pid = socket.gethostname(), os.getpid()
    assert [line for line in said if "not ready" in line] == [
        f"the camera-worker on {host} (pid {pid}) is not ready: it is starting"
    ]
