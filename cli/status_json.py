"""The state of a site as `mtmc status --json` prints it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from shared.site_state.health_strip import health_strip
from shared.site_state.states import CameraState, SiteState


def status_json(state: SiteState, redis: str) -> dict[str, Any]:
    """The fields that `mtmc status --help` documents; `redis` is the address to show."""
    return {
        "site": state.site,
        "redis": redis,
        "revision": state.revision,
        "running": state.running,
        "tick": state.tick,
        "gate": state.gate,
        "skew_ticks": state.skew_ticks,
        "slowest": state.slowest,
        "fastest": state.fastest,
        "stalled": list(state.stalled),
        "skipped_ticks": state.skipped_ticks,
        "clock": state.clock,
        "aggregator": state.aggregator,
        "tick_age_seconds": state.health.tick_age_s,
        "cycle_lag_ticks": state.health.cycle_lag_ticks,
        "boxes": state.health.boxes.shown,
        "boxes_without_gid": state.health.boxes.without_gid,
        "well": not state.problems,
        "problems": [asdict(problem) for problem in state.problems],
        "health": [asdict(part) for part in health_strip(state)],
        "notices": list(state.notices),
        "workers": [asdict(worker) for worker in state.workers],
        "cameras": [_camera_json(camera) for camera in state.cameras],
        "services": [asdict(service) for service in state.health.services],
    }


def _camera_json(camera: CameraState) -> dict[str, Any]:
    return {
        "name": camera.name,
        "state": camera.state,
        "message": camera.message,
        "warning": camera.warning,
        "stalled": camera.stalled,
        "owner": camera.owner,
        "error": camera.error,
        "seen_tick": camera.seen_tick,
        "lag_ticks": camera.lag_ticks,
        "fps": camera.fps,
        "tracks": camera.live_tracks,
        "gids": camera.gids,
    }
