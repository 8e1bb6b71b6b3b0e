"""Input format and output decoding of the supported detector families, recognised from the model itself."""

from __future__ import annotations

import ast
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from shared.errors import ModelError

Floats: TypeAlias = npt.NDArray[np.float32]

# Classes in the order of COCO's annotations (Lin et al., 2014), for YOLOX models, which contain no class names.
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
# e^10 cells are wider than any picture; the limit prevents overflow if a model outputs nonsense.
_MAX_LOG_SIZE = np.float32(10)


@dataclass(frozen=True)
class Candidates:
    """Boxes of one picture before suppression."""

    boxes_xyxy: Floats
    """`(K, 4)` float32 xyxy, pixels of the model's input."""
    scores: Floats
    """`(K,)` float32 in [0, 1]."""
    class_ids: npt.NDArray[np.int16]
    """`(K,)` int16."""


@dataclass(frozen=True)
class PictureFormat:
    """The input format that a detector expects."""

    rgb: bool
    """Channel order RGB; False: BGR."""
    scale: float
    """Factor applied to every byte."""
    centred: bool
    """Padding on all sides; False: only to the right and below."""


_ULTRALYTICS_PICTURES = PictureFormat(rgb=True, scale=1 / 255, centred=True)


@dataclass(frozen=True)
class UltralyticsHead:
    """Ultralytics v8 and later, output `[B, 4 + C, N]`: centre, size and a score per class."""

    height: int
    width: int
    class_names: tuple[str, ...]
    family: ClassVar[str] = "Ultralytics"
    pictures: ClassVar[PictureFormat] = _ULTRALYTICS_PICTURES
    overlapping: ClassVar[bool] = True

    def decode(self, output: Floats, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """The boxes whose best class is in `wanted` (None: all) and scores at least `min_score`, in the model's order.

        `output` is one picture's part of the output described above, float32.
        """
        by_class = output[4:] if wanted is None else output[4:][sorted(wanted)]
        keep = np.flatnonzero(by_class.max(axis=0, initial=-1) >= min_score)
        rows = output[:, keep].T
        class_ids = rows[:, 4:].argmax(axis=1)
        scores = rows[:, 4:].max(axis=1, initial=-1)
        centre, half = rows[:, :2], rows[:, 2:4] / 2
        return _of_classes(np.hstack([centre - half, centre + half]), scores, class_ids, wanted)


@dataclass(frozen=True)
class EndToEndHead:
    """Ultralytics exports with built-in NMS, output `[B, N, 6]`: corners, score, class."""

    height: int
    width: int
    class_names: tuple[str, ...]
    family: ClassVar[str] = "Ultralytics end-to-end"
    pictures: ClassVar[PictureFormat] = _ULTRALYTICS_PICTURES
    overlapping: ClassVar[bool] = False

    def decode(self, output: Floats, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """The boxes with a score of at least `min_score` and a class in `wanted` (None: all), in the model's order.

        `output` is `(N, 6)` float32.
        """
        rows = output[output[:, 4] >= min_score]
        return _of_classes(rows[:, :4], rows[:, 4], rows[:, 5].round().astype(np.intp), wanted)


@dataclass(frozen=True, eq=False)
class YoloxHead:
    """YOLOX, output `[B, N, 5 + C]`: centre, log size, objectness and a score per class for each cell of three grids.

    Decoded as in Ge et al., "YOLOX: Exceeding YOLO Series in 2021".
    """

    height: int
    width: int
    class_names: tuple[str, ...]
    cells: Floats
    """`(N, 2)` float32: column and row of each cell in its grid."""
    strides: Floats
    """`(N, 1)` float32: pixels per cell."""
    family: ClassVar[str] = "YOLOX"
    pictures: ClassVar[PictureFormat] = PictureFormat(rgb=False, scale=1.0, centred=False)
    overlapping: ClassVar[bool] = True

    def decode(self, output: Floats, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """The boxes whose best class is in `wanted` (None: all) and scores at least `min_score`, in the model's order.

        `output` is one picture's part of the output described above, float32.
        """
        # A score never exceeds the objectness, so this one column rules out nearly all cells.
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
    """Recognise the head of a detector from its outputs for a blank picture.

    Args:
        model: name of the model, for the error message.
        height: of the input, pixels.
        width: of the input, pixels.
        outputs: all outputs of the model for the blank picture.
        metadata: what the exporter stored in the model; `names` and `end2end` are used.

    Raises:
        ModelError: the head is of an unknown family; the message contains the shapes.
    """
    names = _names(model, metadata)
    cells, strides = yolox_grid(height, width)
    shape = outputs[0].shape if len(outputs) == 1 and outputs[0].ndim == 3 else (0, 0, 0)
    _, rows, columns = shape
    # With one class a YOLOX grid is `[B, N, 6]` as well, but has 21 cells for every 32 × 32 pixels, whereas an
    # end-to-end export has a fixed number of boxes, usually 300.
    if names and columns == 6 and metadata.get("end2end") == "True":
        return EndToEndHead(height, width, names)
    if rows == len(cells) and columns >= 6 and columns - 5 == len(names or _default_names(columns - 5)):
        if _is_decoded(outputs[0][0], (cells + 0.5) * strides):
            raise ModelError(f"{model}: is a YOLOX model with decode_in_inference; export it without this option")
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
        f"{model}: unknown kind of detector: input [B, 3, {height}, {width}], {known}, output {shapes}; "
        "supported are Ultralytics [B, 4+C, N], Ultralytics end-to-end [B, N, 6] with class names, "
        f"and YOLOX [B, {len(cells)}, 5+C]"
    )


def yolox_grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Cells and strides of YOLOX's three grids for `height` × `width` pixels, finest grid first, row by row.

    Returns:
        `(N, 2)` float32, column and row of each cell; `(N, 1)` float32, pixels per cell.
    """
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
    # Decoded centres are near their cells; raw ones are offsets within a cell, so near zero everywhere.
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
            f"{model}: metadata `names` is not a list of class names: {metadata['names'][:80]!r}; export it again"
        ) from None


def _default_names(count: int) -> tuple[str, ...]:
    return COCO_NAMES if count == len(COCO_NAMES) else tuple(f"class{number}" for number in range(count))
