from __future__ import annotations

from collections.abc import Iterator

import pytest

from model_store.benchmark import measure


def test_times_are_those_of_one_picture_without_the_first_call() -> None:
    # The first call takes 100 s, and then calls take 1, 2, … 10 s, with 4 pictures each.
    now = 0.0
    lasts: Iterator[int] = iter([100, *range(1, 11)])

    def call(batch: int) -> None:
        nonlocal now
        assert batch == 4
        now += next(lasts)

    timing = measure(call, 4, 55.0, lambda: now)
    assert (timing.batch, timing.calls) == (4, 10)
    assert (timing.min_ms, timing.median_ms) == (250.0, 1375.0)
    assert timing.p90_ms == pytest.approx(9.1 / 4 * 1000)
    lasts = iter([100, *range(1, 11)])
    assert measure(call, 4, 0.0, lambda: now).calls == 5
