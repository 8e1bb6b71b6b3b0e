"""One camera of a worker: its source, its tracker, and the state of its tracks."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog

from shared.backoff import Backoff
from shared.camera_config import CameraConfig
from shared.leases import Lease
from shared.messages import Pose, TrackBatch
from vision.inference.detection import Detections, Detector
from vision.inference.selection import Thresholds
from vision.tracking.background_motion import BackgroundMotion
from vision.tracking.quality import box_quality, usable_crops
from vision.tracking.settings import TrackerSettings
from vision.tracking.tracker import Tracked, Tracker
from vision.video.picture_health import FaultKind
from vision.video.source import Frame, Source, SourceState
from vision.video.timing import Timing
from vision.video.video_file import GAP_S

_log = structlog.get_logger()
TRACKS_PER_CLAIM = 1000
"""Track ids are `epoch of the lease · 1000 + n`. Epochs are ms of Redis time, so the ids of a later claim are higher as
long as a camera has fewer than 1000 new tracks per ms."""
_FIRST_EMBEDDINGS = 5
"""A new track is embedded at each of its first ticks, to be recognised soon; later only every `refresh_seconds`."""
_ENOUGH_USABLE = 3
"""With fewer embeddings a track gets no gid (`association.min_track_frames`), so poor ones are better than waiting."""
_RETRY_S = (0.5, 10.0)
"""First and longest wait until the pictures of a camera are tried again after an error."""
_RATE_WINDOW_S = 5.0
_RATE_TICKS = 600
"""Maximum number of ticks in `_RATE_WINDOW_S`, at the highest rate of a clock, 120 ticks per second."""


@dataclass
class _EmbeddingHistory:
    """When one track was embedded."""

    embedded: int = 0
    usable: int = 0
    """How many of the crops were usable."""
    embedded_at_s: float = -1e9


@dataclass(frozen=True)
class Observed:
    """The tracks in one picture, before their crops are embedded."""

    tracked: Tracked
    qualities: npt.NDArray[np.float32]
    """`(n,)`, 0 to 1."""
    due: npt.NDArray[np.intp]
    """Rows of the tracks to embed at this tick."""


class Camera:
    """A claimed camera."""

    def __init__(
        self,
        config: CameraConfig,
        lease: Lease,
        source: Source,
        detector: Detector,
        thresholds: Thresholds,
        tracker: TrackerSettings,
        *,
        mask: npt.NDArray[np.uint8] | None,
        refresh_seconds: float,
        timing: Timing,
    ) -> None:
        self.config, self.lease, self.source = config, lease, source
        self.detector, self.thresholds = detector, thresholds
        self.timing = timing
        self.leaving = False
        """Whether the camera was paused or removed: at the next tick all of its tracks end."""
        self.handled = -1
        """The last handled tick."""
        self.gids: dict[int, int] = {}
        self.failure: str | None = None
        """Why its pictures cannot be handled now, for people."""
        self.error: Exception | None = None
        """The error behind `failure`."""
        self._retry_at_s, self._retries = 0.0, Backoff(*_RETRY_S)
        self.width = self.height = 0
        self._settings, self._mask, self._refresh_seconds = tracker, mask, refresh_seconds
        self._tracker = Tracker(tracker, first_id=lease.epoch * TRACKS_PER_CLAIM)
        self._background = BackgroundMotion()
        self._known: dict[int, _EmbeddingHistory] = {}
        self._highest_id = lease.epoch * TRACKS_PER_CLAIM - 1
        self._shown: tuple[int, int] | None = None
        self._time_ns = 0
        self._tracked_at_s = self._pictured_at_s = -1e9
        self._last: Observed | None = None
        self._ended: list[int] = []
        self._handled_at: deque[float] = deque(maxlen=_RATE_TICKS)

    @property
    def name(self) -> str:
        """The name in the site file."""
        return self.config.name

    @property
    def ended(self) -> bool:
        """Whether the source is a file that has been played to its end."""
        return self.source.state is SourceState.ENDED

    @property
    def suspended(self) -> bool:
        """Whether its pictures could not be handled, and the next attempt is not due yet."""
        return self.failure is not None and time.monotonic() < self._retry_at_s

    def suspend(self, error: Exception, reason: str) -> None:
        """Records that a picture could not be handled; `reason` is for people."""
        self.error, self.failure = error, reason
        self._retry_at_s = time.monotonic() + self._retries.next_s()

    def resume(self) -> None:
        """Records that a picture was handled."""
        if self.failure is not None:
            _log.info("a camera's pictures are handled again", camera=self.name)
            self.error = self.failure = None
            self._retries.reset()

    def time_ns(self, frame: Frame | None, tick_ns: int) -> int:
        """Site time of `frame`, or of the tick that began at `tick_ns` if there is no frame; never goes back."""
        candidate = tick_ns + self.timing.offset_ns
        if frame is not None and self.config.is_file:
            candidate = self.timing.begin_ns + round((frame.time_ns - self.timing.begin_ns) / self.timing.scale)
        elif frame is not None:
            candidate = frame.time_ns + self.timing.offset_ns
        if frame is not None and self.is_new(frame):
            candidate = max(candidate, self._time_ns + 1_000_000)
        self._time_ns = max(self._time_ns, candidate)
        return self._time_ns

    def is_new(self, frame: Frame) -> bool:
        """Whether this picture has not been handled yet; a file slower than the clock returns a picture twice."""
        return self._shown != (frame.loop, frame.index)

    def observe(self, frame: Frame, detections: Detections, time_s: float) -> Observed:
        """Updates the tracker with the detections in a new picture; `time_s` is its site time."""
        height, width = frame.image.shape[:2]
        if (width, height) != (self.width, self.height):
            # A different picture size means a different view: boxes of the two cannot be matched.
            self._ended += self._tracker.end_all().tolist()
            self._tracker = Tracker(self._settings, (width, height), first_id=self._highest_id + 1)
            self.width, self.height = width, height
        if self._shown is not None and frame.loop != self._shown[0]:
            self._ended += self._tracker.end_all().tolist()
            self._background.forget()
        self._shown = (frame.loop, frame.index)
        shift = self._background.shift(frame.image, detections.boxes_xyxy)
        detections = self._unmasked(detections)
        tracked = self._tracker.update(detections.boxes_xyxy, detections.scores, detections.class_ids, time_s, shift)
        self._tracked_at_s = self._pictured_at_s = time_s
        self._note_ended(tracked)
        self._highest_id = max([self._highest_id, *tracked.track_ids.tolist()])
        qualities = box_quality(tracked.boxes_xyxy, tracked.scores, width, height)
        usable = usable_crops(tracked.boxes_xyxy, width, height).tolist()
        ids = tracked.track_ids.tolist()
        due = np.array([i for i, track in enumerate(ids) if self._due(track, time_s, usable=usable[i])], np.intp)
        self._last = Observed(tracked, qualities, due)
        return self._last

    def is_in_gap(self, time_s: float) -> bool:
        """Whether a file has a gap at site time `time_s`, in which nothing is seen."""
        return self.config.is_file and time_s - self._pictured_at_s > GAP_S

    def coast(self, time_s: float) -> None:
        """Updates the tracker at a tick without a picture, so that lost tracks time out; ignored if time went back."""
        self._last = None
        if time_s <= self._tracked_at_s:
            return
        nothing = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int16))
        self._note_ended(self._tracker.update(nothing.boxes_xyxy, nothing.scores, nothing.class_ids, time_s))
        self._tracked_at_s = time_s

    def repeated(self) -> Observed | None:
        """The tracks of a picture that is handled again, with none to embed."""
        if self._last is None:
            return None
        return Observed(self._last.tracked, self._last.qualities, np.zeros(0, np.intp))

    def end_tracks(self) -> None:
        """Ends every track: the file has ended, or the camera is leaving."""
        self._ended += self._tracker.end_all().tolist()
        self._last = None

    def batch(self, observed: Observed | None, embeddings: npt.NDArray[np.float32], embedder: str) -> TrackBatch:
        """The message of this tick; `embeddings`, `(m, D)` float32, belong to the rows `observed.due`.

        Without a picture (`observed` is None) width and height are 0: the message then has no information about tracks.
        Crops that could not be embedded (zero vectors) are left out.
        """
        ended = np.array(sorted(set(self._ended)), np.int64)
        self._ended = []
        for track in ended.tolist():
            self._known.pop(track, None)
            self.gids.pop(track, None)
        if observed is None:
            return TrackBatch(ended=ended, embedder=embedder)
        rows = np.full(len(observed.tracked.track_ids), -1, np.int32)
        useful = np.linalg.norm(embeddings, axis=1) > 0
        rows[observed.due[useful]] = np.arange(int(useful.sum()), dtype=np.int32)
        return TrackBatch(
            track_ids=observed.tracked.track_ids,
            boxes_xyxy=observed.tracked.boxes_xyxy,
            scores=observed.tracked.scores,
            class_ids=observed.tracked.class_ids,
            qualities=observed.qualities,
            embedding_rows=rows,
            embeddings=embeddings[useful].astype(np.float16),
            ended=ended,
            embedder=embedder,
            width=self.width,
            height=self.height,
            pose=self._pose,
        )

    @property
    def _pose(self) -> Pose:
        fault = self.source.fault
        if fault is not None and fault.kind is FaultKind.MOVING:
            return "moving"
        return "moved" if self.source.moved is not None else "fixed"

    def change_gid(self, track_id: int, gid: int) -> None:
        """Applies a change of the global-ID map; `gid` 0 removes the track."""
        if gid:
            self.gids[track_id] = gid
        else:
            self.gids.pop(track_id, None)

    def count_handled(self) -> None:
        """Counts a handled tick, for `rate`."""
        self._handled_at.append(time.monotonic())

    def rate(self) -> float:
        """Ticks handled per second over the last few seconds; may be called from any thread."""
        now = time.monotonic()
        recent = [at for at in self._handled_at.copy() if now - at < _RATE_WINDOW_S]
        return (len(recent) - 1) / max(now - recent[0], 1e-3) if len(recent) > 1 else 0.0

    def _due(self, track: int, time_s: float, *, usable: bool) -> bool:
        """Whether to embed the crop of a track. A poor one counts only until the track has enough better ones."""
        known = self._known.setdefault(track, _EmbeddingHistory())
        if not usable and known.usable >= _ENOUGH_USABLE:
            return False
        enough = (known.usable if usable else known.embedded) >= _FIRST_EMBEDDINGS
        if enough and time_s - known.embedded_at_s < self._refresh_seconds - 1e-6:
            return False
        known.embedded += 1
        known.usable += usable
        known.embedded_at_s = time_s
        return True

    def _note_ended(self, tracked: Tracked) -> None:
        self._ended += tracked.ended.tolist()

    def _unmasked(self, detections: Detections) -> Detections:
        """The detections whose centre is not on a black pixel of the mask."""
        if self._mask is None or not len(detections):
            return detections
        boxes = np.nan_to_num(detections.boxes_xyxy)
        x = np.clip((boxes[:, 0] + boxes[:, 2]) / 2 / self.width, 0, 1)
        y = np.clip((boxes[:, 1] + boxes[:, 3]) / 2 / self.height, 0, 1)
        # The mask may have been drawn on a smaller picture of the view, so the centres are scaled to its size.
        rows, columns = self._mask.shape
        shown = self._mask[np.minimum(y * rows, rows - 1).astype(int), np.minimum(x * columns, columns - 1).astype(int)]
        keep = shown > 0
        return Detections(detections.boxes_xyxy[keep], detections.scores[keep], detections.class_ids[keep])
