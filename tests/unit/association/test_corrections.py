"""Corrections by operators: what they do, what they refuse, and that no later automatic decision overrides them."""

from __future__ import annotations

import itertools
from typing import Literal

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from association.core import Association
from association.corrections import Correction
from association.outcome import Asked, CameraTick, Done
from shared.layout import Layout
from shared.operator_commands import Kind
from tests.unit.association.scenes import TICK_NS, Run, Stay, entries, overlapping, settings, street
from tests.unit.association.test_association import random_scene

Mode = Literal["live", "reference"]
MODES: list[Mode] = ["live", "reference"]
both_modes = pytest.mark.parametrize("mode", MODES)


class Operated(Run):
    """A run in which an operator corrects something now and then."""

    def ask(self, kind: Kind, *gids: int, tracks: tuple[tuple[int, int], ...] = (), **more: str) -> Done:
        """Runs one cycle without entries that carries out a correction."""
        self.asked = getattr(self, "asked", 0) + 1
        gid, other_gid = (*gids, 0, 0)[:2]
        wanted = Correction(kind, f"c{self.asked}", "Ann", gid, other_gid, tracks, **more)
        return self.correct(self.tick + 1, [], wanted)

    def correct(self, tick: int, seen: list[CameraTick], wanted: Correction) -> Done:
        cycle = self.association.cycle
        self.association.cycle = lambda *given: cycle(*given, [wanted])  # type: ignore[method-assign]
        try:
            return self.cycle(tick, seen).corrected[0]
        finally:
            self.association.cycle = cycle  # type: ignore[method-assign]

    def continue_with(self, stays: list[Stay], upto: int) -> Operated:
        self.play([one for one in entries(stays) if one.tick > self.tick], upto)
        return self

    def identity_of(self, camera: int, track_id: int) -> int:
        row = self.association.table.find(camera, track_id)
        return int(self.association.table.rows["gid"][row]) if row is not None else 0

    def restored(self) -> Operated:
        """The same run with an association that went through a checkpoint."""
        packed = msgpack.packb(self.association.to_dict())
        again = Association(self.association._layout, self.association.settings)
        again.restore(msgpack.unpackb(packed, strict_map_key=False), range(len(again._layout.cameras)))
        self.association = again
        return self


def begin(layout: Layout, stays: list[Stay], upto: int, mode: Mode, **given: float) -> Operated:
    run = Operated(Association(layout, settings(mode=mode, **given)))  # type: ignore[arg-type]
    return run.continue_with(stays, upto)


# -- merge and split ---------------------------------------------------------------------------------------


@both_modes
def test_an_operators_merge_stays_although_the_tracks_look_different(mode: Mode) -> None:
    stays = [Stay(1, 0, 1, 300), Stay(2, 1, 1, 300)]
    run = begin(overlapping(2), stays, 30, mode)
    assert (run.gid(1), run.gid(2)) == (1, 2)
    assert run.ask("merge", 2, 1) == Done(gid=1, other_gid=2)
    assert (run.gids[0, 1], run.gids[1, 2]) == (1, 1), "the map shows it at once"
    assert run.aliases == {2: 1}
    merged = run.events[-1]
    assert (merged.kind, merged.gid, merged.other_gid) == ("merged", 1, 2)
    assert merged.asked == Asked("Ann", "c1")
    assert merged.decision
    assert merged.decision.score < 0.5, "the event says what the evidence said before"
    run.restored().continue_with(stays, 280)
    assert (run.gids[0, 1], run.gids[1, 2]) == (1, 1)


@both_modes
def test_an_operators_split_stays_although_the_tracks_look_alike(mode: Mode) -> None:
    stays = [Stay(1, 0, 1, 300), Stay(1, 1, 1, 300), Stay(1, 2, 1, 300)]
    run = begin(overlapping(3), stays, 60, mode)
    assert set(run.gids.values()) == {1}
    done = run.ask("split", 1, tracks=((1, 2), (2, 3)))
    assert done == Done(gid=2, other_gid=1)
    assert [(event.kind, event.gid, event.other_gid) for event in run.events[-2:]] == [("split", 2, 1)] * 2
    run.restored().continue_with(stays, 280)
    assert run.gids == {(0, 1): 1, (1, 2): 2, (2, 3): 2}


@both_modes
def test_an_identity_of_an_impossible_merge_still_gets_its_tracks(mode: Mode) -> None:
    """The operator knows better than the layout: the views A and C do not overlap, nor can anybody go there at once."""
    stays = [Stay(1, 0, 1, 100), Stay(1, 2, 1, 100), Stay(1, 1, 140, 200)]
    run = begin(street(3), stays, 60, mode)
    assert (run.gids[0, 1], run.gids[2, 2]) == (1, 2)
    assert not run.ask("merge", 1, 2).refused
    run.continue_with(stays, 190)
    assert run.gid(3) == 1


@both_modes
def test_what_cannot_be_carried_out_is_refused_and_changes_nothing(mode: Mode) -> None:
    stays = [Stay(1, 0, 1, 300), Stay(2, 0, 1, 300), Stay(3, 1, 1, 300), Stay(3, 2, 1, 300)]
    run = begin(overlapping(3), stays, 60, mode)
    assert run.ask("merge", run.gid(1), run.gid(3)).refused == ""
    before = run.association.to_dict(), len(run.events)
    one, two = run.gid(1), run.gid(2)
    assert "never given" in run.ask("merge", one, 99).refused
    assert "both are id" in run.ask("merge", one, one).refused
    assert "both are id" in run.ask("merge", one, 3).refused, "3 was merged into 1"
    assert "in camera A at the same time" in run.ask("merge", one, two).refused
    assert "nothing would be left" in run.ask("split", two, tracks=((0, 2),)).refused
    assert "has no track 2 in camera A" in run.ask("split", one, tracks=((0, 1), (0, 2))).refused
    assert "no track was given" in run.ask("split", one).refused
    assert "has no name" in run.ask("unname", one).refused
    assert "no correction c77" in run.ask("undo", undoes="c77").refused
    state = run.association.to_dict()
    assert state["identities"] == before[0]["identities"]
    assert len(run.events) == before[1]


# -- names -------------------------------------------------------------------------------------------------


@both_modes
def test_a_name_stays_with_an_identity_that_returns_in_another_camera(mode: Mode) -> None:
    stays = [Stay(1, 0, 1, 40), Stay(1, 1, 90, 130), Stay(2, 0, 100, 140)]
    run = begin(street(2), stays, 30, mode)
    run.ask("name", 1, name="the red van")
    run.restored().continue_with(stays, 125)
    assert run.gid(2) == 1
    assert run.association.identities[1].name == "the red van"
    assert not run.association.identities[run.gid(3) or 0].name


@pytest.mark.parametrize(
    ("names", "chosen", "after"),
    [(("a", ""), "", "a"), (("", "b"), "", "b"), (("a", "b"), "", "a"), (("a", "b"), "c", "c"), (("", ""), "", "")],
)
def test_a_merge_keeps_the_name_of_the_older_identity_unless_the_operator_chooses(
    names: tuple[str, str], chosen: str, after: str
) -> None:
    run = begin(overlapping(2), [Stay(1, 0, 1, 300), Stay(2, 1, 1, 300)], 30, "live")
    for gid, name in zip((1, 2), names, strict=True):
        if name:
            run.ask("name", gid, name=name)
    run.ask("merge", 1, 2, name=chosen)
    assert run.association.identities[1].name == after
    run.ask("undo")
    assert tuple(run.association.identities[gid].name for gid in (1, 2)) == names


@both_modes
def test_identities_with_different_names_are_never_merged_by_evidence(mode: Mode) -> None:
    stays = [Stay(1, 0, 1, 300), Stay(1, 1, 1, 300)]
    for names in (("Ann", "Bea"), ("Ann", "")):
        run = begin(overlapping(2), stays, 60, mode)
        run.ask("split", 1, tracks=((1, 2),))
        for identity, name in zip(run.association.identities.by_gid(), names, strict=True):
            identity.name = name
            identity.apart.clear()  # as if the aggregator itself had split them
            identity.pinned.clear()
        run.continue_with(stays, 280)
        assert (run.kinds()[-1] == "merged") == (names[1] == "")
        assert run.association.identities[1].name == "Ann"


def test_undoing_a_merge_keeps_a_name_that_was_inherited_since() -> None:
    stays = [Stay(1, 0, 1, 300), Stay(2, 1, 1, 300), Stay(1, 2, 1, 300)]
    run = begin(overlapping(3), stays, 60, "live")
    run.ask("split", 1, tracks=((2, 3),))
    other, third = run.gids[1, 2], run.gids[2, 3]
    run.association.identities[third].name = "Cay"
    for gid in (1, third):  # as if the aggregator itself had split them
        run.association.identities[gid].apart.clear()
        run.association.identities[gid].pinned.clear()
    run.ask("merge", 1, other)
    run.continue_with(stays, 280)
    assert run.gids[2, 3] == 1, "the third one was merged by evidence"
    assert not run.ask("undo").refused
    assert run.association.identities[1].name == "Cay"
    assert not run.association.identities[other].name


# -- forget ------------------------------------------------------------------------------------------------


@both_modes
def test_nothing_is_left_of_a_forgotten_identity_and_its_gid_is_never_used_again(mode: Mode) -> None:
    stays = [Stay(1, 0, 1, 200), Stay(1, 1, 1, 60), Stay(2, 1, 70, 200)]
    run = begin(overlapping(2), stays, 100, mode)
    other = run.gid(3)
    run.ask("name", 1, name="Ann")
    done = run.ask("forget", 1)
    assert done == Done(gid=1)
    result = run.results[-1]
    assert sorted(result.erased_tracks) == [(0, 1), (1, 2)]
    assert 1 in result.erased
    assert (0, 1) not in run.gids
    assert 1 not in run.association.identities
    table = run.association.table
    used = np.flatnonzero(table.rows["used"])
    assert set(table.rows["gid"][used].tolist()) <= {other, 0}
    assert not table.sums[[row for row in range(len(table.rows)) if row not in used]].any(), "embeddings are left"
    assert b"Ann" not in msgpack.packb(run.association.to_dict())
    assert "was forgotten" in run.ask("undo").refused
    run.restored().continue_with(stays, 190)
    assert run.gids[0, 1] > max(1, other or 0), "the object in view is a new identity"


def test_an_identity_that_was_merged_is_forgotten_with_all_its_gids() -> None:
    run = begin(overlapping(3), [Stay(one, one - 1, 1, 200) for one in (1, 2, 3)], 30, "live")
    run.ask("merge", 3, 2)
    run.ask("forget", 3)
    assert sorted(run.results[-1].erased) == [2, 3]
    assert run.results[-1].dropped_aliases == [3]
    assert "forgotten" in run.ask("name", 3, name="x").refused


# -- undo --------------------------------------------------------------------------------------------------


@both_modes
def test_undoing_a_merge_gives_both_their_tracks_and_gids_back(mode: Mode) -> None:
    stays = [Stay(1, 0, 1, 300), Stay(2, 1, 1, 300)]
    run = begin(overlapping(2), stays, 30, mode)
    before = run.association.identities.to_dict()["identities"]
    run.ask("merge", 1, 2)
    run.continue_with(stays, 60).restored()
    done = run.ask("undo")
    assert done == Done(gid=1, other_gid=2, undoes="c1")
    assert run.gids == {(0, 1): 1, (1, 2): 2}
    assert run.results[-1].dropped_aliases == [2]
    after = run.association.identities.to_dict()["identities"]
    unchanged = [0, 1, 2, 4, 5, 6, 7, 8, 9, 10]  # all but last_ns
    assert [[one[i] for i in unchanged] for one in after] == [[one[i] for i in unchanged] for one in before]
    assert "undone already" in run.ask("undo", undoes="c1").refused


def test_undoing_a_split_makes_one_identity_again_and_lets_evidence_decide() -> None:
    stays = [Stay(1, 0, 1, 300), Stay(1, 1, 1, 300)]
    run = begin(overlapping(2), stays, 60, "live")
    run.ask("split", 1, tracks=((1, 2),))
    assert run.gids == {(0, 1): 1, (1, 2): 2}
    assert run.ask("undo", undoes="c1") == Done(gid=2, other_gid=1, undoes="c1")
    assert run.gids == {(0, 1): 1, (1, 2): 1}
    identity = run.association.identities[1]
    assert not identity.pinned
    assert not identity.apart


def test_a_merge_that_was_undone_can_be_repeated_in_the_same_cycle() -> None:
    run = begin(overlapping(2), [Stay(1, 0, 1, 300), Stay(2, 1, 1, 300)], 30, "live")
    run.ask("merge", 1, 2)
    tick = run.tick + 1
    wanted = [Correction("undo", "u", "Ann"), Correction("merge", "m", "Ann", 1, 2)]
    result = run.association.cycle(tick, tick * TICK_NS, [], wanted)
    assert [done.refused for done in result.corrected] == ["", ""]
    assert result.aliases == {2: 1}
    assert result.dropped_aliases == []


def test_a_correction_is_only_undone_before_those_that_it_made_possible() -> None:
    stays = [Stay(one, one - 1, 1, 300) for one in (1, 2, 3)]
    run = begin(overlapping(3), stays, 30, "live")
    before = dict(run.gids)
    run.ask("merge", 1, 2)
    run.ask("merge", 1, 3)
    assert "undo c2 first" in run.ask("undo", undoes="c1").refused
    assert not run.ask("undo", undoes="c2").refused
    assert run.ask("undo").undoes == "c1"
    assert run.gids == before
    assert len(set(before.values())) == 3
    assert "no correction that" in run.ask("undo").refused


# -- random corrections ------------------------------------------------------------------------------------


class Promises:
    """What operators said of tracks, by the id of the command."""

    def __init__(self) -> None:
        self.one: dict[str, set[frozenset[tuple[int, int]]]] = {}
        self.two: dict[str, set[frozenset[tuple[int, int]]]] = {}

    def note(self, run: Operated, wanted: Correction, done: Done, before: dict[int, set[tuple[int, int]]]) -> None:
        if done.refused:
            return
        pairs = itertools.combinations
        if wanted.kind == "merge":
            tracks = before[done.gid] | before[done.other_gid]
            said = {frozenset(pair) for pair in pairs(sorted(tracks), 2)}
            for promised in self.two.values():
                promised -= said
            self.one[wanted.command] = said
        elif wanted.kind == "split":
            moved = set(wanted.tracks)
            said = {frozenset((one, other)) for one in moved for other in before[done.other_gid] - moved}
            for promised in self.one.values():
                promised -= said
            self.two[wanted.command] = said
        elif wanted.kind == "undo":
            self.one.pop(done.undoes, None)
            self.two.pop(done.undoes, None)
        elif wanted.kind == "forget":
            for promised in (*self.one.values(), *self.two.values()):
                promised -= {pair for pair in promised if pair & before[done.gid]}

    def check(self, run: Operated) -> None:
        for pair in set().union(*self.one.values()):
            gids = {run.identity_of(*track) for track in pair}
            assert len(gids - {0}) <= 1, f"{pair} were merged by an operator, and are {gids}"
        for pair in set().union(*self.two.values()):
            gids = [run.identity_of(*track) for track in pair]
            assert 0 in gids or gids[0] != gids[1], f"{pair} were split by an operator, and are {gids}"


def tracks_of(run: Operated) -> dict[int, set[tuple[int, int]]]:
    table = run.association.table
    return {
        identity.gid: {
            (int(table.rows["camera"][row]), int(table.rows["track_id"][row]))
            for row in identity.rows
            if table.rows["track_id"][row] >= 0
        }
        for identity in run.association.identities
    }


def random_correction(run: Operated, draw: np.random.Generator) -> Correction:
    known = tracks_of(run)
    gids = [*known, *run.aliases, 999]
    kind: Kind = draw.choice(["merge", "merge", "split", "split", "name", "unname", "forget", "undo", "undo"]).item()
    gid, other = (int(draw.choice(gids)) for _ in range(2))
    several = [one for one in known if len(known[one]) > 1]
    if kind == "split" and several:
        gid = int(draw.choice(several))
    tracks = sorted(known.get(gid, ()))[: int(draw.integers(1, 3))] if kind == "split" else ()
    name = str(draw.choice(["Ann", "Bea", ""])) if kind == "merge" else "Cay"
    return Correction(kind, f"c{run.tick}", "Ann", gid, other, tuple(tracks), name)


@hypothesis_settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000), st.sampled_from(MODES))
def test_no_automatic_decision_overrides_random_corrections_and_a_restored_state_goes_on_alike(
    seed: int, mode: Mode
) -> None:
    draw = np.random.default_rng(seed)
    seen: dict[int, list[CameraTick]] = {}
    for one in entries(random_scene(seed, 120), 2.0, seed):
        seen.setdefault(one.tick, []).append(one)
    layout = overlapping(4)
    run, twin = (Operated(Association(layout, settings(mode=mode, retention_s=5))) for _ in range(2))
    promises, did = Promises(), 0
    for tick in range(1, 130):
        if tick % 4 == 0 and len(run.association.identities):
            wanted, before = random_correction(run, draw), tracks_of(run)
            done = run.correct(tick, seen.get(tick, []), wanted)
            assert twin.correct(tick, seen.get(tick, []), wanted) == done
            promises.note(run, wanted, done, before)
            did += not done.refused
        else:
            run.cycle(tick, seen.get(tick, []))
            twin.cycle(tick, seen.get(tick, []))
        promises.check(run)
        if tick % 17 == 0:
            twin.restored()
        assert twin.results[-1].assignments == run.results[-1].assignments
        assert twin.results[-1].events == run.results[-1].events
        for identity in run.association.identities:
            assert identity.pinned <= set(identity.rows)
            assert all(other in run.association.identities for other in identity.apart)
            assert {run.association.table.rows["gid"][row] for row in identity.rows} == {identity.gid}
    assert did
