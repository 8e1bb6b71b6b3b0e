"""Determines the state of a camera from plain facts. Pure: reads neither a clock nor Redis."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import unquote

from shared.camera_settings import MOST_BYTES
from shared.errors import hide, shortened
from shared.lenient_values import class_names, decimal, whole
from shared.site_state.facts import CameraFacts
from shared.site_state.states import CameraState, State, picture_limit_s

_PICTURES_ARRIVE = ("live", "frozen", "blank", "moving", "moved")
_SHORTEST_SECRET = 3
"""Shorter parts of a source are not masked in messages: they would match anything."""


def judged(
    facts: CameraFacts, *, tick: int, target_fps: float, pictures_now_ms: int | None, ticks_stopped: bool = False
) -> CameraState:
    """The state of a camera.

    `tick` is the current tick of the site, `target_fps` the rate of its clock, and `pictures_now_ms` the time of the
    Redis that holds the pictures, None if it does not answer. `ticks_stopped`: whether the clock publishes no ticks.
    """
    written = facts.written
    paused, source, title, secrets, broken = _settings(facts.settings)
    error = shortened(without_secrets(written.get("error", ""), source, secrets)) or broken
    age_s = None
    if facts.picture_ms is not None and pictures_now_ms is not None:
        age_s = max(0.0, (pictures_now_ms - facts.picture_ms) / 1000)
    fps = decimal(written.get("fps"))
    state: State
    if paused:
        state, message = "paused", "paused"
    else:
        late = age_s is not None and age_s > picture_limit_s(target_fps, fps)
        state, message = _state(facts, error, pictures_away=pictures_now_ms is None, late=late)
        if ticks_stopped and (late or state in _PICTURES_ARRIVE):
            state, message = "stalled", "the clock publishes no ticks"
    return CameraState(
        name=facts.name,
        state=state,
        message=message,
        title=title or None,
        stalled=facts.stalled,
        owner=written.get("owner") or None,
        error=error or None,
        fps=fps,
        width=whole(written.get("width")) or None,
        height=whole(written.get("height")) or None,
        seen_tick=facts.seen_tick,
        lag_ticks=None if facts.seen_tick is None else max(0, tick - facts.seen_tick),
        live_tracks=facts.live_tracks,
        gids=facts.gids,
        picture_age_s=age_s,
        class_names=class_names(written.get("class_names", "")),
    )


def redis_away(camera: str) -> CameraState:
    """The state that is shown for a camera while Redis is unreachable."""
    return CameraState(camera, "stalled", "no connection to Redis; retrying")


def _state(facts: CameraFacts, error: str, *, pictures_away: bool, late: bool) -> tuple[State, str]:
    """The state of a camera that the operator has not paused."""
    written, owner = facts.written.get("state", ""), facts.written.get("owner", "")
    if written in ("", "released", "paused"):
        return "waiting", "no worker has it" + (f" ({error})" if error else "")
    if written == "ended":
        return "ended", "the file has ended"
    if facts.owner_gone:
        return "stalled", f"its worker {owner} does not answer"
    if written == "down":
        return "down", error or "the camera does not answer"
    if written == "starting":
        return "starting", "opening the source"
    fault = shortened(facts.written.get("fault", ""))
    if written not in _PICTURES_ARRIVE:
        return "stalled", "its worker reports a state that this version of mtmc does not know"
    if facts.stalled:
        return "stalled", f"its worker {owner} handles no tick" if owner else "its worker handles no tick"
    if pictures_away:
        return "stalled", "the Redis that holds the pictures does not answer"
    if facts.picture_ms is None or facts.picture_ms < (facts.claimed_ms or 0):
        return "starting", "waiting for the first picture"
    if late:
        since = datetime.fromtimestamp(facts.picture_ms / 1000, UTC)
        return "stalled", f"no new picture since {since:%Y-%m-%d %H:%M:%S} UTC"
    if written == "frozen":
        return "frozen", fault or "the picture does not change"
    if written == "blank":
        return "blank", fault or "the picture is all of one colour"
    if written == "moving":
        return "moving", fault or "the camera is moving"
    if written == "moved":
        return "moved", fault or "the camera was moved"
    return "live", "live"


def _settings(text: bytes) -> tuple[bool, str, str, list[str], str]:
    """Whether the camera is paused, its source, its title, its secrets, and the error in its settings, if any."""
    try:
        settings = json.loads(text if len(text) <= MOST_BYTES else b"")
        source, title = str(settings.get("source", "")), str(settings.get("title") or "")
        secrets = [str(secret) for secret in settings.get("secrets") or ()]
        return bool(settings.get("paused", False)), source, title, secrets, ""
    except (ValueError, AttributeError, TypeError, RecursionError):
        return False, "", "", [], "the settings of this camera cannot be read; publish the site again"


def without_secrets(text: str, source: str, secrets: Iterable[str] = ()) -> str:
    """`text` without `secrets` and without the user and password of `source`, also when they are percent-encoded."""
    authority = source.partition("://")[2]
    login = authority.rpartition("@")[0]
    password = login.partition(":")[2]
    for secret in (login, unquote(login), password, unquote(password)):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return hide(text, secrets)
