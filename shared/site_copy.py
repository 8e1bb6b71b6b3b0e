"""Publishes a site again if Redis loses it or it is damaged there, from what a running process knows.

Two processes do this: the clock that ticks, and `mtmc up`.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import ResponseError

from shared.camera_settings import camera_names, parse_settings
from shared.errors import ConfigError, shortened
from shared.lenient_reads import hash_at, is_wrong_type, text_at
from shared.lenient_values import whole
from shared.redis_connection import Client
from shared.site import PublishedSite, parse_site

_log = structlog.get_logger()
LOOK_EVERY_S = 1.0
_HEAD_BYTES = 100
"""The beginning of `config`, which has the revision and a digest of the rest."""
Commands = list[list[Any]]


@dataclass(frozen=True)
class _Found:
    """What is published now; empty or None: the key is missing or of another type."""

    config: bytes
    revision: bytes | None
    cameras: dict[bytes, bytes]
    is_marked: bool
    """Whether `cameras:none` says that the site has no camera on purpose."""

    @property
    def is_empty(self) -> bool:
        """Whether the site has no camera on purpose."""
        return self.is_marked and not self.cameras


class SiteCopy:
    """The newest revision that this process knows, and the settings of the cameras, with their changes at run time."""

    def __init__(self, client: Client, site: PublishedSite) -> None:
        self._client, self._keys, self._site = client, site.keys, site
        self._cameras: dict[bytes, bytes] = {}
        self._look_at = 0.0

    @property
    def camera_names(self) -> frozenset[str]:
        """The cameras of the site at the last look."""
        return frozenset(camera_names(self._cameras))

    def look_if_due(self) -> str | None:
        """`look`, once per second at most."""
        if time.monotonic() < self._look_at:
            return None
        self._look_at = time.monotonic() + LOOK_EVERY_S
        return self.look()

    def look(self) -> str | None:
        """Remembers what is published, and writes again what is missing or damaged; returns what that was.

        The revision stays the same, so no service restarts because of it. The settings of a camera that cannot be read
        are replaced by the last good ones.

        Raises:
            RedisError: Redis is unreachable.
        """
        found = self._read(self._client)
        self._remember(found)
        if not self._repairs(found)[0]:
            return None

        def attempt(pipe: Any) -> str:
            commands, what = self._repairs(self._read(pipe))
            pipe.multi()
            for command in commands:
                pipe.execute_command(*command)
            return what

        watched = (self._keys.config, self._keys.revision, self._keys.cameras, self._keys.no_cameras)
        what: str = self._client.transaction(attempt, *watched, value_from_callable=True)
        if not what:
            return None
        _log.warning("wrote again what Redis had lost, or what was damaged there", what=what)
        return what

    def _read(self, client: Any) -> _Found:
        cameras = hash_at(client, self._keys.cameras)
        is_marked = bool(client.exists(self._keys.no_cameras))
        return _Found(self._config(client), text_at(client, self._keys.revision), cameras, is_marked)

    def _config(self, client: Any) -> bytes:
        """`config`; read as a whole only if it is another one, because masks make it large."""
        known = self._site.text
        try:
            is_known = client.strlen(self._keys.config) == len(known) and (
                client.getrange(self._keys.config, 0, _HEAD_BYTES - 1) == known[:_HEAD_BYTES]
            )
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            return b""
        return known if is_known else text_at(client, self._keys.config) or b""

    def _remember(self, found: _Found) -> None:
        good = {name: text for name, text in found.cameras.items() if _is_good(name, text)}
        damaged = {name: self._cameras[name] for name in found.cameras if name not in good and name in self._cameras}
        if good or found.is_empty:
            self._cameras = good | damaged
        if found.config == self._site.text:
            return
        try:
            site = parse_site(found.config, self._keys)
        except ConfigError:
            return
        if site.revision > self._site.revision:
            self._site = site

    def _repairs(self, found: _Found) -> tuple[Commands, str]:
        """The commands that write again what is missing or damaged, and what that is, for people."""
        commands: Commands = []
        what: list[str] = []
        revision = _revision_of(found.config)
        if revision is None:
            revision = self._site.revision
            commands.append(["SET", self._keys.config, self._site.text])
            what.append(f"the site, revision {revision}")
        if found.revision != str(revision).encode():
            commands.append(["SET", self._keys.revision, revision])
            what.append("its revision")
        if found.is_marked and found.cameras:
            # It would keep cameras that are lost later from being written again.
            commands.append(["DEL", self._keys.no_cameras])
            what.append("(removed a mark that the site has no camera)")
        is_lost = not found.cameras and not found.is_empty
        if is_lost and self._cameras:
            commands.append(["DEL", self._keys.cameras])
        lost = [
            name
            for name in sorted(self._cameras)
            if is_lost or (name in found.cameras and not _is_good(name, found.cameras[name]))
        ]
        for name in lost:
            commands.append(["HSET", self._keys.cameras, name, self._cameras[name]])
            what.append(f"camera {name.decode()}")
        for name in found.cameras:
            if not camera_names([name]):
                commands.append(["HDEL", self._keys.cameras, name])
                what.append(f"(removed a camera whose name cannot be used: {name[:64]!r})")
        return commands, shortened(", ".join(what))


def _is_good(name: bytes, text: bytes) -> bool:
    return any(parse_settings(usable, text) is not None for usable in camera_names([name]))


def _revision_of(text: bytes) -> int | None:
    """The revision of a published site, also of one that only another version can read; None if it is damaged."""
    try:
        content = json.loads(text)
        return whole(str(content["revision"])) if isinstance(content["site"], dict) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
