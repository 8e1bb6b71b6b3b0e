from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation.truth import MOT17, TruthError, read_camera_truth, read_truth


def written(folder: Path, text: str) -> Path:
    path = folder / "cam0.txt"
    path.write_text(text)
    return path


def test_rows_are_read_in_the_order_of_frames_and_ids(tmp_path: Path) -> None:
    truth = read_camera_truth(written(tmp_path, "2,7,10,20,30,40,1,1,1\n1,9,0,0,50,60,1,1,1\n\n2 3 5 5 20 30\n"))
    assert truth.frames.tolist() == [1, 2, 2]
    assert truth.identities.tolist() == [9, 3, 7]
    assert truth.boxes_xyxy[2].tolist() == [10, 20, 40, 60]
    assert truth.rows_of(2) == slice(1, 3)
    assert truth.counted.all()
    assert not truth.ignored.any()


def test_boxes_that_are_occluded_small_or_flagged_off_are_ignored(tmp_path: Path) -> None:
    rows = ["1,1,0,0,50,60,1,1,0.39", "1,2,0,0,50,60,1,1,0.4", "1,3,0,0,50,19.9,1,1,1", "1,4,0,0,50,20,0,1,1"]
    truth = read_camera_truth(written(tmp_path, "\n".join([*rows, "1,5,0,0,50,20,1,-1,-1"])))
    assert truth.counted.tolist() == [False, True, False, False, True]
    np.testing.assert_array_equal(truth.ignored, ~truth.counted)


def test_in_mot17_only_pedestrians_count_and_only_distractors_are_ignored(tmp_path: Path) -> None:
    rows = ["1,1,0,0,50,9,1,1,0.1", "1,2,0,0,50,60,0,1,1", "1,3,0,0,50,60,0,8,1", "1,4,0,0,50,60,0,3,1"]
    truth = read_camera_truth(written(tmp_path, "\n".join(rows)), MOT17)
    assert truth.counted.tolist() == [True, False, False, False]
    assert truth.ignored.tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,1,0,0,50,60\n1,2,0,0\n", "line 2: 4 columns"),
        ("1,1,0,0,50,x\n", "line 1: could not convert string to float: 'x'"),
        ("0,1,0,0,50,60\n", "line 1: frame 0 is not a whole number of 1 or more"),
        ("1,-1,0,0,50,60\n", "line 1: id -1"),
        ("1,1.5,0,0,50,60\n", "line 1: id 1.5"),
        ("1,1,0,0,0,60\n", "line 1: the box is 0 wide and 60 high"),
        ("1,1,0,0,inf,60\n", "line 1: a number is not finite"),
        ("1,1,0,0,5,6\n2,1,0,0,5,6\n1,1,9,9,5,6\n", "line 3: id 1 occurs twice in frame 1"),
    ],
)
def test_an_error_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TruthError) as error:
        read_camera_truth(path)
    assert f"{path}, {message}" in str(error.value)


def test_a_camera_has_a_file_or_a_folder_of_its_own(tmp_path: Path) -> None:
    written(tmp_path, "1,1,0,0,50,60\n")
    (tmp_path / "cam1").mkdir()
    (tmp_path / "cam1" / "gt.txt").write_text("")
    truth = read_truth(tmp_path, ["cam0", "cam1"])
    assert [len(truth[camera]) for camera in ("cam0", "cam1")] == [1, 0]
    with pytest.raises(TruthError, match=r"no ground truth for cam2, cam3; expected cam2\.txt or cam2/gt\.txt"):
        read_truth(tmp_path, ["cam0", "cam2", "cam3"])
    with pytest.raises(TruthError, match="no such folder"):
        read_truth(tmp_path / "none", ["cam0"])
