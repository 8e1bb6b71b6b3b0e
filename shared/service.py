"""The shell around every service: `run(stop)` around `step()`, through lost connections, until told to stop."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from shared.backoff import Backoff
from shared.errors import LeaseLost
from shared.monitoring.monitor import Monitor
from shared.redis_connection import RETRYABLE, WritesRefused

_log = structlog.get_logger()
_RETRY_FIRST_S, _RETRY_CAP_S = 0.05, 0.5
"""Short, because a lease lasts only seconds and its last owner should be the first to renew it."""


class Service(Protocol):
    """What `run` drives.

    `step` blocks at most a second or so and may raise any error of Redis; it is then called again, its memory intact.
    """

    def step(self) -> None:
        """One piece of work."""

    def problem(self) -> str | None:
        """Why the service cannot do its work although it steps, as one line; None: it can.

        A standby can. Called from any thread.
        """

    def close(self) -> None:
        """Gives up what the service holds; Redis may be gone."""


def run(
    service: Service,
    stop: threading.Event,
    is_outdated: Callable[[], bool] = lambda: False,
    monitor: Monitor | None = None,
) -> bool:
    """Steps until `stop` is set, the parent process is gone or the service `is_outdated`, then closes.

    A lost connection, or a Redis that takes no writes because its disk or memory is full, is logged once and retried
    with exponential backoff and jitter; everything else is a bug or an error for the user, and ends the process. True
    if it is outdated. `monitor` is kept up to date for probes.
    """
    parent, monitor = os.getppid(), monitor or Monitor()
    health, figures = monitor.health, monitor.loop
    failures, backoff = 0, Backoff(_RETRY_FIRST_S, _RETRY_CAP_S)
    health.enter_loop(service.problem)
    try:
        while not stop.is_set():
            if os.getppid() != parent:
                _log.warning("the parent process is gone, stopping")
                break
            try:
                with figures.step_seconds.time():
                    service.step()
                if is_outdated():
                    return True
            except RETRYABLE as error:
                failures += 1
                refused = isinstance(error, WritesRefused)
                figures.redis_failures.labels("refused" if refused else "unreachable").inc()
                health.failed(f"Redis {'takes no writes' if refused else 'does not answer'}: {error}")
                if failures == 1 and refused:
                    _log.error("Redis takes no writes, retrying until it does", reason=str(error))
                elif failures == 1:
                    _log.warning("Redis is gone, retrying until it is back", reason=str(error))
                stop.wait(backoff.next_s())
            except LeaseLost as error:
                figures.leases_lost.inc()
                health.progressed()
                _log.warning("lost a lease", role=error.role)
            else:
                if failures:
                    figures.redis_reconnects.inc()
                    _log.info("Redis is back", failed_attempts=failures)
                    backoff.reset()
                failures = 0
                health.stepped()
        return False
    finally:
        health.waiting("it is stopping")
        try:
            service.close()
        except RETRYABLE as error:
            _log.warning("Redis is gone while stopping; leases will expire by themselves", reason=str(error))
        except LeaseLost as error:
            _log.warning("lost a lease while stopping", role=error.role)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
