"""Small pieces of work that other threads leave to the thread of a loop, which alone may use its objects."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

_Result = TypeVar("_Result")
_WAITING_MOST = 8
_HANGS_S = 3.0
"""A loop that has not looked for this long hangs; its longest wait is well below."""


class Errands:
    """A bounded queue of work."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[tuple[float, Callable[[], Any], Future[Any]]] = queue.Queue(_WAITING_MOST)
        self._looked_at_s = -_HANGS_S

    def are_done(self) -> bool:
        """Whether the loop runs; called from any thread."""
        return time.monotonic() - self._looked_at_s < _HANGS_S

    def ask(self, work: Callable[[], _Result], seconds: float) -> _Result:
        """Leaves `work` to the loop, and waits up to `seconds` for its result. Called by other threads.

        Raises:
            TimeoutError: the loop has not got to it; it will not do it any more.
            Exception: what `work` raised.
        """
        future: Future[_Result] = Future()
        try:
            self._waiting.put_nowait((time.monotonic(), work, future))
        except queue.Full:
            raise TimeoutError from None
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise

    def do_one(self, waited_s: float = 0.0) -> bool:
        """Does the oldest piece of work, if it has waited for `waited_s`; False if there is none. Called by the loop.

        An error in it goes to the thread that asked.
        """
        self._looked_at_s = time.monotonic()
        if self._waiting.empty() or time.monotonic() - self._waiting.queue[0][0] < waited_s:
            return False
        _, work, future = self._waiting.get_nowait()
        if not future.set_running_or_notify_cancel():
            return True
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 (it belongs to the thread that asked)
            future.set_exception(error)
        return True
