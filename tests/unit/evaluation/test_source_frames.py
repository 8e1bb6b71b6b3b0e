from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation.source_frames import NO_FRAME, SourceFrames, frames_of
from recording.description import Description, FrameNumbers
from recording.reading import Recording
from recording.writing import RecordingWriter
from shared.layout import Layout
from tests.recordings import ORIGIN_NS, site_config
from vision.video.timing import Timing

TICK_NS = 1e8


def frames(ticks: list[int], fps: float, *, begin_tick: float = 1, scale: float = 1.0) -> list[int]:
    """The frame numbers of a file that begins at `begin_tick` of a 10 Hz clock."""
    source = SourceFrames(Timing(round(begin_tick * TICK_NS), 0, scale), np.arange(100) / fps, fps, TICK_NS, 0)
    return source.at(np.array(ticks, np.int64)).tolist()


def test_at_the_clocks_own_rate_every_tick_shows_the_next_frame() -> None:
    assert frames([0, 1, 2, 3], 10) == [NO_FRAME, 1, 2, 3]


@pytest.mark.parametrize(("fps", "shown"), [(30.0, [1, 4, 7, 10]), (29.97, [1, 4, 7, 10]), (5.0, [1, 1, 2, 2])])
def test_at_another_rate_the_nearest_frame_is_shown(fps: float, shown: list[int]) -> None:
    assert frames([1, 2, 3, 4], fps) == shown


def test_a_later_start_and_another_time_scale_are_applied() -> None:
    assert frames([5, 6, 7], 10, begin_tick=6) == [NO_FRAME, 1, 2]
    assert frames([1, 2, 3], 10, scale=2.0) == [1, 3, 5]


def test_frames_follow_the_rate_of_the_source_file_or_without_it_the_description(tmp_path: Path) -> None:
    film = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (64, 48))
    for _ in range(12):
        writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    config = site_config(("A", "B"))
    sources = {"A": str(film), "B": "gone.mp4"}
    cameras = tuple(camera.model_copy(update={"source": sources[camera.name]}) for camera in config.cameras)
    described = Description.of(
        config.model_copy(update={"cameras": cameras}),
        Layout.open(("A", "B")),
        "mtmc 0 test",
        origin_ns=ORIGIN_NS,
        frames=FrameNumbers(tick_of_first=4),
    )
    with RecordingWriter(tmp_path / "recording", described) as recorded:
        recorded.finish(9)
    shown = frames_of(Recording.open(tmp_path / "recording"))
    ticks = np.array([4, 5, 6])
    assert shown("A", ticks).tolist() == [1, 4, 7]
    assert shown("B", ticks).tolist() == [1, 2, 3]
