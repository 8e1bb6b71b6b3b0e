from __future__ import annotations

from services.streamer.pace import Pace


def sent_at(fps: float | None, pictures_at: list[float]) -> list[float]:
    """When a viewer that is always ready gets a picture; `pictures_at`: when a new one arrives."""
    pace, sent, ready_at = Pace(fps), [], 0.0
    for number, arrived_at in enumerate(pictures_at):
        ready_at = max(ready_at, arrived_at)
        due = ready_at + pace.delay_s(ready_at)
        if number + 1 < len(pictures_at) and pictures_at[number + 1] <= due:
            continue  # it gets the newer one
        pace.sent(due)
        sent.append(round(due, 3))
    return sent


def test_half_the_rate_is_every_second_picture_though_they_arrive_unevenly() -> None:
    arrivals = [0.0, 0.11, 0.19, 0.31, 0.41, 0.49, 0.6, 0.7, 0.81, 0.9]
    assert sent_at(5, arrivals) == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]


def test_a_higher_rate_than_the_cameras_changes_nothing() -> None:
    arrivals = [0.0, 0.1, 0.2, 0.3]
    assert sent_at(30, arrivals) == sent_at(None, arrivals) == arrivals


def test_a_pause_is_not_made_up_for() -> None:
    pace = Pace(5)
    pace.sent(0.0)
    pace.sent(10.0)
    assert 0 < pace.delay_s(10.0) <= 0.2
    pace.sent(10.2)
    assert pace.delay_s(10.2) > 0.1
