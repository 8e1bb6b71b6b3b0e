from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recording.errors import RecordingError
from recording.mot_text import mot_lines, plain, read_features, read_mot


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return tmp_path / "tracks.txt"


def test_lines_in_any_order_with_commas_or_blanks(text: Path) -> None:
    text.write_text("\ufeff3,7,10.5,20,30,40,0.5,-1,-1,-1\n\n1 2 0 0 5 5\n2,7,1,2,3,4,-1\n2,1,0,0,9,9,1,4,0.75\n")
    rows = read_mot(text)
    assert rows.frame.tolist() == [3, 1, 2, 2]
    assert rows.object_id.tolist() == [7, 2, 7, 1]
    assert rows.box_xyxy.tolist()[0] == [10.5, 20, 40.5, 60]
    assert rows.confidence.tolist() == [0.5, 1, 1, 1]
    assert rows.class_id.tolist() == [0, 0, 0, 4]
    assert rows.line.tolist() == [1, 3, 4, 5]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3,4,5", "line 2: 5 columns; at least frame,id,left,top,width,height are required"),
        ("1,2,a,4,5,6,1", "line 2: could not convert string to float: 'a'"),
        ("1,2,nan,4,5,6,1", "line 2: a number is not finite"),
        ("1,2,3,4,inf,6,1", "line 2: a number is not finite"),
        ("1,2,3,4,5,6,nan", "line 2: a number is not finite"),
        ("0,2,3,4,5,6,1", "line 2: frame 0 is not a whole number from 1 to"),
        ("1.5,2,3,4,5,6,1", "line 2: frame 1.5 is not a whole number"),
        ("1000000000,2,3,4,5,6,1", "line 2: frame 1000000000 is not a whole number"),
        ("1,-1,3,4,5,6,1", "line 2: id -1 is not a whole number of 0 or more"),
        ("1,2.5,3,4,5,6,1", "line 2: id 2.5 is not a whole number"),
        ("1,2,3,4,0,6,1", "line 2: the box is 0 wide and 6 high"),
        ("1,2,3,4,5,6,1,nan,1", "line 2: class nan is not a whole number"),
        ("1,2,3,4,5,6,1,99999,1", "line 2: class 99999 is not a whole number"),
    ],
)
def test_an_invalid_line_is_named(text: Path, line: str, message: str) -> None:
    text.write_text(f"1,1,1,1,1,1,1\n{line}\n")
    with pytest.raises(RecordingError) as caught:
        read_mot(text)
    assert str(caught.value).startswith(f"{text}: {message}")


def test_ids_that_occur_twice_in_a_frame_are_reported_with_their_lines(text: Path) -> None:
    text.write_text("".join(f"{frame},5,0,0,1,1,1\n" for frame in (2, 1, 2, 3, 1, 2, 3, 3)))
    with pytest.raises(RecordingError) as caught:
        read_mot(text)
    assert str(caught.value) == (
        f"{text}: id 5 occurs twice in frame 2, in lines 1 and 3; id 5 occurs twice in frame 1, in lines 2 and 5; "
        "id 5 occurs twice in frame 2, in lines 3 and 6; and 2 more"
    )


def test_detections_need_neither_ids_nor_areas(text: Path) -> None:
    text.write_text("1,-1,0,0,1,1,0.3\n1,-1,0,0,0,1,0.3\n")
    assert read_mot(text, detections=True).object_id.tolist() == [-1, -1]


def test_frames_may_count_from_zero(text: Path) -> None:
    text.write_text("0,1,0,0,1,1,1\n")
    assert read_mot(text, first_frame=0).frame.tolist() == [0]


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(RecordingError, match=r"a\.bin: cannot be read as text"):
        read_mot(tmp_path / "a.bin")
    with pytest.raises(RecordingError, match="there is no such file"):
        read_mot(tmp_path / "b.txt")


def test_features_get_unit_norm_and_zeros_stay_zeros(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.array([[3.0, 4.0], [0.0, 0.0], [1e5, 0.0]]))
    features = read_features(tmp_path / "f.npy", 3)
    assert features.dtype == np.float16
    assert np.abs(features - [[0.6, 0.8], [0, 0], [1, 0]]).max() < 1e-3


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 4)), "2 rows, but the text has 3 boxes"),
        (np.ones(3), "expected floats of shape (rows, D), got float64 (3,)"),
        (np.ones((3, 4), int), "expected floats of shape (rows, D), got int64 (3, 4)"),
        (np.array([[1.0], [np.nan], [np.inf]]), "2 rows have numbers that are not finite, the first is row 2"),
    ],
)
def test_features_of_a_wrong_shape_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "f.npy", array)
    with pytest.raises(RecordingError) as caught:
        read_features(tmp_path / "f.npy", 3)
    assert message in str(caught.value)


def test_features_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(RecordingError, match=r"is not a \.npy file"):
        read_features(tmp_path / "f.npy", 1)


def test_lines_have_a_precision_of_a_thousandth_of_a_pixel() -> None:
    boxes = np.array([[1912.8, 482.9, 2010.4, 595.5]], np.float32)
    (line,) = mot_lines(np.array([69]), np.array([3]), boxes, np.array([0.988], np.float32))
    assert line == "69,3,1912.8,482.9,97.6,112.6,0.988,-1,-1,-1"
    assert [plain(value) for value in (-0.0001, 0.1234, 10.0, -2.5)] == ["0", "0.123", "10", "-2.5"]
