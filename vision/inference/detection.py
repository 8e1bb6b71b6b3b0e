"""Detects objects: one detector for all cameras of a worker, one model call for all their frames."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import structlog

from shared.config import DetectorConfig
from shared.errors import ModelError
from vision.inference.backends.loading import load_model
from vision.inference.backends.model import Model, WantedDevice
from vision.inference.detector_heads.facts import Facts
from vision.inference.detector_heads.head import Arrays, Floats, Head, PictureFormat
from vision.inference.detector_heads.recognition import Recognised, recognise
from vision.inference.model_user import ModelUser
from vision.inference.suppression import suppress

_log = structlog.get_logger()

# Grey level of the padding with which Ultralytics, YOLOX and YOLO-NAS were trained.
_PADDING = 114
_DIM = 0.4
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

    def __init__(self, model: Model, recognised: Recognised) -> None:
        super().__init__(model)
        self._head, self._why = recognised.head, recognised.why
        self._pictures = self._head.picture_format(takes_bytes=model.takes_bytes)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        head: str | None = None,
        size: tuple[int, int] | None = None,
        device: WantedDevice = "auto",
        threads: int = 0,
        max_batch: int = 32,
        engine_cache: Path | None = None,
    ) -> Detector:
        """Load the detector from the file `path`, or by its published name; other arguments as for `load_model`.

        Args:
            path: of the model's file, or its published name.
            head: name of the head; None: recognised from the model.
            size: `(height, width)` of the input in pixels, for a model with a dynamic input size.
            device: as for `load_model`.
            threads: as for `load_model`.
            max_batch: as for `load_model`.
            engine_cache: as for `load_model`.

        Raises:
            ModelError: the model cannot be loaded, has a fixed size other than `size`, or its head is of an unknown
                kind or not the wanted one, or could be of several kinds.
        """
        model = load_model(
            path,
            device=device,
            threads=threads,
            max_batch=max_batch,
            picture_size=size,
            engine_cache=engine_cache,
            any_input=True,
        )
        height, width = model.picture_size(size)
        if size not in (None, (height, width)):
            raise ModelError(
                f"{model.path}: takes pictures of {height}×{width} pixels (height × width), not {size[0]}×{size[1]}; "
                "remove detector.size"
            )
        pictures = trial_pictures(height, width, takes_bytes=model.takes_bytes)
        recognised = recognise(_facts(model, pictures), head)
        return cls(_for_batches(model, recognised.head, pictures), recognised)

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._head.class_names

    @property
    def family(self) -> str:
        """The models with this head, for people."""
        return self._head.family

    @property
    def head(self) -> str:
        """Name of the head, a value of `detector.head`."""
        return self._head.name

    @property
    def why(self) -> str:
        """Why this head was recognised."""
        return self._why

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
        placements = [letterbox(frame, self._pictures, out) for frame, out in zip(frames, batch, strict=True)]
        each: list[Arrays] = []
        for count, outputs in self._model.calls(batch):
            each += _split(self._model, self._head, outputs, self._model.batch_size or count)[:count]
        return [
            finish(self._head, outputs, wanted, placement)
            for outputs, wanted, placement in zip(each, thresholds, placements, strict=True)
        ]


def trial_pictures(height: int, width: int, *, takes_bytes: bool) -> Floats:
    """A blank and a patterned picture, `(2, 3, height, width)` float32, 0 to 1, or to 255 for a model that takes bytes.

    The pattern is a dim scene of coloured ramps and rectangles, so that a network's outputs differ between boxes.
    """
    pictures = np.zeros((2, 3, height, width), np.float32)
    ramps = np.stack([np.tile(np.linspace(0, 1, width), (height, 1)), np.tile(np.linspace(1, 0, height), (width, 1)).T])
    pictures[1, :2], pictures[1, 2] = ramps, ramps.mean(axis=0)
    for number, level in enumerate((1.0, 0.0, 0.7)):
        top, left = height * (number + 1) // 5, width * (number * 2 + 1) // 7
        pictures[1, :, top : top + height // 4, left : left + width // 6] = level
    return pictures * np.float32(_DIM * 255 if takes_bytes else _DIM)


def _facts(model: Model, pictures: Floats) -> Facts:
    batch = model.batch_size or 1
    pieces = [pictures[:1], pictures[1:]] if batch == 1 else [pictures]
    return Facts(
        model=str(model.path),
        height=pictures.shape[2],
        width=pictures.shape[3],
        calls=[outputs for piece in pieces for _, outputs in model.calls(piece)],
        batch=batch,
        output_names=model.output_names,
        input_name=model.input_name,
        takes_bytes=model.takes_bytes,
        channels_last=model.channels_last,
        takes_sizes=model.takes_sizes,
        metadata=model.metadata,
    )


def _for_batches(model: Model, head: Head, pictures: Floats) -> Model:
    """The model with no more pictures per call than it really takes.

    Raises:
        ModelError: the outputs for several pictures cannot be told apart.
    """
    if not head.batched and (model.batch_size or 1) > 1:
        raise ModelError(
            f"{model.path}: takes {model.batch_size} pictures, but head {head.name} returns the boxes of one; "
            "export it with batch size 1"
        )
    if model.batch_size is not None:
        for count, outputs in model.calls(pictures):
            _split(model, head, outputs, model.batch_size or count)
        return model
    if not head.batched:
        return replace(model, max_batch=1)
    calls = list(model.calls(pictures))
    try:
        works = len(calls) == 1 and bool(_split(model, head, calls[0][1], 2))
    except ModelError:
        works = False
    if works or model.max_batch == 1:
        return model
    _log.warning(
        "the model accepts any number of pictures, but works with one only, so it is called once per picture; export "
        "it with a dynamic batch",
        model=model.path.name,
    )
    return replace(model, max_batch=1)


def _split(model: Model, head: Head, outputs: Arrays, batch: int) -> list[Arrays]:
    try:
        return head.split(outputs, batch)
    except ModelError as error:
        raise ModelError(f"{model.path}: {error}") from None


def letterbox(frame: npt.NDArray[np.uint8], pictures: PictureFormat, out: Floats) -> Placement:
    """Write `frame` into `out` as large as fits, keeping its aspect ratio, and pad the rest with grey; or stretch it.

    Args:
        frame: `(height, width, 3)` uint8 BGR.
        pictures: channel order, scale and position that the model expects.
        out: `(3, input height, input width)` float32, overwritten.

    Returns:
        Where the frame is in `out`.
    """
    height, width = frame.shape[:2]
    input_height, input_width = out.shape[1:]
    if pictures.stretched:
        inner_width, inner_height, left, top = input_width, input_height, 0, 0
    else:
        ratio = min(input_height / height, input_width / width)
        inner_width, inner_height = max(1, round(width * ratio)), max(1, round(height * ratio))
        left = (input_width - inner_width) // 2 if pictures.centred else 0
        top = (input_height - inner_height) // 2 if pictures.centred else 0
    resized = cv2.resize(frame, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR)
    scale = np.float32(pictures.scale)
    if not pictures.stretched:
        out[:] = _PADDING * scale
    # Channel by channel into the batch: cv2.dnn.blobFromImages was no faster here and needs a padded copy first.
    for channel, plane in enumerate(out[:, top : top + inner_height, left : left + inner_width]):
        np.multiply(resized[..., 2 - channel if pictures.rgb else channel], scale, out=plane)
    if any(pictures.channel_means) or set(pictures.channel_deviations) != {1.0}:
        out -= np.array(pictures.channel_means, np.float32).reshape(3, 1, 1)
        out /= np.array(pictures.channel_deviations, np.float32).reshape(3, 1, 1)
    return Placement(width, height, inner_width / width, inner_height / height, left, top)


def finish(head: Head, outputs: Arrays, thresholds: Thresholds, placement: Placement) -> Detections:
    """Decode the model's `outputs` for one frame: threshold, suppress overlaps, and convert to pixels of the frame."""
    found = head.decode(outputs, thresholds.min_score, thresholds.class_ids)
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
