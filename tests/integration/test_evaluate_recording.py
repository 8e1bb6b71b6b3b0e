"""`mtmc evaluate --recording` on files of tracks and ground truth."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from recording.mot_import import ImportOptions, MotSource, import_mot
from tests.command_line import CommandLine, Done, command_line

TICKS, FPS = 60, 10.0
CAMERAS = ("a", "b")
OBJECTS = 3


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """`mtmc evaluate WORDS…`."""
    run = command_line(monkeypatch, capsys)
    return lambda *words: run("evaluate", *words)


def line(tick: int, number: int, lane: int) -> str:
    return f"{tick},{number},{20 + 100 * lane + tick / 2:g},{40 + lane},40,80,1,1,1"


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, Path]:
    """A recording and its truth: both cameras see three objects at different positions; object 2 leaves and returns.

    Embeddings of the same object are similar, those of different objects are not.
    """
    random = np.random.default_rng(3)
    looks = random.standard_normal((OBJECTS, 32))
    sources = []
    (tmp_path / "truth").mkdir()
    for number, camera in enumerate(CAMERAS):
        truth, tracks, features = [], [], []
        for tick in range(1, TICKS + 1):
            for thing in range(OBJECTS):
                if thing == 2 and 20 < tick <= 50:
                    continue
                lane = (thing + number) % OBJECTS
                track = 10 * number + thing + (100 if thing == 2 and tick > 50 else 0)
                truth.append(line(tick, 40 + thing, lane))
                tracks.append(line(tick, track, lane))
                features.append(looks[thing] + 0.2 * random.standard_normal(32))
        (tmp_path / "truth" / f"{camera}.txt").write_text("\n".join(truth))
        path = tmp_path / f"{camera}.txt"
        path.write_text("\n".join(tracks))
        np.save(tmp_path / f"{camera}.npy", np.array(features, np.float32))
        sources.append(MotSource(camera, path, tmp_path / f"{camera}.npy"))
    layout = tmp_path / "layout.txt"
    layout.write_text("compatibility\n1 1\n1 1\ndtmin\n0 -inf\n-inf 0\ndtmax\ninf inf\ninf inf\n")
    import_mot(sources, ImportOptions(FPS, size=(640, 360), layout=layout), tmp_path / "recording")
    return tmp_path / "recording", tmp_path / "truth"


def verdict(done: Done) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_objects_that_look_the_same_in_both_cameras_get_one_gid_and_high_scores(
    scene: tuple[Path, Path], mtmc: CommandLine
) -> None:
    recording, truth = scene
    found = verdict(mtmc("--recording", recording, "--ground-truth", truth, "--json"))
    assert set(found["cameras"]) == set(CAMERAS)
    # All gids are right from the third tick of a track: 2 of 60 ticks (2 · 2 of 30) of an object are missing.
    boxes = 2 * (60 + 60 + 30)
    missed = 2 * (2 + 2 + 4)
    scores = found["multi_camera"]
    assert scores["idp"] == pytest.approx(1)
    assert scores["idr"] == pytest.approx((boxes - missed) / boxes)
    assert found["bound"]["idf1"] == pytest.approx(1)
    assert found["live"]["gid_changes_per_1000_track_seconds"] == 0
    assert found["live"]["first_gid_seconds_p50"] == pytest.approx(0.2)
    assert (found["live"]["purity"], found["live"]["completeness"]) == (1, 1)
    assert found["seconds"] == TICKS / FPS
    assert verdict(mtmc("--recording", recording, "--ground-truth", truth, "--json")) == found


def test_as_recorded_scores_zero_if_nothing_was_published(scene: tuple[Path, Path], mtmc: CommandLine) -> None:
    recording, truth = scene
    found = verdict(
        mtmc("--recording", recording, "--ground-truth", truth, "--as-recorded", "--seconds", "2", "--json")
    )
    assert found["multi_camera"]["idf1"] == 0
    assert found["bound"]["idf1"] == pytest.approx(1)
    assert found["live"]["without_gid_share"] == 1
    assert found["seconds"] == 2


def test_it_prints_tables_and_writes_a_self_contained_report(
    scene: tuple[Path, Path], mtmc: CommandLine, tmp_path: Path
) -> None:
    recording, truth = scene
    swapped = {40: 41, 41: 40}
    # In camera b the truth swaps two objects, so the report has confusions with pictures.
    path = truth / "b.txt"
    rows = [row.split(",") for row in path.read_text().splitlines()]
    path.write_text("\n".join(",".join([row[0], str(swapped.get(int(row[1]), row[1])), *row[2:]]) for row in rows))
    _film(tmp_path / "a.avi")
    description = json.loads((recording / "recording.json").read_text())
    for camera in description["site"]["cameras"]:
        camera["source"] = str(tmp_path / "a.avi")
    (recording / "recording.json").write_text(json.dumps(description))

    report = tmp_path / "report.html"
    done = mtmc("--recording", recording, "--ground-truth", truth, "--report", report)
    for words in (
        "all cameras together",
        "published",
        "bound",
        "gid changes per 1,000 track-seconds",
        "aggregator cycle",
    ):
        assert words in done.stdout
    page = report.read_text()
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)""", page)
    assert not re.findall(r"https?://|@import|url\(", page)
    assert len(re.findall(r'src="data:image/jpeg;base64,[A-Za-z0-9+/=]{200,}"', page)) >= 4
    assert "Objects 40 and 41 under one gid" in page
    assert "Object 41 under two gids" in page
    assert "association.min_track_frames" in page
    assert page.count('class="bar"') >= 8


def _film(path: Path) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (640, 360))
    for tick in range(TICKS):
        writer.write(np.full((360, 640, 3), 40 + 3 * tick, np.uint8))
    writer.release()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recording", "{recording}", "--ground-truth", "nowhere"], "nowhere: no such folder"),
        (["--recording", "{truth}", "--ground-truth", "{truth}"], "is not a recording"),
        (
            ["--recording", "{recording}", "--ground-truth", "{truth}", "--report", "{truth}"],
            "the report cannot be written",
        ),
    ],
)
def test_files_that_cannot_be_evaluated_are_named(
    scene: tuple[Path, Path], mtmc: CommandLine, words: list[str], message: str
) -> None:
    recording, truth = scene
    done = mtmc(*(word.format(recording=recording, truth=truth) for word in words))
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_truth_of_another_recording_is_refused(scene: tuple[Path, Path], mtmc: CommandLine) -> None:
    recording, truth = scene
    for camera in CAMERAS:
        (truth / f"{camera}.txt").write_text("900,1,0,0,50,60,1,1,1\n")
    done = mtmc("--recording", recording, "--ground-truth", truth)
    assert done.returncode == 2
    assert "has no boxes in the recorded frames 1 to 60" in done.stderr


def test_import_and_evaluate_read_the_same_text_and_say_how(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = command_line(monkeypatch, capsys)
    text = tmp_path / "all.txt"
    lines = [
        f"{camera} {thing} {tick} {90 * thing + 30 * tick} 50 40 90 -1 -1"
        for camera in (1, 2)
        for thing in (1, 5)
        for tick in range(20)
    ]
    text.write_bytes("\r\n".join(lines).encode("utf-16"))
    done = run("import-mot", f"c1={text}", f"c2={text}", "--fps", "10", "-o", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert "20 ticks, 4 tracks, 80 boxes" in done.stdout
    assert "note: read as cityflow (camera_id,obj_id,frame," in done.stdout
    assert "note: frames count from 0" in done.stdout
    words = ("evaluate", "--recording", tmp_path / "r", "--as-recorded", "--json", "--ground-truth")
    done = run(*words, text)
    assert verdict(done)["bound"]["idf1"] == 1
    assert "read as cityflow" in done.stderr
    assert "frames count from 0" in done.stderr
    (tmp_path / "truth").mkdir()
    for camera in ("c1", "c2"):
        (tmp_path / "truth" / f"{camera}.txt").write_text("\n1,1,9,9,40,90,1,4,0.3,7\n2,1,9,9,40,90,1,4,0.3,7\n")
    for done in (
        run(*words, tmp_path / "truth"),
        run("import-mot", f"c1={tmp_path}/truth/c1.txt", "--fps", "10", "-o", tmp_path / "s"),
    ):
        assert done.returncode == 2
        assert "line 2: ten columns that can be read in two ways" in done.stderr
    assert run(*words, tmp_path / "truth", "--format", "mot15").returncode == 0
