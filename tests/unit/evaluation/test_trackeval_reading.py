"""Ground truth is read, and boxes are left out, as TrackEval does it for the data sets that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.matching import in_regions, match_camera
from evaluation.tracks import PublishedTracks
from evaluation.truth import MOT17, TruthRules, read_camera_truth
from recording.mot_text import read_mot

FRAMES, OBJECTS = 12, 14
MOT15 = TruthRules(0.0, 0.0, None, frozenset())


def written(folder: Path, benchmark: str) -> tuple[Path, Path]:
    """Ground truth and results of a benchmark, with boxes near true ones and elsewhere."""
    rng = np.random.default_rng(5)
    truth, results = [], []
    for frame in range(1, FRAMES + 1):
        for number in range(1, OBJECTS + 1):
            left, top = 60 * number + frame, 40 + 7 * frame
            flag = 0 if number in (3, 7) else 1
            kind = {3: 3, 5: 8, 7: 7, 9: 12}.get(number, 1)
            tail = (
                f"{flag},{kind},{rng.uniform():.3f}" if benchmark == "MOT17" else f"{flag},{left / 99:.3f},{number},0"
            )
            truth.append(f"{frame},{number},{left},{top},50,100,{tail}")
            x, y = np.array([left, top]) + rng.normal(0, 12, 2)
            results.append(f"{frame},{number + 20},{x:.2f},{y:.2f},50,100,0.9,-1,-1,-1")
    gt, data = folder / "gt.txt", folder / "tracker" / "data" / "seq.txt"
    data.parent.mkdir(parents=True)
    gt.write_text("\n".join(truth))
    data.write_text("\n".join(results))
    return gt, data


def kept_by_trackeval(folder: Path, gt: Path, benchmark: str) -> dict[str, Any]:
    from trackeval.datasets import MotChallenge2DBox

    config = {
        "GT_FOLDER": str(folder),
        "TRACKERS_FOLDER": str(folder),
        "TRACKERS_TO_EVAL": ["tracker"],
        "BENCHMARK": benchmark,
        "SEQ_INFO": {"seq": FRAMES},
        "GT_LOC_FORMAT": str(gt),
        "SKIP_SPLIT_FOL": True,
        "PRINT_CONFIG": False,
    }
    dataset = MotChallenge2DBox(config)
    return dict(dataset.get_preprocessed_seq_data(dataset.get_raw_seq_data("tracker", "seq"), "pedestrian"))


@pytest.mark.parametrize(("benchmark", "rules", "form"), [("MOT17", MOT17, "mot"), ("MOT15", MOT15, "mot15")])
def test_the_same_boxes_are_scored_as_by_trackeval(
    benchmark: str, rules: TruthRules, form: str, tmp_path: Path
) -> None:
    gt, data = written(tmp_path, benchmark)
    expected = kept_by_trackeval(tmp_path, gt, benchmark)
    assert read_mot(gt).form == form
    rows = read_mot(data)
    tracks = PublishedTracks.of(
        rows.frame.tolist(), rows.frame.tolist(), rows.object_id.tolist(), rows.box_xyxy.tolist(), [0] * len(rows)
    )
    frames = np.arange(1, FRAMES + 1)
    match = match_camera(read_camera_truth(gt, rules), tracks, frames, frames)
    for tick, similarity in zip(match.ticks, expected["similarity_scores"], strict=True):
        np.testing.assert_allclose(tick.iou, similarity, atol=1e-4)
    assert sum(len(tick.rows) for tick in match.ticks) == expected["num_tracker_dets"]


def test_boxes_in_ignored_regions_are_those_of_trackeval() -> None:
    from trackeval.datasets._base_dataset import _BaseDataset

    rng = np.random.default_rng(6)
    boxes, regions = (np.sort(rng.uniform(0, 100, (n, 2, 2)), axis=1).reshape(n, 4) for n in (200, 5))
    shares = _BaseDataset._calculate_box_ious(boxes, regions, box_format="x0y0x1y1", do_ioa=True)
    expected = (shares > 0.5 + np.finfo("float").eps).any(axis=1)
    assert 20 < expected.sum() < 180
    assert (in_regions(boxes, regions) == expected).all()
    assert not in_regions(boxes, np.zeros((0, 4))).any()
