"""Results and ground truth are compared picture by picture, whichever of them counts frames from 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.recorded import judge_recording, require_truth_of
from evaluation.truth import read_truth
from recording.mot_import import ImportOptions, MotSource, import_mot
from recording.reading import Recording


def boxes(path: Path, first: int, *, before: int = 0, speed: int = 30) -> Path:
    """A box that moves by `speed` pixels a picture; at 30, it shares too little with its place in the next picture."""
    path.parent.mkdir(exist_ok=True)
    lines = [f"{first + at},1,{speed * at},50,40,90" for at in range(before, 60)]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("truth_from", [0, 1])
@pytest.mark.parametrize("results_from", [0, 1])
def test_every_combination_scores_the_same(results_from: int, truth_from: int, tmp_path: Path) -> None:
    tracks = boxes(tmp_path / "tracks.txt", results_from)
    import_mot([MotSource("a", tracks)], ImportOptions(fps=10), tmp_path / "r")
    recording = Recording.open(tmp_path / "r")
    boxes(tmp_path / "truth" / "a.txt", truth_from)
    truth = read_truth(tmp_path / "truth", ["a"])
    require_truth_of(truth, recording)
    assert judge_recording(recording, truth).bound.idf1 == 1


@pytest.mark.parametrize("pixels_per_frame", [30, 2])
@pytest.mark.parametrize("results_from", [0, 1])
def test_a_shift_by_one_frame_is_noticed_where_no_frame_zero_tells_it(
    results_from: int, pixels_per_frame: int, tmp_path: Path
) -> None:
    tracks = boxes(tmp_path / "t.txt", results_from, before=3, speed=pixels_per_frame)
    boxes(tmp_path / "truth" / "a.txt", 1 - results_from, before=3, speed=pixels_per_frame)
    import_mot([MotSource("a", tracks)], ImportOptions(fps=10), tmp_path / "r")
    recording, notes = Recording.open(tmp_path / "r"), list[str]()
    judge_recording(recording, read_truth(tmp_path / "truth", ["a"]), note=notes.append)
    (note,) = notes
    assert ("frame before" if results_from else "frame after") in note
    assert "--first-frame 0" in note
    if results_from:
        truth = read_truth(tmp_path / "truth", ["a"], first_frame=0)
        assert judge_recording(recording, truth, note=notes.append).bound.idf1 == 1
        assert len(notes) == 1
