"""Figures that may not fall (docs/evaluation.md), on short runs; `make evaluate` makes the long ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import campus_auditorium, mot17_tracker
from tests.running_site import ROOT, environment

DEMO_SECONDS = 30


def verdict(*words: str | Path) -> dict[str, Any]:
    """What `mtmc evaluate … --json` says."""
    command = [sys.executable, "-m", "cli", "evaluate", *map(str, words), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.timeout(600)
def test_the_demo_keeps_its_identities_and_its_recording_gives_the_same_figures(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    found = verdict("--demo", "--seed", "11", "--seconds", str(DEMO_SECONDS), "--keep", kept)
    assert found["seconds"] == DEMO_SECONDS
    assert found["multi_camera"]["idf1"] >= 0.70, found
    assert found["live"]["gid_changes_per_1000_track_seconds"] <= 20, found
    assert found["bound"]["idf1"] >= 0.85, found
    assert found["multi_camera"]["idf1"] <= found["bound"]["idf1"]
    truth = kept / "demo" / "ground_truth"
    recording = kept / "virtual-time" / "recording"
    again = verdict("--recording", recording, "--ground-truth", truth, "--seconds", str(DEMO_SECONDS))
    assert again == found, "the aggregator alone gives the ids that the services gave"


@pytest.mark.timeout(600)
def test_the_tracker_keeps_its_score_on_mot17(shared_data: Path) -> None:
    scores = mot17_tracker.scores(mot17_tracker.sequences(shared_data / "data", campus=False), stride=6)
    assert scores.hota >= 0.50, scores
    assert scores.idf1 >= 0.58, scores


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("mode", "most_changes"), [("reference", 5), ("live", 30)])
def test_association_keeps_its_score_on_real_motion(shared_data: Path, mode: str, most_changes: float) -> None:
    verdict = campus_auditorium.judged(shared_data, "true", "base", seed=1, seconds=30.0, mode=mode)
    assert verdict.multi_camera is not None
    assert verdict.bound is not None
    assert verdict.multi_camera.idf1 >= 0.85, verdict.multi_camera
    assert verdict.bound.idf1 >= 0.999, "true boxes leave nothing to the tracker"
    assert (verdict.live.gid_changes_per_1000_track_seconds or 0) <= most_changes, verdict.live
