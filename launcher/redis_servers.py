"""The Redis of a site that runs on this machine: the one that was named, or servers of our own."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from launcher.address import RedisAddress, configured
from launcher.state_folder import StateFolder
from launcher.supervision import Supervisor
from shared.config import SiteConfig
from shared.errors import MtmcError
from shared.redis_connection import RETRYABLE
from shared.redis_server import RedisServer, any_free_port, choose_port, find_binary

REDIS = "redis"
PICTURES = "redis-pictures"
_REDIS_START_SECONDS = 60.0


def redis_for(
    site: SiteConfig, redis_url: str | None, state: StateFolder, environment: Mapping[str, str]
) -> tuple[RedisAddress, dict[str, RedisServer]]:
    """The Redis that somebody named, or servers of our own: one with a log, and one without for pictures.

    Raises:
        RedisUnusable: no server can be had, or the named one is not fit for use.
    """
    named = configured(redis_url, site, environment)
    if named is not None:
        named.open().close()
        return named, {}
    binary = find_binary()
    servers = {REDIS: RedisServer(binary, state.redis, choose_port(state.last_start().redis_port))}
    frames_url = site.redis.frames_url.get_secret_value() if site.redis.frames_url else None
    if frames_url is None:
        servers[PICTURES] = RedisServer(binary, state.pictures, any_free_port(), persistent=False)
        frames_url = servers[PICTURES].url
    for server in servers.values():
        server.write_settings()
    return RedisAddress(servers[REDIS].url, frames_url=frames_url, embedded=True), servers


def wait_for_redis(address: RedisAddress, supervisor: Supervisor, state: StateFolder, stop: threading.Event) -> None:
    """Until the embedded server answers, and is the one that was started.

    Raises:
        MtmcError: it does not start; the message holds its last words.
    """
    client = address.connect()
    deadline = time.monotonic() + _REDIS_START_SECONDS
    try:
        while not stop.is_set():
            info = supervisor.processes().get(REDIS)
            try:
                if info and info.pid and info.pid == client.info("server")["process_id"]:
                    client.ping()  # refused while the log is still being read
                    return
            except RETRYABLE:
                pass
            if (info and info.state in ("EXITED", "FATAL")) or time.monotonic() > deadline:
                log = state.log(REDIS)
                words = log.read_text(errors="replace").strip().splitlines()[-3:] if log.is_file() else []
                raise MtmcError(f"the embedded Redis does not start: {' | '.join(words)} (log: {log})")
            stop.wait(0.05)
    finally:
        client.close()
