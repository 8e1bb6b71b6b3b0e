"""`mtmc config show SITE.yaml`: the effective settings, where they come from, and no secrets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cli.config.show import annotated
from tests.command_line import CommandLine, command_line

SECRET = "hunter2"  # noqa: S105
TEXT = f"""
site: hall
redis: {{url: "rediss://me:{SECRET}@box:6380/1", password: "{SECRET}", frames_url: "unix:///s.sock?password={SECRET}"}}
clock: {{target_fps: 10}}
detector: {{model: d.onnx, classes: [person]}}
embedder: {{model: e.onnx}}
cameras:
  - {{name: a, source: "rtsp://me:{SECRET}@box/a"}}
  - {{name: b, source: "${{B_SOURCE}}"}}
  - {{name: c, source: "https://box/c?token={SECRET}&x=1"}}
layout:
  transitions: [{{from: a, to: b, max_seconds: 9}}]
"""


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    (tmp_path / "site.yaml").write_text(TEXT)
    return tmp_path / "site.yaml"


def test_it_shows_the_effective_settings_and_no_secrets(mtmc: CommandLine, site_file: Path) -> None:
    overrides = {
        "MTMC__CLOCK__TARGET_FPS": "7",
        "MTMC__DETECTOR__CLASSES": "[car, truck]",
        "MTMC__CAMERAS__1__LOOP": "true",
        "MTMC__CAMERAS__2__FPS": "25",
    }
    done = mtmc("config", "show", site_file, B_SOURCE=f"rtsp://me:{SECRET}@box/b", **overrides)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout
    settings = yaml.safe_load(done.stdout)
    assert settings["redis"] == {
        "url": "rediss://***@box:6380/1",
        "frames_url": "unix:///s.sock?password=***",
        "password": "***",
    }
    assert [camera["source"] for camera in settings["cameras"]] == [
        "rtsp://***@box/a",
        "rtsp://***@box/b",
        "https://box/c?token=***&x=1",
    ]
    assert (settings["clock"]["target_fps"], settings["clock"]["stall_seconds"]) == (7, 1)
    assert (settings["detector"]["classes"], settings["detector"]["model"]) == (
        ["car", "truck"],
        str(site_file.parent / "d.onnx"),
    )
    assert settings["layout"]["transitions"][0]["from"] == "a"
    commented = {line.split("#")[0].strip(): line.split("# ")[1] for line in done.stdout.splitlines() if "#" in line}
    assert commented == {
        "target_fps: 7.0": "MTMC__CLOCK__TARGET_FPS",
        "classes:": "MTMC__DETECTOR__CLASSES",
        "loop: true": "MTMC__CAMERAS__1__LOOP",
        "fps: 25.0": "MTMC__CAMERAS__2__FPS",
    }


def test_without_defaults_only_what_was_set_is_shown(mtmc: CommandLine, site_file: Path) -> None:
    done = mtmc("config", "show", site_file, "--no-defaults", B_SOURCE="/b.mp4")
    settings = yaml.safe_load(done.stdout)
    assert settings["clock"] == {"target_fps": 10}
    assert settings["cameras"][1] == {"name": "b", "source": "/b.mp4"}
    assert "tracker" not in settings


def test_options_of_run_live_mtmc_are_shown_under_the_names_of_the_settings(mtmc: CommandLine, site_file: Path) -> None:
    site_file.write_text(TEXT + "tracker: {track_match_thresh: 0.7, lost_track_keep_seconds: 4}\n")
    done = mtmc("config", "show", site_file, "--no-defaults", B_SOURCE="/b.mp4")
    assert yaml.safe_load(done.stdout)["tracker"] == {"match_iou": 0.3, "max_lost_seconds": 4}
    every = yaml.safe_load(mtmc("config", "show", site_file, B_SOURCE="/b.mp4").stdout)["tracker"]
    assert (every["match_iou"], every["high_score"]) == (0.3, 0.5)
    assert "track_match_thresh" not in every
    as_json = json.loads(mtmc("config", "show", site_file, "--json", B_SOURCE="/b.mp4").stdout)
    assert as_json["settings"]["tracker"] == every


def test_the_json_lists_the_overrides_separately(mtmc: CommandLine, site_file: Path) -> None:
    done = mtmc("config", "show", site_file, "--json", B_SOURCE="/b.mp4", MTMC__REDIS__PASSWORD=SECRET)
    content = json.loads(done.stdout)
    assert content["overridden"] == {"redis.password": "MTMC__REDIS__PASSWORD"}
    assert content["settings"]["cameras"][0]["mask"] is None
    assert SECRET not in done.stdout


def test_a_file_of_another_site_than_the_named_one_is_refused(mtmc: CommandLine, site_file: Path) -> None:
    done = mtmc("config", "show", site_file, "--site", "yard", B_SOURCE="/b.mp4")
    assert done.returncode == 2
    assert "the site file is for 'hall'" in done.stderr


def test_comments_are_on_the_line_of_their_setting() -> None:
    settings = {"a": [{"b": "x: # y", "c": [1, 2]}, 3], "d": {"e": "two\nlines"}}
    text = annotated(settings, {("a", 0, "b"): "B", ("a", 0, "c", 1): "C", ("a", 1): "A", ("d", "e"): "E"})
    assert yaml.safe_load(text) == settings
    lines = text.splitlines()
    assert [line.rpartition("# ")[2] for line in lines if line.endswith(("# B", "# C", "# A", "# E"))] == [*"BCAE"]
    assert lines[1] == "- b: 'x: # y'  # B"
