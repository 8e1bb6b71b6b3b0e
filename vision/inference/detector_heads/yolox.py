"""YOLOX, as in Ge et al., "YOLOX: Exceeding YOLO Series in 2021"."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from vision.inference.detector_heads import numbers
from vision.inference.detector_heads.class_names import default_names
from vision.inference.detector_heads.facts import USUAL_STRIDES, Facts
from vision.inference.detector_heads.head import Arrays, Candidates, Floats, Head, PictureFormat, corners_of, of_classes
from vision.inference.detector_heads.ultralytics import all_certain, best_with_objectness

# e^10 cells are wider than any picture; the limit prevents overflow if a model outputs nonsense.
_MAX_LOG_SIZE = np.float32(10)
_NEAR = 0.1
"""Of the picture. Offsets of half a cell everywhere are 0.25 from the places of the cells."""


@dataclass(frozen=True, eq=False)
class DecodedYoloxHead(Head):
    """YOLOX exported with `decode_in_inference`: centre, size, objectness and a score per class for each cell."""

    name: ClassVar[str] = "yolox-decoded"
    family: ClassVar[str] = "YOLOX exported with --decode_in_inference"
    form: ClassVar[str] = "[B, N, 5+C], N the cells"
    pictures: ClassVar[PictureFormat] = PictureFormat(rgb=False, scale=1.0, centred=False)
    overlapping: ClassVar[bool] = True
    common_with_coco: ClassVar[bool] = True

    @classmethod
    def of(cls, facts: Facts, *, chosen: bool) -> Self | None:
        """One row for every cell; nothing that Ultralytics exports."""
        if facts.single is None or (not chosen and (facts.task is not None or facts.end2end is not None)):
            return None
        boxes, values = facts.single
        if boxes != len(yolox_grid(facts.height, facts.width)[0]) or not facts.allows(values - 5):
            return None
        return cls(facts.height, facts.width, facts.names or default_names(values - 5))

    def objection(self, facts: Facts) -> str | None:
        """Objectness and scores are scores, boxes are in pixels."""
        output = facts.rows(0)
        rows = output.reshape(-1, output.shape[2])
        if all_certain(facts):
            return "its objectness would be 1 everywhere"
        return numbers.first(
            numbers.not_scores(rows[:, 4:], "objectness and scores"), self._boxes_objection(output[..., :4])
        )

    def _boxes_objection(self, boxes: Floats) -> str | None:
        flat, centres = boxes.reshape(-1, 4), (self.cells + 0.5) * self.strides
        return numbers.first(numbers.not_pixel_sizes(flat), numbers.not_sizes(flat), numbers.not_around(flat, centres))

    @cached_property
    def cells(self) -> Floats:
        """`(N, 2)` float32: column and row of each cell in its grid."""
        return yolox_grid(self.height, self.width)[0]

    @cached_property
    def strides(self) -> Floats:
        """`(N, 1)` float32: pixels per cell."""
        return yolox_grid(self.height, self.width)[1]

    def decode(self, outputs: Arrays, min_score: float, wanted: Collection[int] | None = None) -> Candidates:
        """See `Head.decode`."""
        output = outputs[0]
        keep, scores, class_ids = best_with_objectness(output, len(self.class_names), min_score)
        return of_classes(self._corners(output[keep], keep), scores, class_ids, wanted)

    def _corners(self, rows: Floats, cells: Floats) -> Floats:
        return corners_of(rows)


@dataclass(frozen=True, eq=False)
class YoloxHead(DecodedYoloxHead):
    """YOLOX as published: offset from the cell, log size, objectness and a score per class for each cell."""

    name: ClassVar[str] = "yolox"
    family: ClassVar[str] = "YOLOX"

    def _boxes_objection(self, boxes: Floats) -> str | None:
        largest = np.abs(boxes).max(initial=0)
        if largest > max(self.height, self.width) / min(USUAL_STRIDES) or boxes[..., 2:].max(initial=0) > _MAX_LOG_SIZE:
            return f"its offsets and log sizes would reach {largest:.3g} cells"
        # Decoded centres are near their cells; raw ones are offsets within a cell, so near zero everywhere.
        centres = (self.cells + 0.5) * self.strides
        distance = np.median(np.abs(boxes[..., :2] - centres))
        if distance < np.median(np.abs(boxes[..., :2])):
            return "its offsets would be pixels"
        shares = centres / np.array([self.width, self.height], np.float32)
        if np.median(np.abs(boxes[..., :2] - shares)) < _NEAR:
            return "its offsets would be shares of the picture"
        return None

    def _corners(self, rows: Floats, cells: Floats) -> Floats:
        centre = (rows[:, :2] + self.cells[cells]) * self.strides[cells]
        size = np.exp(np.minimum(rows[:, 2:4], _MAX_LOG_SIZE)) * self.strides[cells]
        return corners_of(np.hstack([centre, size]))


def yolox_grid(height: int, width: int) -> tuple[Floats, Floats]:
    """Cells and strides of YOLOX's three grids for `height` × `width` pixels, finest grid first, row by row.

    Returns:
        `(N, 2)` float32, column and row of each cell; `(N, 1)` float32, pixels per cell.
    """
    cells, strides = [], []
    for stride in USUAL_STRIDES:
        rows, columns = np.divmod(np.arange((height // stride) * (width // stride)), max(1, width // stride))
        cells.append(np.stack([columns, rows], axis=1))
        strides.append(np.full((len(rows), 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)
