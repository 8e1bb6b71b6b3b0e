from __future__ import annotations

import pytest

from shared import watching as module
from shared.watching import Watching


def test_a_camera_is_watched_until_its_last_viewer_leaves() -> None:
    watching = Watching()
    watching.open("a")
    watching.open("a")
    watching.close("a")
    assert watching.cameras() == {"a"}
    watching.close("a")
    assert watching.cameras() == frozenset()


def test_a_single_request_counts_as_watching_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    watching = Watching()
    watching.touch(["a", "b"])
    assert watching.cameras() == {"a", "b"}
    assert watching.opened() == {}
    monkeypatch.setattr(module, "TOUCH_SECONDS", -1.0)
    watching.touch(["a"])
    assert watching.cameras() == {"b"}
