from __future__ import annotations

import numpy as np
import pytest

from evaluation.live import majority_share, track_histories
from evaluation.tracks import PublishedTracks
from tests.unit.evaluation.scenes import TICK_S, tracks_of


def history_of(gids: list[int], first_tick: int = 1) -> tuple[float, int, float, list[float]]:
    """Seconds, changes, time to the first gid, and the late boxes of one track that is seen at every tick."""
    histories = track_histories(tracks_of([(first_tick + i, 0, 1, gid) for i, gid in enumerate(gids)]), TICK_S)
    lengths, changes = histories.lengths_s.tolist(), histories.changes.tolist()
    return lengths[0], changes[0], float(histories.first_gid_s[0]), histories.late_without.tolist()


def test_a_change_counts_even_if_there_was_no_gid_in_between() -> None:
    assert history_of([0, 1, 1, 2, 0, 2, 0, 1])[1] == 2


def test_the_first_gid_does_not_count_as_a_change() -> None:
    seconds, changes, first, _ = history_of([0, 0, 4, 4])
    assert changes == 0
    assert seconds == pytest.approx(0.4)
    assert first == pytest.approx(0.2)


def test_a_track_without_a_gid_has_an_infinite_first_gid_time() -> None:
    seconds, changes, first, late = history_of([0] * 14)
    assert (changes, first) == (0, np.inf)
    # 1.1, 1.2 and 1.3 s after the first box.
    assert late == [1, 1, 1]
    assert seconds == pytest.approx(1.4)


def test_gids_of_different_tracks_are_not_compared() -> None:
    rows = [(tick, lane, lane, lane) for tick in (1, 2, 3) for lane in (1, 2)]
    assert track_histories(tracks_of(rows), TICK_S).changes.tolist() == [0, 0]


def test_gaps_in_a_track_count_as_track_time() -> None:
    histories = track_histories(tracks_of([(1, 0, 1, 5), (21, 0, 1, 6)]), TICK_S)
    assert histories.lengths_s.tolist() == pytest.approx([2.1])
    assert histories.changes.tolist() == [1]


def test_without_tracks_the_history_is_empty() -> None:
    nothing = PublishedTracks.of([], [], [], [], [])
    histories = track_histories(nothing, TICK_S)
    assert (len(histories.track_ids), len(histories.changes), len(histories.late_without)) == (0, 0, 0)


def test_majority_share_is_cluster_purity() -> None:
    groups = np.array([1, 1, 1, 2, 2, 3])
    members = np.array([7, 7, 8, 9, 8, 8])
    assert majority_share(groups, members) == pytest.approx((2 + 1 + 1) / 6)
    assert majority_share(members, groups) == pytest.approx((2 + 1 + 1) / 6)
    assert majority_share(groups[:0], members[:0]) is None
