"""Reads the state of the site from Redis, once for all who ask within a moment."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

from redis.exceptions import RedisError, ResponseError

from services.streamer.state import CameraFacts, SiteState, judged, stall_limit_s
from shared.redis_connection import RETRYABLE, Client
from shared.site import PublishedSite

MAX_AGE_S = 0.4
"""So old may an answer be; also an error, so that many requests do not wait for a Redis that is away one by one."""

# KEYS streams. Returns {time in ms, newest entry of each, or 0}: the entry's id and its fields without the bulky ones.
_NEWEST = """
local time = redis.call('TIME')
local answer = {time[1] * 1000 + math.floor(time[2] / 1000)}
for i, key in ipairs(KEYS) do
  local entries = redis.pcall('XREVRANGE', key, '+', '-', 'COUNT', 1)
  local entry = not entries.err and entries[1]
  answer[i + 1] = 0
  if entry then
    local kept = {entry[1]}
    for j = 1, #entry[2], 2 do
      if entry[2][j] ~= 'jpeg' and entry[2][j] ~= 'payload' then
        kept[#kept + 1] = entry[2][j]
        kept[#kept + 1] = entry[2][j + 1]
      end
    end
    answer[i + 1] = kept
  end
end
return answer
"""

Newest = tuple[int, dict[str, str]]
"""Milliseconds of the id, and the fields, of a stream's newest entry."""


class SiteReader:
    """Safe to use from any thread; only one of them asks Redis at a time."""

    def __init__(self, client: Client, frames: Client, site: PublishedSite) -> None:
        self._client, self._frames, self._keys = client, frames, site.keys
        self._config = site.config
        self._settings = {
            camera.name.encode(): camera.model_dump_json(by_alias=True).encode() for camera in site.config.cameras
        }
        self._lock = threading.Lock()
        self._error: RedisError | None = None
        self._asked_at = -1e9
        self.last: SiteState | None = None
        """What was read last, however old."""

    @property
    def camera_names(self) -> tuple[str, ...]:
        """The cameras as far as they are known: in the site's order, added ones after those."""
        last = self.last
        return self._config.camera_names if last is None else tuple(camera.name for camera in last.cameras)

    def current(self) -> SiteState:
        """The state of the site, at most `MAX_AGE_S` old.

        Raises:
            RedisError: Redis is away or refuses.
        """
        with self._lock:
            if time.monotonic() - self._asked_at > MAX_AGE_S:
                try:
                    self.last, self._error = self._read(), None
                except RedisError as error:
                    self._error = error
                self._asked_at = time.monotonic()
            if self._error is not None:
                raise self._error
            assert self.last is not None
            return self.last

    def _read(self) -> SiteState:
        read_at = time.monotonic()
        keys = self._keys
        with self._client.pipeline(transaction=False) as pipe:
            pipe.get(keys.tick)
            pipe.hgetall(keys.skew)
            pipe.zrange(keys.seen, 0, -1, withscores=True)
            pipe.hgetall(keys.cameras)
            tick_text, skew, seen, settings = pipe.execute()
        # A Redis that came back empty does not make the cameras unknown.
        settings = settings or self._settings
        names = self._ordered(name.decode(errors="replace") for name in settings)
        with self._client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(keys.camera(name))
                pipe.hvals(keys.gids(name))
            answers = pipe.execute(raise_on_error=False)
        statuses, gids = answers[::2], answers[1::2]
        _, tracks = _newest(self._client, [keys.tracks(name) for name in names])
        now_ms, pictures = self._newest_pictures(names)
        said = _text(skew)
        tick = int(tick_text or 0)
        seen_ticks = {name.decode(errors="replace"): int(score) for name, score in seen}
        stalled = frozenset(said.get("stalled", "").split())
        limit_s = stall_limit_s(self._config.clock.target_fps)
        cameras = []
        for index, name in enumerate(names):
            entry, picture = tracks[index], pictures[index]
            facts = CameraFacts(
                name,
                settings.get(name.encode(), b""),
                _text(statuses[index]),
                seen_ticks.get(name),
                _whole(entry[1].get("n")) if entry else None,
                picture[0] if picture else None,
            )
            cameras.append(judged(facts, tick=tick, stalled=name in stalled, now_ms=now_ms, limit_s=limit_s))
        return SiteState(
            site=self._config.site,
            mode=self._config.clock.mode,
            tick=tick,
            gate=_whole(said.get("gate")) or 0,
            skew=_whole(said.get("skew")) or 0,
            skipped=_whole(said.get("skipped")) or 0,
            slowest=said.get("slowest", ""),
            fastest=said.get("fastest", ""),
            live_identities=len({gid for values in gids if isinstance(values, list) for gid in values}),
            cameras=tuple(cameras),
            read_at=read_at,
        )

    def _newest_pictures(self, names: tuple[str, ...]) -> tuple[int | None, list[Newest | None]]:
        try:
            return _newest(self._frames, [self._keys.frames(name) for name in names])
        except RETRYABLE:
            if self._frames is self._client:
                raise
            return None, [None] * len(names)

    def _ordered(self, names: Iterable[str]) -> tuple[str, ...]:
        there = set(names)
        first = [name for name in self._config.camera_names if name in there]
        return (*first, *sorted(there.difference(first)))


def _newest(client: Client, streams: list[str]) -> tuple[int, list[Newest | None]]:
    now_ms, *entries = client.eval(_NEWEST, len(streams), *streams)
    return int(now_ms), [_entry(entry) for entry in entries]


def _entry(entry: Any) -> Newest | None:
    if not isinstance(entry, list):
        return None
    entry_id, *fields = (text.decode(errors="replace") for text in entry)
    return int(entry_id.partition("-")[0]), dict(zip(fields[::2], fields[1::2], strict=True))


def _text(answer: Mapping[bytes, bytes] | ResponseError) -> dict[str, str]:
    if isinstance(answer, ResponseError):
        return {}
    return {key.decode(errors="replace"): value.decode(errors="replace") for key, value in answer.items()}


def _whole(text: str | None) -> int | None:
    with contextlib.suppress(ValueError):
        return int(text) if text else None
    return None
