"""Work that other threads leave to a loop."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared import errands as errands_module
from shared.errands import Errands


def test_the_loop_does_the_work_and_the_asker_gets_result_or_error() -> None:
    errands, done_by = Errands(), []

    def work() -> int:
        done_by.append(threading.current_thread())
        return 7

    with ThreadPoolExecutor(2) as pool:
        assert not errands.do_one()
        result = pool.submit(errands.ask, work, 60.0)
        while not errands.do_one():
            pass
        assert result.result(60) == 7
        assert done_by == [threading.current_thread()]
        failing = pool.submit(errands.ask, lambda: 1 // 0, 60.0)
        while not errands.do_one():
            pass
        with pytest.raises(ZeroDivisionError):
            failing.result(60)


def test_what_nobody_waits_for_any_more_is_not_done() -> None:
    errands, done = Errands(), []
    with pytest.raises(TimeoutError):
        errands.ask(lambda: done.append(1), 0.01)
    assert errands.do_one(), "it is taken from the queue"
    assert not errands.do_one()
    assert done == []


def test_a_busy_loop_does_only_what_has_waited() -> None:
    errands = Errands()
    with pytest.raises(TimeoutError):
        errands.ask(lambda: None, 0.01)
    assert not errands.do_one(waited_s=3600)
    assert errands.do_one(waited_s=0.001)


def test_a_loop_that_does_not_look_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    errands = Errands()
    assert not errands.are_done()
    errands.do_one()
    assert errands.are_done()
    monkeypatch.setattr(errands_module, "_HANGS_S", 0.0)
    assert not errands.are_done()


def test_too_much_work_is_refused_at_once() -> None:
    errands = Errands()
    for _ in range(8):
        with pytest.raises(TimeoutError):
            errands.ask(lambda: None, 0.0)
    with pytest.raises(TimeoutError):
        errands.ask(lambda: None, 3600)
