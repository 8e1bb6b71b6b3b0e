"""A site at a glance, read from Redis in three round trips; the fields are those of `mtmc status --json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import redact
from shared.keys import Keys
from shared.redis_connection import Client

_ALIVE_S = 10.0
"""A worker without a heartbeat for so long is gone."""


@dataclass(frozen=True)
class WorkerView:
    """One worker; texts are as it writes them, empty when it did not."""

    id: str
    host: str
    pid: str
    labels: str
    device: str
    backend: str
    cameras: str
    fps: str
    heartbeat_age_seconds: float


@dataclass(frozen=True)
class CameraView:
    """One camera; None is what is not known."""

    name: str
    state: str
    """`starting live down ended paused released`; `waiting` before any worker took it."""
    stalled: bool
    owner: str | None
    error: str | None
    seen_tick: int | None
    """Last handled tick; None unless it takes part."""
    lag_ticks: int | None
    """How far it is behind the clock."""
    fps: float | None
    tracks: int | None
    """In its newest entry."""
    gids: int
    """Tracks that have a global id now."""


@dataclass(frozen=True)
class Overview:
    """A whole site."""

    site: str
    redis: str
    revision: int
    running: bool
    """Whether a clock or a worker is alive."""
    tick: int
    gate: int | None
    skew_ticks: int | None
    slowest: str | None
    """`camera@tick`."""
    fastest: str | None
    stalled: list[str]
    skipped_ticks: int
    clock: bool
    """Whether some process owns the role."""
    aggregator: bool
    workers: list[WorkerView]
    cameras: list[CameraView]


def read_overview(client: Client, keys: Keys, redis: str) -> Overview | None:
    """The site as it stands, or None when nobody has published it. `redis` is the address to show."""
    with client.pipeline(transaction=False) as pipe:
        pipe.get(keys.config)
        pipe.get(keys.tick)
        pipe.hgetall(keys.skew)
        pipe.exists(keys.lease("clock"))
        pipe.exists(keys.lease("aggregator"))
        pipe.hgetall(keys.cameras)
        pipe.zrange(keys.workers, 0, -1, withscores=True)
        pipe.time()
        config, tick_text, skew_fields, clock, aggregator, settings, heartbeats, time = pipe.execute()
    if config is None:
        return None
    now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
    tick, skew = int(tick_text or 0), _text(skew_fields)
    stalled = skew.get("stalled", "").split()
    workers = _read_workers(client, keys, {name.decode(): (now_ms - score) / 1000 for name, score in heartbeats})
    cameras = _read_cameras(client, keys, _paused(settings), tick, stalled)
    return Overview(
        site=keys.site,
        redis=redis,
        revision=int(json.loads(config)["revision"]),
        running=bool(clock) or bool(workers),
        tick=tick,
        gate=_number(skew.get("gate")),
        skew_ticks=_number(skew.get("skew")),
        slowest=skew.get("slowest") or None,
        fastest=skew.get("fastest") or None,
        stalled=stalled,
        skipped_ticks=_number(skew.get("skipped")) or 0,
        clock=bool(clock),
        aggregator=bool(aggregator),
        workers=workers,
        cameras=cameras,
    )


def _read_workers(client: Client, keys: Keys, ages_s: Mapping[str, float]) -> list[WorkerView]:
    alive = sorted(worker for worker, age_s in ages_s.items() if age_s < _ALIVE_S)
    with client.pipeline(transaction=False) as pipe:
        for worker in alive:
            pipe.hgetall(keys.worker(worker))
        found = [_text(fields) for fields in pipe.execute()] if alive else []
    return [
        WorkerView(
            id=worker,
            host=fields.get("host", ""),
            pid=fields.get("pid", ""),
            labels=fields.get("labels", ""),
            device=fields.get("device", ""),
            backend=fields.get("backend", ""),
            cameras=fields.get("cameras", ""),
            fps=fields.get("fps", ""),
            heartbeat_age_seconds=round(ages_s[worker], 3),
        )
        for worker, fields in zip(alive, found, strict=True)
    ]


def _paused(settings: Mapping[bytes, bytes]) -> dict[str, bool]:
    """Camera → whether the operator has paused it, sorted by name."""
    paused = {}
    for name, text in sorted(settings.items()):
        try:
            paused[name.decode()] = bool(json.loads(text)["paused"])
        except (ValueError, KeyError, TypeError):
            paused[name.decode()] = False
    return paused


def _read_cameras(
    client: Client, keys: Keys, paused: Mapping[str, bool], tick: int, stalled: list[str]
) -> list[CameraView]:
    names = list(paused)
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hgetall(keys.camera(name))
            pipe.zscore(keys.seen, name)
            pipe.xrevrange(keys.tracks(name), count=1)
            pipe.hlen(keys.gids(name))
        answers = pipe.execute() if names else []
    cameras = []
    for i, name in enumerate(names):
        hash_fields, seen, newest, gids = answers[4 * i : 4 * i + 4]
        fields = _text(hash_fields)
        cameras.append(
            CameraView(
                name=name,
                state=_state(fields.get("state", ""), paused=paused[name]),
                stalled=name in stalled,
                owner=fields.get("owner") or None,
                error=redact(fields["error"]) if fields.get("error") else None,
                seen_tick=None if seen is None else int(seen),
                lag_ticks=None if seen is None else max(0, tick - int(seen)),
                fps=_decimal(fields.get("fps")),
                tracks=_number((newest[0][1].get(b"n") or b"").decode()) if newest else None,
                gids=int(gids),
            )
        )
    return cameras


def _state(said: str, *, paused: bool) -> str:
    """As its owner says, but for what the operator has changed and nobody has taken up yet."""
    if paused:
        return "paused"
    return "waiting" if said in ("", "paused") else said


def _text(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode(errors="replace") for name, value in fields.items()}


def _number(text: str | None) -> int | None:
    try:
        return int(text) if text else None
    except ValueError:
        return None


def _decimal(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
