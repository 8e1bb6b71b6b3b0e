"""The state messages of `/wall.stream`, in the same form as `/site` and `/cameras`."""

from __future__ import annotations

from typing import Any

from services.streamer.api.cameras import cameras_of
from services.streamer.api.site import part_of, problem_of, site_of
from shared.site_state.health_strip import health_strip_without_redis
from shared.site_state.problems import redis_silent
from shared.site_state.states import SiteState


def wall_json(state: SiteState) -> dict[str, Any]:
    """A state message."""
    return {"redis": True, "site": site_of(state).model_dump(), **cameras_of(state).model_dump()}


def wall_json_without_redis() -> dict[str, Any]:
    """A state message while Redis does not answer."""
    return {
        "redis": False,
        "problems": [problem_of(redis_silent()).model_dump()],
        "health": [part_of(part).model_dump() for part in health_strip_without_redis()],
    }
