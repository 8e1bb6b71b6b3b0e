"""The main loop of every service: calls `step()` until stopped, and retries when Redis is unreachable."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Protocol

import structlog
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from shared.backoff import Backoff
from shared.errors import LeaseLost
from shared.lenient_reads import is_wrong_type
from shared.monitoring.monitor import Monitor
from shared.redis_connection import RETRYABLE, WritesRefused

_log = structlog.get_logger()
_RETRY_FIRST_S, _RETRY_CAP_S = 0.05, 0.5
"""Short, because a lease lasts only seconds and its last owner should be the first to renew it."""

_REPAIRS = 20
"""Repairs without a step in between: a key that is wrong again each time needs a person."""


class Service(Protocol):
    """The interface that `run` calls.

    `step` blocks for about a second at most. It may raise any Redis error and is then called again on the same object.
    """

    def step(self) -> None:
        """Does one unit of work."""

    def problem(self) -> str | None:
        """Why the service is not ready although its loop runs, as one line; None if it is ready.

        A standby is ready. Called from any thread.
        """

    def close(self) -> None:
        """Releases what the service holds; Redis may be unreachable."""


def run(
    service: Service,
    stop: threading.Event,
    is_outdated: Callable[[], bool] = lambda: False,
    monitor: Monitor | None = None,
    repair: Callable[[], object] | None = None,
) -> bool:
    """Calls `step` until `stop` is set, the parent process is gone or `is_outdated` is true, then closes the service.

    A lost connection, a refused password or command, or a Redis that refuses writes because its disk or memory is full,
    is logged once and retried with exponential backoff and jitter. If a key has a wrong type, `repair` is called before
    the retry, a few times in a row. Any other error is a bug or one for the user, and ends the process. `monitor` is
    kept up to date for probes.
    Returns True if the service is outdated.
    """
    parent, monitor = os.getppid(), monitor or Monitor()
    health, metrics = monitor.health, monitor.loop
    failures, logged, repairs, backoff = 0, "", 0, Backoff(_RETRY_FIRST_S, _RETRY_CAP_S)
    health.enter_loop(service.problem)
    try:
        while not stop.is_set():
            if os.getppid() != parent:
                _log.warning("the parent process is gone, stopping")
                break
            try:
                with metrics.step_seconds.time():
                    service.step()
                if is_outdated():
                    return True
            except RETRYABLE as error:
                failures += 1
                fault = _fault(error)
                refused = isinstance(error, (WritesRefused, NoPermissionError))
                metrics.redis_failures.labels("refused" if refused else "unreachable").inc()
                health.failed(f"Redis {fault}: {error}")
                if fault == logged:
                    pass
                elif isinstance(error, NoPermissionError):
                    _log.error("Redis refuses a command, retrying until this user may run it", reason=str(error))
                elif refused:
                    _log.error("Redis refuses writes, retrying until it accepts them", reason=str(error))
                elif isinstance(error, AuthenticationError):
                    _log.error(
                        "Redis refuses the password; set it back, or restart with the new one", reason=str(error)
                    )
                else:
                    _log.warning("Redis is unreachable, retrying until it is back", reason=str(error))
                logged = fault
                stop.wait(backoff.next_s())
            except LeaseLost as error:
                metrics.leases_lost.inc()
                health.progressed()
                _log.warning("lost a lease", role=error.role)
            except ResponseError as error:
                repairs += 1
                if repair is None or not is_wrong_type(error) or repairs > _REPAIRS:
                    raise
                health.failed(f"a key in Redis has a wrong type: {error}")
                repair()
                stop.wait(backoff.next_s())
            else:
                repairs = 0
                if failures:
                    metrics.redis_reconnects.inc()
                    _log.info("Redis is back", failed_attempts=failures)
                    backoff.reset()
                failures, logged = 0, ""
                health.stepped()
        return False
    finally:
        health.waiting("it is stopping")
        try:
            service.close()
        except RETRYABLE as error:
            _log.warning("Redis cannot be used while stopping; the leases will expire", reason=str(error))
        except LeaseLost as error:
            _log.warning("lost a lease while stopping", role=error.role)


def _fault(error: Exception) -> str:
    if isinstance(error, WritesRefused):
        return "refuses writes"
    if isinstance(error, NoPermissionError):
        return "refuses a command"
    return "refuses the password" if isinstance(error, AuthenticationError) else "does not answer"


def stop_on_signals() -> threading.Event:
    """Returns an event that SIGTERM and SIGINT set; call it once in a process, or the signals set only the newest."""
    stop = threading.Event()
    # The handler runs on the main thread, perhaps inside `stop.wait()`. With the plain lock of an Event it would wait
    # for itself forever.
    stop._cond = threading.Condition(threading.RLock())  # type: ignore[attr-defined]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
