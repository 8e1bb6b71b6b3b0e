"""Which cameras are late, from offsets that are relative to the mean of the cameras that see the same objects."""

from __future__ import annotations

import pytest

from shared.learned import LearnedOfSite, Offset, Overlap, late_cameras


def learned(late_s: dict[str, float], pairs: list[str], deviation: float = 0.02) -> LearnedOfSite:
    """Cameras with one letter each, all connected; `pairs`: those whose places are known in each other."""
    mean_s = sum(late_s.values()) / len(late_s)
    overlaps = (Overlap((one, other), "layout", None, 0, 0, is_mapped=True) for one, other in pairs)
    offsets = (Offset(camera, seconds - mean_s, deviation, 0.0) for camera, seconds in late_s.items())
    return LearnedOfSite(1, tuple(overlaps), (), tuple(offsets))


@pytest.mark.parametrize(
    ("late_s", "pairs", "expected"),
    [
        ({"a": 0.0, "b": 0.3}, ["ab"], {"b": 0.3}),
        ({"a": 0.0, "b": 0.0, "c": 0.4}, ["ab", "bc"], {"c": 0.4}),
        ({"a": -0.5, "b": 0.0, "c": 0.0}, ["bc", "ab"], {"a": -0.5}),
        ({"a": 0.4, "b": 0.4, "c": 0.0, "d": 0.0}, ["ab", "cd", "bc"], {"a": 0.4, "b": 0.4}),
        ({"a": 0.0, "b": 0.0}, ["ab"], {}),
    ],
)
def test_a_camera_is_late_by_the_whole_difference_to_the_others(
    late_s: dict[str, float], pairs: list[str], expected: dict[str, float]
) -> None:
    assert late_cameras(learned(late_s, pairs)) == pytest.approx(expected)


def test_cameras_that_see_nothing_together_are_not_compared() -> None:
    assert late_cameras(learned({"a": 0.0, "b": 0.6}, [])) == {}


def test_what_is_not_certain_is_left_out() -> None:
    assert late_cameras(learned({"a": 0.0, "b": 0.3}, ["ab"], deviation=0.11)) == {}
