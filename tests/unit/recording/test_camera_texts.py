"""Texts of several cameras: the first frame that they share, and the cameras of one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from recording.camera_texts import read_camera_texts
from recording.errors import RecordingError


def written(folder: Path, **texts: list[str]) -> dict[str, Path]:
    for camera, lines in texts.items():
        (folder / f"{camera}.txt").write_text("\n".join(lines))
    return {camera: folder / f"{camera}.txt" for camera in texts}


def boxes(*frames: int) -> list[str]:
    return [f"{frame},1,0,0,30,40" for frame in frames]


def city(camera: int, *frames: int) -> list[str]:
    return [f"{camera} 7 {frame} {frame} 0 30 40 -1 -1" for frame in frames]


def test_frames_count_from_zero_in_all_files_if_one_has_a_frame_zero(tmp_path: Path) -> None:
    texts = read_camera_texts(written(tmp_path, a=boxes(0, 1), b=boxes(4, 5), c=[]))
    assert (texts.first_frame, texts.first_frame_found) == (0, True)
    assert texts.rows["b"].frame.tolist() == [4, 5]
    assert read_camera_texts(written(tmp_path, a=boxes(1, 2), b=boxes(4))).first_frame == 1


def test_files_that_seem_to_count_from_different_frames_are_refused_unless_it_is_said(tmp_path: Path) -> None:
    paths = written(tmp_path, a=boxes(2, 0), b=boxes(3, 1))
    with pytest.raises(RecordingError) as refused:
        read_camera_texts(paths)
    assert str(refused.value) == (
        f"{paths['b']}: line 2: the frames begin at 1, but at 0 in {paths['a']}, line 2. If all files count from 0, "
        "say so with --first-frame 0; else correct one of them"
    )
    assert read_camera_texts(paths, first_frame=0).first_frame == 0
    with pytest.raises(RecordingError, match=r"a\.txt: line 2: frame 0 is not a whole number from 1 to"):
        read_camera_texts(paths, first_frame=1)


def test_files_of_ten_columns_have_one_meaning(tmp_path: Path) -> None:
    paths = written(tmp_path, a=["1,1,0,0,30,40,1,3,1,0"], b=["1,1,0,0,30,40,1,3.5,1,0"])
    with pytest.raises(RecordingError, match=r"a\.txt: line 1: the last three columns read as VisDrone's .*b\.txt"):
        read_camera_texts(paths)
    assert not read_camera_texts(paths, form="mot15").rows["a"].has_class.any()


def test_a_file_of_the_ai_city_challenge_is_divided_by_the_numbers_in_the_names(tmp_path: Path) -> None:
    paths = written(tmp_path, c041=city(41, 1, 2) + city(42, 5))
    texts = read_camera_texts({"c042": paths["c041"], "c041": paths["c041"]})
    assert {camera: rows.frame.tolist() for camera, rows in texts.rows.items()} == {"c042": [5], "c041": [1, 2]}
    assert {camera: at.tolist() for camera, at in texts.positions.items()} == {"c042": [2], "c041": [0, 1]}
    assert texts.totals == {"c042": 3, "c041": 3}
    with pytest.raises(RecordingError, match=r"has no box of camera c043 \(camera_id 43\); it has camera_id 41, 42"):
        read_camera_texts({"c043": paths["c041"], "c041": paths["c041"]})


def test_a_file_with_one_camera_belongs_to_the_camera_for_which_it_is_given(tmp_path: Path) -> None:
    texts = read_camera_texts(written(tmp_path, gate=city(41, 1, 2), hall=city(42, 1, 3)))
    assert [len(rows) for rows in texts.rows.values()] == [2, 2]
    paths = written(tmp_path, c041=city(42, 1, 2), c042=city(42, 1, 2))
    with pytest.raises(RecordingError, match=r"line 1: camera_id 42 is the number of camera c042, but the file is the"):
        read_camera_texts(paths)


def test_cameras_without_numbers_do_not_guess_which_one_is_meant(tmp_path: Path) -> None:
    path = written(tmp_path, all=city(1, 1, 2) + city(2, 1) + city(3, 1))["all"]
    with pytest.raises(RecordingError, match=r"line 4: camera_id 3 belongs to no camera: the names gate, hall do not"):
        read_camera_texts({"gate": path, "hall": path})
