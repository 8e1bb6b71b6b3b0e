from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.site_state.facts import CameraFacts
from shared.site_state.judging import judged, without_secrets
from shared.site_state.states import CameraState, State, picture_limit_s, tracks_limit_s

NOW_MS = 1_700_000_000_000
LIVE = CameraFacts("c", written={"state": "live", "owner": "w"}, picture_ms=NOW_MS - 100)
"""A healthy camera; each test changes one thing."""


def camera_of(facts: CameraFacts, *, target_fps: float = 10, pictures_now_ms: int | None = NOW_MS) -> CameraState:
    return judged(facts, tick=10, target_fps=target_fps, pictures_now_ms=pictures_now_ms)


def written(state: str, **fields: str) -> CameraFacts:
    return replace(LIVE, written={"state": state, "owner": "w", **fields})


@pytest.mark.parametrize(
    ("facts", "state", "message"),
    [
        (LIVE, "live", "live"),
        (CameraFacts("c"), "waiting", "no worker has it"),
        (written("released"), "waiting", "no worker has it"),
        (written("released", error="no such file"), "waiting", "no worker has it (no such file)"),
        (written("paused"), "waiting", "no worker has it"),  # resumed, and not claimed yet
        (written("starting"), "starting", "opening the source"),
        (replace(LIVE, picture_ms=None), "starting", "waiting for the first picture"),
        (written("down", error="refused"), "down", "refused"),
        (written("down"), "down", "the camera does not answer"),
        (written("ended"), "ended", "the file has ended"),
        (written("no state"), "stalled", "its worker reports a state that this version of mtmc does not know"),
        (replace(LIVE, stalled=True), "stalled", "its worker w handles no tick"),
        (replace(LIVE, owner_gone=True), "stalled", "its worker w does not answer"),
        (replace(LIVE, picture_ms=NOW_MS - 2100), "stalled", "no new picture since 2023-11-14 22:13:17 UTC"),
        (replace(LIVE, picture_ms=NOW_MS - 1900), "live", "live"),
        (written("frozen", fault="not changed for 9 s"), "frozen", "not changed for 9 s"),
        (written("blank", fault="all black"), "blank", "all black"),
        (written("blank"), "blank", "the picture is all of one colour"),
        (written("moved", fault="turned at noon"), "moved", "turned at noon"),
        (written("moving"), "moving", "the camera is moving"),
        (replace(LIVE, settings=b'{"paused": true}'), "paused", "paused"),
    ],
)
def test_a_camera_is_judged_by_its_owner_the_clock_and_its_pictures(
    facts: CameraFacts, state: State, message: str
) -> None:
    camera = camera_of(facts)
    assert (camera.state, camera.message) == (state, message)


@pytest.mark.parametrize(
    ("facts", "state"),
    [
        # The last state of a dead worker is no longer valid, except for a file that was played to its end.
        (replace(written("down", error="refused"), owner_gone=True), "stalled"),
        (replace(written("starting"), owner_gone=True), "stalled"),
        (replace(written("ended"), owner_gone=True), "ended"),
        (replace(written("released"), owner_gone=True), "waiting"),
        # The clock lists a camera as stalled until its next owner joins.
        (replace(written("starting"), stalled=True), "starting"),
        (replace(written("down"), stalled=True), "down"),
        (replace(written("released"), stalled=True), "waiting"),
        # A picture that shows nothing matters only while pictures arrive.
        (replace(written("frozen", fault="x"), owner_gone=True), "stalled"),
        (replace(written("blank", fault="x"), stalled=True), "stalled"),
        (replace(written("blank", fault="x"), picture_ms=NOW_MS - 2100), "stalled"),
        # Pausing by the operator overrides everything.
        (replace(LIVE, settings=b'{"paused": true}', stalled=True, owner_gone=True), "paused"),
    ],
)
def test_the_more_basic_reason_decides(facts: CameraFacts, state: State) -> None:
    camera = camera_of(facts)
    assert camera.state == state
    assert camera.stalled is facts.stalled


def test_without_the_redis_for_pictures_no_camera_is_live() -> None:
    assert camera_of(LIVE, pictures_now_ms=None).state == "stalled"
    assert camera_of(written("down"), pictures_now_ms=None).state == "down"


def test_a_picture_of_an_earlier_owner_is_not_the_first_picture() -> None:
    old = replace(LIVE, picture_ms=NOW_MS - 60_000)
    assert camera_of(old).state == "stalled"
    assert camera_of(replace(old, claimed_ms=NOW_MS - 500)).state == "starting"
    assert camera_of(replace(LIVE, claimed_ms=NOW_MS - 500)).state == "live"


def test_a_slow_clock_and_a_slow_worker_get_more_time() -> None:
    assert picture_limit_s(10) == picture_limit_s(10, 10) == picture_limit_s(10, 0) == 2
    assert picture_limit_s(0.5) == 6
    assert picture_limit_s(10, 1) == 3
    assert tracks_limit_s(10) == tracks_limit_s(10, 9) == 1
    assert tracks_limit_s(0.5) == 4
    assert tracks_limit_s(10, 1) == 2
    late = replace(LIVE, picture_ms=NOW_MS - 2900)
    assert camera_of(late).state == "stalled"
    assert camera_of(replace(late, written={**LIVE.written, "fps": "1.0"})).state == "live"
    assert camera_of(late, target_fps=1).state == "live"


@pytest.mark.parametrize("settings", [b"", b"[]", b"{", b"null", b"[" * 100_000])
def test_settings_that_cannot_be_read_are_reported(settings: bytes) -> None:
    camera = camera_of(replace(LIVE, settings=settings))
    assert camera.error is not None
    assert "settings" in camera.error


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "12.5.1", "9" * 30, "[" * 100_000])
def test_a_malformed_field_is_left_out(text: str) -> None:
    camera = camera_of(replace(LIVE, written={**LIVE.written, "width": text, "class_names": text}))
    assert (camera.state, camera.width, camera.class_names) == ("live", None, ())
    assert camera_of(replace(LIVE, written={**LIVE.written, "fps": text})).fps in (None, 1e30)


def test_numbers_are_passed_on() -> None:
    fields = {"width": "640", "height": "480", "fps": "9.5", "class_names": json.dumps(["car"])}
    camera = camera_of(replace(LIVE, written={**LIVE.written, **fields}, seen_tick=7, live_tracks=3, gids=2))
    assert (camera.width, camera.height, camera.fps, camera.class_names) == (640, 480, 9.5, ("car",))
    assert (camera.seen_tick, camera.lag_ticks, camera.live_tracks, camera.gids) == (7, 3, 3, 2)
    assert camera.picture_age_s == 0.1


@given(
    user=st.text("abcdef", min_size=3, max_size=8),
    password=st.text("ghijklmn0123@/:%!", min_size=6, max_size=16).filter(lambda text: text.strip("/@:%!")),
)
def test_no_part_of_a_login_remains_in_a_message(user: str, password: str) -> None:
    source = f"rtsp://{user}:{password}@10.1.2.3/stream"
    message = without_secrets(f"cannot open {source}: 401 for {user}:{password} ({password})", source)
    assert password not in message
    assert f"{user}:" not in message
    assert "401" in message or "401" in password
