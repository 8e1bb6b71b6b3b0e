"""The single-camera tracker: takes detections and returns tracks with permanent ids.

Based on ByteTrack (Zhang et al., ECCV 2022): confident detections are matched first, then low-score detections continue
tracks that would otherwise be lost to occlusion. The differences: time is in seconds, so skipped ticks and low rates
need no special handling; tracks too new to have a known speed are searched for around their first position; and all
tracks live in arrays, so an update costs about the same for ten objects as for a hundred.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.tracking import motion
from vision.tracking.camera_motion import CameraMotion
from vision.tracking.gating import SLACK_S, class_agreement, reach, usual_match_iou, within_reach
from vision.tracking.matching import assign, iou_matrix
from vision.tracking.settings import TrackerSettings

Ids = npt.NDArray[np.int64]
Rows = npt.NDArray[np.intp]

_UNCONFIRMED = -1
_NO_DETECTION = -1
_LATELY_S = 0.2
"""A track that was not seen in the last two pictures and this long says nothing about the camera's motion."""
_UNWATCHED_S = 10.0
"""After a longer time without pictures, another object may be where a track was."""
_STANDING = 0.25
"""Heights per second; people walk at 0.5 to 1. A slower object is expected where it was before a time without pictures,
because over seconds its measured speed is mostly noise."""


@dataclass(frozen=True)
class Tracked:
    """The confirmed tracks detected at one update, sorted by id, and the tracks that ended."""

    track_ids: Ids
    """`(n,)` int64, never reused by a tracker."""
    boxes_xyxy: npt.NDArray[np.float32]
    """`(n, 4)` float32 xyxy, pixels of the source frame: the boxes of the matched detections."""
    scores: npt.NDArray[np.float32]
    """`(n,)` float32 in [0, 1]: the scores of the matched detections."""
    class_ids: npt.NDArray[np.int16]
    """`(n,)` int16: the majority class of the track's detections, weighted by score, so that it does not flicker."""
    detection_rows: npt.NDArray[np.int32]
    """`(n,)` int32: index of the detection that each track was matched with."""
    hits: npt.NDArray[np.int32]
    """`(n,)` int32: number of the track's detections so far, including this one."""
    ended: Ids
    """`(k,)` int64: ids of confirmed tracks that ended at this update; each id appears only once, ever."""


@dataclass
class _Tracks:
    """All tracks that have not ended, one row each, oldest first."""

    states: motion.States
    ids: Ids
    hits: npt.NDArray[np.int32]
    seen_s: npt.NDArray[np.float64]
    coasting: motion.Mask
    votes: npt.NDArray[np.float64]
    """`(n, classes)`: sum of the scores per class."""

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
    """Tracks the objects of one camera. A track gets its id when it is confirmed: `first_id`, `first_id + 1`, …

    Deterministic: the result depends only on the calls, not on the order of the detections, on other trackers, or on a
    clock.
    """

    def __init__(self, settings: TrackerSettings, frame_size: tuple[int, int] | None = None, first_id: int = 0) -> None:
        """With `frame_size` (width, height in pixels), a track predicted outside the picture ends at once.

        At the border, an object that enters is then told from one that leaves.
        """
        self._settings = settings
        self._frame_size = frame_size
        self._next_id = first_id
        self._time_s: float | None = None
        self._camera = CameraMotion(settings.camera)
        self._tracks = _no_tracks()
        self._classes = np.zeros(0, np.int16)

    @property
    def live_track_count(self) -> int:
        """Number of confirmed tracks that have not ended, whether detected at the last update or not."""
        return int(np.count_nonzero(self._tracks.ids != _UNCONFIRMED))

    def update(
        self,
        boxes_xyxy: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        class_ids: npt.NDArray[np.int16],
        time_s: float,
        background_shift: npt.NDArray[np.float64] | None = None,
    ) -> Tracked:
        """Process the detections of one picture. Tracks without a match coast, and end after `max_lost_seconds`.

        If there was no picture for longer than that (the process was suspended, or waited for Redis), tracks that stood
        still in the last one may continue for up to 10 s.

        Args:
            boxes_xyxy: `(N, 4)` float32 xyxy, pixels of the source frame. Boxes that are not finite or have no area
                are ignored. N may be 0.
            scores: `(N,)` float32 in [0, 1].
            class_ids: `(N,)` int16.
            time_s: capture time of the picture, seconds; must increase.
            background_shift: `(2,)` pixels, right and down: how far the background has moved since the last picture,
                if that is known (`BackgroundMotion`). What else the tracks have in common is found without it.

        Raises:
            ValueError: the shapes do not match, or `time_s` is not later than at the last update.
        """
        if boxes_xyxy.shape != (len(scores), 4) or scores.ndim != 1 or class_ids.shape != scores.shape:
            raise ValueError(
                "expected boxes (N, 4), scores (N,) and classes (N,), got "
                f"{boxes_xyxy.shape}, {scores.shape} and {class_ids.shape}"
            )
        order = self._usable_rows_in_canonical_order(boxes_xyxy, scores, class_ids)
        elapsed_s = time_s - self._time_s if self._time_s is not None else 0.0
        ended = self._advance(time_s, anything_seen=len(order) > 0)
        if background_shift is not None and background_shift.any():
            self._tracks.states[:, motion.POSITION, :2] += background_shift
            self._camera.seen(background_shift, time_s)
        boxes, confidences, classes = boxes_xyxy[order], scores[order], class_ids[order]
        matched = self._match(boxes, confidences, classes, time_s, elapsed_s)
        matched = self._begin(boxes, confidences, matched, time_s)
        self._vote(classes, confidences, matched)
        self._confirm(confidences, matched)
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
        """End all tracks (the video loops, or the camera is released).

        The next update may have any time; new ids continue the sequence.

        Returns:
            `(k,)` int64, sorted: ids of the confirmed tracks that ended.
        """
        ended = np.sort(self._tracks.ids[self._tracks.ids != _UNCONFIRMED])
        self._tracks = self._tracks.select(np.zeros(len(self._tracks.ids), np.bool_))
        self._time_s = None
        self._camera.forget()
        return ended

    @staticmethod
    def _usable_rows_in_canonical_order(
        boxes_xyxy: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], class_ids: npt.NDArray[np.int16]
    ) -> Rows:
        # A fixed order makes ties, sums and new ids independent of the order in which the detector lists its boxes.
        order = np.lexsort((class_ids, scores, *boxes_xyxy.T))
        sorted_boxes = boxes_xyxy[order]
        usable = np.isfinite(sorted_boxes).all(axis=1) & np.isfinite(scores[order])
        usable &= (sorted_boxes[:, 2] > sorted_boxes[:, 0]) & (sorted_boxes[:, 3] > sorted_boxes[:, 1])
        return order[usable]

    def _advance(self, time_s: float, *, anything_seen: bool) -> Ids:
        """Predict every track to `time_s`; returns the ids of those that ended."""
        if not np.isfinite(time_s):
            raise ValueError(f"time_s must be finite, got {time_s}")
        standing = np.zeros(len(self._tracks.ids), np.bool_)
        if self._time_s is not None:
            if time_s <= self._time_s:
                raise ValueError(f"time_s must increase: {time_s} s is not later than {self._time_s} s")
            if anything_seen:
                standing = self._standing_unwatched(time_s - self._time_s)
            tracks = self._tracks
            before = tracks.states
            tracks.states = motion.predict(before, time_s - self._time_s, tracks.coasting, self._settings.noise)
            tracks.states[standing, motion.POSITION] = before[standing, motion.POSITION]
        self._time_s = time_s
        tracks = self._tracks
        over = ~standing & (time_s - tracks.seen_s > self._settings.max_lost_seconds + SLACK_S)
        over |= tracks.coasting & ((tracks.ids == _UNCONFIRMED) | self._outside())
        ended = np.sort(tracks.ids[over & (tracks.ids != _UNCONFIRMED)])
        self._tracks = tracks.select(~over)
        return ended

    def _standing_unwatched(self, elapsed_s: float) -> motion.Mask:
        """The tracks that stood still in the last picture, if that was too long ago for the others."""
        tracks = self._tracks
        if not self._settings.max_lost_seconds + SLACK_S < elapsed_s <= _UNWATCHED_S + SLACK_S:
            return np.zeros(len(tracks.ids), np.bool_)
        speeds = np.linalg.norm(tracks.states[:, motion.SPEED, :2], axis=1)
        standing: motion.Mask = speeds <= _STANDING * tracks.states[:, motion.POSITION, 3]
        return standing & ~tracks.coasting & (tracks.ids != _UNCONFIRMED)

    def _follow_large_motion(
        self, boxes: npt.NDArray[np.float32], overlap: npt.NDArray[np.float64], time_s: float, elapsed_s: float
    ) -> bool:
        """Shift all tracks if the camera has moved far; returns whether it has.

        `overlap` is the IoU of all tracks with the confident detections `boxes`.
        """
        tracks = self._tracks
        lately = np.flatnonzero((time_s - tracks.seen_s <= 2.0 * elapsed_s + _LATELY_S) & (tracks.ids != _UNCONFIRMED))
        if not len(boxes) or not len(lately):
            return False
        known, best = tracks.states[lately, motion.POSITION], overlap.max(axis=1)[lately]
        shift = self._camera.large(known, best, motion.centres_and_sizes(boxes), elapsed_s, time_s)
        if not shift.any():
            return False
        tracks.states[:, motion.POSITION, :2] += shift
        return True

    def _follow_small_motion(self, rows: Rows, boxes: npt.NDArray[np.float32], time_s: float) -> None:
        """Shift all tracks by what the matched ones, `rows`, have in common with their `boxes`."""
        tracks = self._tracks
        known = tracks.ids[rows] != _UNCONFIRMED
        expected = tracks.states[rows[known], motion.POSITION]
        residuals = motion.centres_and_sizes(boxes[known])[:, :2] - expected[:, :2]
        shift = self._camera.small(residuals, expected[:, 3], time_s)
        if shift.any():
            tracks.states[:, motion.POSITION, :2] += shift

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
        elapsed_s: float,
    ) -> Rows:
        """Match detections to tracks and correct the tracks; the row of `boxes` for each track, or `_NO_DETECTION`."""
        settings, tracks = self._settings, self._tracks
        matched = np.full(len(tracks.ids), _NO_DETECTION, np.intp)
        expected = motion.boxes(tracks.states)
        confident = scores >= settings.high_score
        sure = np.flatnonzero(confident)
        overlap = iou_matrix(expected, boxes[sure])
        if self._follow_large_motion(boxes[sure], overlap, time_s, elapsed_s):
            expected = motion.boxes(tracks.states)
            overlap = iou_matrix(expected, boxes[sure])
        free = np.ones(len(scores), np.bool_)
        track_classes, unseen_s = self._track_classes(), time_s - tracks.seen_s
        camera_moves = self._camera.was_moving(time_s)
        may_move = reach(tracks.states, unseen_s)

        def weigh(similarity: npt.NDArray[np.float64], rows: Rows, columns: Rows) -> None:
            """Reduce the overlap of pairs that cannot, or are unlikely to, show one object."""
            i, j = np.nonzero(similarity)
            pairs, offered = rows[i], columns[j]
            weights = class_agreement(tracks.votes[pairs], self._classes, classes[offered])
            if not camera_moves:
                weights *= within_reach(expected[pairs], may_move[pairs], boxes[offered], self._frame_size)
            similarity[i, j] *= weights

        def compare(
            candidates: motion.Mask, offered: motion.Mask, minimum: npt.NDArray[np.float64], search_per_s: float = 0.0
        ) -> None:
            rows = np.flatnonzero(candidates & (matched == _NO_DETECTION))
            columns = np.flatnonzero(offered & free)
            if len(rows) == 0 or len(columns) == 0:
                return
            margins = None
            if search_per_s > 0.0:
                growth = np.minimum(unseen_s[rows] * search_per_s, 1.0)
                margins = growth[:, None] * tracks.states[rows, motion.POSITION, 2:]
            if offered is confident and margins is None:
                similarity = overlap[rows]
                if len(columns) < len(sure):
                    similarity = similarity[:, np.searchsorted(sure, columns)]
            else:
                similarity = iou_matrix(expected[rows], boxes[columns], margins)
            if margins is None and settings.match_iou is None:
                weigh(similarity, rows, columns)
            if settings.match_classes:
                similarity[track_classes[rows][:, None] != classes[columns]] = 0.0
            made_rows, made_columns = assign(similarity, minimum[rows][:, None])
            matched[rows[made_rows]] = columns[made_columns]
            free[columns[made_columns]] = False

        known = tracks.ids != _UNCONFIRMED
        if settings.match_iou is None:
            match_iou = usual_match_iou(unseen_s, elapsed_s, camera_moves=camera_moves)
        else:
            match_iou = np.full(len(tracks.ids), settings.match_iou)
        low_match_iou = np.full(len(tracks.ids), settings.low_match_iou)
        compare(known, confident, match_iou)
        compare(known & ~tracks.coasting, ~confident & (scores >= settings.low_score), low_match_iou)
        compare(~known, confident, match_iou)
        # Only unconfirmed tracks, whose speed is unknown: searching wider for all tracks causes identity switches.
        compare(~known, confident, match_iou, settings.search_per_s)

        hit = np.flatnonzero(matched != _NO_DETECTION)
        self._follow_small_motion(hit, boxes[matched[hit]], time_s)
        tracks.states[hit] = motion.correct(tracks.states[hit], boxes[matched[hit]], settings.noise)
        tracks.hits[hit] += 1
        tracks.seen_s[hit] = time_s
        return matched

    def _begin(
        self, boxes: npt.NDArray[np.float32], scores: npt.NDArray[np.float32], matched: Rows, time_s: float
    ) -> Rows:
        """Start a track at every unmatched confident detection; returns `matched` extended by the new tracks."""
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

    def _confirm(self, scores: npt.NDArray[np.float32], matched: Rows) -> None:
        """Give an id to tracks with enough detections, and to those whose detection is sure."""
        tracks = self._tracks
        sure = np.zeros(len(tracks.ids), np.bool_)
        hit = matched != _NO_DETECTION
        sure[hit] = scores[matched[hit]] > self._settings.sure_score
        rows = np.flatnonzero((tracks.ids == _UNCONFIRMED) & ((tracks.hits >= self._settings.min_hits) | sure))
        tracks.ids[rows] = self._next_id + np.arange(len(rows))
        self._next_id += len(rows)

    def _track_classes(self) -> npt.NDArray[np.int16]:
        if len(self._classes) == 0:
            return np.zeros(len(self._tracks.ids), np.int16)
        winners: npt.NDArray[np.int16] = self._classes[np.argmax(self._tracks.votes, axis=1)]
        return winners
