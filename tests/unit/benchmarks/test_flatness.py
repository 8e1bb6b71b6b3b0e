from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.flatness import Bound, growth, table

BOUND = Bound(10, 0.05)


def samples(value: Callable[[float], float]) -> list[tuple[float, float]]:
    """One every 5 s for 20 minutes."""
    return [(at, value(at)) for at in range(0, 1200, 5)]


@pytest.mark.parametrize(
    ("value", "is_flat"),
    [
        (lambda at: 100.0, True),
        (lambda at: 100.0 if at > 100 else 10.0, True),  # It grows only during the warm-up.
        (lambda at: 100.0 + 400 * (at in (300, 1100, 1195)), True),  # Single peaks.
        (lambda at: 100.0 + at / 100, True),
        (lambda at: 100.0 + at / 50, False),
        (lambda at: 1000.0 + at / 50, True),  # 5 % of 1,000 are more than 10.
        (lambda at: 200.0 - at / 10, True),
        (lambda at: 100.0 + 11 * (at > 900), False),
    ],
)
def test_growth_is_judged_after_the_warm_up_by_medians(value: Callable[[float], float], is_flat: bool) -> None:
    assert growth("worker MiB", samples(value), 120, BOUND).is_flat == is_flat


def test_the_slope_is_per_hour() -> None:
    assert growth("worker MiB", samples(lambda at: 100 + at / 100), 120, BOUND).per_hour == pytest.approx(36)


def test_too_few_samples_are_not_flat_and_the_table_says_why() -> None:
    found = [growth("clock MiB", samples(lambda at: 1.0 + at), after_s, BOUND) for after_s in (0, 1180)]
    found.append(growth("worker MiB", samples(lambda at: at * 10), 0, Bound(1e6, 0)))
    assert [each.is_flat for each in found] == [False, False, True]
    lines = table(found).splitlines()
    assert [line.split()[-1] for line in lines[1:]] == ["GROWS", "SAMPLES", "+36000.0"]
