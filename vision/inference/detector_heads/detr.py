"""Transformers: RT-DETR, D-FINE and RF-DETR."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from vision.inference.detector_heads import numbers
from vision.inference.detector_heads.class_names import default_names, is_coco, unknown_names
from vision.inference.detector_heads.facts import Facts
from vision.inference.detector_heads.head import (
    Arrays,
    Candidates,
    Floats,
    Head,
    PictureFormat,
    corners_of,
    finished,
    of_classes,
)

_STRETCHED = PictureFormat(rgb=True, scale=1 / 255, centred=False, stretched=True)
_MOST_QUERIES = 3000
_NO_BOX = "all its boxes would be empty, but every query has a box"


@dataclass(frozen=True, eq=False)
class UltralyticsRtDetrHead(Head):
    """RT-DETR exported by Ultralytics: centre and size in shares of the picture, and a score per class."""

    name: ClassVar[str] = "rtdetr-ultralytics"
    family: ClassVar[str] = "RT-DETR exported by Ultralytics before 8.4"
    form: ClassVar[str] = "[B, N, 4+C], N not the cells, boxes in shares of the picture"
    pictures: ClassVar[PictureFormat] = _STRETCHED
    overlapping: ClassVar[bool] = False
    common_with_coco: ClassVar[bool] = True

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """One row per query, whose number has nothing to do with the size of the picture."""
        values = _values_of_a_query(facts, chosen=chosen)
        if values is None or not facts.allows(values - 4):
            return None
        return cls(facts.height, facts.width, facts.names or default_names(values - 4))

    def objection(self, facts: Facts) -> str | None:
        """Boxes in shares of the picture, and scores."""
        rows = facts.rows(0)
        if not rows[..., :4].any():
            return _NO_BOX
        if rows.shape[2] == 6 and numbers.not_classes(rows[..., 5], None) is None:
            return "all scores of its second class would be whole numbers"
        return numbers.first(
            numbers.not_shares(rows[..., :4]),
            numbers.not_scores(rows[..., 4:]),
            numbers.not_centred_shares(rows[..., :4].reshape(-1, 4)),
        )

    def proof(self, facts: Facts) -> str | None:
        """Its name in the metadata."""
        return "its metadata calls it RT-DETR" if _is_called_rtdetr(facts) else None

    def needs_proof(self, facts: Facts) -> bool:
        """Without names, more values than boxes may be the other way round, unless COCO has so many classes."""
        boxes, values = facts.outputs[0].shape[1:]
        return facts.names is None and values > boxes and not is_coco(self.class_names)

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        return _decoded(self, outputs[0][:, :4], outputs[0][:, 4:], min_score, wanted)


@dataclass(frozen=True, eq=False)
class SortedRtDetrHead(Head):
    """RT-DETR exported by Ultralytics 8.4 and later: centre and size in shares of the picture, score, class."""

    name: ClassVar[str] = "rtdetr-end2end"
    family: ClassVar[str] = "RT-DETR exported by Ultralytics 8.4 and later"
    form: ClassVar[str] = "[B, N, 6], N not the cells, boxes in shares of the picture, score, class"
    pictures: ClassVar[PictureFormat] = _STRETCHED
    overlapping: ClassVar[bool] = False

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """Six values per query."""
        if _values_of_a_query(facts, chosen=chosen) != 6:
            return None
        return cls(facts.height, facts.width, facts.names or unknown_names())

    def objection(self, facts: Facts) -> str | None:
        """Boxes in shares of the picture, sorted by their scores, with whole numbers for classes."""
        rows = facts.rows(0)
        if not rows[..., :4].any():
            return _NO_BOX
        return numbers.first(
            numbers.not_shares(rows[..., :4]),
            numbers.not_scores(rows[..., 4]),
            numbers.not_classes(rows[..., 5], None if facts.names is None else len(facts.names)),
            numbers.not_descending(rows[..., 4]),
            numbers.not_centred_shares(rows[..., :4].reshape(-1, 4)),
        )

    def proof(self, facts: Facts) -> str | None:
        """Its name in the metadata."""
        return "its metadata calls it RT-DETR" if _is_called_rtdetr(facts) else None

    def needs_proof(self, facts: Facts) -> bool:
        """Without names, the classes are not known."""
        return facts.names is None

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        rows = outputs[0]
        boxes = corners_of(rows[:, :4]) * np.array([self.width, self.height] * 2, np.float32)
        return finished(boxes, rows[:, 4], rows[:, 5], len(self.class_names), min_score, wanted)


def _values_of_a_query(facts: Facts, *, chosen: bool) -> int | None:
    """Of a single output with one row per query, whose number has nothing to do with the size of the picture."""
    if facts.single is None or (not chosen and (facts.task not in (None, "detect") or facts.end2end)):
        return None
    queries, values = facts.single
    is_grid = facts.is_grid(queries) or facts.is_grid(queries, 3) or queries > _MOST_QUERIES
    return None if is_grid and not chosen and not _is_called_rtdetr(facts) else values


def _is_called_rtdetr(facts: Facts) -> bool:
    described = facts.metadata.get("description", "").lower()
    return "rtdetr" in described or "rt-detr" in described


def _decoded(
    head: Head, boxes: Floats, scores_of: Floats, min_score: float, wanted: Collection[int] | None
) -> Candidates:
    """Boxes `(N, 4)` with centre and size in shares of the picture, and scores `(N, C)`."""
    scores = scores_of.max(axis=1, initial=-1)
    keep = np.flatnonzero(scores >= min_score)
    side = np.array([head.width, head.height] * 2, np.float32)
    return of_classes(corners_of(boxes[keep]) * side, scores[keep], scores_of[keep].argmax(axis=1), wanted)


@dataclass(frozen=True, eq=False)
class RtDetrHead(Head):
    """RT-DETR, RT-DETRv2 and D-FINE by their authors: classes, corners in pixels, and scores of the best queries."""

    roles: tuple[int, int, int] = (0, 1, 2)
    """The outputs with labels, boxes and scores."""

    name: ClassVar[str] = "rtdetr"
    family: ClassVar[str] = "RT-DETR, RT-DETRv2, D-FINE by their authors"
    form: ClassVar[str] = "labels [B, N], boxes [B, N, 4], scores [B, N], and an input orig_target_sizes"
    pictures: ClassVar[PictureFormat] = _STRETCHED
    overlapping: ClassVar[bool] = False

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """Three outputs with as many rows, and the input for the sizes of the pictures."""
        if len(facts.outputs) != 3 or not facts.takes_sizes:
            return None
        boxes = [number for number, shape in enumerate(facts.shapes) if len(shape) == 3 and shape[2] == 4]
        lists = [number for number, shape in enumerate(facts.shapes) if len(shape) == 2]
        if len(boxes) != 1 or len(lists) != 2 or any(shape[0] != -1 for shape in facts.shapes):
            return None
        whole = [number for number in lists if np.issubdtype(facts.outputs[number].dtype, np.integer)]
        labels = whole[0] if len(whole) == 1 else facts.called("label")
        if labels not in lists:
            return None
        scores = lists[1 - lists.index(labels)]
        return cls(facts.height, facts.width, facts.names or unknown_names(), (labels, boxes[0], scores))

    def objection(self, facts: Facts) -> str | None:
        """Corners in pixels, scores, and whole numbers for classes."""
        labels, boxes, scores = (facts.rows(role) for role in self.roles)
        flat = boxes.reshape(-1, 4)
        classes = None if facts.names is None else len(facts.names)
        return numbers.first(
            numbers.not_scores(scores),
            numbers.not_classes(labels, classes),
            numbers.not_pixels(flat),
            numbers.not_corners(flat),
        )

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        labels, boxes, scores = (outputs[role] for role in self.roles)
        return finished(boxes, scores, labels.astype(np.float32), len(self.class_names), min_score, wanted)


@dataclass(frozen=True, eq=False)
class RfDetrHead(Head):
    """RF-DETR: centre and size in shares of the picture, and a logit per class."""

    roles: tuple[int, int] = (0, 1)
    """The outputs with boxes and logits."""

    name: ClassVar[str] = "rfdetr"
    family: ClassVar[str] = "RF-DETR"
    form: ClassVar[str] = "dets [B, N, 4], labels [B, N, C]"
    # The means and deviations of ImageNet.
    pictures: ClassVar[PictureFormat] = PictureFormat(
        rgb=True,
        scale=1 / 255,
        centred=False,
        stretched=True,
        channel_means=(0.485, 0.456, 0.406),
        channel_deviations=(0.229, 0.224, 0.225),
    )
    overlapping: ClassVar[bool] = False

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """Two outputs with as many rows, and perhaps masks."""
        if len(facts.outputs) not in (2, 3) or (facts.task not in (None, "detect", "segment") and not chosen):
            return None
        boxes, logits = facts.called("dets"), facts.called("labels")
        if boxes is None or logits is None:
            boxes, logits = 0, 1
        position, classes = facts.matrix(boxes), facts.matrix(logits)
        if position is None or classes is None or position[0] != classes[0] or position[1] != 4:
            return None
        if not chosen and facts.is_grid(position[0]):
            return None
        # With a background class the logits are one more than the names.
        names = facts.names or default_names(classes[1])
        if not 0 <= classes[1] - len(names) <= 1:
            return None
        return cls(facts.height, facts.width, names, (boxes, logits))

    def objection(self, facts: Facts) -> str | None:
        """Boxes in shares of the picture, and logits."""
        boxes, logits = (facts.rows(role) for role in self.roles)
        return numbers.first(
            numbers.not_shares(boxes),
            numbers.not_centred_shares(boxes.reshape(-1, 4)),
            "its logits would all be 0 to 1, as scores are" if numbers.not_scores(logits) is None else None,
        )

    def proof(self, facts: Facts) -> str | None:
        """The names of the outputs."""
        named = {"dets", "labels"} <= set(facts.output_names)
        return "its outputs are called dets and labels" if named else None

    def needs_proof(self, facts: Facts) -> bool:
        """Other transformers have the same outputs, but other scores."""
        return True

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        boxes, logits = (outputs[role] for role in self.roles)
        with np.errstate(over="ignore"):
            scores = (1 / (1 + np.exp(-logits[:, : len(self.class_names)]))).astype(np.float32)
        return _decoded(self, boxes, scores, min_score, wanted)
