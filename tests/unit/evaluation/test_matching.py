from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation import scores
from evaluation.matching import NOBODY, match_camera, pairs
from evaluation.scores import IdentifiedCamera, ScoresUnavailable, as_sequence, require_scores
from evaluation.truth import IgnoredRegions
from tests.unit.evaluation.scenes import tracks_of, truth_of

ROOT = Path(__file__).resolve().parents[3]


def test_a_pair_needs_an_iou_of_one_half() -> None:
    iou = np.array([[0.5, 0.49], [0.49, 0.499]])
    rows, columns = pairs(iou)
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


def test_the_highest_sum_wins_over_the_best_single_pair() -> None:
    rows, columns = pairs(np.array([[0.9, 0.8], [0.8, 0.0]]))
    assert columns[np.argsort(rows)].tolist() == [1, 0]


def test_a_box_on_an_ignored_object_is_not_scored_but_its_identity_is_known() -> None:
    truth = truth_of([(1, 0, 4), (1, 1, 5)], ignored=[5])
    match = match_camera(truth, tracks_of([(1, 1, 8, 1), (1, 2, 9, 1), (1, 0, 7, 1)]), np.array([1]), np.array([1]))
    assert match.shown.tolist() == [4, 5, NOBODY]
    assert match.true_rows.tolist() == [0, 1, -1]
    tick = match.ticks[0]
    assert (tick.identities.tolist(), tick.rows.tolist()) == ([4], [0, 2])
    assert tick.iou.tolist() == [[1.0, 0.0]]


def test_a_box_in_an_ignored_region_is_not_scored_unless_it_shows_an_object() -> None:
    regions = IgnoredRegions(np.array([1, 2]), np.array([[0.0, 0, 220, 60], [0.0, 0, 220, 40]]))
    truth = replace(truth_of([(1, 0, 4), (2, 0, 4)]), regions=regions)
    tracks = tracks_of([(tick, lane, lane, 1) for tick in (1, 2) for lane in (0, 1, 5)])
    match = match_camera(truth, tracks, np.array([1, 2]), np.array([1, 2]))
    assert [tick.rows.tolist() for tick in match.ticks] == [[0, 2], [3, 4, 5]]


def test_a_tick_is_compared_with_the_given_frame() -> None:
    truth = truth_of([(frame, frame, frame) for frame in range(1, 10)])
    match = match_camera(truth, tracks_of([(5, 7, 1, 1)]), np.array([4, 5]), np.array([4, 7]))
    assert [tick.identities.tolist() for tick in match.ticks] == [[4], [7]]
    assert match.shown.tolist() == [7]


def test_cameras_are_concatenated_with_global_ids() -> None:
    one = match_camera(truth_of([(1, 0, 30)]), tracks_of([(1, 0, 1, 500)]), np.array([1]), np.array([1]))
    two = match_camera(
        truth_of([(1, 0, 30), (1, 1, 31)]), tracks_of([(1, 0, 1, 500), (1, 1, 2, 0)]), np.array([1]), np.array([1])
    )
    sequence = as_sequence([IdentifiedCamera(match, match.tracks.gids) for match in (one, two)])
    assert sequence["num_timesteps"] == 2
    assert [ids.tolist() for ids in sequence["gt_ids"]] == [[0], [0, 1]]
    assert [ids.tolist() for ids in sequence["tracker_ids"]] == [[0], [0]]
    assert (sequence["num_gt_dets"], sequence["num_tracker_dets"]) == (3, 2)


def test_a_second_box_with_the_same_id_gets_an_id_of_its_own() -> None:
    rows = [(tick, lane, lane, 3) for tick in (1, 2) for lane in (0, 1)]
    match = match_camera(truth_of([]), tracks_of(rows), np.array([1, 2]), np.array([1, 2]))
    sequence = as_sequence([IdentifiedCamera(match, match.tracks.gids)])
    assert sequence["num_tracker_ids"] == 3
    first, second = (set(ids.tolist()) for ids in sequence["tracker_ids"])
    assert len(first) == len(second) == 2
    assert len(first & second) == 1


def test_more_ids_than_fit_into_memory_are_refused_with_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "_MOST_IDS", 2)
    match = match_camera(truth_of([(1, 0, 1)]), tracks_of([(1, 0, 1, 1), (1, 1, 2, 2)]), np.array([1]), np.array([1]))
    with pytest.raises(ScoresUnavailable, match="3 ids are too many"):
        as_sequence([IdentifiedCamera(match, match.tracks.gids)])


def test_a_missing_library_is_reported_with_the_command_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "trackeval.metrics", None)
    with pytest.raises(ScoresUnavailable, match=r"pip install --no-deps trackeval==1\.3\.0"):
        require_scores()


@pytest.mark.parametrize("file", ["Makefile", "README.md", "docs/evaluation.md"])
def test_the_command_that_installs_the_library_is_the_same_everywhere(file: str) -> None:
    assert f"install --no-deps {scores.TRACKEVAL}" in (ROOT / file).read_text()
