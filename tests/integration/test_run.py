"""`mtmc run`, as containers use it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from launcher.publishing import publish
from shared.config_file import read_site_file
from shared.keys import Keys
from shared.redis_connection import Client
from tests.running_services import Run, services_running, write_hall_site
from tests.small_site import small_site

ROOT = Path(__file__).resolve().parents[2]
KEYS = Keys("hall")


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    return write_hall_site(tmp_path)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Starts `mtmc run …`, its log in a file named `log`; terminates it at the end of the test."""
    with services_running(tmp_path / "log") as start:
        yield start


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_with_a_site_file_the_site_is_published_and_the_service_runs(
    run: Run, site_file: Path, redis_client: Client, redis_url: str
) -> None:
    process = run("clock", site_file, "--redis", redis_url)
    wait_until(lambda: int(redis_client.get(KEYS.tick) or 0) > 2)
    assert json.loads(redis_client.get(KEYS.config))["revision"] == 1
    run("clock", site_file, MTMC_REDIS_URL=redis_url)
    wait_until(lambda: (site_file.parent / "log").read_text().count("site published") == 2)
    assert json.loads(redis_client.get(KEYS.config))["revision"] == 1, "the same content is no new revision"
    process.terminate()
    assert process.wait(30) == 0


def test_without_a_site_file_it_waits_until_the_site_is_published(
    run: Run, site_file: Path, redis_client: Client, redis_url: str
) -> None:
    run("clock", MTMC_SITE="hall", MTMC_REDIS_URL=redis_url, MTMC_LOG_FORMAT="json")
    log = site_file.parent / "log"
    wait_until(lambda: log.exists() and "waiting" in log.read_text())
    (waiting,) = [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "waiting"]
    assert "published" in waiting["reason"]
    assert redis_client.get(KEYS.tick) is None
    publish(redis_client, read_site_file(site_file, {}, check_files=False))
    wait_until(lambda: redis_client.get(KEYS.tick))


def test_it_waits_until_redis_answers(run: Run, site_file: Path, redis_process: Any) -> None:
    redis_process.stop()
    run("clock", site_file, "--redis", redis_process.url)
    log = site_file.parent / "log"
    wait_until(lambda: log.exists() and "Redis does not answer yet" in log.read_text())
    redis_process.start()
    wait_until(lambda: "acquired the clock" in log.read_text())


def test_a_signal_right_after_the_site_was_published_is_not_lost(run: Run, site_file: Path, redis_url: str) -> None:
    process = run("aggregator", site_file, "--redis", redis_url)
    log = site_file.parent / "log"
    wait_until(lambda: log.exists() and "site published" in log.read_text())
    process.terminate()  # while the modules of the service are being imported
    assert process.wait(60) == 0


def test_a_missing_mask_is_reported(run: Run, site_file: Path, redis_url: str) -> None:
    site_file.write_text(site_file.read_text().replace("source: a.mp4", "source: a.mp4, mask: none.png"))
    assert run("clock", site_file, "--redis", redis_url).wait(60) == 2
    assert "none.png: cannot be read (No such file or directory)" in (site_file.parent / "log").read_text()


def test_a_site_can_be_published_from_the_command_line(tmp_path: Path, redis_client: Client, redis_url: str) -> None:
    site_file = tmp_path / "site.yaml"
    site_file.write_text(yaml.safe_dump(small_site(tmp_path, "a")))
    command = [sys.executable, "-m", "cli", "config", "publish", str(site_file), "--redis", redis_url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"published site hall, revision 1, in Redis at {redis_url}\n", done.stderr
    assert json.loads(redis_client.get(KEYS.config))["site"]["site"] == "hall"
