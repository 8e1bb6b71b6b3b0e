"""A running site goes on, whatever one process or person does wrong."""

from __future__ import annotations

import os
import shutil
import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from launcher.address import find_redis
from shared.config_file import read_site_file
from shared.keys import Keys
from shared.site import publish_site, read_revision
from tests.command_line import CommandLine, command_line
from tests.running_site import RunningSite

pytestmark = pytest.mark.alone


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


def test_once_a_site_runs_no_error_of_one_process_or_person_stops_it(
    start: Callable[..., RunningSite], mtmc: CommandLine, site_file: Path, tmp_path: Path
) -> None:
    site = yaml.safe_load(site_file.read_text())
    embedder = tmp_path / "own-embedder.onnx"
    shutil.copy(site["embedder"]["model"], embedder)
    site["embedder"]["model"] = str(embedder)
    site_file.write_text(yaml.safe_dump(site))
    up = start(site_file)
    page = up.wait_for_words(r"http://127\.0\.0\.1:\d+/").group()
    up.wait_for(lambda: [one["ready"] for one in up.status().get("services", ())] == [True] * 4)

    # An address that this machine does not have is refused, and kept out even if somebody publishes it elsewhere.
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(site | {"streamer": {"host": "203.0.113.7"}}))
    refused = mtmc("config", "publish", str(wrong), "--state", str(up.state))
    assert refused.returncode == 2
    assert "203.0.113.7 is no address of this machine" in refused.stderr
    config = read_site_file(wrong, os.environ)
    client = find_redis(None, config, site_file, up.state, os.environ).connect()
    publish_site(client, config)
    up.wait_for(
        lambda: any("it cannot use revision 2" in (one["problem"] or "") for one in up.status().get("services", ()))
    )
    assert urllib.request.urlopen(page, timeout=10).status == 200  # noqa: S310

    # A process that fails with exit code 2 is named with its error, and restarted until it works.
    good = embedder.read_bytes()
    embedder.write_bytes(b"no model")
    os.kill(up.pid("camera-worker-1"), signal.SIGKILL)
    up.wait_for_words(r"camera-worker-1 stopped with an error that you have to fix: .*own-embedder\.onnx")
    assert urllib.request.urlopen(page, timeout=10).status == 200  # noqa: S310
    embedder.write_bytes(good)
    up.wait_for(lambda: [camera["state"] for camera in up.status().get("cameras", ())] == ["live", "live"])

    # An empty Redis gets the site again.
    client.flushall()
    up.wait_for(lambda: read_revision(client, Keys("room")) == 2)
    up.wait_for(lambda: [camera["state"] for camera in up.status().get("cameras", ())] == ["live", "live"])
    assert up.end(signal.SIGINT)[0] == 0
