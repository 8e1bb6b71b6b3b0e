"""Checks the port of the page."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from http import HTTPStatus

from shared.config import StreamerConfig
from shared.redis_server import is_free
from site_checks.finding import Finding, error, ok

AREA = "ports"
_ANSWER_S = 2.0
_CHALLENGE = 'Bearer realm="mtmc"'
_NEEDS_LOGIN = "login needed"
"""No name of a site has a space."""


def examine_port(streamer: StreamerConfig, site: str) -> Finding:
    """Checks that the port is free, or that this site's page is being served there."""
    if streamer.port == 0:
        return ok(AREA, "the page picks a free port (streamer.port is 0)")
    host = streamer.host
    try:
        free = is_free(streamer.port, host)
    except PermissionError:
        return error(AREA, f"this user may not open port {streamer.port}; set streamer.port to one above 1023")
    except OSError as problem:
        return error(
            AREA,
            f"streamer.host = {host}: cannot listen on this address ({problem.strerror}); use an address of this "
            "machine",
        )
    if free:
        return ok(AREA, f"port {streamer.port} is free for the page")
    served = _site_served_at(host, streamer.port)
    if served == site:
        return ok(AREA, f"the page of this site is served on port {streamer.port}")
    if served == _NEEDS_LOGIN:
        return ok(AREA, f"a page of mtmc, which needs a login, is served on port {streamer.port}")
    return error(
        AREA,
        f"port {streamer.port} is in use by another program; stop it, or set another streamer.port "
        "(0 picks a free port)",
    )


def _site_served_at(host: str, port: int) -> str | None:
    """The name of the site whose streamer answers there, or `_NEEDS_LOGIN`; None if none does."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    address = f"[{name}]" if ":" in name else name
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/api/v1/site", timeout=_ANSWER_S) as answer:
            site = json.load(answer)["site"]
    except urllib.error.HTTPError as refused:
        challenges = refused.headers.get_all("WWW-Authenticate", [])
        return _NEEDS_LOGIN if refused.code == HTTPStatus.UNAUTHORIZED and _CHALLENGE in challenges else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(site)
