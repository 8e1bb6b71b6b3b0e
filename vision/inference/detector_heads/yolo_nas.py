"""YOLO-NAS as exported by super-gradients, raw and with its suppression."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np

from vision.inference.detector_heads import numbers
from vision.inference.detector_heads.chosen_boxes import CountedHead, ListedHead
from vision.inference.detector_heads.class_names import default_names
from vision.inference.detector_heads.facts import Facts
from vision.inference.detector_heads.head import Arrays, Candidates, Head, PictureFormat, of_classes

_PICTURES = PictureFormat(rgb=False, scale=1 / 255, centred=True)


def _picture_format(head: Head, takes_bytes: bool) -> PictureFormat:
    # The network takes BGR. An export with its preprocessing takes bytes, and swaps RGB for it.
    return replace(head.pictures, rgb=True, scale=1.0) if takes_bytes else head.pictures


@dataclass(frozen=True, eq=False)
class YoloNasHead(Head):
    """YOLO-NAS without suppression: corners in pixels, and a score per class."""

    name: ClassVar[str] = "yolonas"
    family: ClassVar[str] = "YOLO-NAS"
    form: ClassVar[str] = "boxes [B, N, 4], scores [B, N, C], N the cells"
    pictures: ClassVar[PictureFormat] = _PICTURES
    overlapping: ClassVar[bool] = True

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """Two outputs with a row for every cell, boxes first."""
        if len(facts.outputs) != 2 or (facts.task and not chosen):
            return None
        boxes, scores = facts.matrix(0), facts.matrix(1)
        if boxes is None or scores is None or boxes[0] != scores[0] or boxes[1] != 4 or not facts.allows(scores[1]):
            return None
        if not (chosen or facts.is_grid(boxes[0])):
            return None
        return cls(facts.height, facts.width, facts.names or default_names(scores[1]))

    def objection(self, facts: Facts) -> str | None:
        """Corners in pixels, and scores."""
        boxes, scores = facts.rows(0).reshape(-1, 4), facts.rows(1)
        if not boxes.any():
            return "it has no box from which corners could be told from centre and size"
        return numbers.first(
            numbers.not_scores(scores),
            numbers.not_pixels(boxes),
            numbers.not_corners(boxes),
            numbers.not_around(boxes, facts.centres(facts.outputs[0].shape[1]), "corners"),
        )

    def picture_format(self, *, takes_bytes: bool) -> PictureFormat:
        """See `Head.picture_format`."""
        return _picture_format(self, takes_bytes)

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        boxes, scores_of = outputs
        scores = scores_of.max(axis=1, initial=-1)
        keep = np.flatnonzero(scores >= min_score)
        return of_classes(boxes[keep], scores[keep], scores_of[keep].argmax(axis=1), wanted)


@dataclass(frozen=True, eq=False)
class ListedYoloNasHead(ListedHead):
    """YOLO-NAS with suppression, in the flat format: picture, corners, score, class."""

    name: ClassVar[str] = "yolonas-flat"
    family: ClassVar[str] = "YOLO-NAS exported with suppression, flat format"
    form: ClassVar[str] = "[boxes of all pictures, 7]: picture, corners, score, class"
    pictures: ClassVar[PictureFormat] = _PICTURES
    class_column: ClassVar[int] = 6
    score_column: ClassVar[int] = 5

    def proof(self, facts: Facts) -> str | None:
        """The name that super-gradients gives."""
        return "its output is called flat_predictions" if facts.called("flat_predictions") == 0 else None

    def picture_format(self, *, takes_bytes: bool) -> PictureFormat:
        """See `Head.picture_format`."""
        return _picture_format(self, takes_bytes)


@dataclass(frozen=True, eq=False)
class CountedYoloNasHead(CountedHead):
    """YOLO-NAS with suppression, in the batch format."""

    name: ClassVar[str] = "yolonas-batch"
    family: ClassVar[str] = "YOLO-NAS exported with suppression, batch format"
    form: ClassVar[str] = "num_predictions [B, 1], pred_boxes [B, N, 4], pred_scores [B, N], pred_classes [B, N]"
    pictures: ClassVar[PictureFormat] = _PICTURES

    def proof(self, facts: Facts) -> str | None:
        """The names that super-gradients gives."""
        named = facts.called("num_predictions")
        return None if named is None else f"it has an output {facts.output_names[named]}"

    def picture_format(self, *, takes_bytes: bool) -> PictureFormat:
        """See `Head.picture_format`."""
        return _picture_format(self, takes_bytes)
