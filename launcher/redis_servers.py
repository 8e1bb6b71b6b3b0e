"""The Redis of a site that runs on this machine: the configured one, or embedded servers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping

from launcher.address import RedisAddress, configured, embedded_address, frames_address
from launcher.state_folder import StateFolder
from launcher.supervision import Supervisor
from shared.config import SiteConfig
from shared.errors import MtmcError
from shared.redis_connection import RETRYABLE
from shared.redis_permissions import require_permissions
from shared.redis_server import RedisServer, any_free_port, choose_port, find_binary

REDIS = "redis"
PICTURES = "redis-pictures"
_REDIS_START_SECONDS = 60.0


def redis_for(
    site: SiteConfig, redis_url: str | None, state: StateFolder, environment: Mapping[str, str]
) -> tuple[RedisAddress, dict[str, RedisServer]]:
    """The configured Redis, or embedded servers: one with AOF persistence, and one without for pictures.

    Returns the address, and the servers to start by name (`REDIS`, `PICTURES`); none for a configured Redis.

    Raises:
        RedisUnusable: the configured Redis failed a check, or no `redis-server` was found.
    """
    named = configured(redis_url, site, environment)
    if named is not None:
        with contextlib.closing(named.open()) as client, named.translating_errors():
            require_permissions(client, named.url)
        return named, {}
    binary = find_binary()
    password = state.prepare_redis_password()
    port = choose_port(state.last_start().redis_port)
    servers = {REDIS: RedisServer(binary, state.redis, port, password=password)}
    if frames_address(site, environment) is None:
        servers[PICTURES] = RedisServer(binary, state.pictures, any_free_port(), persistent=False, password=password)
    for server in servers.values():
        server.write_settings()
    return embedded_address(servers[REDIS], servers.get(PICTURES), site, environment), servers


def wait_for_redis(address: RedisAddress, supervisor: Supervisor, state: StateFolder, stop: threading.Event) -> None:
    """Waits until the embedded server answers, and is the process that was started; or until `stop` is set.

    Raises:
        MtmcError: it did not start; the message has the last lines of its log.
    """
    client = address.connect()
    deadline = time.monotonic() + _REDIS_START_SECONDS
    try:
        while not stop.is_set():
            info = supervisor.processes().get(REDIS)
            try:
                if info and info.pid and info.pid == client.info("server")["process_id"]:
                    client.ping()  # fails while Redis still loads its AOF
                    return
            except RETRYABLE:
                pass
            if (info and info.state in ("EXITED", "FATAL")) or time.monotonic() > deadline:
                log = state.log(REDIS)
                lines = log.read_text(errors="replace").strip().splitlines()[-3:] if log.is_file() else []
                raise MtmcError(f"the embedded Redis did not start: {' | '.join(lines)} (log: {log})")
            stop.wait(0.05)
    finally:
        client.close()
