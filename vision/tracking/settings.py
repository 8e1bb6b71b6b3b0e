"""The thresholds of the tracker."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.config import DetectorConfig, SiteConfig
from shared.tracker_config import TrackerConfig
from vision.tracking.camera_motion import CameraMotionSettings
from vision.tracking.motion import MotionNoise

_SITE = TrackerConfig()


@dataclass(frozen=True)
class TrackerSettings:
    """Thresholds of a tracker; those that a site file can set have the defaults of `shared.config`.

    `benchmarks/mot17_tracker.py` measures them at 30, 10 and 5 Hz.
    """

    high_score: float = _SITE.high_score
    """Detections with at least this score are matched first and may start tracks; 0..1."""
    low_score: float = DetectorConfig.model_fields["min_score"].default
    """Detections from this score up to `high_score` only continue tracks seen at the last update; 0..1."""
    new_track_score: float = _SITE.new_track_score
    """An unmatched detection with at least this score starts a track; `high_score`..1."""
    match_iou: float | None = _SITE.match_iou
    """Minimum IoU of a confident detection with the predicted box, 0..1; None: see `gating.usual_match_iou`."""
    low_match_iou: float = 0.5
    """The same for a low-score detection; 0..1."""
    search_per_s: float = 2.0
    """Search margin for an unconfirmed track that was not matched at its predicted box: grows by this many box sizes
    per second on each side, up to one box size; 0 or more. Without it, objects that are fast for the tick rate never
    get a track."""
    sure_score: float = _SITE.sure_score
    """A detection with a higher score confirms a track alone; 0..1."""
    max_lost_seconds: float = _SITE.max_lost_seconds
    """A track unseen for longer than this ends; seconds, above 0."""
    min_hits: int = _SITE.min_hits
    """Consecutive detections that confirm a track; 1 or more."""
    match_classes: bool = False
    """Match only detections of the track's own class. Off, because detectors often confuse the classes of an object."""
    noise: MotionNoise = field(default_factory=MotionNoise)
    camera: CameraMotionSettings = field(default_factory=CameraMotionSettings)

    @classmethod
    def of(cls, site: SiteConfig) -> TrackerSettings:
        """The settings of a site.

        `low_score` is the detector's `min_score`, at most `high_score`; `new_track_score` is at least `high_score`.
        """
        tracker = site.tracker
        return cls(
            high_score=tracker.high_score,
            low_score=min(site.detector.min_score, tracker.high_score),
            new_track_score=max(tracker.new_track_score, tracker.high_score),
            match_iou=tracker.match_iou,
            sure_score=tracker.sure_score,
            max_lost_seconds=tracker.max_lost_seconds,
            min_hits=tracker.min_hits,
        )

    def __post_init__(self) -> None:
        if not 0.0 <= self.low_score <= self.high_score <= self.new_track_score <= 1.0:
            raise ValueError(
                "scores must satisfy 0 <= low_score <= high_score <= new_track_score <= 1, got "
                f"{self.low_score}, {self.high_score}, {self.new_track_score}"
            )
        match_iou = self.match_iou or 0.0
        if not (0.0 <= match_iou < 1.0 and 0.0 <= self.low_match_iou < 1.0 and self.search_per_s >= 0.0):
            raise ValueError(
                "match_iou and low_match_iou must be 0 or more and below 1, search_per_s 0 or more, got "
                f"{self.match_iou}, {self.low_match_iou} and {self.search_per_s}"
            )
        if not self.max_lost_seconds > 0.0:
            raise ValueError(f"max_lost_seconds must be above 0, got {self.max_lost_seconds}")
        if self.min_hits < 1:
            raise ValueError(f"min_hits must be 1 or more, got {self.min_hits}")
