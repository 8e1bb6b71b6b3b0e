from __future__ import annotations

import sys
import threading
import warnings

import pytest

from vision.inference.backends.quiet import quiet


def test_two_threads_that_load_at_once_restore_the_process(capsys: pytest.CaptureFixture[str]) -> None:
    """The first thread to enter leaves last, so naively each would restore the other's replacement."""
    before, filters = sys.stdout, list(warnings.filters)
    entered, left = threading.Event(), threading.Event()
    calls: list[str] = []

    def first() -> None:
        with quiet(lambda: calls.append("enter"), lambda: calls.append("leave")):
            entered.set()
            left.wait(5)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(5)
    with quiet(lambda: calls.append("enter"), lambda: calls.append("leave")):
        print("hidden")  # noqa: T201
        warnings.warn("hidden too", stacklevel=1)
    assert sys.stdout is not before, "the first thread is still inside"
    left.set()
    thread.join()
    assert sys.stdout is before
    assert list(warnings.filters) == filters
    assert capsys.readouterr().out == ""
    assert calls == ["enter", "leave"]


def test_an_exception_inside_does_not_leave_the_process_silent() -> None:
    before = sys.stdout
    with pytest.raises(RuntimeError), quiet():
        raise RuntimeError
    assert sys.stdout is before
