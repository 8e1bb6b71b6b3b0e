"""The command line and environment with which redis-cli opens a Redis, without its password on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.connection import parse_url

from shared.errors import RedisUnusable, redact

_TLS_OPTIONS = {
    "ssl_ca_certs": "--cacert",
    "ssl_ca_path": "--cacertdir",
    "ssl_certfile": "--cert",
    "ssl_keyfile": "--key",
}
"""Parameter of a rediss:// URL → option of redis-cli."""


def connection_options(url: str) -> list[str]:
    """The options of redis-cli for `url`, without the password.

    Raises:
        RedisUnusable: the URL is invalid.
    """
    parts = _parsed(url)
    if "path" in parts:
        options = ["-s", parts["path"]]
    else:
        options = ["-h", parts.get("host", "localhost"), "-p", str(parts.get("port", 6379))]
    if parts.get("db"):
        options += ["-n", str(parts["db"])]
    if parts.get("username"):
        options += ["--user", parts["username"]]
    if url.startswith("rediss://"):
        options.append("--tls")
        if parts.get("ssl_cert_reqs") == "none":
            options.append("--insecure")
        for name, option in _TLS_OPTIONS.items():
            if name in parts:
                options += [option, parts[name]]
    return options


def cli_environment(url: str, password: str | None, environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with the password in REDISCLI_AUTH; as for our own clients, one in the URL goes first.

    Raises:
        RedisUnusable: the URL is invalid.
    """
    secret = _parsed(url).get("password") or password
    return {**environment, "REDISCLI_AUTH": secret} if secret else dict(environment)


def _parsed(url: str) -> dict[str, Any]:
    try:
        return dict(parse_url(url))
    except ValueError as error:
        raise RedisUnusable(f"'{redact(url)}' is not a Redis URL ({error}); use redis://HOST:PORT") from None
