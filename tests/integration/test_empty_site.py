"""A site without cameras runs, gets its first camera while it runs, and may lose its last one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from typer.testing import CliRunner

from cli.__main__ import app
from launcher.programs import site_programs
from launcher.site_file import load_site
from launcher.site_run import runnable
from services.camera_worker import preparation
from shared.errors import MtmcError
from shared.layout import Layout
from shared.redis_connection import Client
from shared.site_copy import SiteCopy
from site_checks.models import examine_models
from tests.integration.streamer_site import wait_until
from tests.integration.worker_parts import StillSource
from tests.running_hall import KEYS, RunningHall
from tests.small_site import small_site


@pytest.fixture
def hall(
    redis_client: Client, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunningHall]:
    monkeypatch.setattr(preparation, "open_source", lambda *_, **__: StillSource())
    running = RunningHall(redis_client, redis_url, tmp_path, cameras=())
    try:
        yield running
    finally:
        running.stop()


def ask(hall: RunningHall, path: str, method: str = "GET", body: Any = None) -> Any:
    answer = requests.request(method, f"http://127.0.0.1:{hall.pages.port}/api/v1{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ticks_go_on(hall: RunningHall) -> None:
    first = hall.progress()["tick"] or 0
    wait_until(lambda: hall.errors or (hall.progress()["tick"] or 0) > first + 3, "ticks")
    assert hall.errors == []
    assert hall.ended_threads() == []


def is_well(hall: RunningHall) -> bool:
    return bool(ask(hall, "/problems")["well"])


def test_an_empty_site_runs_gets_a_camera_loses_it_and_gets_it_again(hall: RunningHall) -> None:
    ticks_go_on(hall)
    wait_until(lambda: is_well(hall), "no problems")
    assert ask(hall, "/cameras") == {"cameras": []}
    for path in (
        "/site",
        "/workers",
        "/services",
        "/skew",
        "/tracks",
        "/identities",
        "/events",
        "/layout",
        "/calibration",
    ):
        ask(hall, path)
    assert hall.pages.get("/")[0] == 200
    wait_until(lambda: hall.pages.get("/readyz")[0] == 200, "ready")
    with requests.get(f"http://127.0.0.1:{hall.pages.port}/wall.stream", stream=True, timeout=60) as wall:
        assert len(wall.raw.read(100)) == 100
    for time in ("first", "second"):
        ask(hall, "/cameras", "POST", {"name": "a", "source": "rtsp://nowhere"})
        wait_until(lambda: hall.errors or ask(hall, "/cameras/a")["state"] == "live", "a live camera")
        wait_until(lambda: hall.errors or ask(hall, "/identities?present=true")["identities"], "an identity")
        ask(hall, "/cameras/a", "DELETE")
        wait_until(lambda: hall.errors or not hall.client.zcard(KEYS.seen), "the camera to leave the clock")
        ticks_go_on(hall)
        assert ask(hall, "/cameras") == {"cameras": []}, time
    kinds = [event["kind"] for event in ask(hall, "/events")["events"] if event["kind"].startswith("camera_")]
    assert kinds[-4:] == ["camera_removed", "camera_added", "camera_removed", "camera_added"]
    assert "gap" not in kinds
    wait_until(lambda: is_well(hall), "no problems")


def test_cameras_that_were_removed_on_purpose_are_not_written_again(hall: RunningHall, redis_client: Client) -> None:
    copy = SiteCopy(redis_client, hall.reader_site)
    copy.look()
    ask(hall, "/cameras", "POST", {"name": "a", "source": "rtsp://nowhere"})
    copy.look()
    ask(hall, "/cameras/a", "DELETE")
    assert copy.look() is None
    assert not redis_client.exists(KEYS.cameras)
    ask(hall, "/cameras", "POST", {"name": "a", "source": "rtsp://nowhere"})
    copy.look()
    redis_client.delete(KEYS.cameras)  # another program
    wait_until(lambda: redis_client.hexists(KEYS.cameras, "a") or copy.look(), "the camera, written again")


def test_the_layout_of_no_cameras_survives_redis() -> None:
    layout = Layout.from_dict(Layout.open(()).to_dict())
    assert layout.over(("a", "b")).compatible.all()
    assert layout.over(("a", "b")).pairs_unknown[0, 1]


def test_the_commands_know_a_site_without_cameras(tmp_path: Path) -> None:
    content = small_site(tmp_path, "")
    (tmp_path / "site.yaml").write_text(yaml.safe_dump({**content, "worker": {"gpus": [0, 1]}}))
    site = load_site(tmp_path / "site.yaml", {})
    programs = site_programs(site, 8080, {})
    assert sum("camera-worker" in program.name for program in programs) == 2, "for cameras that will be added"
    found = list(examine_models(site, 1, None))
    assert [finding.level for finding in found] == ["ok"] * 3, found
    assert "0 cameras" in found[-1].what
    with pytest.raises(MtmcError, match="no camera"):
        runnable(site, None, live=False)
    checked = CliRunner().invoke(app, ["config", "check", str(tmp_path / "site.yaml")])
    assert (checked.exit_code, "none yet" in checked.output) == (0, True)
