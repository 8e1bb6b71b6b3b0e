"""A state takes over the published ids."""

from __future__ import annotations

import pytest

from association.adoption import Adopted, Published, adopt
from association.changes import IdentityChanges
from association.identities import Identities
from association.outcome import CycleResult
from association.track_table import TrackTable


class State:
    """Tracks of camera 0 with the ids 1, 2, 3, …, each in the identity given for it (0: none)."""

    def __init__(self, *gids: int, ended: tuple[int, ...] = (), lingering: tuple[int, ...] = ()) -> None:
        self.table, self.identities = TrackTable(), Identities()
        changes = IdentityChanges(self.table, self.identities)
        for track_id, gid in enumerate(gids, start=1):
            row = self.table.add(0, track_id, 0, track_id, track_id)
            self.table.rows["ended"][row] = track_id in ended
            self.table.rows["lingering"][row] = track_id in lingering
            if gid:
                while self.identities.next_gid <= gid:
                    changes.create(row)
                changes.join(row, self.identities[gid], None, CycleResult())
        for identity in list(self.identities):
            identity.present = bool(identity.rows) and not self.table.rows["ended"][identity.rows].all()
            if not identity.rows:
                self.identities.remove(identity.gid)

    def adopt(
        self,
        gids: dict[int, int],
        earlier: dict[int, int] | None = None,
        aliases: dict[int, int] | None = None,
    ) -> Adopted:
        published = Published(
            {(0, track): gid for track, gid in gids.items()},
            {(0, track): gid for track, gid in (earlier or {}).items()},
            aliases or {},
        )
        adopted = adopt(self.table, self.identities, published)
        for identity in self.identities:
            assert [int(self.table.rows["gid"][row]) for row in identity.rows] == [identity.gid] * len(identity.rows)
            assert identity.rows
            assert identity.present == (not self.table.rows["ended"][identity.rows].all())
        assert adopted.touched <= {identity.gid for identity in self.identities}
        return adopted

    @property
    def gids(self) -> list[int]:
        return [int(self.table.rows["gid"][self.table.find(0, track)]) for track in range(1, len(self.table) + 1)]


def test_a_state_that_agrees_is_left_alone() -> None:
    state = State(1, 2, 0)
    assert state.adopt({1: 1, 2: 2}) == Adopted()
    assert state.gids == [1, 2, 0]


def test_two_swapped_gids_are_swapped_back() -> None:
    state = State(1, 2)
    assert state.adopt({1: 2, 2: 1}) == Adopted(2, {1, 2})
    assert state.gids == [2, 1]


def test_an_unknown_gid_becomes_an_identity_and_is_never_given_again() -> None:
    state = State(1, 1)
    state.adopt({1: 1, 2: 40}, aliases={7: 40})
    assert state.gids == [1, 40]
    assert (state.identities.next_gid, state.identities[40].absorbed) == (41, [7])


@pytest.mark.parametrize("lingering", [(), (2,)])
def test_a_track_that_has_left_the_map_gets_the_gid_under_which_it_was_published(lingering: tuple[int, ...]) -> None:
    state = State(1, 1, 3, ended=(2, 3), lingering=lingering)
    state.adopt({1: 1}, earlier={2: 2})
    assert state.gids == [1, 2, 3], "nothing was published of the third one"
    assert not state.identities[2].present
    assert not state.table.rows["lingering"].any()


def test_an_open_track_that_was_published_without_a_gid_waits_for_one() -> None:
    state = State(1, 2)
    assert state.adopt({1: 1}) == Adopted(1, set())
    assert state.gids == [1, 0]
    assert 2 not in state.identities


def test_a_published_merge_is_made_here_too() -> None:
    state = State(1, 5, ended=(2,))
    assert state.adopt({1: 1}, aliases={5: 1}) == Adopted(1, {1})
    assert state.gids == [1, 1]
