"""What the outputs of each kind of detector mean, written plainly and apart from the product, to compare with.

Each function takes the outputs of one picture, in the order of the file, and returns rows `x1 y1 x2 y2 score class` in
pixels of the input, before suppression and without a threshold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Rows: TypeAlias = list[tuple[float, ...]]
Decode: TypeAlias = Callable[[Sequence[Array], int, int], Rows]
"""Outputs, width and height of the input."""


def _around(cx: float, cy: float, w: float, h: float) -> tuple[float, float, float, float]:
    return cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2


def yolov8(classes: int, *, transposed: bool = False) -> Decode:
    def decode(outputs: Sequence[Array], width: int, height: int) -> Rows:
        table = outputs[0] if transposed else np.transpose(outputs[0])
        return [(*_around(*row[:4]), max(row[4 : 4 + classes]), np.argmax(row[4 : 4 + classes])) for row in table]

    return decode


def oriented(classes: int) -> Decode:
    def decode(outputs: Sequence[Array], width: int, height: int) -> Rows:
        rows = []
        for cx, cy, w, h, *scores, angle in np.transpose(outputs[0]):
            rows.append((*_turned(cx, cy, w, h, angle), max(scores), np.argmax(scores)))
        return rows

    return decode


def _turned(cx: float, cy: float, w: float, h: float, angle: float) -> tuple[float, float, float, float]:
    xs, ys = [], []
    for dx, dy in ((w / 2, h / 2), (w / 2, -h / 2), (-w / 2, h / 2), (-w / 2, -h / 2)):
        xs.append(cx + dx * math.cos(angle) - dy * math.sin(angle))
        ys.append(cy + dx * math.sin(angle) + dy * math.cos(angle))
    return min(xs), min(ys), max(xs), max(ys)


def end_to_end(outputs: Sequence[Array], width: int, height: int) -> Rows:
    return [tuple(row[:6]) for row in outputs[0]]


def end_to_end_oriented(outputs: Sequence[Array], width: int, height: int) -> Rows:
    return [(*_turned(cx, cy, w, h, angle), score, number) for cx, cy, w, h, score, number, angle in outputs[0]]


def yolov5(classes: int) -> Decode:
    def decode(outputs: Sequence[Array], width: int, height: int) -> Rows:
        rows = []
        for cx, cy, w, h, objectness, *more in outputs[0]:
            scores = more[:classes]
            rows.append((*_around(cx, cy, w, h), objectness * max(scores), np.argmax(scores)))
        return rows

    return decode


def yolox(outputs: Sequence[Array], width: int, height: int) -> Rows:
    rows, cell = [], 0
    for stride in (8, 16, 32):
        for y in range(height // stride):
            for x in range(width // stride):
                dx, dy, log_w, log_h, objectness, *scores = outputs[0][cell]
                box = _around((x + dx) * stride, (y + dy) * stride, math.exp(log_w) * stride, math.exp(log_h) * stride)
                rows.append((*box, objectness * max(scores), np.argmax(scores)))
                cell += 1
    assert cell == len(outputs[0])
    return rows


def shares(outputs: Sequence[Array], width: int, height: int) -> Rows:
    """RT-DETR of Ultralytics."""
    rows = []
    for cx, cy, w, h, *scores in outputs[0]:
        rows.append((*_around(cx * width, cy * height, w * width, h * height), max(scores), np.argmax(scores)))
    return rows


def sorted_shares(outputs: Sequence[Array], width: int, height: int) -> Rows:
    """RT-DETR of Ultralytics 8.4 and later."""
    return [(*_around(cx * width, cy * height, w * width, h * height), *rest) for cx, cy, w, h, *rest in outputs[0]]


def rtdetr(outputs: Sequence[Array], width: int, height: int) -> Rows:
    labels, boxes, scores = outputs
    return [(*box, score, label) for label, box, score in zip(labels, boxes, scores, strict=True)]


def rfdetr(outputs: Sequence[Array], width: int, height: int) -> Rows:
    rows = []
    for (cx, cy, w, h), logits in zip(outputs[0], outputs[1], strict=True):
        box = _around(cx * width, cy * height, w * width, h * height)
        rows.append((*box, 1 / (1 + math.exp(-max(logits))), np.argmax(logits)))
    return rows


def corners_and_scores(outputs: Sequence[Array], width: int, height: int) -> Rows:
    """YOLO-NAS."""
    return [(*box, max(scores), np.argmax(scores)) for box, scores in zip(outputs[0], outputs[1], strict=True)]


def listed(score: int, number: int) -> Decode:
    def decode(outputs: Sequence[Array], width: int, height: int) -> Rows:
        return [(*row[1:5], row[score], row[number]) for row in outputs[0] if row[0] == 0]

    return decode


def counted(outputs: Sequence[Array], width: int, height: int) -> Rows:
    count, boxes, scores, numbers = outputs
    return [(*boxes[i], scores[i], numbers[i]) for i in range(int(count[0]))]


def tensorflow(first: int) -> Decode:
    def decode(outputs: Sequence[Array], width: int, height: int) -> Rows:
        boxes, numbers, scores = outputs[:3]
        return [
            (left * width, top * height, right * width, bottom * height, scores[i], numbers[i] - first)
            for i, (top, left, bottom, right) in enumerate(boxes)
        ]

    return decode


def torchvision(first: int) -> Decode:
    def decode(outputs: Sequence[Array], width: int, height: int) -> Rows:
        boxes, labels, scores = outputs
        return [(*boxes[i], scores[i], labels[i] - first) for i in range(len(boxes))]

    return decode
