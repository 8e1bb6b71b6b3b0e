"""Ports for tests that run in several processes at once."""

from __future__ import annotations

import os
import random

from shared.redis_server import is_free

_FIRST, _PER_WORKER = 20_000, 500
"""Below the ports that the system picks itself (from 32768 on Linux), which any connection may take at any moment."""


def free_port() -> int:
    """A port that nothing listens on, and that no other test process of this run uses."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 20
    first = _FIRST + worker * _PER_WORKER
    while not is_free(port := random.randrange(first, first + _PER_WORKER)):
        pass
    return port
