from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from shared.calibration_files import parse_calibration
from shared.errors import LayoutError
from shared.layout import Layout, parse_layout, read_layout

CAMERAS = ("a", "b", "c")
TEXT = """\
# three cameras in a row
fps
10 10 8

scales:        # as run_live_mtmc.py wrote it, with or without a colon
1 1 0.8
offset
0 0 -1.640

compatibility
1 1 0
1 1 1          # b sees both neighbours
0 1 1
dtmin
0 -2.5 0
-inf 0 3
0 3 0
dtmax
0 9 0
inf 0 40
0 40 0
"""


def broken(change: str, to: str, count: int = 1) -> str:
    """The error message for `TEXT` with `change` replaced."""
    assert change in TEXT
    with pytest.raises(LayoutError) as caught:
        parse_layout(TEXT.replace(change, to, count), CAMERAS, "site/layout.txt")
    assert str(caught.value).startswith("site/layout.txt")
    return str(caught.value)


def test_a_camera_that_a_layout_does_not_have_is_not_restricted() -> None:
    layout = parse_layout(TEXT, CAMERAS).over(("new", "c", "a", "b"))
    assert layout.cameras == ("new", "c", "a", "b")
    assert layout.compatible[0].all()
    assert layout.compatible[:, 0].all()
    assert layout.overlapping[0].tolist() == [False, True, True, True]
    assert not layout.compatible[1, 2], "from c to a"
    assert (layout.dtmin[1, 3], layout.dtmax[1, 3]) == (3, 40), "from c to b"
    assert (layout.dtmin[0, 0], layout.dtmax[0, 0]) == (0, math.inf), "a return"


def assert_same(one: Layout, other: Layout) -> None:
    assert one.cameras == other.cameras
    for name in ("compatible", "dtmin", "dtmax", "fps", "scales", "offset"):
        left, right = getattr(one, name), getattr(other, name)
        assert (left is None) == (right is None), name
        if left is not None:
            assert left.dtype == right.dtype, name
            np.testing.assert_array_equal(left, right, name)


def test_the_text_format_is_read_with_comments_and_infinities() -> None:
    layout = parse_layout(TEXT, CAMERAS)
    assert layout.compatible.tolist() == [[True, True, False], [True, True, True], [False, True, True]]
    assert layout.dtmin[0, 1] == -2.5
    assert layout.dtmin[1, 0] == -math.inf
    assert layout.dtmax[1, 0] == math.inf
    assert layout.dtmax[1, 2] == 40
    assert layout.fps is not None
    assert layout.scales is not None
    assert layout.offset is not None
    assert (layout.fps.tolist(), layout.scales.tolist()) == ([10, 10, 8], [1, 1, 0.8])
    assert layout.offset.tolist() == [0, 0, -1.64]


def test_blocks_may_be_in_any_order_and_the_vectors_may_be_missing() -> None:
    head, tail = TEXT.split("compatibility")
    layout = parse_layout("compatibility" + tail, CAMERAS)
    assert layout.fps is layout.scales is layout.offset is None
    assert_same(parse_layout("compatibility" + tail + head, CAMERAS), parse_layout(TEXT, CAMERAS))


def test_an_object_may_return_to_the_camera_it_left_whatever_the_diagonal_says() -> None:
    layout = parse_layout(TEXT.replace("1 1 0\n", "0 1 0\n"), CAMERAS)
    assert layout.compatible.diagonal().all()
    assert layout.dtmin.diagonal().tolist() == [0, 0, 0]
    assert layout.dtmax.diagonal().tolist() == [math.inf] * 3


def test_views_overlap_both_ways_when_one_way_says_so() -> None:
    overlapping = parse_layout(TEXT.replace("-inf 0 3", "1 0 3"), CAMERAS).overlapping
    assert overlapping.tolist() == [[False, True, False], [True, False, False], [False, False, False]]


def test_a_negative_dtmin_of_an_impossible_step_is_not_an_overlap() -> None:
    assert not parse_layout(TEXT.replace("0 -2.5 0", "0 -2.5 -7"), CAMERAS).overlapping[0, 2]


@pytest.mark.parametrize(
    ("change", "to", "line", "words"),
    [
        ("1 1 0.8", "1 1", 6, "2 numbers in 'scales'"),
        ("1 1 0.8", "1 1 0.8 1", 6, "4 numbers in 'scales'"),
        ("0 1 1\n", "0 1 x\n", 13, "'0 1 x' in 'compatibility'"),
        ("0 9 0", "0 nan 0", 19, "nan in 'dtmax'"),
        ("0 3 0\n", "", 17, "1 numbers in 'dtmin'"),
        ("dtmax", "dtmin", 18, "appears twice"),
        (
            "dtmax",
            "dt_max",
            18,
            "expected the name of a block (fps, scales, offset, compatibility, dtmin, dtmax), not 'dt_max'",
        ),
        ("0 0 -1.640", "0 0 -1.640\n1 2 3", 9, "name of a block"),
    ],
)
def test_a_mistake_is_reported_with_its_line(change: str, to: str, line: int, words: str) -> None:
    message = broken(change, to)
    assert f"line {line}:" in message
    assert words in message


def test_a_file_that_ends_early_is_reported_with_its_block() -> None:
    assert "ends inside 'dtmax' (line 18)" in broken("0 40 0\n", "")


@pytest.mark.parametrize("name", ["compatibility", "dtmin", "dtmax"])
def test_a_missing_block_is_named(name: str) -> None:
    lines = TEXT.splitlines()
    start = lines.index(name)
    with pytest.raises(LayoutError, match=f"{name} missing"):
        parse_layout("\n".join(lines[:start] + lines[start + 4 :]), CAMERAS)


def test_an_empty_window_is_reported_with_row_and_column() -> None:
    message = broken("0 9 0", "0 -3 0")
    assert "dtmin -2.5 > dtmax -3 at row 1, column 2" in message


@pytest.mark.parametrize(("change", "to"), [("10 10 8", "10 0 8"), ("1 1 0.8", "1 -1 1"), ("10 10 8", "10 inf 8")])
def test_rates_and_scales_must_be_above_zero(change: str, to: str) -> None:
    assert "greater than 0" in broken(change, to)


def test_an_offset_must_be_finite() -> None:
    assert "finite" in broken("0 0 -1.640", "0 0 inf")


@given(st.text(alphabet="fpscaledtmin01 -.#\nxoi", max_size=80))
def test_any_text_is_read_or_refused_with_a_layout_error(text: str) -> None:
    try:
        parse_layout(text, CAMERAS)
    except LayoutError:
        pass
    else:
        raise AssertionError("such a short text cannot hold all blocks")


def test_a_missing_file_or_one_that_is_not_text_is_a_layout_error(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="cannot be read"):
        read_layout(tmp_path / "none.txt", CAMERAS)
    binary = tmp_path / "binary.txt"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LayoutError, match=r"binary\.txt"):
        read_layout(binary, CAMERAS)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    n = draw(st.integers(1, 4))
    seconds = npst.arrays(np.float64, (n, n), elements=st.floats(allow_nan=False))
    vector = st.none() | npst.arrays(np.float64, n, elements=st.floats(-1e9, 1e9))
    return Layout(
        tuple(f"c{i}" for i in range(n)),
        draw(npst.arrays(np.bool_, (n, n))),
        draw(seconds),
        draw(seconds),
        draw(vector),
        draw(vector),
        draw(vector),
    )


@given(layouts())
def test_a_layout_survives_a_json_round_trip(layout: Layout) -> None:
    text = json.dumps(layout.to_dict(), allow_nan=False)
    assert_same(Layout.from_dict(json.loads(text)), layout)


@given(layouts())
def test_overlap_is_symmetric_and_no_camera_overlaps_itself(layout: Layout) -> None:
    overlapping = layout.overlapping
    assert (overlapping == overlapping.T).all()
    assert not overlapping.diagonal().any()


def test_a_layout_written_by_an_older_version_is_read() -> None:
    data = Layout.open(CAMERAS).to_dict()
    del data["unknown"]
    assert set(data) == {"cameras", "compatible", "dtmin", "dtmax"}
    layout = Layout.from_dict(data)
    assert layout.offset is None
    assert layout.pairs_unknown.sum() == len(CAMERAS) * (len(CAMERAS) - 1), "it allows everything"
    data = Layout.closed(CAMERAS).with_transition("a", "b", 1, 2).to_dict()
    del data["unknown"]
    assert not Layout.from_dict(data).pairs_unknown.any()


def test_what_is_unknown_is_told_from_what_is_allowed() -> None:
    opened = Layout.open(CAMERAS)
    declared = opened.with_transition("a", "b", 0, math.inf, overlapping=True)
    pairs = {(0, 1): False, (1, 0): False, (0, 2): True, (1, 2): True, (0, 0): False}
    for layout in (declared, Layout.from_dict(declared.to_dict()), declared.over((*CAMERAS, "d")).of(CAMERAS)):
        assert {pair: bool(layout.pairs_unknown[pair]) for pair in pairs} == pairs
    assert opened.pairs_unknown[0, 1], "the layout that it was made from stays as it was"
    added = Layout.closed(CAMERAS).over((*CAMERAS, "d")).pairs_unknown
    assert added[3, :3].all()
    assert not added[:3, :3].any()


def test_calibrations_follow_their_cameras() -> None:
    calibration = parse_calibration("[[0.01, 0, -3], [0, -0.02, 9], [0, 0.001, 1]]")
    layout = replace(Layout.closed(CAMERAS), calibrations={"b": calibration})
    changed = (
        layout.with_transition("a", "b", 1, 2),
        layout.over((*CAMERAS, "d")),
        layout.of(("b", "c")),
        Layout.from_dict(json.loads(json.dumps(layout.to_dict()))),
    )
    for one in changed:
        assert {camera: found.fingerprint for camera, found in one.calibrations.items()} == {
            "b": calibration.fingerprint
        }
    assert not layout.of(("a", "c")).calibrations


def test_a_transition_given_twice_spans_both_windows() -> None:
    layout = Layout.closed(CAMERAS).with_transition("a", "b", 5, 9).with_transition("a", "b", 2, 7)
    assert (layout.dtmin[0, 1], layout.dtmax[0, 1]) == (2, 9)
    assert not layout.compatible[1, 0], "only the way that was given"
    overlapping = layout.with_transition("a", "b", 0, 1, overlapping=True)
    assert overlapping.dtmin[0, 1] == -math.inf
    assert overlapping.dtmax[0, 1] == 9


def test_a_transition_of_an_unknown_camera_names_it() -> None:
    with pytest.raises(LayoutError, match="'z', but the site has a, b, c"):
        Layout.closed(CAMERAS).with_transition("a", "z", 0, 1)


def test_without_a_layout_every_step_and_overlap_is_possible() -> None:
    layout = Layout.open(CAMERAS)
    assert layout.compatible.all()
    assert layout.overlapping.sum() == 6
