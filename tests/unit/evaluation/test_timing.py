from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.timing import cycle_ms, differences, tick_to_gid_ms
from recording.description import Description
from recording.reading import Recording
from recording.writing import RecordingWriter
from shared.layout import Layout
from shared.messages import TrackBatch, TrackEntry
from tests.recordings import site_config


def recording(folder: Path, published_ms: int) -> Recording:
    """Camera A has an entry without boxes at tick 3, at 0.3 s of site time; a gid is published for that tick."""
    cameras = ("A", "B")
    description = Description.of(site_config(cameras), Layout.open(cameras), "mtmc 0 test")
    with RecordingWriter(folder, description) as writer:
        writer.add(TrackEntry(1, "A", 3, 300_000_000, TrackBatch()))
        writer.assign(3, "A", 11, 1, published_ms=published_ms)
        writer.assign(3, "A", 12, 0, published_ms=published_ms and published_ms + 900)
        writer.finish(3)
    return Recording.open(folder)


def test_the_delay_of_a_gid_is_the_time_from_its_picture_to_its_publication(tmp_path: Path) -> None:
    durations = tick_to_gid_ms(recording(tmp_path, 380))
    assert durations is not None
    assert (durations.p50, durations.max) == (pytest.approx(80), pytest.approx(80)), "removing a gid does not count"


def test_a_cycle_lasts_from_the_last_entry_of_its_tick_to_its_assignments(tmp_path: Path) -> None:
    cameras = ("A", "B")
    with RecordingWriter(tmp_path, Description.of(site_config(cameras), Layout.open(cameras), "mtmc 0 test")) as writer:
        for camera, entry_id in (("A", "1000-0"), ("B", "1040-1")):
            entry = {b"schema": b"1", b"seq": b"1", b"camera": camera.encode(), b"tick": b"3", b"time_ns": b"300000000"}
            writer.add_entry(camera, entry_id, {**entry, b"n": b"0", b"payload": TrackBatch().encode()})
        writer.assign(3, "A", 11, 1, published_ms=1065)
        writer.assign(3, "A", 12, 1, published_ms=1066)
        writer.finish(3)
    durations = cycle_ms(Recording.open(tmp_path))
    assert durations is not None
    assert durations.max == 25


def test_there_are_no_delays_in_virtual_time(tmp_path: Path) -> None:
    virtual = recording(tmp_path, 0)
    assert (tick_to_gid_ms(virtual), cycle_ms(virtual)) == (None, None)


def test_differences_are_computed_for_each_number() -> None:
    ours = {"a": {"x": 0.5, "n": 3}, "gone": {"x": 1.0}, "none": None}
    others = {"a": {"x": 0.75, "n": 1}, "gone": None, "none": 2}
    assert differences(ours, others) == {"a": {"x": -0.25, "n": 2}, "gone": {"x": None}, "none": None}
