"""One camera's objects from tick to tick: detections in, tracks with lasting ids out.

After ByteTrack (Zhang et al., ECCV 2022): confident detections are matched first, then the unsure ones continue tracks
that would otherwise be lost behind something. Different here: time is in seconds, so skipped ticks and low rates are
nothing special; objects too new to have a known speed are looked for around where they were first seen; and all tracks
live in arrays, so an update costs about the same for ten objects and for a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shared.config import DetectorConfig, SiteConfig, TrackerConfig
from vision.tracking import motion
from vision.tracking.matching import assign, iou_matrix

Ids = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]

_UNCONFIRMED = -1
_NO_DETECTION = -1
# Times are sums of floats: a gap of exactly the limit is not beyond it.
_SLACK_S = 1e-6
_SITE = TrackerConfig()


@dataclass(frozen=True)
class TrackerSettings:
    """What a tracker may believe; the defaults that a site file can change are those of `shared.config`.

    They are measured by `benchmarks/mot17_tracker.py` at 30, 10 and 5 Hz.
    """

    high_score: float = _SITE.high_score
    """Detections from here on are matched first, and may begin tracks; 0..1."""
    low_score: float = DetectorConfig.model_fields["min_score"].default
    """Detections from here to `high_score` only continue tracks seen at the last update; 0..1."""
    new_track_score: float = _SITE.new_track_score
    """A detection that nothing matched begins a track from here on; `high_score`..1."""
    match_iou: float = 0.2
    """Least IoU of a confident detection with the expected box; 0..1."""
    low_match_iou: float = 0.5
    """The same for an unsure detection; 0..1."""
    search_per_s: float = 2.0
    """How far around its box a track seen only once is looked for if it is not where it was: sizes of the box on each
    side per second, at most one size; 0 or more. Objects that are fast for the tick rate never get a track without."""
    max_lost_seconds: float = _SITE.max_lost_seconds
    """A track unseen for longer has ended, seconds, above 0."""
    min_hits: int = _SITE.min_hits
    """Detections in a row that confirm a track; 1 or more."""
    match_classes: bool = False
    """Match only detections of the track's own class. Off: detectors confuse classes more often than objects do."""
    noise: motion.MotionNoise = field(default_factory=motion.MotionNoise)
    """How objects move and detectors err."""

    @classmethod
    def of(cls, site: SiteConfig) -> TrackerSettings:
        """The settings of a site: unsure detections are those that its detector passes on below `high_score`."""
        tracker = site.tracker
        return cls(
            high_score=tracker.high_score,
            low_score=min(site.detector.min_score, tracker.high_score),
            new_track_score=tracker.new_track_score,
            max_lost_seconds=tracker.max_lost_seconds,
            min_hits=tracker.min_hits,
        )

    def __post_init__(self) -> None:
        if not 0.0 <= self.low_score <= self.high_score <= self.new_track_score <= 1.0:
            raise ValueError(
                "scores must keep 0 <= low_score <= high_score <= new_track_score <= 1, got "
                f"{self.low_score}, {self.high_score}, {self.new_track_score}"
            )
        if not (0.0 <= self.match_iou < 1.0 and 0.0 <= self.low_match_iou < 1.0 and self.search_per_s >= 0.0):
            raise ValueError(
                "match_iou and low_match_iou must be 0 or more and below 1, search_per_s 0 or more, got "
                f"{self.match_iou}, {self.low_match_iou} and {self.search_per_s}"
            )
        if not self.max_lost_seconds > 0.0:
            raise ValueError(f"max_lost_seconds must be above 0, got {self.max_lost_seconds}")
        if self.min_hits < 1:
            raise ValueError(f"min_hits must be 1 or more, got {self.min_hits}")


@dataclass(frozen=True)
class Tracked:
    """The confirmed tracks that were seen at one update, in order of their ids, and the tracks that ended."""

    track_ids: Ids
    """`(n,)` int64, never repeated by one tracker."""
    boxes_xyxy: npt.NDArray[np.float32]
    """`(n, 4)` float32 pixels: the detections' own boxes."""
    scores: npt.NDArray[np.float32]
    """`(n,)` float32, the detections' own."""
    class_ids: npt.NDArray[np.int16]
    """`(n,)` int16: the class that most of the track's detections had, weighted by score; it does not flicker."""
    detection_rows: npt.NDArray[np.int32]
    """`(n,)` int32: which of the given detections each track is."""
    hits: npt.NDArray[np.int32]
    """`(n,)` int32: detections the track has had, this one included."""
    ended: Ids
    """`(k,)` int64: confirmed tracks that ended at this update; each is named once, ever."""


@dataclass
class _Tracks:
    """All living tracks, one row each, in order of birth."""

    states: motion.States
    ids: Ids
    hits: npt.NDArray[np.int32]
    seen_s: npt.NDArray[np.float64]
    coasting: motion.Mask
    votes: npt.NDArray[np.float64]
    """`(n, classes)`: sum of the scores of each class."""

    def select(self, keep: motion.Mask) -> _Tracks:
        return _Tracks(
            self.states[keep],
            self.ids[keep],
            self.hits[keep],
            self.seen_s[keep],
            self.coasting[keep],
            self.votes[keep],
        )


def _no_tracks() -> _Tracks:
    return _Tracks(
        states=np.zeros((0, 5, 4)),
        ids=np.zeros(0, np.int64),
        hits=np.zeros(0, np.int32),
        seen_s=np.zeros(0),
        coasting=np.zeros(0, np.bool_),
        votes=np.zeros((0, 0)),
    )


class Tracker:
    """Tracks the objects of one camera; ids are given at confirmation: `first_id`, `first_id + 1`, …

    The outcome depends on nothing but the calls: not on the order of the detections, not on other trackers, not on a
    clock. With `frame_size` (width, height in pixels), a track that is expected to have left the picture ends at once
    instead of coasting outside.
    """

    def __init__(self, settings: TrackerSettings, frame_size: tuple[int, int] | None = None, first_id: int = 0) -> None:
        self._settings = settings
        self._frame_size = frame_size
        self._next_id = first_id
        self._time_s: float | None = None
        self._tracks = _no_tracks()
        self._classes = np.zeros(0, np.int16)

    @property
    def live_track_count(self) -> int:
        """Confirmed tracks that have not ended, seen at the last update or not."""
        return int(np.count_nonzero(self._tracks.ids != _UNCONFIRMED))

    def update(
        self,
        boxes_xyxy: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        class_ids: npt.NDArray[np.int16],
        time_s: float,
    ) -> Tracked:
        """Take the detections of one picture; with none of them, tracks coast and end by time.

        `boxes_xyxy` `(N, 4)` float32 xyxy in pixels of the source frame, `scores` `(N,)` float32 0..1, `class_ids`
        `(N,)` int16, `time_s` when the picture was taken. Boxes that are not finite or have no area are ignored.
        Raises ValueError if the arrays do not belong together, or if `time_s` is not later than at the last update.
        """
        if boxes_xyxy.shape != (len(scores), 4) or scores.ndim != 1 or class_ids.shape != scores.shape:
            raise ValueError(
                "expected boxes (N, 4), scores (N,) and classes (N,), got "
                f"{boxes_xyxy.shape}, {scores.shape} and {class_ids.shape}"
            )
        order = self._usable_rows_in_canonical_order(boxes_xyxy, scores, class_ids)
        ended = self._advance(time_s)
        boxes, confidences, classes = boxes_xyxy[order], scores[order], class_ids[order]
        matched = self._match(boxes, confidences, classes, time_s)
        matched = self._begin(boxes, confidences, matched, time_s)
        self._vote(classes, confidences, matched)
        self._confirm()
        tracks = self._tracks
        tracks.coasting = matched == _NO_DETECTION
        shown = np.flatnonzero((tracks.ids != _UNCONFIRMED) & ~tracks.coasting)
        shown = shown[np.argsort(tracks.ids[shown])]
        found = matched[shown]
        return Tracked(
            track_ids=tracks.ids[shown],
            boxes_xyxy=boxes[found].astype(np.float32, copy=False),
            scores=confidences[found].astype(np.float32, copy=False),
            class_ids=self._track_classes()[shown],
            detection_rows=order[found].astype(np.int32),
            hits=tracks.hits[shown],
            ended=ended,
        )

    def end_all(self) -> Ids:
        """End every track (the video loops, the camera is released) and return the ids of the confirmed ones.

        The next update may bear any time; ids go on where they were.
        """
        ended = np.sort(self._tracks.ids[self._tracks.ids != _UNCONFIRMED])
        self._tracks = self._tracks.select(np.zeros(len(self._tracks.ids), np.bool_))
        self._time_s = None
        return ended

    @staticmethod
    def _usable_rows_in_canonical_order(
        boxes_xyxy: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], class_ids: npt.NDArray[np.int16]
    ) -> Rows:
        # One fixed order makes ties, sums and new ids come out the same however the detector listed its boxes.
        order = np.lexsort((class_ids, scores, *boxes_xyxy.T))
        sorted_boxes = boxes_xyxy[order]
        usable = np.isfinite(sorted_boxes).all(axis=1) & np.isfinite(scores[order])
        usable &= (sorted_boxes[:, 2] > sorted_boxes[:, 0]) & (sorted_boxes[:, 3] > sorted_boxes[:, 1])
        return order[usable]

    def _advance(self, time_s: float) -> Ids:
        """Move every track to `time_s`; returns the ids of those that ended on the way."""
        if not np.isfinite(time_s):
            raise ValueError(f"time_s must be a finite number of seconds, got {time_s}")
        if self._time_s is not None:
            if time_s <= self._time_s:
                raise ValueError(f"time must go forward: {time_s} s is not later than {self._time_s} s")
            tracks = self._tracks
            tracks.states = motion.predict(tracks.states, time_s - self._time_s, tracks.coasting, self._settings.noise)
        self._time_s = time_s
        tracks = self._tracks
        over = time_s - tracks.seen_s > self._settings.max_lost_seconds + _SLACK_S
        over |= tracks.coasting & ((tracks.ids == _UNCONFIRMED) | self._outside())
        ended = np.sort(tracks.ids[over & (tracks.ids != _UNCONFIRMED)])
        self._tracks = tracks.select(~over)
        return ended

    def _outside(self) -> motion.Mask:
        centres = self._tracks.states[:, motion.POSITION, :2]
        if self._frame_size is None:
            return np.zeros(len(centres), np.bool_)
        gone: motion.Mask = np.any((centres < 0.0) | (centres > np.array(self._frame_size)), axis=1)
        return gone

    def _match(
        self,
        boxes: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        classes: npt.NDArray[np.int16],
        time_s: float,
    ) -> Rows:
        """Match detections to tracks, correct the tracks, and return each track's row of `boxes`, or none."""
        settings, tracks = self._settings, self._tracks
        matched = np.full(len(tracks.ids), _NO_DETECTION, np.intp)
        expected = motion.boxes(tracks.states)
        confident = scores >= settings.high_score
        free = np.ones(len(scores), np.bool_)
        track_classes = self._track_classes()

        def compare(candidates: motion.Mask, offered: motion.Mask, minimum: float, search_per_s: float = 0.0) -> None:
            rows = np.flatnonzero(candidates & (matched == _NO_DETECTION))
            columns = np.flatnonzero(offered & free)
            if len(rows) == 0 or len(columns) == 0:
                return
            margins = None
            if search_per_s > 0.0:
                growth = np.minimum((time_s - tracks.seen_s[rows]) * search_per_s, 1.0)
                margins = growth[:, None] * tracks.states[rows, motion.POSITION, 2:]
            similarity = iou_matrix(expected[rows], boxes[columns], margins)
            if settings.match_classes:
                similarity[track_classes[rows][:, None] != classes[columns]] = 0.0
            made_rows, made_columns = assign(similarity, minimum)
            matched[rows[made_rows]] = columns[made_columns]
            free[columns[made_columns]] = False

        known = tracks.ids != _UNCONFIRMED
        compare(known, confident, settings.match_iou)
        compare(known & ~tracks.coasting, ~confident & (scores >= settings.low_score), settings.low_match_iou)
        compare(~known, confident, settings.match_iou)
        # Only of those the speed is unknown; a wider search for all costs known tracks their identity.
        compare(~known, confident, settings.match_iou, settings.search_per_s)

        hit = np.flatnonzero(matched != _NO_DETECTION)
        tracks.states[hit] = motion.correct(tracks.states[hit], boxes[matched[hit]], settings.noise)
        tracks.hits[hit] += 1
        tracks.seen_s[hit] = time_s
        return matched

    def _begin(
        self, boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], matched: Rows, time_s: float
    ) -> Rows:
        """Begin a track at every confident detection that matched nothing; returns `matched` with the new tracks."""
        new = scores >= self._settings.new_track_score
        new[matched[matched != _NO_DETECTION]] = False
        rows = np.flatnonzero(new)
        if len(rows) == 0:
            return matched
        tracks = self._tracks
        self._tracks = _Tracks(
            states=np.concatenate([tracks.states, motion.begin(boxes[rows], self._settings.noise)]),
            ids=np.concatenate([tracks.ids, np.full(len(rows), _UNCONFIRMED, np.int64)]),
            hits=np.concatenate([tracks.hits, np.ones(len(rows), np.int32)]),
            seen_s=np.concatenate([tracks.seen_s, np.full(len(rows), time_s)]),
            coasting=np.concatenate([tracks.coasting, np.zeros(len(rows), np.bool_)]),
            votes=np.concatenate([tracks.votes, np.zeros((len(rows), len(self._classes)))]),
        )
        return np.concatenate([matched, rows])

    def _vote(self, classes: npt.NDArray[np.int16], scores: npt.NDArray[np.float32], matched: Rows) -> None:
        tracks = self._tracks
        hit = np.flatnonzero(matched != _NO_DETECTION)
        found = matched[hit]
        known = np.union1d(self._classes, classes[found]).astype(np.int16)
        if len(known) > len(self._classes):
            votes = np.zeros((len(tracks.ids), len(known)))
            votes[:, np.searchsorted(known, self._classes)] = tracks.votes
            tracks.votes, self._classes = votes, known
        tracks.votes[hit, np.searchsorted(known, classes[found])] += scores[found]

    def _confirm(self) -> None:
        tracks = self._tracks
        rows = np.flatnonzero((tracks.ids == _UNCONFIRMED) & (tracks.hits >= self._settings.min_hits))
        tracks.ids[rows] = self._next_id + np.arange(len(rows))
        self._next_id += len(rows)

    def _track_classes(self) -> npt.NDArray[np.int16]:
        if len(self._classes) == 0:
            return np.zeros(len(self._tracks.ids), np.int16)
        winners: npt.NDArray[np.int16] = self._classes[np.argmax(self._tracks.votes, axis=1)]
        return winners
