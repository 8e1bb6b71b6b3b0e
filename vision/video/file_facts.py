"""What a video file contains, for people and for evaluation: read without decoding more than its first pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shared.errors import SourceUnavailable
from vision.video.decoding import Converter
from vision.video.video_file import GAP_INTERVALS, GAP_S, Picture, Scan, VideoFile

_FIRST_PICTURES = 10
_LONGEST_LOOK_S = 4.0
"""A file that takes longer to read through is described by its header and its beginning."""
_VARIABLE = 1.5
"""The rate is variable if the longer intervals are longer than the shorter ones by more than this factor."""
_TIE_S = 1e-6


@dataclass(frozen=True)
class FileFacts:
    """Facts about one file."""

    width: int
    height: int
    fps: float
    """Average rate of media time."""
    has_time_stamps: bool
    shortest_s: float
    """The 5th percentile of the times between two pictures, without gaps, seconds."""
    longest_s: float
    """Likewise the 95th percentile."""
    gaps: tuple[tuple[float, float], ...]
    """`(when, how long)`, media time in seconds, of each gap."""
    duration_s: float | None
    interlaced: bool
    rotation: int
    """Degrees by which players turn the pictures."""

    @property
    def is_variable(self) -> bool:
        """Whether the pictures come at a variable rate."""
        return self.longest_s > _VARIABLE * self.shortest_s


def read_facts(path: Path, camera: str, fps: float | None = None) -> FileFacts:
    """The facts of a file; `fps` as for `VideoFile`.

    Raises:
        SourceUnavailable: the file is missing, not a video, or has no picture that can be decoded.
    """
    video = VideoFile(path, camera, fps=fps)
    try:
        first = [picture for _ in range(_FIRST_PICTURES) if (picture := video.read()) is not None]
        if not first:
            raise SourceUnavailable(camera, f"{path} has no frame that can be decoded; convert it, or copy it again")
        height, width = Converter().image(first[0].frame).shape[:2]
        return _facts(video, first, video.scan(_LONGEST_LOOK_S), (width, height))
    finally:
        video.close()


def frame_times(path: Path, camera: str, fps: float | None = None) -> tuple[NDArray[np.float64], float]:
    """Media time of every picture, `(n,)` float64, seconds from the first one, ascending; and the average rate.

    Raises:
        SourceUnavailable: the file is missing or not a video.
    """
    video = VideoFile(path, camera, fps=fps)
    try:
        return video.scan().times_s, video.fps
    finally:
        video.close()


def frames_at(times_s: NDArray[np.float64], media_s: NDArray[np.float64], fps: float) -> NDArray[np.int64]:
    """Index of the picture that `FileSource` shows at each of `media_s`, `(k,)` int64; −1 in a gap or after the end.

    `times_s` are the times of all pictures, `(n,)`, ascending, and `fps` is their average rate.
    """
    if not len(times_s):
        return np.full(len(media_s), -1, np.int64)
    intervals = np.diff(times_s)
    usual = 1 / fps
    middles = (times_s[:-1] + times_s[1:]) / 2 + _TIE_S
    index = np.searchsorted(middles, media_s, side="left")
    reach = np.where(intervals > max(GAP_S, GAP_INTERVALS * usual), usual, intervals) / 2
    before, after = np.append(usual / 2, reach), np.append(reach, usual / 2)
    distance = media_s - times_s[index]
    shown = (distance <= after[index] + _TIE_S) & ((distance >= -before[index]) | (index == 0))
    return np.where(shown, index, -1).astype(np.int64)


def _facts(video: VideoFile, first: list[Picture], scan: Scan, size: tuple[int, int]) -> FileFacts:
    usual, times = 1 / video.fps, scan.times_s
    intervals = np.diff(times) if len(times) > 1 else np.array([usual])
    # Equal time stamps, which players show one after the other.
    intervals = intervals[intervals > 0] if (intervals > 0).any() else np.array([usual])
    starts = times[:-1][np.diff(times) > 0] if len(times) > 1 else times
    is_gap = intervals > max(GAP_S, GAP_INTERVALS * usual)
    steady = intervals[~is_gap] if not is_gap.all() else intervals
    duration = float(times[-1] + usual) if scan.is_whole and len(times) else video.claimed_seconds
    return FileFacts(
        width=size[0],
        height=size[1],
        fps=1 / float(np.mean(steady)) if video.has_time_stamps and len(times) > 1 else video.fps,
        has_time_stamps=video.has_time_stamps,
        shortest_s=float(np.percentile(steady, 5)),
        longest_s=float(np.percentile(steady, 95)),
        gaps=tuple((float(starts[i]), float(intervals[i])) for i in np.flatnonzero(is_gap)),
        duration_s=duration,
        interlaced=any(picture.frame.interlaced_frame for picture in first),
        rotation=round(first[0].frame.rotation),
    )
