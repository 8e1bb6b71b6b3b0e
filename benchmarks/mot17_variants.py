"""Makes harder versions of recorded sequences: a camera that pans or shakes, dropped pictures, irregular ticks.

Boxes only: detections and truth are shifted together, as the picture would. What moves more than half out of the
picture is gone from both. All randomness comes from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from evaluation.truth import CameraTruth
from recording.mot_text import MotRows

Offsets = npt.NDArray[np.float64]
FRAME_SIZE = (1920, 1080)
PAN_HEIGHTS_PER_S = 2.0
"""Fastest pan, in median box heights per second."""
_PAN_REACH = (0.25, 0.12)
"""How far a pan goes to each side, as a fraction of the picture's width and height."""
_SHAKE_HEIGHTS = 0.12
"""Standard deviation of the shake, in median box heights."""
_SHAKE_CORRELATION_S = 0.1
_DROPPED = 0.25
"""Share of the pictures that are lost, in bursts of up to `_LONGEST_BURST`."""
_LONGEST_BURST = 8


class Variant(StrEnum):
    """What is done to a sequence."""

    ORIGINAL = "original"
    PAN = "pan"
    SHAKE = "shake"
    DROPPED = "dropped"
    IRREGULAR = "irregular"


@dataclass(frozen=True)
class Sequence:
    """Detections and truth of one sequence."""

    name: str
    rate_hz: float
    detections: MotRows
    """Sorted by frame."""
    truth: CameraTruth
    pictures: npt.NDArray[np.int64]
    """`(n,)` int64: the numbers of the frames that arrive, ascending."""
    irregular_seed: int | None = None
    """Ticks come at irregular times, drawn with this seed; None: at regular ones."""

    def ticks(self, first: int, stride: int) -> npt.NDArray[np.int64]:
        """The frames of one run: every `stride`-th picture from number `first` (from 1) on, about."""
        if self.irregular_seed is None:
            return self.pictures[first - 1 :: stride]
        rng = np.random.default_rng((self.irregular_seed, first, stride))
        steps = rng.integers(1, 2 * stride, len(self.pictures) // stride + 1)
        rows = np.cumsum(np.concatenate([[first - 1], steps]))
        return self.pictures[rows[rows < len(self.pictures)]]


def varied(sequence: Sequence, variant: Variant, seed: int) -> Sequence:
    """The version `variant` of a sequence."""
    rng = np.random.default_rng((seed, sum(map(ord, sequence.name)), list(Variant).index(variant)))
    named = replace(sequence, name=sequence.name if variant is Variant.ORIGINAL else f"{sequence.name} {variant}")
    length = int(sequence.pictures[-1])
    height = float(np.median(sequence.detections.box_ltwh[:, 3]))
    if variant is Variant.PAN:
        return _shifted(named, _pan(rng, length, sequence.rate_hz, height))
    if variant is Variant.SHAKE:
        return _shifted(named, _shake(rng, length, sequence.rate_hz, height))
    if variant is Variant.DROPPED:
        return replace(named, pictures=_kept(rng, sequence.pictures))
    if variant is Variant.IRREGULAR:
        return replace(named, irregular_seed=seed)
    return named


def _pan(rng: np.random.Generator, length: int, rate_hz: float, height: float) -> Offsets:
    """Pans and stops between two edges: the speed changes every one to three seconds, smoothly."""
    offsets, speed, position = np.zeros((length, 2)), np.zeros(2), np.zeros(2)
    wanted, until = np.zeros(2), 0
    reach = np.array(FRAME_SIZE) * _PAN_REACH
    for frame in range(length):
        if frame >= until:
            until = frame + int(rng.uniform(1.0, 3.0) * rate_hz)
            fast = height * PAN_HEIGHTS_PER_S * np.array([1.0, 0.25])
            wanted = rng.choice([0.0, 1.0, 1.0]) * rng.uniform(-fast, fast)
        beyond = np.abs(position) > reach
        wanted = np.where(beyond, -np.sign(position) * np.abs(wanted), wanted)
        speed = speed + (wanted - speed) * min(1.0, 1.0 / (0.3 * rate_hz))
        position = position + speed / rate_hz
        offsets[frame] = position
    return offsets


def _shake(rng: np.random.Generator, length: int, rate_hz: float, height: float) -> Offsets:
    """A camera on a pole in the wind: noise that is correlated over a tenth of a second."""
    memory = np.exp(-1.0 / (_SHAKE_CORRELATION_S * rate_hz))
    kicks = rng.normal(0.0, _SHAKE_HEIGHTS * height * np.sqrt(1.0 - memory**2), (length, 2))
    offsets = np.zeros((length, 2))
    for frame in range(1, length):
        offsets[frame] = memory * offsets[frame - 1] + kicks[frame]
    return offsets


def _kept(rng: np.random.Generator, pictures: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    kept = np.ones(len(pictures), np.bool_)
    mean_burst = (1 + _LONGEST_BURST) / 2
    starts = np.flatnonzero(rng.random(len(pictures)) < _DROPPED / mean_burst)
    for start in starts.tolist():
        kept[start : start + int(rng.integers(1, _LONGEST_BURST + 1))] = False
    return pictures[kept]


def _shifted(sequence: Sequence, offsets: Offsets) -> Sequence:
    rows, truth = sequence.detections, sequence.truth
    ltwh = rows.box_ltwh.copy()
    ltwh[:, :2] += offsets[rows.frame - 1]
    detections = replace(rows, box_ltwh=ltwh)
    boxes = truth.boxes_xyxy + np.tile(offsets[truth.frames - 1], 2)
    seen = _is_inside(boxes)
    return replace(
        sequence,
        detections=detections.select(_is_inside(detections.box_xyxy)),
        truth=CameraTruth(
            truth.frames[seen], truth.identities[seen], boxes[seen], truth.counted[seen], truth.ignored[seen]
        ),
    )


def _is_inside(boxes_xyxy: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    inside: npt.NDArray[np.bool_] = ((centres >= 0) & (centres <= FRAME_SIZE)).all(axis=1)
    return inside
