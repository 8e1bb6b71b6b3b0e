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
        ("-1,1,0,0,50,60\n", "line 1: frame -1 is not a whole number from 0 to"),
        ("1,-1,0,0,50,60\n", "line 1: id -1"),
        ("1,1.5,0,0,50,60\n", "line 1: id 1.5"),
        ("1,1,0,0,0,60\n", "line 1: the box is 0 wide and 60 high"),
        ("1,1,0,0,inf,60\n", "line 1: a number is not finite"),
        ("1,1,0,0,5,6\n2,1,0,0,5,6\n1,1,9,9,5,6\n", "id 1 occurs twice in frame 1, in lines 1 and 3"),
        ("1,1,0,0,50,60,1\n2,1,0,0,50,60,0.87\n", "line 2: flag 0.87 is neither 0 nor 1"),
    ],
)
def test_an_error_names_the_line(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TruthError) as error:
        read_camera_truth(path)
    assert str(error.value).startswith((f"{path}, {message}", f"{path}: {message}"))


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


def many(folder: Path, **texts: str) -> Path:
    for camera, text in texts.items():
        (folder / f"{camera}.txt").write_text(text)
    return folder


def test_the_ninth_of_ten_columns_is_no_visibility(shared_data: Path) -> None:
    truth = read_truth(shared_data / "data" / "awkward" / "truth_ten_columns", ["c1", "c2"])
    for camera in truth.values():
        assert set(camera.identities.tolist()) == {1, 2}
        assert camera.counted.all()


def test_world_coordinates_do_not_hide_anybody(tmp_path: Path) -> None:
    truth = read_camera_truth(written(tmp_path, "1,1,0,0,50,60,1,-3.2,0.1,0\n1,2,0,0,50,60,0,1.5,0.2,0\n"))
    assert truth.counted.tolist() == [True, False]
    truth = read_camera_truth(written(tmp_path, "1,1,0,0,50,60,1,-3.2,0.1,0\n"), MOT17)
    assert truth.counted.all()


def test_ignored_regions_of_visdrone_are_no_objects_and_its_others_and_flag_zero_do_not_count(tmp_path: Path) -> None:
    rows = ["1,0,0,0,300,200,0,0,0,0", "1,0,400,0,300,200,0,0,0,0", "1,1,0,0,50,60,1,4,1,2", "1,2,0,0,50,60,1,11,0,0"]
    truth = read_camera_truth(written(tmp_path, "\n".join([*rows, "2,3,0,0,50,60,0,5,0,1"])))
    assert truth.identities.tolist() == [1, 2, 3]
    assert truth.counted.tolist() == [True, False, False]
    assert truth.regions.at(1).tolist() == [[0, 0, 300, 200], [400, 0, 700, 200]]
    assert not len(truth.regions.at(2))


@pytest.fixture
def notes() -> list[str]:
    return []


def test_frames_from_zero_are_counted_from_one_and_it_is_said(tmp_path: Path, notes: list[str]) -> None:
    folder = many(tmp_path, a="0,1,0,0,50,60\n9,1,0,0,50,60\n", b="4,1,0,0,50,60\n")
    truth = read_truth(folder, ["a", "b"], note=notes.append)
    assert [camera.frames.tolist() for camera in truth.values()] == [[1, 10], [5]]
    assert notes == [f"{folder}: frames count from 0, as a file has a frame 0"]
    many(tmp_path, a="9,1,0,0,50,60\n")
    assert read_truth(folder, ["a"], first_frame=0)["a"].frames.tolist() == [10]
    assert read_truth(folder, ["a"])["a"].frames.tolist() == [9]


def test_a_file_of_the_ai_city_challenge_has_all_cameras(tmp_path: Path, notes: list[str]) -> None:
    path = tmp_path / "ground_truth.txt"
    path.write_text("".join(f"{camera} 5 {frame} 1 2 30 40 -1 -1\n" for camera in (1, 2) for frame in (1, 2)))
    truth = read_truth(path, ["c002", "c001"], note=notes.append)
    assert [camera.frames.tolist() for camera in truth.values()] == [[1, 2], [1, 2]]
    assert truth["c001"].boxes_xyxy[0].tolist() == [1, 2, 31, 42]
    assert "read as cityflow (camera_id,obj_id,frame," in notes[0]
    with pytest.raises(TruthError, match="is a file, but not one with all cameras"):
        read_truth(written(tmp_path, "1,1,0,0,50,60\n"), ["cam0", "cam1"])
    assert len(read_truth(written(tmp_path, "1,1,0,0,50,60\n"), ["gate"])["gate"]) == 1


def test_truth_in_which_no_box_counts_is_refused_or_named(tmp_path: Path, notes: list[str]) -> None:
    folder = many(tmp_path, a="1,1,0,0,50,60,1,1,0.1\n2,1,0,0,50,60,0,1,1\n", b="1,1,0,0,5,6\n")
    with pytest.raises(TruthError, match=r"a\.txt: no box counts, .* \(flag 0: 1, visibility below 0\.4: 1\)"):
        read_truth(folder, ["a", "b"])
    many(tmp_path, a="1,1,0,0,50,60\n")
    read_truth(folder, ["a", "b"], note=notes.append)
    assert notes == [f"{folder / 'b.txt'}: no box counts (lower than 20 pixels: 1)"]


def test_two_files_for_one_camera_are_refused(tmp_path: Path) -> None:
    many(tmp_path, a="1,1,0,0,50,60\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "gt.txt").touch()
    with pytest.raises(TruthError, match=r"camera a has two files, a\.txt and a/gt\.txt"):
        read_truth(tmp_path, ["a"])
