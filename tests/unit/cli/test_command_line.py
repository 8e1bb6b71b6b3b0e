"""The command line: help, exit codes, errors on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from tests.free_ports import free_port
from tests.unit.vision.model_files import write_constant_model, write_mean_model

ROOT = Path(__file__).resolve().parents[3]
SECRET = "hunter2"  # noqa: S105
HEAVY = {"cv2", "flask", "numpy", "onnxruntime", "pydantic", "redis", "requests", "scipy", "structlog", "yaml"}


def mtmc(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MTMC_")}
    return subprocess.run(
        [sys.executable, "-m", "cli", *words],
        cwd=ROOT,
        env={**clean, "COLUMNS": "100", **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    """A valid site with all its files."""
    person = {"names": "{0: 'person'}"}
    write_constant_model(
        tmp_path / "detector.onnx", np.zeros((5, 21), np.float32), ("batch", 3, 32, 32), metadata=person
    )
    write_mean_model(tmp_path / "embedder.onnx")
    video = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    video.write(np.zeros((48, 64, 3), np.uint8))
    video.release()
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((48, 64), 255, np.uint8))
    site = {
        "site": "hall",
        "redis": {"url": f"redis://me:{SECRET}@127.0.0.1:{free_port()}"},
        "detector": {"model": "detector.onnx"},
        "embedder": {"model": "embedder.onnx"},
        "cameras": [
            {"name": "a", "source": "a.avi", "mask": "mask.png", "loop": True},
            {"name": "b", "source": f"rtsp://me:{SECRET}@box/b"},
            {"name": "c", "source": "/dev/video0", "labels": ["roof"]},
        ],
        "layout": {"overlaps": [["a", "b"]], "transitions": [{"from": "b", "to": "c", "max_seconds": 30}]},
    }
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(site))
    return tmp_path / "site.yaml"


@pytest.fixture
def changed(site_file: Path) -> Callable[[str, str], Path]:
    """Replaces text in the site file."""

    def change(old: str, new: str) -> Path:
        text = site_file.read_text()
        assert old in text
        site_file.write_text(text.replace(old, new))
        return site_file

    return change


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['mtmc', '--help']\n"
        "from cli.__main__ import main\n"
        "try: main()\n"
        f"finally: print(sorted({HEAVY} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for word in ("up", "run", "status", "config", "Exit codes"):
        assert word in done.stdout
    assert done.stdout.rstrip().endswith("[]")


def test_help_does_not_show_the_values_of_the_environment() -> None:
    assert SECRET not in mtmc("status", "--help", MTMC_REDIS_URL=f"redis://:{SECRET}@box").stdout


def test_the_version_is_printed() -> None:
    done = mtmc("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "mtmc")


def test_a_valid_site_file_is_summarised_without_secrets(site_file: Path) -> None:
    done = mtmc("config", "check", site_file)
    assert done.returncode == 0, done.stderr
    for words in (
        "no problems",
        "hall, live mode at 10 ticks/s",
        "a.avi (looped; masked)",
        "only workers labelled roof",
        "a and b overlap; b to c in 0 to 30 s; c to b in 0 to 30 s",
    ):
        assert words in done.stdout
    assert SECRET not in done.stdout


def test_every_problem_of_a_site_file_is_a_line_on_stderr(changed: Callable[[str, str], Path]) -> None:
    changed("name: b", "name: b b")
    done = mtmc("config", "check", changed("site: hall", "sight: hall"))
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("mtmc: ") and "site.yaml: " in line for line in lines)


def test_a_mask_that_is_not_a_picture_and_a_source_that_is_not_a_video_are_found(
    site_file: Path, changed: Callable[[str, str], Path]
) -> None:
    (site_file.parent / "mask.png").write_text("no picture")
    (site_file.parent / "a.avi").write_text("no video")
    done = mtmc("config", "check", site_file)
    assert done.returncode == 2
    assert "cameras.0.mask = " in done.stderr
    assert "is not an image" in done.stderr
    assert f"cameras.0.source: {site_file.parent / 'a.avi'} is not a video" in done.stderr


def test_debug_shows_the_traceback_and_nothing_else_does() -> None:
    assert "Traceback" not in mtmc("config", "check", "none.yaml").stderr
    shown = mtmc("--debug", "config", "check", "none.yaml")
    assert shown.returncode == 2
    assert "Traceback" in shown.stderr


def test_the_schema_is_json_schema_with_bounds_and_descriptions() -> None:
    schema = json.loads(mtmc("config", "schema").stdout)
    clock = schema["$defs"]["ClockConfig"]["properties"]["target_fps"]
    assert (clock["exclusiveMinimum"], clock["maximum"]) == (0, 120)
    detector = schema["$defs"]["DetectorConfig"]["properties"]
    assert {"yolov5", "rtdetr", "torchvision"} <= set(detector["head"]["anyOf"][0]["enum"])
    assert {"type": "integer", "minimum": 32, "maximum": 4096} in detector["size"]["anyOf"]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "clock"], "no site given; give a site file, or --site NAME"),
        (["run", "clock", "--site", "x", "--redis", "http://box"], "is not a Redis URL"),
        (["run", "camera"], "camera-worker"),
        (["up"], "Missing argument"),
        (["up", "none.yaml"], "none.yaml: there is no such file"),
        (["up", "none.yaml", "--workers", "0"], "--workers"),
    ],
)
def test_a_user_error_exits_with_2_and_says_what_is_wrong(words: list[str], expected: str) -> None:
    done = mtmc(*words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_redis_that_does_not_answer_is_reported_without_its_password(site_file: Path) -> None:
    for command in ("config publish", "up"):
        done = mtmc(*command.split(), site_file)
        assert done.returncode == 2
        assert "Redis does not answer at redis://***@127.0.0.1" in done.stderr
        assert SECRET not in done.stderr + done.stdout
