"""What `/metrics`, `/healthz` and `/readyz` answer, whichever server asks."""

from __future__ import annotations

from dataclasses import dataclass

from shared.monitoring.monitor import Monitor


@dataclass(frozen=True)
class Answer:
    """What a probe gets."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


def answer(monitor: Monitor, path: str) -> Answer:
    """What is served at `path`."""
    if path == "/metrics":
        return Answer(200, monitor.text(), "text/plain; version=0.0.4; charset=utf-8")
    if path == "/healthz":
        return _probe(monitor.health.hung(), "ok")
    if path == "/readyz":
        return _probe(monitor.health.not_ready(), "ready")
    return Answer(404, b"not found; there are /metrics, /healthz and /readyz\n")


def _probe(problem: str | None, well: str) -> Answer:
    return Answer(200 if problem is None else 503, f"{problem or well}\n".encode())
