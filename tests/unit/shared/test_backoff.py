from __future__ import annotations

from shared.backoff import Backoff


def test_waits_get_longer_up_to_the_cap_and_differ() -> None:
    backoff = Backoff()
    waits_s = [backoff.next_s() for _ in range(200)]
    assert 0.5 <= waits_s[0] <= 1.0
    assert all(0.5 <= wait_s <= min(30.0, 2.0**tries) for tries, wait_s in enumerate(waits_s))
    assert max(waits_s) > 20.0
    assert len(set(waits_s)) > 190
    backoff.reset()
    assert backoff.next_s() <= 1.0


def test_a_cap_holds_from_the_first_wait_on() -> None:
    backoff = Backoff(first_s=2.0, cap_s=3.0)
    assert all(2.0 <= backoff.next_s() <= 3.0 for _ in range(2000))
