"""Heads of models that choose their boxes themselves: end-to-end exports and built-in suppression."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from vision.inference.detector_heads import numbers
from vision.inference.detector_heads.class_names import unknown_names
from vision.inference.detector_heads.facts import Facts
from vision.inference.detector_heads.head import Arrays, Candidates, Head, PictureFormat, corners_of, finished
from vision.inference.detector_heads.ultralytics import PICTURES, upright

_MOST_BOXES = 5000
_MOST_KEY_POINT_VALUES = 3 * 133
"""COCO-WholeBody, the largest usual set, has 133 key points."""


@dataclass(frozen=True, eq=False)
class EndToEndHead(Head):
    """Ultralytics v10 and 26, and exports with `nms=True`: corners, score, class, then values of other tasks."""

    output: int = 0

    name: ClassVar[str] = "end2end"
    family: ClassVar[str] = "Ultralytics v10 and 26, and others exported with nms=True"
    form: ClassVar[str] = "[B, N, 6]"
    pictures: ClassVar[PictureFormat] = PICTURES
    overlapping: ClassVar[bool] = False
    task: ClassVar[str] = "detect"

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """Six values per box, and more for other tasks."""
        if not chosen and (facts.task not in (None, cls.task) or facts.end2end is False):
            return None
        output, more = cls._output(facts)
        matrix = None if output is None else facts.matrix(output)
        if output is None or matrix is None or more is None or matrix[1] != 6 + more:
            return None
        is_grid = facts.is_grid(matrix[0]) or facts.is_grid(matrix[0], 3) or matrix[0] > _MOST_BOXES
        if is_grid and not (chosen or facts.end2end):
            return None
        return cls(facts.height, facts.width, facts.names or unknown_names(), output)

    @classmethod
    def _output(cls, facts: Facts) -> tuple[int | None, int | None]:
        """The output with the boxes, and how many values each has after score and class."""
        return (0, 0) if len(facts.outputs) == 1 else (None, None)

    def objection(self, facts: Facts) -> str | None:
        """Boxes in pixels, sorted by their scores, with whole numbers for classes; unused rows may be 0 or -1."""
        rows = facts.rows(self.output)
        boxes, unused = rows[..., :4].reshape(-1, 4), np.isin(rows[..., 4], (0, -1))
        scores, class_ids = np.where(unused, 0, rows[..., 4]), np.where(unused, 0, rows[..., 5])
        classes = None if facts.names is None else len(facts.names)
        return numbers.first(
            numbers.not_scores(scores),
            numbers.not_classes(class_ids, classes),
            numbers.not_pixels(boxes),
            None if facts.end2end else numbers.not_descending(scores),
            None if facts.end2end else self._boxes_objection(boxes),
        )

    def _boxes_objection(self, boxes: npt.NDArray[Any]) -> str | None:
        return numbers.not_corners(boxes)

    def proof(self, facts: Facts) -> str | None:
        """What the exporter stored."""
        return "its metadata says end2end or nms" if facts.end2end else None

    def needs_proof(self, facts: Facts) -> bool:
        """Without names, RT-DETR with few classes looks alike, and the classes are not known."""
        return facts.names is None

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        rows = outputs[self.output]
        return finished(self._corners(rows), rows[:, 4], rows[:, 5], len(self.class_names), min_score, wanted)

    def _corners(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return rows[:, :4]


@dataclass(frozen=True, eq=False)
class EndToEndSegmentationHead(EndToEndHead):
    """The same for segmentation; the masks are not used."""

    name: ClassVar[str] = "end2end-seg"
    family: ClassVar[str] = "Ultralytics segmentation, 26 or exported with nms=True"
    form: ClassVar[str] = "[B, N, 6+M] and [B, M, height, width]"
    task: ClassVar[str] = "segment"

    @classmethod
    def _output(cls, facts: Facts) -> tuple[int | None, int | None]:
        return facts.prototypes or (None, None)


@dataclass(frozen=True, eq=False)
class EndToEndPoseHead(EndToEndHead):
    """The same for poses; the key points are not used."""

    name: ClassVar[str] = "end2end-pose"
    family: ClassVar[str] = "Ultralytics pose, 26 or exported with nms=True"
    form: ClassVar[str] = "[B, N, 6+3K] or [B, N, 6+2K], K key points"
    task: ClassVar[str] = "pose"

    @classmethod
    def _output(cls, facts: Facts) -> tuple[int | None, int | None]:
        if facts.single is None or not 1 <= (more := facts.single[1] - 6) <= _MOST_KEY_POINT_VALUES:
            return None, None
        if facts.key_points is not None:
            fits = more == facts.key_points[0] * facts.key_points[1]
        else:
            fits = more % 3 == 0 or more % 2 == 0
        return (0, more) if fits else (None, None)

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """Any number of values can be read as key points, so the metadata has to say that they are."""
        return super().of(facts, chosen=chosen) if chosen or facts.task == cls.task or facts.key_points else None

    def proof(self, facts: Facts) -> str | None:
        """Task or key points."""
        return f"its metadata says task {facts.task}" if facts.task else "its metadata has kpt_shape"


@dataclass(frozen=True, eq=False)
class EndToEndOrientedHead(EndToEndHead):
    """The same for oriented boxes, with centre, size and angle; used as the upright rectangle around each."""

    name: ClassVar[str] = "end2end-obb"
    family: ClassVar[str] = "Ultralytics oriented boxes, 26 or exported with nms=True"
    form: ClassVar[str] = "[B, N, 7]"
    task: ClassVar[str] = "obb"

    @classmethod
    def _output(cls, facts: Facts) -> tuple[int | None, int | None]:
        return (0, 1) if len(facts.outputs) == 1 else (None, None)

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """RT-DETR with three classes has seven values as well, so the metadata has to say that one is an angle."""
        return super().of(facts, chosen=chosen) if chosen or facts.task == cls.task else None

    def proof(self, facts: Facts) -> str | None:
        """The task."""
        return f"its metadata says task {facts.task}"

    def _boxes_objection(self, boxes: npt.NDArray[Any]) -> str | None:
        return numbers.not_sizes(boxes)

    def _corners(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return corners_of(upright(rows[:, :4], rows[:, 6]))


@dataclass(frozen=True, eq=False)
class ListedHead(Head):
    """One row per box of all pictures: picture, corners, class, score. YOLOv7 with `--end2end`, without TensorRT."""

    name: ClassVar[str] = "yolov7-nms"
    family: ClassVar[str] = "YOLOv7 exported with --end2end --max-wh"
    form: ClassVar[str] = "[boxes of all pictures, 7]: picture, corners, class, score"
    pictures: ClassVar[PictureFormat] = PICTURES
    overlapping: ClassVar[bool] = False
    class_column: ClassVar[int] = 5
    score_column: ClassVar[int] = 6

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """Seven columns, and a picture number first."""
        if len(facts.outputs) != 1 or facts.outputs[0].shape[1:] != (7,) or (facts.task and not chosen):
            return None
        return cls(facts.height, facts.width, facts.names or unknown_names())

    def objection(self, facts: Facts) -> str | None:
        """Whole numbers for picture and class, corners in pixels, scores."""
        rows = facts.rows(0)
        classes = None if facts.names is None else len(facts.names)
        return numbers.first(
            numbers.not_classes(rows[:, 0], facts.batch),
            numbers.not_scores(rows[:, self.score_column]),
            numbers.not_classes(rows[:, self.class_column], classes),
            numbers.not_pixels(rows[:, 1:5]),
            numbers.not_corners(rows[:, 1:5]),
        )

    def proof(self, facts: Facts) -> str | None:
        """The names that YOLOv7's exporter gives."""
        named = facts.output_names == ("output",) and facts.input_name == "images"
        return "its input and output are called images and output" if named else None

    def split(self, outputs: Arrays, batch: int) -> list[Arrays]:
        """See `Head.split`."""
        rows = outputs[0]
        return [[rows[rows[:, 0].round() == picture]] for picture in range(batch)]

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        rows = outputs[0]
        scores, class_ids = rows[:, self.score_column], rows[:, self.class_column]
        return finished(rows[:, 1:5], scores, class_ids, len(self.class_names), min_score, wanted)


@dataclass(frozen=True, eq=False)
class CountedHead(Head):
    """Four outputs: the number of boxes, corners in pixels, scores, classes. The layout of EfficientNMS."""

    roles: tuple[int, int, int, int] = (0, 1, 2, 3)
    """The outputs with number, boxes, scores and classes."""

    name: ClassVar[str] = "efficientnms"
    family: ClassVar[str] = "EfficientNMS behind Ultralytics or YOLOv7"
    form: ClassVar[str] = "num_dets [B, 1], boxes [B, N, 4], scores [B, N], classes [B, N]"
    pictures: ClassVar[PictureFormat] = PICTURES
    overlapping: ClassVar[bool] = False

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """The four outputs, by their names, or by shapes and types."""
        roles = _roles(facts)
        if roles is None:
            return None
        return cls(facts.height, facts.width, facts.names or unknown_names(), roles)

    def objection(self, facts: Facts) -> str | None:
        """Corners in pixels, scores, and whole numbers for classes."""
        _, boxes, scores, class_ids = (facts.rows(role) for role in self.roles)
        flat = boxes.reshape(-1, 4)
        classes = None if facts.names is None else len(facts.names)
        return numbers.first(
            numbers.not_scores(np.maximum(scores, 0)),
            numbers.not_classes(np.maximum(class_ids, 0), classes),  # unused rows may be -1
            numbers.not_pixels(flat),
            numbers.not_corners(flat),
        )

    def proof(self, facts: Facts) -> str | None:
        """The names that exporters of EfficientNMS give."""
        named = facts.called("num_det", "num_dets")
        return None if named is None else f"it has an output {facts.output_names[named]}"

    def needs_proof(self, facts: Facts) -> bool:
        """YOLO-NAS has the same outputs, but takes other pictures."""
        return True

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        count, boxes, scores, class_ids = (outputs[role] for role in self.roles)
        used = slice(max(0, int(np.ravel(count)[0])))
        return finished(boxes[used], scores[used], class_ids[used], len(self.class_names), min_score, wanted)


def _roles(facts: Facts) -> tuple[int, int, int, int] | None:
    if len(facts.outputs) != 4 or any(shape[:1] != (-1,) for shape in facts.shapes):
        return None
    inner = [shape[1:] for shape in facts.shapes]
    boxes = [number for number, shape in enumerate(inner) if len(shape) == 2 and shape[1] == 4]
    lists = [
        number for number, shape in enumerate(inner) if len(shape) == 1 and boxes and shape[0] == inner[boxes[0]][0]
    ]
    counts = [number for number, shape in enumerate(inner) if shape in ((), (1,)) and number not in lists[-2:]]
    if len(boxes) != 1 or len(lists) < 2 or len(counts) < 1:
        return None
    lists = [number for number in lists if number != counts[0]]
    scores, classes = facts.called("score"), facts.called("class", "label")
    if scores is None or classes is None:
        whole = [number for number in lists if np.issubdtype(facts.outputs[number].dtype, np.integer)]
        if len(whole) != 1:
            return None
        classes = whole[0]
        scores = next((number for number in lists if number != classes), None)
    if scores is None or sorted({counts[0], boxes[0], scores, classes}) != [0, 1, 2, 3]:
        return None
    return counts[0], boxes[0], scores, classes
