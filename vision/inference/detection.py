"""Detects objects: one detector for all cameras of a worker, one model call for all their frames."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from shared.config import DetectorConfig
from shared.errors import ModelError
from vision.inference.backends.loading import load_model
from vision.inference.backends.model import Model, WantedDevice
from vision.inference.detector_heads import Floats, Head, PictureFormat, recognise
from vision.inference.model_user import ModelUser
from vision.inference.suppression import suppress

# Grey level of the padding with which both detector families were trained.
_PADDING = 114
_DEFAULTS = DetectorConfig.model_fields


@dataclass(frozen=True)
class Thresholds:
    """Which boxes of one camera count as detections; the defaults are those of `shared.config.DetectorConfig`."""

    min_score: float = _DEFAULTS["min_score"].default
    """Minimum score; 0..1."""
    nms_iou: float = _DEFAULTS["nms_iou"].default
    """Boxes of one class that overlap more than this are suppressed; 0..1."""
    class_ids: frozenset[int] | None = None
    """None: all classes."""
    max_detections: int = _DEFAULTS["max_detections"].default
    """Maximum number of detections per frame."""


@dataclass(frozen=True)
class Detections:
    """The objects of one frame, best score first."""

    boxes_xyxy: Floats
    """`(N, 4)` float32 xyxy, pixels of the source frame, clipped to it."""
    scores: Floats
    """`(N,)` float32 in [0, 1], descending."""
    class_ids: npt.NDArray[np.int16]
    """`(N,)` int16, indices into the detector's `class_names`."""

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Placement:
    """Position and scale of a frame in the model's input, in pixels of the input."""

    frame_width: int
    frame_height: int
    scale_x: float
    scale_y: float
    left: int
    top: int

    def to_frame(self, boxes_xyxy: Floats) -> Floats:
        """Convert boxes `(N, 4)` float32 xyxy from pixels of the input to pixels of the frame, clipped to the frame."""
        offset = np.array([self.left, self.top] * 2, np.float32)
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float32)
        limit = np.array([self.frame_width, self.frame_height] * 2, np.float32)
        boxes: Floats = np.clip((boxes_xyxy - offset) / scale, 0, limit)
        return boxes


class Detector(ModelUser):
    """A detection model with its head. Stateless between calls."""

    def __init__(self, model: Model, head: Head) -> None:
        super().__init__(model)
        self._head = head

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        device: WantedDevice = "auto",
        threads: int = 0,
        max_batch: int = 32,
        engine_cache: Path | None = None,
    ) -> Detector:
        """Load the detector from the file `path`, or by its published name; arguments as for `load_model`.

        Raises:
            ModelError: the model cannot be loaded, or its head is of an unknown family.
        """
        model = load_model(path, device=device, threads=threads, max_batch=max_batch, engine_cache=engine_cache)
        height, width = model.picture_size()
        return cls(model, recognise(str(model.path), height, width, model.run(model.blank()), model.metadata))

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._head.class_names

    @property
    def family(self) -> str:
        """Name of the head's model family."""
        return self._head.family

    @property
    def input_size(self) -> tuple[int, int]:
        """`(width, height)` of the model's input in pixels."""
        return self._head.width, self._head.height

    def detect(self, frames: Sequence[npt.NDArray[np.uint8]], thresholds: Sequence[Thresholds]) -> list[Detections]:
        """Detect the objects of every frame, in one model call if the model has a dynamic batch.

        Args:
            frames: `(height, width, 3)` uint8 BGR each, of any size.
            thresholds: one for each frame.

        Raises:
            InferenceFailed: the device failed, for example ran out of memory.
            ValueError: `frames` and `thresholds` differ in length.
        """
        if len(frames) != len(thresholds):
            raise ValueError(f"{len(frames)} frames but {len(thresholds)} thresholds")
        if not frames:
            return []
        batch = np.empty((len(frames), 3, self._head.height, self._head.width), np.float32)
        placements = [letterbox(frame, self._head.pictures, out) for frame, out in zip(frames, batch, strict=True)]
        outputs = self._model.run(batch)[0]
        return [
            finish(self._head, output, wanted, placement)
            for output, wanted, placement in zip(outputs, thresholds, placements, strict=True)
        ]


def letterbox(frame: npt.NDArray[np.uint8], pictures: PictureFormat, out: Floats) -> Placement:
    """Write `frame` into `out` as large as fits, keeping its aspect ratio, and pad the rest with grey.

    Args:
        frame: `(height, width, 3)` uint8 BGR.
        pictures: channel order, scale and position that the model expects.
        out: `(3, input height, input width)` float32, overwritten.

    Returns:
        Where the frame is in `out`.
    """
    height, width = frame.shape[:2]
    input_height, input_width = out.shape[1:]
    ratio = min(input_height / height, input_width / width)
    inner_width, inner_height = max(1, round(width * ratio)), max(1, round(height * ratio))
    left = (input_width - inner_width) // 2 if pictures.centred else 0
    top = (input_height - inner_height) // 2 if pictures.centred else 0
    resized = cv2.resize(frame, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR)
    scale = np.float32(pictures.scale)
    out[:] = _PADDING * scale
    # Channel by channel into the batch: cv2.dnn.blobFromImages was no faster here and needs a padded copy first.
    for channel, plane in enumerate(out[:, top : top + inner_height, left : left + inner_width]):
        np.multiply(resized[..., 2 - channel if pictures.rgb else channel], scale, out=plane)
    return Placement(width, height, inner_width / width, inner_height / height, left, top)


def finish(head: Head, output: Floats, thresholds: Thresholds, placement: Placement) -> Detections:
    """Decode the model's `output` for one frame: threshold, suppress overlaps, and convert to pixels of the frame."""
    found = head.decode(output, thresholds.min_score, thresholds.class_ids)
    if head.overlapping:
        best = suppress(found.boxes_xyxy, found.scores, found.class_ids, thresholds.nms_iou, thresholds.max_detections)
    else:
        best = np.argsort(-found.scores, kind="stable")[: thresholds.max_detections]
    return Detections(placement.to_frame(found.boxes_xyxy[best]), found.scores[best], found.class_ids[best])


def resolve_classes(wanted: Sequence[int | str], names: Sequence[str]) -> frozenset[int]:
    """Indices of the classes `wanted`, each given by its name in `names` (case-insensitive) or by its index.

    Raises:
        ModelError: the model has no such class; the message suggests similar names.
    """
    by_name: dict[str, set[int]] = {}
    for number, name in enumerate(names):
        by_name.setdefault(name.casefold(), set()).add(number)
    numbers: set[int] = set()
    for entry in wanted:
        text = str(entry).strip()
        if isinstance(entry, str) and text.casefold() in by_name:
            numbers |= by_name[text.casefold()]
        elif text.isdecimal() and int(text) < len(names):
            numbers.add(int(text))
        else:
            raise ModelError(f"unknown class {text!r}; {_suggestion(text, names)}")
    return frozenset(numbers)


def _suggestion(text: str, names: Sequence[str]) -> str:
    available = f"{len(names)} classes, by name or by number from 0 to {len(names) - 1}"
    close = difflib.get_close_matches(text.casefold(), [name.casefold() for name in names], n=3)
    if close:
        return f"did you mean {' or '.join(close)}? The model has {available}"
    return f"the model has {available}: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}"
