"""Heads in the style of SSD: TensorFlow's object detection and torchvision."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from vision.inference.detector_heads import numbers
from vision.inference.detector_heads.class_names import unknown_names
from vision.inference.detector_heads.facts import Facts
from vision.inference.detector_heads.head import Arrays, Candidates, Floats, Head, PictureFormat, finished


def _names_and_first(facts: Facts) -> tuple[tuple[str, ...], int]:
    """The names, and the number of the first: 1 is the first object unless the names begin with the background."""
    if facts.names is None:
        return unknown_names(), 0
    return facts.names, 0 if facts.names[0].strip("_ ").lower() in ("background", "bg", "n/a") else 1


def _not_from_one(class_ids: Floats, scores: Floats, first: int) -> str | None:
    """A class below the `first` has no box."""
    if (class_ids[scores > 0] < first - 0.5).any():
        return (
            f"its classes would count from {first}, but boxes have class 0; if 0 is the background, name it so in "
            "`names`, else remove the names"
        )
    return None


@dataclass(frozen=True, eq=False)
class TensorFlowHead(Head):
    """TensorFlow's object detection: corners as top, left, bottom, right in shares of the picture."""

    roles: tuple[int, int, int] = (0, 1, 2)
    """The outputs with boxes, scores and classes."""
    first: int = 0
    """The number of the first name."""

    name: ClassVar[str] = "tf-ssd"
    family: ClassVar[str] = "TensorFlow's object detection (SSD, EfficientDet, …)"
    form: ClassVar[str] = "detection_boxes [B, N, 4], detection_scores [B, N], detection_classes [B, N]"
    pictures: ClassVar[PictureFormat] = PictureFormat(rgb=True, scale=1.0, centred=False, stretched=True)
    overlapping: ClassVar[bool] = False

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """Outputs with TensorFlow's names."""
        stems = [name.split(":")[0].lower() for name in facts.output_names]
        named = ("detection_boxes", "detection_scores", "detection_classes")
        boxes, scores, classes = (stems.index(name) if name in stems else None for name in named)
        if boxes is None or scores is None or classes is None:
            return None
        if len(facts.shapes[boxes]) != 3 or facts.shapes[boxes][2] != 4:
            return None
        if any(facts.shapes[role] != facts.shapes[boxes][:2] for role in (scores, classes)):
            return None
        names, first = _names_and_first(facts)
        return cls(facts.height, facts.width, names, (boxes, scores, classes), first)

    def objection(self, facts: Facts) -> str | None:
        """Corners in shares of the picture, scores, and whole numbers for classes."""
        boxes, scores, class_ids = (facts.rows(role) for role in self.roles)
        if not facts.takes_bytes:
            return "it would take bytes, but this model takes floating point numbers of unknown range"
        return numbers.first(
            numbers.not_shares(boxes),
            numbers.not_scores(scores),
            numbers.not_classes(class_ids, None if facts.names is None else len(facts.names) + self.first),
            _not_from_one(class_ids, scores, self.first),
            numbers.not_corners(boxes.reshape(-1, 4)),
        )

    def proof(self, facts: Facts) -> str | None:
        """TensorFlow's layout of pictures."""
        return "its input is [B, height, width, 3] in bytes" if facts.channels_last and facts.takes_bytes else None

    def split(self, outputs: Arrays, batch: int) -> list[Arrays]:
        """See `Head.split`; further outputs may have no row per picture."""
        return super().split([outputs[role] for role in self.roles], batch)

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        boxes, scores, class_ids = outputs
        side = np.array([self.width, self.height] * 2, np.float32)
        corners = boxes[:, [1, 0, 3, 2]] * side
        return finished(corners, scores, class_ids - self.first, len(self.class_names), min_score, wanted)


@dataclass(frozen=True, eq=False)
class TorchvisionHead(Head):
    """torchvision's detectors: corners in pixels, labels and scores of one picture, without a batch."""

    roles: tuple[int, int, int] = (0, 1, 2)
    """The outputs with boxes, labels and scores."""
    first: int = 0
    """The number of the first name."""

    name: ClassVar[str] = "torchvision"
    family: ClassVar[str] = "torchvision's SSD, RetinaNet, FCOS and R-CNN"
    form: ClassVar[str] = "boxes [N, 4], labels [N], scores [N] of one picture"
    pictures: ClassVar[PictureFormat] = PictureFormat(rgb=True, scale=1 / 255, centred=False)
    overlapping: ClassVar[bool] = False
    batched: ClassVar[bool] = False

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """One list of boxes, and with them whole numbers and scores; masks and key points may follow."""
        arrays = facts.outputs
        boxes = [number for number, output in enumerate(arrays) if output.ndim == 2 and output.shape[1] == 4]
        lists = [number for number, output in enumerate(arrays) if output.ndim == 1]
        whole = [number for number in lists if np.issubdtype(arrays[number].dtype, np.integer)]
        more = [number for number, output in enumerate(arrays) if output.ndim > 2]
        if len(boxes) != 1 or len(lists) != 2 or len(whole) != 1 or len(arrays) != 3 + len(more):
            return None
        if any(len(arrays[number]) != len(arrays[boxes[0]]) for number in lists):
            return None
        names, first = _names_and_first(facts)
        roles = (boxes[0], whole[0], lists[1 - lists.index(whole[0])])
        return cls(facts.height, facts.width, names, roles, first)

    def objection(self, facts: Facts) -> str | None:
        """Corners in pixels, and scores."""
        boxes, labels, scores = (facts.rows(role) for role in self.roles)
        return numbers.first(
            numbers.not_scores(scores),
            numbers.not_classes(labels, None if facts.names is None else len(facts.names) + self.first),
            _not_from_one(labels, scores, self.first),
            numbers.not_pixels(boxes),
            numbers.not_corners(boxes),
        )

    def split(self, outputs: Arrays, batch: int) -> list[Arrays]:
        """See `Head.split`."""
        return [[outputs[role] for role in self.roles]]

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        boxes, labels, scores = outputs
        class_ids = labels.astype(np.float32) - self.first
        return finished(boxes, scores, class_ids, len(self.class_names), min_score, wanted)
