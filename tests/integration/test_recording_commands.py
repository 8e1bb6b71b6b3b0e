"""The commands `mtmc record`, `replay`, `import-mot`, `export` and `track-mot`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from recording.mot_text import read_mot
from recording.reading import Recording
from services.aggregator.service import Aggregator
from shared.redis_connection import Client
from tests.command_line import CommandLine, command_line
from tests.integration.test_aggregator import Feeder, scene, site_of
from tests.running_site import ROOT, environment


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def texts(tmp_path: Path) -> list[str]:
    """Two people walk through two overlapping views for 4 s, with different track ids in each."""
    rng = np.random.default_rng(3)
    looks = rng.standard_normal((2, 32))
    words = []
    for camera, ids in (("a", (1, 2)), ("b", (8, 7))):
        lines, features = [], []
        for frame in range(1, 41):
            for person, track_id in enumerate(ids):
                lines.append(f"{frame},{track_id},{50 + 5 * frame},{100 + 150 * person},40,100,0.9")
                features.append(looks[person] + 0.1 * rng.standard_normal(32))
        (tmp_path / f"{camera}.txt").write_text("\n".join(lines))
        np.save(tmp_path / f"{camera}.npy", np.array(features))
        words.append(f"{camera}={tmp_path / camera}.txt,{tmp_path / camera}.npy")
    return words


def test_the_text_of_any_tracker_becomes_tracks_with_global_ids(
    mtmc: CommandLine, texts: list[str], tmp_path: Path
) -> None:
    overlapping = tmp_path / "layout.txt"
    overlapping.write_text("compatibility\n1 1\n1 1\ndtmin\n0 -inf\n-inf 0\ndtmax\ninf inf\ninf inf\n")
    options = ("--fps", "10", "--size", "640x480", "--layout", overlapping)
    done = mtmc("import-mot", *texts, *options, "-o", tmp_path / "r")
    assert (done.returncode, done.stderr) == (0, "")
    assert "40 ticks, 4 tracks, 160 boxes, 160 embeddings" in done.stdout
    done = mtmc("export", tmp_path / "r", "--format", "cityflow", "-o", tmp_path / "text")
    assert done.returncode == 2
    assert f"has no global ids; create them first: mtmc replay {tmp_path / 'r'} -o r-ids" in done.stderr
    done = mtmc("replay", tmp_path / "r", "-o", tmp_path / "ids", "--set", "association.min_track_frames=5")
    assert (done.returncode, done.stderr) == (0, "")
    assert "40 of 40 ticks, 4 assignments, 2 identities" in done.stdout
    assert Recording.open(tmp_path / "ids").site["association"]["min_track_frames"] == 5
    done = mtmc("export", tmp_path / "ids", "--format", "mot", "-o", tmp_path / "text")
    assert "144 boxes in 2 files" in done.stdout
    assert "note: 16 boxes had no gid at their tick; they were left out" in done.stdout
    first, second = (read_mot(tmp_path / "text" / f"{camera}.txt") for camera in "ab")
    assert first.frame.min() == second.frame.min() == 5
    assert sorted(set(first.object_id.tolist())) == [1, 2]
    for upper in (True, False):
        gids = [set(rows.object_id[(rows.box_ltwh[:, 1] == 100) == upper].tolist()) for rows in (first, second)]
        assert gids[0] == gids[1]
        assert len(gids[0]) == 1


def test_the_tracker_over_detections(mtmc: CommandLine, tmp_path: Path) -> None:
    lines = [f"{frame},-1,{10 * frame},20,40,80,{0.9 if frame < 30 else 0.6}" for frame in range(1, 61)]
    (tmp_path / "det.txt").write_text("\n".join(lines))
    words = ("track-mot", tmp_path / "det.txt", "--fps", "10", "-o", tmp_path / "t.txt", "--min-hits", "3")
    done = mtmc(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 track, 58 boxes in 60 frames" in done.stdout
    done = mtmc(*words, "--high-score", "0.7", "--low-score", "0.65")
    assert "1 track, 27 boxes in 60 frames" in done.stdout
    done = mtmc(*words, "--low-score", "0.9")
    assert done.returncode == 2
    assert "invalid tracker options: scores must satisfy 0 <= low_score" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("import-mot", "a", "--fps", "10", "-o", "r"), "write CAMERA=TRACKS.txt"),
        (("import-mot", "a=x.txt", "a=y.txt", "--fps", "10", "-o", "r"), "camera a is given more than once"),
        (("import-mot", "a=nowhere.txt", "--fps", "10", "-o", "r"), "nowhere.txt: there is no such file"),
        (("import-mot", "a=x.txt", "--fps", "10", "-o", "r", "--size", "big"), "give width and height"),
        (("export", "nowhere", "--format", "csv", "-o", "x"), "nowhere: is not a recording: it has no recording.json"),
        (("export", "nowhere", "--format", "csv", "-o", "x", "--ids", "track"), "--ids track works only"),
        (("replay", "nowhere"), "nowhere: is not a recording"),
        (("replay", "nowhere", "--speed", "fast"), "give max, or a multiple"),
        (("track-mot", "nowhere.txt", "--fps", "10", "-o", "x"), "nowhere.txt: there is no such file"),
        (("record", "--site", "x", "--redis", "redis://127.0.0.1:1", "-o", "r"), "Redis does not answer"),
    ],
)
def test_errors_are_reported(mtmc: CommandLine, words: tuple[str, ...], message: str) -> None:
    done = mtmc(*words)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_invalid_settings_are_named(mtmc: CommandLine, texts: list[str], tmp_path: Path) -> None:
    assert mtmc("import-mot", *texts, "--fps", "10", "-o", tmp_path / "r").returncode == 0
    for setting, message in (
        ("clock.target_fps=5", "write association.NAME=VALUE"),
        ("association.nonsense=5", "association.nonsense: Extra inputs are not permitted"),
    ):
        done = mtmc("replay", tmp_path / "r", "--set", setting)
        assert done.returncode == 2
        assert message in done.stderr


@pytest.fixture
def fed(redis_client: Client) -> tuple[Feeder, Aggregator]:
    site = site_of(redis_client, "hall")
    return Feeder(redis_client, site, scene()), Aggregator(redis_client, site)


def recording_process(redis_url: str, folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "cli", "record", "--site", "hall", "--redis", redis_url, "-o", str(folder), *words]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def feed_until(fed: tuple[Feeder, Aggregator], folder: Path, ticks: int) -> None:
    """Run the site until `ticks` of its ticks have been recorded."""
    deadline = time.monotonic() + 60
    while not (folder / "recording.json").exists():
        assert time.monotonic() < deadline, "the recorder does not start"
        time.sleep(0.05)
    for _ in range(ticks):
        fed[0].feed()
        fed[1].step()
    while not is_written(folder, ticks):
        assert time.monotonic() < deadline, "not everything is written"
        time.sleep(0.1)


def is_written(folder: Path, ticks: int) -> bool:
    """Whether the files have so many ticks of each camera."""
    recording = Recording.open(folder)
    return all(len(recording.ticks(camera)) == ticks for camera in recording.cameras)


def test_ctrl_c_finishes_a_recording(fed: tuple[Feeder, Aggregator], redis_url: str, tmp_path: Path) -> None:
    process = recording_process(redis_url, tmp_path / "r")
    feed_until(fed, tmp_path / "r", 50)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert f"{tmp_path / 'r'}: 5.0 s (ticks 1 to 50)" in said
    recording = Recording.open(tmp_path / "r")
    assert recording.description.last_tick == 50
    assert [len(recording.ticks(camera)) for camera in recording.cameras] == [50] * 4


def test_a_killed_recorder_leaves_what_it_had_written(
    fed: tuple[Feeder, Aggregator], redis_url: str, tmp_path: Path
) -> None:
    process = recording_process(redis_url, tmp_path / "r")
    feed_until(fed, tmp_path / "r", 50)
    process.kill()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    recording = Recording.open(tmp_path / "r")
    assert recording.description.last_tick is None
    assert recording.last_tick == 50
    torn = tmp_path / "r" / "tracks" / "A.entries"
    os.truncate(torn, torn.stat().st_size - 7)
    assert Recording.open(tmp_path / "r").last_tick == 49
