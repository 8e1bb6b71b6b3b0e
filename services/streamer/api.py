"""The JSON of `/api/v1`: reads the tracks from Redis and builds the responses."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from redis.exceptions import ResponseError

from shared.errors import MessageError, redact
from shared.keys import Keys
from shared.messages import TrackEntry
from shared.redis_connection import Client
from shared.service_list import ServiceInfo
from shared.site_state.problems import redis_silent
from shared.site_state.shown_tracks import ShownTracks
from shared.site_state.states import CameraState, SiteState


def site_json(state: SiteState) -> dict[str, Any]:
    """`/api/v1/site`."""
    return {
        "site": state.site,
        "mode": state.mode,
        "tick": state.tick,
        "gate": state.gate or 0,
        "skew_ticks": state.skew_ticks or 0,
        "skipped_ticks": state.skipped_ticks,
        "slowest": state.slowest,
        "fastest": state.fastest,
        "cameras": len(state.cameras),
        "cameras_live": sum(camera.is_well for camera in state.cameras),
        "live_tracks": sum(camera.live_tracks or 0 for camera in state.cameras),
        "live_identities": state.live_identities,
        "tick_age_s": _rounded(state.health.tick_age_s),
        "cycle_lag_ticks": state.health.cycle_lag_ticks,
        "boxes": state.health.boxes.shown,
        "boxes_without_gid": state.health.boxes.without_gid,
        "well": not state.problems,
        "problems": [asdict(problem) for problem in state.problems],
        "notices": list(state.notices),
        "services": [_service_json(service) for service in state.health.services],
    }


def _service_json(service: ServiceInfo) -> dict[str, Any]:
    return {
        "id": service.id,
        "role": service.role,
        "host": service.host,
        "pid": service.pid,
        "ready": service.ready,
        "problem": service.problem,
        "heartbeat_age_s": service.heartbeat_age_seconds,
    }


def camera_json(camera: CameraState) -> dict[str, Any]:
    """One element of `/api/v1/cameras`. The source is left out on purpose: it may contain a password."""
    return {
        "name": camera.name,
        "title": camera.title or camera.name,
        "state": camera.state,
        "message": camera.message,
        "warning": camera.warning,
        "owner": camera.owner,
        "seen_tick": camera.seen_tick,
        "lag_ticks": camera.lag_ticks,
        "fps": camera.fps,
        "width": camera.width,
        "height": camera.height,
        "error": camera.error,
        "live_tracks": camera.live_tracks,
        "picture_age_s": _rounded(camera.picture_age_s),
        "picture_url": f"/{quote(camera.name)}.jpg",
        "stream_url": f"/{quote(camera.name)}.mjpg",
    }


def cameras_json(state: SiteState) -> dict[str, Any]:
    """`/api/v1/cameras`."""
    return {"cameras": [camera_json(camera) for camera in state.cameras]}


def wall_json(state: SiteState) -> dict[str, Any]:
    """The state messages of `/wall.stream`."""
    return {"redis": True, "site": site_json(state), **cameras_json(state)}


def wall_json_without_redis() -> dict[str, Any]:
    """The state messages of `/wall.stream` while Redis does not answer."""
    return {"redis": False, "problems": [asdict(redis_silent())]}


def read_tracks(
    client: Client, keys: Keys, cameras: Sequence[CameraState], shown: Sequence[ShownTracks | None]
) -> dict[str, Any]:
    """`/api/v1/tracks`: the tracks of each camera that are `shown`, with their present global ids.

    A camera whose entry is malformed gets the field `error`; the others are not affected.

    Raises:
        RedisError: Redis is unreachable.
    """
    with client.pipeline(transaction=False) as pipe:
        for camera, tracks in zip(cameras, shown, strict=True):
            oldest, newest = (tracks.entry_id, tracks.entry_id) if tracks else ("-", "+")
            pipe.xrevrange(keys.tracks(camera.name), newest, oldest, count=1)
            pipe.hgetall(keys.gids(camera.name))
        answers = pipe.execute(raise_on_error=False)
    return {
        "cameras": [
            _camera_tracks(camera, tracks, entries, gids)
            for camera, tracks, entries, gids in zip(cameras, shown, answers[::2], answers[1::2], strict=True)
        ]
    }


def _camera_tracks(camera: CameraState, shown: ShownTracks | None, entries: Any, gids: Any) -> dict[str, Any]:
    try:
        for answer in (entries, gids):
            if isinstance(answer, ResponseError):
                raise MessageError(f"Redis refused: {answer}")
        entry = TrackEntry.decode(entries[0][1]) if entries else None
    except MessageError as error:
        return {**_entry_json(camera.name, None), "error": redact(str(error))}
    described = _entry_json(camera.name, entry)
    if entry is not None and shown is not None:
        if shown.fresh:
            described["tracks"] = _tracks(entry, shown.ended, gids, camera.class_names)
        else:
            described["width"] = described["height"] = None
    return described


def _entry_json(camera: str, entry: TrackEntry | None) -> dict[str, Any]:
    return {
        "camera": camera,
        "tick": entry.tick if entry else None,
        "time_ns": str(entry.time_ns) if entry else None,
        "time": _iso(entry.time_ns) if entry else None,
        "width": (entry.batch.width or None) if entry else None,
        "height": (entry.batch.height or None) if entry else None,
        "tracks": [],
    }


def _tracks(
    entry: TrackEntry, ended: frozenset[int], gids: Mapping[bytes, bytes], class_names: Sequence[str]
) -> list[dict[str, Any]]:
    batch = entry.batch
    tracks = []
    for i, track_id in enumerate(batch.track_ids.tolist()):
        if track_id in ended:
            continue
        class_id = int(batch.class_ids[i])
        tracks.append(
            {
                "track_id": str(track_id),
                "gid": _gid(gids.get(str(track_id).encode())),
                "box_xyxy": [round(float(edge), 2) for edge in batch.boxes_xyxy[i]],
                "score": round(float(batch.scores[i]), 4),
                "class": class_names[class_id] if 0 <= class_id < len(class_names) else class_id,
                "quality": round(float(batch.qualities[i]), 4),
            }
        )
    return tracks


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _gid(text: bytes | None) -> int | None:
    with contextlib.suppress(ValueError):
        return int(text) if text is not None else None
    return None


def _iso(time_ns: int) -> str | None:
    """ISO 8601 in UTC with microseconds; None if the time is out of range."""
    with contextlib.suppress(ValueError, OverflowError, OSError):
        moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
        return moment.replace(microsecond=time_ns // 1000 % 1_000_000).isoformat(timespec="microseconds")
    return None
