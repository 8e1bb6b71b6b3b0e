"""Suppresses the output and warnings of runtimes that probe for a GPU. Safe when several threads load models."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
from collections.abc import Callable, Iterator

_lock = threading.Lock()
_open = 0
_silence = contextlib.ExitStack()


@contextlib.contextmanager
def quiet(enter: Callable[[], None] = lambda: None, leave: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Suppress standard output and warnings of the whole process.

    Standard output and warning filters are global, so the first thread to enter replaces them and the last one to leave
    restores them. `enter` and `leave` are called at the same points.
    """
    global _open  # noqa: PLW0603 (counts threads inside, a property of the process)
    with _lock:
        _open += 1
        if _open == 1:
            enter()
            _silence.callback(leave)
            _silence.enter_context(contextlib.redirect_stdout(io.StringIO()))
            _silence.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
    try:
        yield
    finally:
        with _lock:
            _open -= 1
            if _open == 0:
                _silence.close()
