"""The trade-off between early gids and gid changes: runs the association with several `min_track_frames`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.live import live_figures
from evaluation.matching import CameraMatch
from evaluation.tracks import PublishedTracks
from recording.association import associate
from recording.reading import Recording
from shared.progress import ReportProgress, ignore_progress

FRAMES = (1, 2, 3, 5, 8, 12)


@dataclass(frozen=True)
class Point:
    """One setting of `association.min_track_frames`."""

    min_track_frames: int
    first_gid_seconds_p50: float
    gid_changes_per_1000_track_seconds: float
    chosen: bool
    """Whether the site has this setting."""


def tradeoff(
    recording: Recording, frames: Sequence[int] = FRAMES, progress: ReportProgress = ignore_progress
) -> list[Point]:
    """Run the association over the recording once for each setting in `frames` and for the site's own.

    Raises:
        MtmcError: the recording is damaged.
    """
    own = int(recording.site["association"]["min_track_frames"])
    points = []
    settings = sorted({own, *frames})
    for done, count in enumerate(settings, start=1):
        run = associate(recording, association={"min_track_frames": count}).recording
        tracks = [PublishedTracks.recorded(run, camera) for camera in run.cameras]
        figures = live_figures([CameraMatch.without_truth(of_one) for of_one in tracks], 1.0 / run.fps)
        first, changes = figures.first_gid_seconds_p50, figures.gid_changes_per_1000_track_seconds
        if first is not None and changes is not None:
            points.append(Point(count, first, changes, count == own))
        progress(done, len(settings))
    return points
