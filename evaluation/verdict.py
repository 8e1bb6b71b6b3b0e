"""The result of evaluating one run: scores of the published gids, the bound, live figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evaluation.association_bound import perfect_ids
from evaluation.live import LiveFigures, live_figures
from evaluation.matching import CameraMatch, match_camera
from evaluation.scores import CameraScores, IdentifiedCamera, SiteScores, camera_scores, require_scores, site_scores
from evaluation.tracks import PublishedTracks
from evaluation.truth import CameraTruth
from recording.rows import Ids
from shared.progress import ReportProgress, ignore_progress


@dataclass(frozen=True)
class CameraInput:
    """One camera of a run."""

    tracks: PublishedTracks
    truth: CameraTruth
    frames: Ids
    """`(k,)` int64: the frame number that the source shows at each tick of the run."""


@dataclass(frozen=True)
class Verdict:
    """Scores of a run, 0 to 1 (MOTA may be negative); None if there was nothing to score."""

    cameras: Mapping[str, CameraScores | None]
    multi_camera: SiteScores | None
    bound: SiteScores | None
    """Scores of a perfect association of the same tracks."""
    bound_cameras: Mapping[str, CameraScores | None]
    live: LiveFigures
    first_tick: int
    ticks: int
    tick_seconds: float
    matches: Mapping[str, CameraMatch]
    """Which box shows which object, for the report."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "cameras": {name: _fields(scores) for name, scores in self.cameras.items()},
            "multi_camera": _fields(self.multi_camera),
            "bound": _fields(self.bound),
            "bound_cameras": {name: _fields(scores) for name, scores in self.bound_cameras.items()},
            "live": asdict(self.live),
            "seconds": round(self.ticks * self.tick_seconds, 6),
        }


def judge(
    cameras: Mapping[str, CameraInput], ticks: Ids, tick_seconds: float, progress: ReportProgress = ignore_progress
) -> Verdict:
    """Evaluate a run. A true box without a published box is a miss, whatever the reason.

    Args:
        cameras: the tracks and the ground truth of each camera.
        ticks: `(k,)` int64, ascending: the ticks to score.
        tick_seconds: length of a tick.
        progress: counts steps.

    Raises:
        ScoresUnavailable: TrackEval is not installed, or there are too many ids.
    """
    require_scores()
    steps, done = 3 * len(cameras) + 2, 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, steps)

    matches = {}
    for name, camera in cameras.items():
        matches[name] = match_camera(camera.truth, camera.tracks, ticks, camera.frames)
        step()
    published = {name: IdentifiedCamera(match, match.tracks.gids) for name, match in matches.items()}
    best = perfect_ids(list(matches.values()))
    perfect = {name: IdentifiedCamera(match, ids) for (name, match), ids in zip(matches.items(), best, strict=True)}
    by_camera: list[dict[str, CameraScores | None]] = [{}, {}]
    of_all = []
    for ids, scores in zip((published, perfect), by_camera, strict=True):
        for name, camera_ids in ids.items():
            scores[name] = camera_scores(camera_ids)
            step()
        of_all.append(site_scores(list(ids.values())))
        step()
    live = live_figures(list(matches.values()), tick_seconds)
    return Verdict(
        by_camera[0],
        of_all[0],
        of_all[1],
        by_camera[1],
        live,
        int(ticks[0]) if len(ticks) else 0,
        len(ticks),
        tick_seconds,
        matches,
    )


def _fields(scores: CameraScores | SiteScores | None) -> dict[str, Any] | None:
    return None if scores is None else asdict(scores)
