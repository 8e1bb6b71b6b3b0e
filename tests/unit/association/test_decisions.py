"""Every decision says what spoke for it, what came second, and by how much."""

from __future__ import annotations

import pytest

from association.core import Association
from association.decisions import Decision
from association.outcome import Event
from shared.layout import Layout
from tests.unit.association.crossing import FPS, TICK_NS, crossing_entries, traffic
from tests.unit.association.scenes import Run, Stay, entries, play, settings, street
from tests.unit.association.test_ground import LIVE, layout


def events_of(association: Association, objects: int, looks: int, seconds: float) -> list[Event]:
    seen = crossing_entries(traffic(objects, looks, 3, seconds), 3, seconds, 0.6, 3)
    events: list[Event] = []
    for tick in range(1, round(seconds * FPS)):
        events += association.cycle(tick, tick * TICK_NS, [one for one in seen if one.tick == tick]).events
    return events


def test_the_score_is_the_sum_of_its_terms_and_the_margin_its_lead() -> None:
    events = events_of(Association(layout(0, 1, 2), LIVE), 30, 6, 60.0)
    decisions = [event.decision for event in events if event.decision is not None]
    assert {event.kind for event in events if event.decision} >= {"appeared", "handover", "merged"}
    for decision in decisions:
        assert decision.score == pytest.approx(sum(decision.terms.values()), abs=0.01)
        assert decision.terms.keys() <= {"appearance", "motion", "position", "class", "prior"}
    for event in events:
        if event.kind == "handover":
            assert event.decision is not None
            assert event.decision.runner_up is not None
            assert event.decision.margin > 0
            assert event.decision.runner_up != event.gid
    with_places = [one for one in decisions if one.terms.get("position", 0.0) > 3]
    assert with_places, "calibrated cameras decide by places"


def test_a_new_identity_says_which_known_one_was_not_likely_enough() -> None:
    run = play(street(2), [Stay(1, 0, 1, 30), Stay(2, 1, 60, 120)], upto=120, mode="live")
    first, second = (event.decision for event in run.events if event.kind == "appeared")
    assert first == Decision()
    assert second is not None
    assert second.runner_up == 1
    assert second.score < 0
    assert second.margin == -second.score
    assert second.terms["appearance"] < 0


def test_another_class_is_a_term() -> None:
    run = play(street(2), [Stay(1, 0, 1, 30), Stay(1, 1, 60, 120, class_id=3)], upto=120, mode="live")
    (handover,) = [event for event in run.events if event.kind == "handover"]
    assert handover.decision is not None
    assert handover.decision.terms["class"] == -2.0


def test_sightings_carry_the_decision_of_the_track() -> None:
    run = Run(Association(Layout.open(tuple("AB")), settings(mode="live")))
    association, seen = run.association, entries([Stay(1, 0, 1, 30), Stay(1, 1, 60, 120)], noise=0.1)
    joined = []
    for tick in range(1, 121):
        result = association.cycle(tick, tick * 10**8, [one for one in seen if one.tick == tick])
        joined += [one for one in result.sightings if one.track_id == 2 and not one.ended]
        for event in result.events:
            if event.kind == "handover":
                assert joined[-1].decision == event.decision
    assert joined
    assert joined[0].decision is not None
    assert joined[0].decision.score > 0


def test_the_reference_mode_gives_a_similarity_without_terms() -> None:
    run = play(street(2), [Stay(1, 0, 1, 30), Stay(1, 1, 60, 120)], upto=120, mode="reference")
    (handover,) = [event for event in run.events if event.kind == "handover"]
    assert handover.decision == Decision(pytest.approx(1.0, abs=1e-3))
