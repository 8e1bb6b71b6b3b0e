"""What is checked of many identities at once is what the rules say of each of them."""

from __future__ import annotations

import numpy as np
import pytest

from association.departures import Departures, Histories
from association.identities import Identities, Identity
from association.passages import Passages
from association.possibility import Possibility, always
from association.track_table import TrackTable
from association.travel import TravelTimes
from shared.layout import Layout

CAMERAS = ("a", "b", "c", "d")
SECOND = 10**9


def layout(rng: np.random.Generator) -> Layout:
    """Some steps are impossible, some views overlap, some need time."""
    n = len(CAMERAS)
    dtmin = rng.choice([-5.0, 0.0, 2.0], (n, n))
    dtmax = dtmin + rng.choice([3.0, 20.0, np.inf], (n, n))
    compatible = rng.random((n, n)) < 0.8
    unknown = np.triu(rng.random((n, n)) < 0.3, 1)
    return Layout(CAMERAS, compatible, dtmin, dtmax, unknown=unknown | unknown.T)


def filled(rng: np.random.Generator) -> tuple[TrackTable, Identities]:
    """Identities with one to three tracks each, at random times; some are in view, some are pinned."""
    table, identities, track_id = TrackTable(), Identities(), 0
    for gid in range(1, 60):
        rows = []
        for _ in range(int(rng.choice([1, 1, 2, 3]))):
            track_id += 1
            first_ns = int(rng.integers(0, 60)) * SECOND
            row = table.add(int(rng.integers(len(CAMERAS))), track_id, 0, 0, first_ns)
            last_ns = first_ns + int(rng.integers(0, 8)) * SECOND
            table.rows["last_ns"][row], table.rows["gid"][row] = last_ns, gid
            if rng.random() < 0.85:
                table.rows["ended"][row] = True
                table.rows["ended_ns"][row] = last_ns + int(rng.integers(0, 4)) * SECOND
            rows.append(row)
        settled_ns = int(rng.choice([0, 0, 0, 10, 40])) * SECOND
        pinned = set(rows[:1]) if rng.random() < 0.1 else set[int]()
        present = not bool(table.rows["ended"][rows].all())
        first_ns, last_ns = int(table.rows["first_ns"][rows].min()), int(table.rows["last_ns"][rows].max())
        identities.add(Identity(gid, 0, first_ns, last_ns, rows, present, settled_ns=settled_ns, pinned=pinned))
    return table, identities


def walked(rng: np.random.Generator, table: TrackTable) -> Passages:
    """Where most tracks of a table were: some in metres, some in the pixels of their camera."""
    passages = Passages(table)
    for row in np.flatnonzero(table.rows["used"] & (rng.random(len(table.rows)) < 0.8)).tolist():
        track = table.rows[row]
        frame = -1 if rng.random() < 0.6 else int(track["camera"])
        place, speed = rng.uniform(0, 50, 2), rng.uniform(-5, 5, 2)
        for time_ns in range(int(track["first_ns"]), int(track["last_ns"]) + 1, SECOND // 2):
            here = place + speed * (time_ns - int(track["first_ns"])) / SECOND
            passages.observe(np.array([row]), time_ns, np.array([[*here, rng.uniform(2, 3)]]), frame)
    return passages


@pytest.mark.parametrize("seed", range(20))
def test_a_step_that_is_known_says_what_the_rules_say_of_all_visits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    possibility = Possibility(layout(rng), assume_overlaps=False)
    table, identities = filled(rng)
    every = identities.by_gid()
    departures, histories = (
        Departures(table, possibility, Passages(table), every),
        Histories(table, possibility, always),
    )
    compared = 0
    for one in every:
        group_visits = table.visits(one.rows)
        if one.pinned or not possibility.holds(group_visits, one.settled_ns):
            continue
        returns = departures.returns(one.rows, one.settled_ns)
        for j in np.flatnonzero(returns.are_known).tolist():
            other = every[j]
            settled_ns = max(one.settled_ns, other.settled_ns)
            expected = possibility.holds_with(table.visits([*one.rows, *other.rows]), settled_ns, other.pinned)
            # Twice, because the second time the answer is remembered.
            for _ in range(2):
                found = bool(returns.are_possible[j]) and histories.hold(other, departures.when(j))
                assert found == expected, (one, other)
            compared += 1
    assert compared > 50


@pytest.mark.parametrize("seed", range(5))
def test_the_travel_times_of_many_are_those_of_each(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = layout(rng)
    table, identities = filled(rng)
    travel = TravelTimes(table, identities, plan, walked(rng, table))
    times = [[i, j, rng.uniform(0.5, 20, 7).tolist()] for i in range(3) for j in range(3)]
    travel.restore({"times": times, "handovers": [[0, 1, 5.0]]}, range(len(CAMERAS)))
    every = identities.by_gid()
    departures = Departures(table, Possibility(plan), travel.passages, every)
    compared = 0
    for one in every:
        returns = departures.returns(one.rows)
        ratios = returns.ratios(travel, np.arange(len(every)))
        for j in np.flatnonzero(returns.are_known).tolist():
            assert ratios[j] == pytest.approx(travel.ratio(one.rows, every[j].rows), rel=1e-12)
            compared += 1
        assert np.isnan(ratios[~returns.are_known]).all()
    assert compared > 100


def test_an_identity_with_another_track_and_a_new_one_are_not_known_from_their_last_step() -> None:
    rng = np.random.default_rng(3)
    table, identities = filled(rng)
    every = identities.by_gid()
    departures = Departures(table, Possibility(Layout.open(CAMERAS)), Passages(table), every)
    row = table.add(0, 10**6, 0, 0, 1000 * SECOND)
    known = np.flatnonzero(departures.returns([row]).are_known).tolist()
    departures.changed(known[0])
    departures.added()
    assert np.flatnonzero(departures.returns([row]).are_known).tolist() == known[1:]


def test_a_history_is_checked_again_when_it_has_changed() -> None:
    shape = len(CAMERAS), len(CAMERAS)
    plan = Layout(CAMERAS, np.ones(shape, np.bool_), np.full(shape, 2.0), np.full(shape, np.inf))  # no overlap
    possibility = Possibility(plan, assume_overlaps=False)
    table = TrackTable()
    rows = [table.add(camera, camera + 1, 0, 0, SECOND) for camera in (0, 1)]
    table.rows["last_ns"][rows], table.rows["ended_ns"][rows], table.rows["ended"][rows] = 9 * SECOND, 9 * SECOND, True
    identity = Identity(1, 0, SECOND, 9 * SECOND, rows, present=False)
    histories, when = Histories(table, possibility, always), (9 * SECOND, 9 * SECOND)
    assert not histories.hold(identity, when), "long at once in two views that do not overlap"
    possibility.set_overlap(0, 1, overlap=True)
    assert histories.hold(identity, when)
    possibility.set_overlap(0, 1, overlap=False)
    assert not histories.hold(identity, when)
    identity.rows.pop()
    assert histories.hold(identity, when)
