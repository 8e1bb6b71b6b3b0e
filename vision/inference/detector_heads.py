"""What detectors want to see and what their outputs mean, recognised from the model itself."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.errors import ModelError

Floats: TypeAlias = npt.NDArray[np.float32]

# The order of the classes in COCO's annotations (Lin et al., 2014), which YOLOX models do not carry themselves.
# fmt: off
COCO_NAMES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on
_STRIDES = (8, 16, 32)
# e^10 cells are wider than any picture; a model gone wrong must not overflow.
_MAX_LOG_SIZE = np.float32(10)


@dataclass(frozen=True)
class Candidates:
    """Boxes of one picture before suppression, `(K, 4)` in pixels of the model's input, with score and class."""

    boxes_xyxy: Floats
    scores: Floats
    class_ids: npt.NDArray[np.int16]


@dataclass(frozen=True)
class PictureFormat:
    """How a frame must be laid into the input."""

    rgb: bool
    scale: float
    """What a byte is multiplied by."""
    centred: bool
    """Padding on both sides, not only right of and below the picture."""


_ULTRALYTICS_PICTURES = PictureFormat(rgb=True, scale=1 / 255, centred=True)


@dataclass(frozen=True)
class UltralyticsHead:
    """Output `[B, 4 + C, N]` of Ultralytics v8 and later: centre, size and a score per class."""

    height: int
    width: int
    class_names: tuple[str, ...]
    family: ClassVar[str] = "Ultralytics"
    pictures: ClassVar[PictureFormat] = _ULTRALYTICS_PICTURES
    overlapping: ClassVar[bool] = True

    def decode(self, output: Floats, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """Boxes whose best class is in `wanted` (None: any) with a score of at least `min_score`, in order of N."""
        by_class = output[4:] if wanted is None else output[4:][sorted(wanted)]
        keep = np.flatnonzero(by_class.max(axis=0, initial=-1) >= min_score)
        rows = output[:, keep].T
        class_ids = rows[:, 4:].argmax(axis=1)
        scores = rows[:, 4:].max(axis=1, initial=-1)
        centre, half = rows[:, :2], rows[:, 2:4] / 2
        return _of_classes(np.hstack([centre - half, centre + half]), scores, class_ids, wanted)


@dataclass(frozen=True)
class EndToEndHead:
    """Output `[B, N, 6]` of Ultralytics exports that suppress overlaps themselves: corners, score, class."""

    height: int
    width: int
    class_names: tuple[str, ...]
    family: ClassVar[str] = "Ultralytics end-to-end"
    pictures: ClassVar[PictureFormat] = _ULTRALYTICS_PICTURES
    overlapping: ClassVar[bool] = False

    def decode(self, output: Floats, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """Boxes of a class in `wanted` (None: any) with a score of at least `min_score`, in order of N."""
        rows = output[output[:, 4] >= min_score]
        return _of_classes(rows[:, :4], rows[:, 4], rows[:, 5].round().astype(np.intp), wanted)


@dataclass(frozen=True, eq=False)
class YoloxHead:
    """Output `[B, N, 5 + C]` of YOLOX: per cell of three grids centre, log size, objectness, a score per class.

    The decoding is that of Ge et al., YOLOX: Exceeding YOLO Series in 2021.
    """

    height: int
    width: int
    class_names: tuple[str, ...]
    cells: Floats
    """`(N, 2)`, column and row of each cell in its grid."""
    strides: Floats
    """`(N, 1)`, pixels per cell."""
    family: ClassVar[str] = "YOLOX"
    pictures: ClassVar[PictureFormat] = PictureFormat(rgb=False, scale=1.0, centred=False)
    overlapping: ClassVar[bool] = True

    def decode(self, output: Floats, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """Boxes whose best class is in `wanted` (None: any) with a score of at least `min_score`, in order of N."""
        # No class can lift a cell above its objectness: one column settles nearly all of the cells.
        keep = np.flatnonzero(output[:, 4] >= min_score)
        rows = output[keep]
        class_ids = rows[:, 5:].argmax(axis=1)
        scores = rows[:, 4] * rows[:, 5:].max(axis=1, initial=-1)
        above = scores >= min_score
        keep, rows, class_ids, scores = keep[above], rows[above], class_ids[above], scores[above]
        centre = (rows[:, :2] + self.cells[keep]) * self.strides[keep]
        half = np.exp(np.minimum(rows[:, 2:4], _MAX_LOG_SIZE)) * self.strides[keep] / 2
        return _of_classes(np.hstack([centre - half, centre + half]), scores, class_ids, wanted)


Head: TypeAlias = UltralyticsHead | EndToEndHead | YoloxHead


def recognise(model: str, height: int, width: int, outputs: Sequence[Floats], metadata: Mapping[str, str]) -> Head:
    """The head behind `outputs`, which the model called `model` gave for a blank picture of `height` × `width`.

    Raises ModelError, with the shapes, when it is of no family known here.
    """
    names = _names(model, metadata)
    cells, strides = yolox_grid(height, width)
    shape = outputs[0].shape if len(outputs) == 1 and outputs[0].ndim == 3 else (0, 0, 0)
    _, rows, columns = shape
    # With one class a YOLOX grid is `[B, N, 6]` too; but it has 21 cells for every 32 × 32 pixels, and an end-to-end
    # export a fixed number of boxes, usually 300.
    if names and columns == 6 and metadata.get("end2end") == "True":
        return EndToEndHead(height, width, names)
    if rows == len(cells) and columns >= 6 and columns - 5 == len(names or _default_names(columns - 5)):
        if _is_decoded(outputs[0][0], (cells + 0.5) * strides):
            raise ModelError(f"{model}: YOLOX exported with decode_in_inference; export it without")
        return YoloxHead(height, width, names or _default_names(columns - 5), cells, strides)
    if names and rows == 4 + len(names):
        return UltralyticsHead(height, width, names)
    if names and columns == 6:
        return EndToEndHead(height, width, names)
    if not names and columns == len(cells) and rows >= 5:
        return UltralyticsHead(height, width, _default_names(rows - 4))
    shapes = ", ".join(str(list(output.shape)) for output in outputs)
    known = f"{len(names)} class names" if names else "no class names"
    raise ModelError(
        f"{model}: input [B, 3, {height}, {width}] with {known} gives {shapes}, which is no detector known here; "
        "understood are Ultralytics [B, 4+C, N], Ultralytics end-to-end [B, N, 6] with class names, "
        f"and YOLOX [B, {len(cells)}, 5+C]"
    )


def yolox_grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Cells `(N, 2)` and strides `(N, 1)` of the three grids of a picture, finest first, row by row; float32."""
    cells, strides = [], []
    for stride in _STRIDES:
        rows, columns = np.divmod(np.arange((height // stride) * (width // stride)), max(1, width // stride))
        cells.append(np.stack([columns, rows], axis=1))
        strides.append(np.full((len(rows), 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _of_classes(
    boxes_xyxy: Floats, scores: Floats, class_ids: npt.NDArray[np.intp], wanted: Collection[int] | None
) -> Candidates:
    if wanted is not None:
        listed = np.isin(class_ids, sorted(wanted))
        boxes_xyxy, scores, class_ids = boxes_xyxy[listed], scores[listed], class_ids[listed]
    return Candidates(boxes_xyxy, scores, class_ids.astype(np.int16))


def _is_decoded(output: Floats, centres_px: Floats) -> bool:
    # Decoded centres lie near their cells; undecoded ones are offsets within a cell, near zero everywhere.
    distance = np.median(np.abs(output[:, :2] - centres_px))
    return bool(distance < np.median(np.abs(output[:, :2])))


def _names(model: str, metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    if "names" not in metadata:
        return None
    try:
        names = ast.literal_eval(metadata["names"])
        if isinstance(names, dict):
            names = [names[number] for number in range(len(names))]
        return tuple(str(name) for name in names)
    except (ValueError, SyntaxError, KeyError, TypeError):
        raise ModelError(
            f"{model}: metadata `names` is no list of class names: {metadata['names'][:80]!r}; export the model again"
        ) from None


def _default_names(count: int) -> tuple[str, ...]:
    return COCO_NAMES if count == len(COCO_NAMES) else tuple(f"class{number}" for number in range(count))
