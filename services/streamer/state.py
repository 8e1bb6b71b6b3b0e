"""What the site and its cameras are doing, judged from what stands in Redis. Pure: reads no clock and no Redis."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal
from urllib.parse import unquote

from shared.errors import redact

State = Literal["live", "waiting", "stalled", "down", "ended", "paused"]
STATES: tuple[State, ...] = ("live", "waiting", "stalled", "down", "ended", "paused")

_LEAST_STALL_S = 2.0
_STALL_TICKS = 3
_SHORTEST_SECRET = 3
"""Shorter parts of a source are not searched for in messages: they would match anything."""


@dataclass(frozen=True)
class CameraFacts:
    """What Redis says of one camera."""

    name: str
    settings: bytes = b"{}"
    """JSON of its configuration; the source in it may hold a password and is never given out."""
    status: Mapping[str, str] | None = None
    """The plain text of `camera:{name}`."""
    seen_tick: int | None = None
    live_tracks: int | None = None
    picture_ms: int | None = None
    """When its newest picture was published, ms of the pictures' Redis."""


@dataclass(frozen=True)
class CameraState:
    """One camera, for pages and the API."""

    name: str
    state: State
    message: str
    """The state in words."""
    owner: str | None = None
    error: str | None = None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    seen_tick: int | None = None
    lag_ticks: int | None = None
    live_tracks: int | None = None
    picture_age_s: float | None = None
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class SiteState:
    """The whole site at one moment."""

    site: str
    mode: str
    tick: int
    gate: int
    skew: int
    skipped: int
    slowest: str
    fastest: str
    live_identities: int
    cameras: tuple[CameraState, ...]
    read_at: float
    """Monotonic time of this process, seconds."""

    def camera(self, name: str) -> CameraState | None:
        """The camera of this name, if the site has it."""
        return next((camera for camera in self.cameras if camera.name == name), None)


def stall_limit_s(target_fps: float) -> float:
    """After so long without a picture a camera is shown as stalled."""
    return max(_LEAST_STALL_S, _STALL_TICKS / target_fps)


def judged(facts: CameraFacts, *, tick: int, stalled: bool, now_ms: int | None, limit_s: float) -> CameraState:
    """The state of a camera.

    `tick` is the site's, `stalled` whether the clock names the camera, `now_ms` the time of the pictures' Redis (None:
    it does not answer), `limit_s` how old the newest picture of a live camera may be.
    """
    status = dict(facts.status or {})
    paused, source, broken = _settings(facts.settings)
    error = without_secrets(status.get("error", ""), source) or broken
    age_s = None
    if facts.picture_ms is not None and now_ms is not None:
        age_s = max(0.0, (now_ms - facts.picture_ms) / 1000)
    state, message = _state(
        "paused" if paused else status.get("state", ""),
        has_owner=bool(status.get("owner")),
        error=error,
        stalled=stalled,
        pictures_away=now_ms is None,
        since_ms=facts.picture_ms,
        late=age_s is not None and age_s > limit_s,
    )
    return CameraState(
        name=facts.name,
        state=state,
        message=message,
        owner=status.get("owner") or None,
        error=error or None,
        fps=_number(status.get("fps")),
        width=_whole(status.get("width")),
        height=_whole(status.get("height")),
        seen_tick=facts.seen_tick,
        lag_ticks=None if facts.seen_tick is None else max(0, tick - facts.seen_tick),
        live_tracks=facts.live_tracks,
        picture_age_s=age_s,
        class_names=_class_names(status.get("class_names", "")),
    )


def redis_away(camera: str) -> CameraState:
    """How a camera is shown while Redis is away."""
    return CameraState(camera, "stalled", "no connection to Redis; waiting until it is back")


def _state(
    said: str, *, has_owner: bool, error: str, stalled: bool, pictures_away: bool, since_ms: int | None, late: bool
) -> tuple[State, str]:
    if said == "paused":
        return "paused", "paused"
    if said == "ended":
        return "ended", "the recording has ended"
    if said == "down":
        return "down", error or "the camera does not answer"
    if pictures_away:
        return "stalled", "the Redis that holds the pictures does not answer"
    if since_ms is None:
        return "waiting", "waiting for the first picture" if has_owner else "waiting for a worker to take this camera"
    if stalled:
        return "stalled", "its worker does not answer"
    if late:
        since = datetime.fromtimestamp(since_ms / 1000, timezone.utc)
        return "stalled", f"no new picture since {since:%Y-%m-%d %H:%M:%S} UTC"
    return "live", "live"


def _settings(text: bytes) -> tuple[bool, str, str]:
    """Whether the camera is paused, its source, and what is wrong with its settings."""
    try:
        settings = json.loads(text)
        return bool(settings.get("paused", False)), str(settings.get("source", "")), ""
    except (ValueError, AttributeError):
        return False, "", "the settings of this camera cannot be read; publish the site again"


def without_secrets(text: str, source: str) -> str:
    """`text` without user and password of `source`, however they were written into it."""
    authority = source.partition("://")[2]
    login = authority.rpartition("@")[0]
    password = login.partition(":")[2]
    for secret in (login, unquote(login), password, unquote(password)):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return redact(text)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _whole(text: str | None) -> int | None:
    number = _number(text)
    return round(number) if number else None


def _class_names(text: str) -> tuple[str, ...]:
    try:
        names = json.loads(text) if text else ()
    except ValueError:
        return ()
    return tuple(str(name) for name in names) if isinstance(names, list) else ()
