"""The port of the page."""

from __future__ import annotations

import json
import urllib.request

from shared.config import StreamerConfig
from shared.redis_server import is_free
from site_checks.finding import Finding, error, ok

AREA = "ports"
_ANSWER_S = 2.0


def examine_port(streamer: StreamerConfig, site: str) -> Finding:
    """Whether the page can be served there, or is."""
    if streamer.port == 0:
        return ok(AREA, "the page takes any free port")
    host = streamer.host
    try:
        free = is_free(streamer.port, host)
    except PermissionError:
        return error(AREA, f"port {streamer.port} may not be opened by this user; set streamer.port to one above 1023")
    except OSError as problem:
        return error(AREA, f"streamer.host = {host}: this machine cannot listen there ({problem.strerror}); correct it")
    if free:
        return ok(AREA, f"port {streamer.port} is free for the page")
    if _site_served_at(host, streamer.port) == site:
        return ok(AREA, f"port {streamer.port} is where the page of this site is served now")
    return error(
        AREA,
        f"port {streamer.port} is taken by another program; stop that one, or set streamer.port to another "
        "(0: any free one)",
    )


def _site_served_at(host: str, port: int) -> str | None:
    """The site whose streamer answers there; None: none of ours does."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    address = f"[{name}]" if ":" in name else name
    try:
        with urllib.request.urlopen(f"http://{address}:{port}/api/v1/site", timeout=_ANSWER_S) as answer:
            site = json.load(answer)["site"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(site)
