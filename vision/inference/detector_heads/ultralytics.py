"""Raw heads of Ultralytics: YOLOv5 to YOLO26 without built-in suppression, and relatives of YOLOv5."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from vision.inference.detector_heads import numbers
from vision.inference.detector_heads.class_names import default_names
from vision.inference.detector_heads.facts import Facts
from vision.inference.detector_heads.head import Arrays, Candidates, Floats, Head, PictureFormat, corners_of, of_classes

PICTURES = PictureFormat(rgb=True, scale=1 / 255, centred=True)
_VALUES_OF_A_PERSON = 4 + 1 + 17 * 3
"""Box, score and the key points of COCO."""
_MASK_STRIDE = 4
"""Pixels of the picture for each of a mask, in all networks of Ultralytics and in YOLOv7."""


@dataclass(frozen=True, eq=False)
class UltralyticsHead(Head):
    """YOLOv8 and later: centre, size and a score per class, then values that only other tasks need."""

    output: int = 0
    """The output with the boxes."""
    transposed: bool = False
    """One row per box instead of one column."""

    name: ClassVar[str] = "yolov8"
    family: ClassVar[str] = "Ultralytics v8, v9, v11, v12; v10 and 26 exported with end2end=False"
    form: ClassVar[str] = "[B, 4+C, N] or [B, N, 4+C]"
    pictures: ClassVar[PictureFormat] = PICTURES
    overlapping: ClassVar[bool] = True
    common_with_coco: ClassVar[bool] = True
    task: ClassVar[str] = "detect"

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """One column, or one row, per cell of the grids."""
        if not chosen and (facts.task not in (None, cls.task) or facts.end2end):
            return None
        output, masks = cls._output(facts)
        matrix = None if output is None else facts.matrix(output)
        if output is None or matrix is None:
            return None
        for (values, boxes), transposed in ((matrix, False), (matrix[::-1], True)):
            classes = cls._classes(facts, values - 4 - masks, chosen)
            # YOLOv3-tiny and networks of other people have other strides.
            stated = facts.is_exported_for(cls.task) and facts.names is not None and not transposed
            is_grid = facts.is_grid(boxes) or ((chosen or stated) and boxes > values)
            if transposed and not (cls.common_with_coco or chosen or facts.task == cls.task):
                continue  # YOLOX has this form
            if is_grid and classes is not None and facts.allows(classes):
                names = facts.names or default_names(classes)
                return cls(facts.height, facts.width, names, output, transposed)
        return None

    @classmethod
    def _output(cls, facts: Facts) -> tuple[int | None, int]:
        """The output with the boxes, and how many mask coefficients each has."""
        return (0, 0) if len(facts.outputs) == 1 else (None, 0)

    @classmethod
    def _classes(cls, facts: Facts, values: int, chosen: bool) -> int | None:
        """The number of classes, if each box has this number of `values` after its position."""
        return values

    def objection(self, facts: Facts) -> str | None:
        """Scores are scores, boxes are in pixels."""
        rows = self._rows(facts)
        boxes, scores = rows[:, :4], rows[:, 4 : 4 + len(self.class_names)]
        return numbers.first(
            numbers.not_scores(scores),
            numbers.not_pixels(boxes),
            numbers.not_pixel_sizes(boxes) if self.transposed else None,
            self._boxes_objection(facts, boxes),
        )

    def _boxes_objection(self, facts: Facts, boxes: Floats) -> str | None:
        # The weakest boxes of YOLO26 have any size, and so their centres lie anywhere.
        if facts.is_exported_for(self.task):
            return None
        return numbers.first(numbers.not_sizes(boxes), numbers.not_around(boxes, facts.centres(self._boxes(facts))))

    def _boxes(self, facts: Facts) -> int:
        return facts.outputs[self.output].shape[1 if self.transposed else 2]

    def proof(self, facts: Facts) -> str | None:
        """The task in the metadata."""
        return f"its metadata says task {facts.task}" if facts.task == self.task else None

    def _rows(self, facts: Facts) -> Floats:
        values = facts.rows(self.output)
        return (values if self.transposed else values.swapaxes(1, 2)).reshape(-1, values.shape[1 + self.transposed])

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        output = outputs[self.output].T if self.transposed else outputs[self.output]
        scores_of = output[4 : 4 + len(self.class_names)]
        by_class = scores_of if wanted is None else scores_of[sorted(wanted)]
        keep = np.flatnonzero(by_class.max(axis=0, initial=-1) >= min_score)
        rows = output[:, keep].T
        of_class = rows[:, 4 : 4 + len(self.class_names)]
        return of_classes(self._corners(rows), of_class.max(axis=1, initial=-1), of_class.argmax(axis=1), wanted)

    def dense(self, outputs: Sequence[Any]) -> tuple[Any, Any] | None:
        """See `Head.dense`."""
        rows = outputs[self.output] if self.transposed else outputs[self.output].swapaxes(1, 2)
        return rows[..., :4], rows[..., 4 : 4 + len(self.class_names)]

    def _corners(self, rows: Floats) -> Floats:
        return corners_of(rows)


@dataclass(frozen=True, eq=False)
class SegmentationHead(UltralyticsHead):
    """YOLOv8 and later for segmentation; the masks are not used."""

    name: ClassVar[str] = "yolov8-seg"
    family: ClassVar[str] = "Ultralytics segmentation (v8, v9, v11, v12, 26 raw)"
    form: ClassVar[str] = "[B, 4+C+M, N] and [B, M, height, width]"
    task: ClassVar[str] = "segment"

    @classmethod
    def _output(cls, facts: Facts) -> tuple[int | None, int]:
        return facts.prototypes or (None, 0)

    def objection(self, facts: Facts) -> str | None:
        """The values after the scores are coefficients of masks."""
        return numbers.first(
            super().objection(facts), not_masks(facts, self._rows(facts)[:, 4 + len(self.class_names) :])
        )


def not_masks(facts: Facts, coefficients: Floats) -> str | None:
    """Coefficients are no scores, and masks have a quarter of the picture's sides; the metadata may say that they are.

    Otherwise a detector that also returns one of its inner layers would look like a segmentation export.
    """
    if facts.task == "segment":
        return None
    sides = next(shape[2:] for shape in facts.shapes if len(shape) == 4)
    expected = (-(-facts.height // _MASK_STRIDE), -(-facts.width // _MASK_STRIDE))
    if sides != expected:
        return f"its masks would have {sides[0]}×{sides[1]} pixels, not {expected[0]}×{expected[1]}"
    if numbers.not_scores(coefficients) is None:
        return "all coefficients of its masks would be 0 to 1, as scores are"
    return None


@dataclass(frozen=True, eq=False)
class PoseHead(UltralyticsHead):
    """YOLOv8 and later for poses; the key points are not used."""

    name: ClassVar[str] = "yolov8-pose"
    family: ClassVar[str] = "Ultralytics pose (v8, v11, 26 raw)"
    form: ClassVar[str] = "[B, 4+C+3K, N] or [B, 4+C+2K, N], K key points; one class if the file names none"
    common_with_coco: ClassVar[bool] = False
    task: ClassVar[str] = "pose"

    @classmethod
    def _classes(cls, facts: Facts, values: int, chosen: bool) -> int | None:
        more = None if facts.key_points is None else facts.key_points[0] * facts.key_points[1]
        classes = len(facts.names) if facts.names else 1 if more is None else values - more
        rest = values - classes
        fits = rest > 0 and (rest % 3 == 0 or rest % 2 == 0) if more is None else rest == more
        return classes if fits else None

    def proof(self, facts: Facts) -> str | None:
        """Task or key points in the metadata, if these tell how many classes there are."""
        if facts.key_points is not None:
            return super().proof(facts) or "its metadata has kpt_shape"
        values = facts.outputs[self.output].shape[2 if self.transposed else 1]
        return super().proof(facts) if facts.names or values == _VALUES_OF_A_PERSON else None

    def needs_proof(self, facts: Facts) -> bool:
        """Any number of values can be read as key points."""
        return True


@dataclass(frozen=True, eq=False)
class OrientedHead(UltralyticsHead):
    """YOLOv8 and later for oriented boxes; used as the upright rectangle around each."""

    name: ClassVar[str] = "yolov8-obb"
    family: ClassVar[str] = "Ultralytics oriented boxes (v8, v11, 26 raw)"
    form: ClassVar[str] = "[B, 4+C+1, N]"
    common_with_coco: ClassVar[bool] = False
    task: ClassVar[str] = "obb"

    @classmethod
    def _classes(cls, facts: Facts, values: int, chosen: bool) -> int | None:
        return values - 1

    def needs_proof(self, facts: Facts) -> bool:
        """The angle may be a class, and YOLOX and YOLOv5 have one value more than classes as well."""
        return True

    def dense(self, outputs: Sequence[Any]) -> tuple[Any, Any] | None:
        """None: the boxes are turned."""
        return None

    def objection(self, facts: Facts) -> str | None:
        """The last value is an angle."""
        angles = None if facts.is_exported_for(self.task) else numbers.not_angles(self._rows(facts)[:, -1])
        return numbers.first(super().objection(facts), angles)

    def _corners(self, rows: Floats) -> Floats:
        return corners_of(upright(rows[:, :4], rows[:, -1]))


def upright(boxes: Floats, angles: Floats) -> Floats:
    """Centre and size of the upright rectangles around boxes `(K, 4)` that are turned by `angles` `(K,)` radians."""
    cosine, sine = np.abs(np.cos(angles)), np.abs(np.sin(angles))
    width, height = np.abs(boxes[:, 2]), np.abs(boxes[:, 3])
    sizes = np.stack([width * cosine + height * sine, width * sine + height * cosine], axis=1)
    return np.hstack([boxes[:, :2], sizes])


@dataclass(frozen=True, eq=False)
class ObjectnessHead(Head):
    """YOLOv5 and its relatives: centre, size, objectness and a score per class for three boxes in every cell."""

    output: int = 0

    name: ClassVar[str] = "yolov5"
    family: ClassVar[str] = "YOLOv5, YOLOv7, YOLOv3, raw"
    form: ClassVar[str] = "[B, N, 5+C], N three times the cells"
    pictures: ClassVar[PictureFormat] = PICTURES
    overlapping: ClassVar[bool] = True
    common_with_coco: ClassVar[bool] = True

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """Three rows for every cell."""
        if not chosen and (facts.task not in (None, "detect", "segment") or facts.end2end):
            return None
        output, masks = cls._output(facts)
        matrix = None if output is None else facts.matrix(output)
        if output is None or matrix is None or not (chosen or facts.is_grid(matrix[0], cls._per_cell())):
            return None
        classes = matrix[1] - 5 - masks
        if not facts.allows(classes):
            return None
        return cls(facts.height, facts.width, facts.names or default_names(classes), output)

    @classmethod
    def _per_cell(cls) -> int:
        return 3

    @classmethod
    def _output(cls, facts: Facts) -> tuple[int | None, int]:
        """The first output; older exports add the grids from which it was made, `[B, 3, height, width, 5+C]`."""
        matrix = facts.matrix(0) if facts.outputs else None
        grids = [len(shape) == 5 and matrix is not None and shape[-1] == matrix[1] for shape in facts.shapes[1:]]
        return (0, 0) if matrix is not None and all(grids) else (None, 0)

    def objection(self, facts: Facts) -> str | None:
        """Objectness and scores are scores, boxes are in pixels."""
        rows = facts.rows(self.output).reshape(-1, facts.outputs[self.output].shape[2])
        return numbers.first(
            numbers.not_scores(rows[:, 4 : 5 + len(self.class_names)], "objectness and scores"),
            numbers.not_pixels(rows[:, :4]),
            numbers.not_sizes(rows[:, :4]),
            numbers.not_around(rows[:, :4], facts.centres(facts.outputs[self.output].shape[1])),
        )

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        output = outputs[self.output]
        boxes, scores, class_ids = best_with_objectness(output, len(self.class_names), min_score)
        return of_classes(corners_of(output[boxes]), scores, class_ids, wanted)

    def dense(self, outputs: Sequence[Any]) -> tuple[Any, Any] | None:
        """See `Head.dense`."""
        rows = outputs[self.output]
        return rows[..., :4], rows[..., 4:5] * rows[..., 5 : 5 + len(self.class_names)]


@dataclass(frozen=True, eq=False)
class ObjectnessSegmentationHead(ObjectnessHead):
    """YOLOv5 and YOLOv7 for segmentation; the masks are not used."""

    name: ClassVar[str] = "yolov5-seg"
    family: ClassVar[str] = "YOLOv5 segmentation"
    form: ClassVar[str] = "[B, N, 5+C+M] and [B, M, height, width], N three times the cells"

    @classmethod
    def _output(cls, facts: Facts) -> tuple[int | None, int]:
        return facts.prototypes or (None, 0)

    def objection(self, facts: Facts) -> str | None:
        """The values after the scores are coefficients of masks."""
        values = facts.rows(self.output)[..., 5 + len(self.class_names) :]
        return numbers.first(super().objection(facts), not_masks(facts, values))


@dataclass(frozen=True, eq=False)
class AnchorFreeObjectnessHead(ObjectnessHead):
    """YOLOv6, whose objectness is always 1."""

    name: ClassVar[str] = "yolov6"
    family: ClassVar[str] = "YOLOv6"
    form: ClassVar[str] = "[B, N, 5+C], N the cells, objectness 1"

    @classmethod
    def _per_cell(cls) -> int:
        return 1

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """One row for every cell; nothing that Ultralytics exports."""
        return None if facts.task is not None and not chosen else super().of(facts, chosen=chosen)

    def objection(self, facts: Facts) -> str | None:
        """The objectness is 1 everywhere."""
        if not all_certain(facts):
            return "its objectness would not be 1 everywhere"
        return super().objection(facts)


def all_certain(facts: Facts) -> bool:
    """Whether the fifth value of every box is 1."""
    return bool((np.abs(facts.rows(0)[:, :, 4] - 1) < 0.01).all())


def best_with_objectness(output: Floats, classes: int, min_score: float) -> tuple[Floats, Floats, Floats]:
    """Rows of `output` `(N, 5+C+…)` whose score is at least `min_score`, the scores, and their classes."""
    # A score never exceeds the objectness, so this one column rules out nearly all boxes.
    keep = np.flatnonzero(output[:, 4] >= min_score)
    of_class = output[keep, 5 : 5 + classes]
    class_ids = of_class.argmax(axis=1)
    scores = output[keep, 4] * of_class.max(axis=1, initial=-1)
    above = scores >= min_score
    return keep[above], scores[above], class_ids[above]
