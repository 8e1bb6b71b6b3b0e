"""The forms of text with one box per line: recognised by all that a file says, or refused with the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from recording.errors import RecordingError
from recording.mot_forms import Form
from recording.mot_text import MotRows, read_mot

BOX = "305,50,40,90"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    return tmp_path / "a.txt"


def read(path: Path, *lines: str, form: Form | None = None) -> MotRows:
    path.write_text("\n".join(lines), encoding="utf-8")
    return read_mot(path, form=form, first_frame=None)


def refusal(path: Path, *lines: str, form: Form | None = None) -> str:
    with pytest.raises(RecordingError) as refused:
        read(path, *lines, form=form)
    return str(refused.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("tails", "form"),
    [
        (["1,1,0.8", "0,7,1"], "mot"),  # MOT17
        (["1,-1,-1", "1,-1,-1"], "mot"),
        (["0.5,-1,-1,-1", "0.7,-1,-1,-1"], "mot"),  # results
        (["0.5,4,-1,-1", "0.7,0,-1,-1"], "mot"),  # results with a class: VisDrone, and many trackers
        (["1,4,0,0", "1,4,0,0"], "visdrone"),
        (["1,4,1,2", "0,0,0,0"], "visdrone"),
        (["1,-3.17,12.3,0", "1,4,0,0"], "mot15"),
        (["1,12,0.5,0", "1,12,3,0"], "mot15"),
        (["1,0,0,0", "1,0,0,0"], "mot15"),  # coordinates that were never filled in
        (["1,nan,nan,nan", "1,nan,nan,nan"], "mot15"),
    ],
)
def test_a_form_is_recognised_by_all_lines(tails: list[str], form: str, text: Path) -> None:
    assert read(text, *(f"1,{number},{BOX},{tail}" for number, tail in enumerate(tails))).form == form


@pytest.mark.parametrize(
    ("tail", "expected"),
    [("1,4,0.3,7", ("mot", "mot15")), ("1,24,0,0", ("mot", "mot15")), ("57,-1,-1", ("mot", "cityflow"))],
)
def test_two_possible_readings_are_refused_with_the_line_and_the_option(
    tail: str, expected: tuple[Form, Form], text: Path
) -> None:
    lines = ["# of a camera", f"1,1,{BOX},{tail}", f"2,1,{BOX},{tail}"]
    message = refusal(text, *lines)
    assert message.startswith("line 2: ")
    assert "--format" in message
    for form in expected:
        assert f"{form} is " in message
        assert read(text, *lines, form=form).form == form


def test_every_column_of_a_given_form_is_where_it_is(text: Path) -> None:
    lines = (f"1,1,{BOX},1,4,0.3,7", f"1,2,{BOX},0,4,0.3,7")
    rows = read(text, *lines, form="mot")
    assert (rows.class_id.tolist(), rows.visibility.tolist(), rows.confidence.tolist()) == ([4, 4], [0.3, 0.3], [1, 0])
    rows = read(text, *lines, form="mot15")
    assert (rows.class_id.tolist(), rows.visibility.tolist()) == ([0, 0], [-1, -1])
    assert not rows.has_class.any()
    rows = read(text, f"1,0,{BOX},0,0,0,0", f"1,0,{BOX},0,0,0,0", f"1,7,{BOX},1,4,1,2")
    assert (rows.is_region.tolist(), rows.object_id.tolist()) == ([True, True, False], [-1, -1, 7])
    assert (rows.class_id.tolist(), rows.visibility.tolist()) == ([0, 0, 4], [-1, -1, -1])


def test_the_nine_columns_of_the_ai_city_challenge_are_not_those_of_mot17(text: Path) -> None:
    lines = [
        f"{camera} {number} {frame} 10 20 30 40 -1 -1" for camera in (41, 42) for number in (3, 9) for frame in (1, 2)
    ]
    rows = read(text, *lines)
    assert rows.form == "cityflow"
    assert rows.camera.tolist() == [41] * 4 + [42] * 4
    assert rows.frame.tolist() == [1, 2] * 4
    assert rows.object_id.tolist() == [3, 3, 9, 9] * 2
    assert rows.box_ltwh.tolist() == [[10, 20, 30, 40]] * 8
    assert (rows.confidence == 1).all()
    with_world = read(text, "1 5 7 10 20 30 40 42.49 -90.67", "1 5 8 10 20 30 40 42.5 -90.6")
    assert (with_world.form, with_world.frame.tolist()) == ("cityflow", [7, 8])
    assert "id 5 occurs twice in frame 7, in lines 1 and 2" in refusal(text, *["1 5 7 10 20 30 40 42.49 -90.67"] * 2)


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("1,2,3.5,4,5,6,0.5", [3.5, 4, 5, 6]),
        ("1, 2, 3.5, 4, 5, 6, 0.5,", [3.5, 4, 5, 6]),
        ("1;2;3.5;4;5;6;0.5;;;", [3.5, 4, 5, 6]),
        ("1\t2\t3.5\t4\t5\t6\t0.5", [3.5, 4, 5, 6]),
        ("  1  2 3.5   4 5 6 0.5 ", [3.5, 4, 5, 6]),
    ],
)
def test_columns_may_be_separated_by_commas_semicolons_tabs_or_spaces(line: str, row: list[float], text: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        text.write_bytes(("\ufeff" + end.join([line, "", "   ", line.replace("1", "2", 1), ""])).encode())
        rows = read_mot(text)
        assert rows.box_ltwh.tolist() == [row, row]
        assert (rows.frame.tolist(), rows.confidence.tolist()) == ([1, 2], [0.5, 0.5])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_a_text_of_windows_is_read(encoding: str, text: Path) -> None:
    text.write_bytes(f"1,2,{BOX}\r\n".encode(encoding) * 1)
    assert len(read_mot(text)) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1;2;3,5;4;5;6;1", "line 2: '3,5' in column 3: the line has more than one kind of separator"),
        ("1 2 3,5 4 5 6 1", "line 2: '1 2 3' in column 1: the line has more than one kind of separator"),
        ("1\t2\t3,5\t4\t5\t6\t1", "line 2: '1\t2\t3' in column 1"),
        ("1,2,,4,5,6,7,1", "line 2: column 3 is empty"),
        ("1\t\t3\t4\t5\t6\t7\t1", "line 2: column 2 is empty"),
        ("1,2,3,4,5,6,7,8,9,10,11", "line 2: 11 columns; no known format has more than 10"),
        ("1,2,3,4,5,1_000", "line 2: could not convert string to float: '1_000'"),
        ("1,2,3,4,5,60,1,1,35", "line 2: visibility 35 is not between 0 and 1"),
        ("1,2,3,4,5,60,1,1.5", "line 2: class 1.5 is not a whole number"),
        ("0 1 Car 0 0 -1.8 296.7 161.7 455.2 292.3 2.0 1.8 4.4 -4.5 1.9 13.4 -2.1", "line 2: .*KITTI are not read"),
        ("0 2 Person_sitting 0 0 0 1 2 3 4 2.0 1.8 4.4 -4.5 1.9 13.4 -2.1", "line 2: .*KITTI are not read"),
        ("Car 0 0 -1.8 296.7 161.7 455.2 292.3 2.0 1.8 4.4 -4.5 1.9 13.4 -2.1", "line 2: .*KITTI are not read"),
    ],
)
def test_a_line_that_would_be_misread_is_refused(line: str, message: str, text: Path) -> None:
    import re

    found = refusal(text, "1,1,3,4,5,6", line)
    assert re.match(message if ".*" in message else re.escape(message), found), found


def test_boxes_in_shares_of_the_picture_are_not_pixels(text: Path) -> None:
    lines = [f"{frame},1,0.5,0.25,0.1,0.2,0.9" for frame in (1, 2)]
    for form in (None, "mot"):
        assert refusal(text, *lines, form=form).startswith("line 1: no box of the file is larger than a pixel; if they")
    assert len(read(text, *lines, f"3,1,{BOX},0.9")) == 3


def test_corners_are_not_sizes(text: Path) -> None:
    lines = [f"{frame},1,{300 + frame},200,{340 + frame},290,1" for frame in range(1, 11)]
    assert refusal(text, *lines).startswith("line 1: in all lines, width and height are larger than left and top, so")
    assert len(read(text, *lines, form="mot")) == len(read(text, "frame,id,left,top,width,height,conf", *lines)) == 10
    assert len(read(text, *lines, f"11,1,{BOX},1")) == 11
    assert len(read(text, "#frame,id,left,top,width,height,conf", *lines)) == 10
    assert len(read(text, *lines[:9])) == 9


def test_one_large_object_that_moves_is_not_taken_for_corners(text: Path) -> None:
    lines = [
        f"{frame},1,{20 + 8 * frame},{30 + frame % 2},{300 + frame % 3},{400 + frame % 2},1" for frame in range(1, 31)
    ]
    assert len(read(text, *lines)) == 30


def test_the_quotation_marks_of_a_spreadsheet_are_no_part_of_a_number(text: Path) -> None:
    rows = read(text, '"frame";"id";"left";"top";"width";"height"', '"1";"7";"305.5";"50";"40";"90"')
    assert rows.box_ltwh.tolist() == [[305.5, 50, 40, 90]]


@pytest.mark.parametrize("line", ["1|1|305|50|40|90", '{"frame":1}', "MOT17"])
def test_a_file_without_columns_is_refused_with_what_separates_them(line: str, text: Path) -> None:
    message = refusal(text, line, f"1,1,{BOX}")
    assert message == f"line 1: '{line}' is a single column; separate the columns by commas, semicolons, tabs or spaces"


@pytest.mark.parametrize(
    ("header", "tail", "form"),
    [
        ("frame,id,bb_left,bb_top,bb_width,bb_height,conf,x,y,z", "1,1,1,1", "mot15"),
        ("Frame;Track ID;xmin;ymin;w;h;Flag;Class;Visibility", "1,1,0.3", "mot"),
        ("#frame,target_id,left,top,width,height,score,object_category,truncation,occlusion", "1,1,1,1", "visdrone"),
        ("frame,id,x,y,w,h", "", "mot"),
        ("frame,id,x,y,w,h,conf", "1,-1,-1", None),
    ],
)
def test_a_header_says_which_columns_there_are(header: str, tail: str, form: str | None, text: Path) -> None:
    line = f"1,1,{BOX}" + (f",{tail}" if tail else "")
    if form is None:
        assert refusal(text, header, line) == "line 2: 9 columns, but the header names 7"
    else:
        assert read(text, header, line).form == form


@pytest.mark.parametrize(
    "header",
    [
        "camera,tick,frame,time_ns,track_id,gid,left,top,width,height,score,class",
        "id,frame,left,top,width,height",
        "frame,id,x1,y1,x2,y2",
        "frame,id,left,top,width,height,class",
        "one,two,three,four,five,six",
    ],
)
def test_a_header_with_another_order_is_refused(header: str, text: Path) -> None:
    assert f"line 1: the header {header} has no known order of columns" in refusal(text, header, f"1,1,{BOX}")
    if header != "one,two,three,four,five,six":
        assert "has no known order" in refusal(text, "# boxes", f"# {header}", f"1,1,{BOX}")


def test_comments_and_marks_between_joined_files_are_skipped(text: Path) -> None:
    rows = read(
        text,
        "# seen from the gate, by a person with a good eye",
        "frame,id,x,y,w,h",
        f"1,1,{BOX}",
        "% more",
        f"\ufeff2,1,{BOX}",
        "// end",
    )
    assert rows.line.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("form", "lines", "message"),
    [
        ("visdrone", [f"1,1,{BOX},1"], "line 1: 7 columns; the format visdrone has 10: frame,id,left"),
        ("visdrone", [f"1,1,{BOX},1,4,0,0", f"1,2,{BOX},1,12,0,0"], "line 2: category 12 is not one of VisDrone"),
        ("visdrone", [f"1,1,{BOX},1,4,0.5,0"], "line 1: truncation 0.5 is not one"),
        ("cityflow", [f"1,1,{BOX},1,4,0,0"], "line 1: 10 columns; the format cityflow has 9: camera_id"),
        (None, [f"1,1,{BOX},1,4.5,0,0", f"1,2,{BOX},1,4,1"], "line 2: 9 columns, but other lines have 10"),
    ],
)
def test_a_line_of_another_form_is_refused(form: Form | None, lines: list[str], message: str, text: Path) -> None:
    assert refusal(text, *lines, form=form).startswith(message)
