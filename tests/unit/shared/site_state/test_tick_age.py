"""The age of the tick, whatever happens to the clock of the Redis host."""

from __future__ import annotations

import pytest

from shared.site_state.tick_age import TickAge, stored_ms

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def test_the_first_reading_goes_by_redis_and_the_next_ones_by_the_clock_of_the_reader() -> None:
    age = TickAge()
    assert age.observe(42, NOW_MS - 1500, NOW_MS, 7.0) == 1.5
    assert age.observe(42, NOW_MS - 1500, NOW_MS + HOUR_MS, 8.0) == 2.5
    assert age.observe(42, NOW_MS - 1500, NOW_MS - HOUR_MS, 9.0) == 3.5


def test_a_new_tick_is_younger_than_the_last_reading() -> None:
    age = TickAge()
    age.observe(42, NOW_MS, NOW_MS, 7.0)
    assert age.observe(43, NOW_MS + 100, NOW_MS + 150, 7.2) == 0.05
    assert age.observe(44, NOW_MS, NOW_MS + HOUR_MS, 7.4) == pytest.approx(0.2), "Redis' clock went forward"
    assert age.observe(45, NOW_MS, NOW_MS - HOUR_MS, 7.6) == 0, "and back"
    assert age.observe(45, NOW_MS, NOW_MS - HOUR_MS, 10.6) == 3


@pytest.mark.parametrize("stored", [None, NOW_MS + HOUR_MS])
def test_an_age_that_redis_does_not_say_is_unknown_at_first(stored: int | None) -> None:
    age = TickAge()
    assert age.observe(42, stored, NOW_MS, 7.0) is None
    assert age.observe(42, stored, NOW_MS, 10.0) == 3


def test_a_tick_is_stored_by_the_first_of_its_entries() -> None:
    entries: list[tuple[int, int | None]] = [(300, 42), (200, 42), (100, 41)]
    assert stored_ms(entries, 42) == 200
    assert stored_ms(entries, 43) is None
    assert stored_ms([(300, None)], 42) is None
