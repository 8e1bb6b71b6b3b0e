from __future__ import annotations

import numpy as np
import pytest

from evaluation.source_frames import NO_FRAME, SourceFrames
from services.camera_worker.camera import Timing

TICK_NS = 1e8


def frames(ticks: list[int], fps: float, *, begin_tick: float = 1, scale: float = 1.0) -> list[int]:
    """What a recording that begins at `begin_tick` of a 10 Hz clock shows."""
    source = SourceFrames(Timing(round(begin_tick * TICK_NS), 0, scale), fps, TICK_NS, 0)
    return source.at(np.array(ticks, np.int64)).tolist()


def test_at_the_clocks_own_rate_every_tick_shows_the_next_frame() -> None:
    assert frames([0, 1, 2, 3], 10) == [NO_FRAME, 1, 2, 3]


@pytest.mark.parametrize(("fps", "shown"), [(30.0, [1, 4, 7, 10]), (29.97, [1, 4, 7, 10]), (5.0, [1, 1, 2, 2])])
def test_at_another_rate_the_nearest_frame_is_shown(fps: float, shown: list[int]) -> None:
    assert frames([1, 2, 3, 4], fps) == shown


def test_a_later_beginning_and_another_speed_are_heeded() -> None:
    assert frames([5, 6, 7], 10, begin_tick=6) == [NO_FRAME, 1, 2]
    assert frames([1, 2, 3], 10, scale=2.0) == [1, 3, 5]
