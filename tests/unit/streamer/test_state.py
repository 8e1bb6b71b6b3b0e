from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.streamer.state import CameraFacts, State, judged, stall_limit_s, without_secrets

NOW_MS = 1_700_000_000_000


def state_of(facts: CameraFacts, *, stalled: bool = False, now_ms: int | None = NOW_MS) -> State:
    return judged(facts, tick=10, stalled=stalled, now_ms=now_ms, limit_s=2.0).state


@pytest.mark.parametrize(
    ("status", "picture_age_ms", "stalled", "expected"),
    [
        ({}, None, False, "waiting"),
        ({"state": "starting", "owner": "w"}, None, False, "waiting"),
        ({"state": "live"}, 1900, False, "live"),
        ({"state": "live"}, 2100, False, "stalled"),
        ({"state": "live"}, 100, True, "stalled"),
        ({"state": "live"}, None, True, "waiting"),
        ({"state": "down"}, 100, False, "down"),
        ({"state": "ended"}, 100, False, "ended"),
        ({"state": "paused"}, 100, False, "paused"),
        ({"state": "released"}, 9000, False, "stalled"),
    ],
)
def test_a_camera_is_judged_by_what_its_owner_the_clock_and_its_pictures_say(
    status: dict[str, str], picture_age_ms: int | None, stalled: bool, expected: State
) -> None:
    picture_ms = None if picture_age_ms is None else NOW_MS - picture_age_ms
    assert state_of(CameraFacts("c", status=status, picture_ms=picture_ms), stalled=stalled) == expected


def test_a_camera_paused_in_its_settings_is_paused_whatever_its_last_owner_said() -> None:
    facts = CameraFacts("c", json.dumps({"paused": True}).encode(), {"state": "live"}, picture_ms=NOW_MS)
    assert state_of(facts) == "paused"


def test_without_the_redis_of_the_pictures_nothing_is_called_live() -> None:
    assert state_of(CameraFacts("c", status={"state": "live"}), now_ms=None) == "stalled"


def test_a_slow_site_gives_its_cameras_three_ticks() -> None:
    assert stall_limit_s(10) == 2
    assert stall_limit_s(0.5) == 6


@pytest.mark.parametrize("settings", [b"", b"[]", b"{", b"null"])
def test_settings_that_cannot_be_read_are_said_so(settings: bytes) -> None:
    camera = judged(CameraFacts("c", settings), tick=1, stalled=False, now_ms=NOW_MS, limit_s=2)
    assert camera.error is not None
    assert "settings" in camera.error


@pytest.mark.parametrize("text", ["", "x", "nan?", "12.5.1"])
def test_figures_that_are_none_are_left_out(text: str) -> None:
    facts = CameraFacts("c", status={"fps": text, "width": text, "class_names": text})
    camera = judged(facts, tick=1, stalled=False, now_ms=NOW_MS, limit_s=2)
    assert (camera.fps, camera.width, camera.class_names) == (None, None, ())


@given(
    user=st.text("abcdef", min_size=3, max_size=8),
    password=st.text("ghijklmn0123@/:%!", min_size=6, max_size=16).filter(lambda text: text.strip("/@:%!")),
)
def test_no_part_of_a_login_stays_in_a_message(user: str, password: str) -> None:
    source = f"rtsp://{user}:{password}@10.1.2.3/stream"
    message = without_secrets(f"cannot open {source}: 401 for {user}:{password} ({password})", source)
    assert password not in message
    assert f"{user}:" not in message
    assert "401" in message or "401" in password
