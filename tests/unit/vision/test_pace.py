"""The speed of streams that arrive in bursts."""

from __future__ import annotations

import pytest

from vision.video.pace import Pace


def test_a_burst_is_spread_over_its_time_stamps() -> None:
    pace = Pace(is_file=False)
    assert [pace.wait_s(50 + i / 10, 7.0) for i in range(4)] == pytest.approx([0.0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize(("is_file", "waits_s"), [(True, 5.0), (False, 0.0)])
def test_a_long_step_is_a_gap_of_a_file_and_a_jump_of_a_live_clock(is_file: bool, waits_s: float) -> None:
    pace = Pace(is_file=is_file)
    pace.wait_s(0.0, 100.0)
    assert pace.wait_s(5.0, 100.0) == pytest.approx(waits_s)


def test_a_clock_that_goes_back_starts_over() -> None:
    pace = Pace(is_file=True)
    pace.wait_s(90.0, 100.0)
    assert pace.wait_s(0.0, 100.5) == 0.0
    assert pace.wait_s(0.1, 100.5) == pytest.approx(0.1)


def test_a_stream_that_is_late_does_not_hurry() -> None:
    pace = Pace(is_file=False)
    pace.wait_s(0.0, 100.0)
    assert pace.wait_s(0.1, 105.0) == 0.0
    assert pace.wait_s(0.2, 105.0) == pytest.approx(0.1)
