"""`mtmc up` with real processes, video files and models."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from redis.exceptions import AuthenticationError

from launcher.state_folder import StateFolder
from shared.redis_connection import connect
from tests.command_line import CommandLine, command_line
from tests.running_site import ROOT, RunningSite, environment
from tests.small_site import small_site

SERVICES = ("clock", "aggregator", "streamer", "camera-worker-1")
SECRET = "hunter2"  # noqa: S105


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def site_file(four_cameras_site: Callable[..., Path], shared_data: Path, tmp_path: Path) -> Path:
    """Two looped cameras, so that the site runs as long as a test needs."""
    videos = shared_data / "data" / "ufes-four-cameras"
    cameras = [{"name": f"cam{i}", "source": str(videos / f"cam{i}.mp4"), "loop": True} for i in range(2)]
    return four_cameras_site(
        tmp_path, cameras=cameras, layout={"overlaps": [["cam0", "cam1"]]}, clock={"target_fps": 5}
    )


@pytest.mark.alone
def test_a_site_starts_restarts_killed_processes_and_stops_cleanly(
    start: Callable[..., RunningSite], site_file: Path
) -> None:
    up = start(site_file)
    page = up.wait_for_words(r"http://127\.0\.0\.1:\d+/").group()
    assert re.search(r"camera cam0: live", up.output())
    assert re.search(r"camera cam1: live", up.output())
    up.wait_for_words(re.escape(f"mtmc redis-cli {site_file} HGETALL 'mtmc:{{room}}:clock:skew'  state of the clock"))
    with urllib.request.urlopen(page, timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    # The URL is printed once the cameras are live and the page answers; the aggregator may need a moment more.
    up.wait_for(lambda: up.status().get("aggregator"))
    status = up.status()
    assert [camera["name"] for camera in status["cameras"]] == ["cam0", "cam1"]
    assert (status["clock"], len(status["workers"])) == (True, 1)
    up.wait_for(lambda: [one["ready"] for one in up.status().get("services", ())] == [True] * 4)
    for service in up.wait_for_status("services"):
        with urllib.request.urlopen(service["metrics_url"], timeout=10) as answer:  # noqa: S310
            metrics = answer.read().decode()
        assert f'mtmc_service_info{{service="{service["role"]}",site="room",' in metrics
        if service["role"] == "camera-worker":
            assert "mtmc_camera_worker_cameras 2.0" in metrics
            assert re.search(r'ticks_handled_total\{camera="cam0"\} [1-9]', metrics)

    assert "problem:" not in up.output()
    pid = up.pid("aggregator")
    os.kill(pid, signal.SIGSTOP)
    up.wait_for_words(rf"problem: no aggregator does its work: the aggregator on \S+ \(pid {pid}\) does not answer")
    os.kill(pid, signal.SIGCONT)
    up.wait_for_words("over: no aggregator does its work")
    assert up.output().count("problem: no aggregator") == 1

    second = start(site_file)
    assert second.process.wait(60) == 2
    assert "is already running with the state folder" in second.output()

    for name in ("redis", *SERVICES):
        pid = up.pid(name)
        assert Path(f"/proc/{pid}").exists(), f"{name} died before it was killed: {up.output()}"
        os.kill(pid, signal.SIGKILL)
        assert up.wait_for_another(name, pid).within(5)
    tick = up.status().get("tick", 0)
    up.wait_for(lambda: up.status().get("tick", 0) > tick + 5)
    up.wait_for(lambda: [camera["state"] for camera in up.status().get("cameras", ())] == ["live", "live"])

    code, watch = up.end(signal.SIGINT)
    assert (code, watch.within(5)) == (0, True)
    assert up.family() == []
    assert "Traceback" not in up.output()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_no_process_survives_a_killed_up(start: Callable[..., RunningSite], site_file: Path) -> None:
    up = start(site_file)
    up.wait_for_words("camera-worker-1")
    up.wait_for(lambda: sum(" -m cli run " in line for line in up.family()) == len(SERVICES))
    up.end(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while up.family():
        assert time.monotonic() < deadline, up.family()
        time.sleep(0.05)


def test_data_and_port_survive_a_restart(start: Callable[..., RunningSite], site_file: Path) -> None:
    urls = []
    for _ in range(2):
        up = start(site_file)
        up.wait_for_words("camera-worker-1")
        port = json.loads((up.state / "facts.json").read_text())["redis_port"]
        urls.append(f"redis://127.0.0.1:{port}")
        client = connect(urls[-1], StateFolder(up.state).redis_password())
        first = client.set("written by the first run", "1", nx=True)
        client.close()
        assert up.end()[0] == 0
    assert urls[0] == urls[1]
    assert not first


def test_a_user_error_in_a_process_ends_up_with_2_and_the_end_of_its_log(
    start: Callable[..., RunningSite], site_file: Path, tmp_path: Path
) -> None:
    # Only workers open PyTorch weights, because PyTorch may be installed on their hosts only.
    (tmp_path / "broken.pt").write_text("no model")
    site = yaml.safe_load(site_file.read_text())
    site["detector"]["model"] = "broken.pt"
    site_file.write_text(yaml.safe_dump(site))
    up = start(site_file)
    assert up.process.wait(60) == 2
    assert "camera-worker-1 stopped with an error that you have to fix" in up.output()
    assert re.search(r"^  mtmc: .*(broken\.pt|mtmc\[torch\])", up.output(), re.MULTILINE)
    assert up.family() == []


def test_a_metrics_port_in_use_ends_up_with_what_to_do(start: Callable[..., RunningSite], site_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        up = start(site_file, "--metrics-port", str(port))
        assert up.process.wait(60) == 2
    assert f"port {port} for metrics is in use" in up.output()
    assert "clock stopped with an error that you have to fix" in up.output()


def test_a_port_in_use_is_reported_before_anything_starts(start: Callable[..., RunningSite], site_file: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        up = start(site_file, "--port", port)
        assert up.process.wait(60) == 2
    assert f"port {port} is in use by another program; choose one with --port" in up.output()


def test_a_password_appears_in_no_command_line_file_or_output(
    start: Callable[..., RunningSite], site_file: Path, redis_process: Any
) -> None:
    client = connect(redis_process.url)
    client.config_set("requirepass", SECRET)
    client.close()
    site = yaml.safe_load(site_file.read_text())
    site["redis"] = {"url": redis_process.url.replace("//", f"//:{SECRET}@")}
    site_file.write_text(yaml.safe_dump(site))
    up = start(site_file)
    up.wait_for_words(re.escape(f"mtmc redis-cli {site_file} HGETALL"))
    up.wait_for(lambda: len(up.status().get("workers", [])) == 1)
    assert len(up.family()) > len(SERVICES)
    assert not [line for line in up.family() if SECRET in line]
    assert not [file for file in up.state.rglob("*") if file.is_file() and SECRET in file.read_text(errors="replace")]
    assert SECRET not in up.output()
    assert up.end()[0] == 0


def test_other_users_cannot_read_the_embedded_redis_and_commands_of_its_owner_can(
    start: Callable[..., RunningSite], tmp_path: Path
) -> None:
    """The state folder is that of an earlier version, without a password."""
    site_file = tmp_path / "site.yaml"
    site_file.write_text(yaml.safe_dump(small_site(tmp_path, "a") | {"site": "room"}))
    up = start(site_file)
    up.wait_for_words("camera-worker-1")
    facts = json.loads((up.state / "facts.json").read_text())
    for port in (facts["redis_port"], facts["pictures_port"]):
        client = connect(f"redis://127.0.0.1:{port}")
        with pytest.raises(AuthenticationError, match="required"):
            client.ping()
        client.close()
    password = (up.state / "redis-password").read_text()
    assert len(password) > 40
    up.wait_for(lambda: [camera["state"] for camera in up.status().get("cameras", [])] == ["live"])

    assert len(up.family()) > len(SERVICES)
    assert not [line for line in up.family() if password in line]
    holders = {file for file in up.state.rglob("*") if file.is_file() and password in file.read_text(errors="replace")}
    assert holders == {up.state / name for name in ("redis-password", "redis/redis.conf", "redis-pictures/redis.conf")}
    assert {file.stat().st_mode & 0o777 for file in holders} == {0o600}
    assert password not in up.output()

    for words in (["XLEN", "mtmc:{room}:tracks:a"], ["--pictures", "XLEN", "mtmc:{room}:frames:a"]):
        options, command = words[:-2], words[-2:]
        line = [sys.executable, "-m", "cli", "redis-cli", *options, str(site_file), *command]
        done = subprocess.run(line, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert int(done.stdout) > 0
    assert up.end()[0] == 0


def test_a_page_that_others_reach_needs_a_token(
    start: Callable[..., RunningSite], tmp_path: Path, mtmc: CommandLine
) -> None:
    site = small_site(tmp_path, "a") | {"site": "room", "streamer": {"port": 0, "host": "0.0.0.0"}}
    site_file = tmp_path / "site.yaml"
    site_file.write_text(yaml.safe_dump(site))
    up = start(site_file)
    page = up.wait_for_words(r"(http://127\.0\.0\.1:\d+)/  live view").group(1)
    up.wait_for_words(rf"mtmc tokens add {site_file}  makes a token")
    token = mtmc("tokens", "add", site_file).stdout.strip()

    def status(**headers: str) -> int:
        return requests.get(f"{page}/api/v1/site", headers=headers, timeout=10).status_code

    assert status() == 401
    assert status(Authorization=f"Bearer {token}") == 200
    log = StateFolder(up.state).log("streamer").read_text()
    assert "there is no token yet" in log
    assert token not in log
    assert token not in up.output()
