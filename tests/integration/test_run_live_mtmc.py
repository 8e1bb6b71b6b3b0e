"""`mtmc up live.yaml`: runs an unchanged configuration of `run_live_mtmc.py`, on files of four real cameras."""

from __future__ import annotations

import contextlib
import urllib.request
from collections.abc import Callable, Generator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.free_ports import free_port
from tests.running_site import RunningSite

LIVE = """
OUTPUT_DIR: "output/live"
DEBUG_RUN: false
MOT:
  REID_MODEL_OPTS: "models/opts.yaml"
  REID_ONNX: "models/osnet_x0_25_msmt17.onnx"
  REID_BATCHSIZE: 16
  DETECTOR: "models/yolox_nano.onnx"
  TRACKER: "bytetrack_iou"
  TRACKED_CLASSES: [0]
  MIN_FRAMES: 1
  SHOW: false
MTMC:
  CAMERA_LAYOUT: 'config/examples/layout.txt'
  LINKAGE: 'average'
  MIN_SIM: 0.6
EXPRESS:
  CAMERAS:
    - "video": "datasets/cam0.mp4"
      "name": "cam0"
    - "video": "datasets/cam1.mp4"
      "name": "cam1"
    - "video": "datasets/cam2.mp4"
    - "video": "datasets/cam3.mp4"
LIVE:
  TARGET_FPS: 5
  MJPEG_PORT: %(port)d
  LOOP_VIDEO: true
  SLEEP_ON_EMPTY: 0.02
"""
CAMERAS = ("cam0", "cam1", "cam_2", "cam_3")


@pytest.fixture
def checkout(shared_data: Path, tmp_path: Path) -> Path:
    """The folders of `run_live_mtmc.py`, with video files, models, and a layout in which all four views overlap."""
    (tmp_path / "datasets").symlink_to(shared_data / "data" / "ufes-four-cameras")
    (tmp_path / "models").symlink_to(shared_data / "weights")
    (tmp_path / "config" / "examples").mkdir(parents=True)
    blocks = {"fps": [10], "offset": [0], "compatibility": [1] * 4, "dtmin": [-10] * 4, "dtmax": [10] * 4}
    text = "".join(f"{name}\n" + "".join(f"{row} {row} {row} {row}\n" for row in rows) for name, rows in blocks.items())
    (tmp_path / "config" / "examples" / "layout.txt").write_text(text)
    return tmp_path


def test_its_configuration_runs_unchanged_and_its_urls_stay_the_same(
    checkout: Path, start: Callable[..., RunningSite]
) -> None:
    port = free_port()
    file = checkout / "config" / "examples" / "room.yaml"
    file.write_text(LIVE % {"port": port})
    site = start(file)
    site.wait_for_words(rf"http://127\.0\.0\.1:{port}/")
    assert "ignored keys: OUTPUT_DIR, DEBUG_RUN, MOT.REID_BATCHSIZE, MOT.SHOW, LIVE.SLEEP_ON_EMPTY" in site.output()
    for camera in CAMERAS:
        with contextlib.closing(pictures(f"http://127.0.0.1:{port}/{camera}.mjpg")) as stream:
            # Before the first picture of the camera the stream shows a smaller placeholder.
            recorded = (picture for picture in stream if picture.shape == (543, 960, 3))
            first, second = next(recorded), next(recorded)
        assert (first != second).any()
    site.wait_for(lambda: {name for name, gids in gids_of(site).items() if gids} == set(CAMERAS), 60)
    assert site.end()[0] == 0


def gids_of(site: RunningSite) -> dict[str, int]:
    """Camera → the number of its tracks that have a gid."""
    return {camera["name"]: camera["gids"] for camera in site.status().get("cameras", [])}


def pictures(url: str) -> Generator[np.ndarray, None, None]:
    """The pictures of a stream, decoded."""
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
        assert answer.headers.get_content_type() == "multipart/x-mixed-replace"
        while True:
            headers = {}
            while (line := answer.readline()) != b"\r\n" or not headers:
                name, _, value = line.decode().strip().partition(":")
                headers |= {name.lower(): value.strip()} if value else {}
            assert headers["content-type"] == "image/jpeg"
            jpeg = answer.read(int(headers["content-length"]))
            yield cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
