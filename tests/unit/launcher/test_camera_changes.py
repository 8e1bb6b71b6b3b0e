"""Differences between the running cameras and those of a site file."""

from __future__ import annotations

from launcher.camera_changes import camera_changes
from shared.camera_config import CameraConfig

A, B, C = (CameraConfig(name=name, source=f"rtsp://box/{name}") for name in "abc")


def test_each_kind_of_change_has_a_name() -> None:
    paused, moved = A.model_copy(update={"paused": True}), C.model_copy(update={"source": "rtsp://box/other"})
    new = CameraConfig(name="new", source="rtsp://box/new")
    changes = camera_changes([A, B, C], {"a": paused, "c": moved, "new": new})
    assert str(changes) == "a paused, b removed, c changed, new added"
    assert changes.removed == ["b"]
    assert str(camera_changes([paused], {"a": A})) == "a resumed"
    assert str(camera_changes([A], {"a": moved.model_copy(update={"paused": True})})) == "a changed"
    assert str(camera_changes([A], {"a": None})) == "a changed", "unreadable settings count as a change"
    assert str(changes.among(["a", "new", "x"])) == "a paused, new added"


def test_without_changes_the_result_is_empty() -> None:
    assert not camera_changes([A, B], {"b": B, "a": A})
