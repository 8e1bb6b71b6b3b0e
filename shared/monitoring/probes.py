"""The responses of `/metrics`, `/healthz` and `/readyz`, for any HTTP server."""

from __future__ import annotations

from dataclasses import dataclass

from shared.monitoring.monitor import Monitor


@dataclass(frozen=True)
class Answer:
    """The HTTP response to a probe."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


def answer(monitor: Monitor, path: str) -> Answer:
    """The response for `path`."""
    if path == "/metrics":
        return Answer(200, monitor.text(), "text/plain; version=0.0.4; charset=utf-8")
    if path == "/healthz":
        return _probe(monitor.health.hung(), "ok")
    if path == "/readyz":
        return _probe(monitor.health.not_ready(), "ready")
    return Answer(404, b"not found; use /metrics, /healthz or /readyz\n")


def _probe(problem: str | None, ok_text: str) -> Answer:
    return Answer(200 if problem is None else 503, f"{problem or ok_text}\n".encode())
