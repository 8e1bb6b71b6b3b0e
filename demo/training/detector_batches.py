"""Training pictures of the detector: random parts, mirrored, in other light, with their boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from demo.training.assignment import Targets
from demo.training.light import random_light
from demo.training.pictures import Picture
from demo.truth import Truth

Floats = npt.NDArray[np.float32]
# The grey around a frame that does not fill the input, as in vision/inference/detection.py.
_PADDING = (114, 114, 114)
_MIN_VISIBILITY = 0.25
_MIN_HEIGHT_PX = 10.0
_OVER_THE_BORDER = 0.08
_MIN_INSIDE = 0.4
"""If a part cuts a box and less than this share is inside, the object does not have to be found."""


@dataclass(frozen=True)
class PartSelection:
    """The parts of the pictures that a batch shows."""

    width: int
    height: int
    scales: tuple[float, float]
    """Range of the scale: pixels of the part per pixel of the picture."""
    around_a_vehicle: float = 0.0
    """Share of the parts that show a randomly chosen vehicle; the others are anywhere, often in the sky."""

    @property
    def limit(self) -> Floats:
        """`(4,)`: the largest coordinates of a box."""
        return np.array([self.width, self.height] * 2, np.float32)


def batches(
    pictures: Sequence[Picture], parts: PartSelection, size: int, random: np.random.Generator, *, balanced: bool = False
) -> Iterator[tuple[torch.Tensor, Targets]]:
    """Yields one epoch in batches of `size`: `(size, 3, height, width)` float32 RGB, and the boxes.

    Every picture occurs once, in random order. With `balanced`, they are drawn so that classes are equally frequent.
    """
    shown = _one_vehicle_each(pictures, random) if balanced else _every_picture(pictures, parts, random)
    for start in range(0, len(shown) - size + 1, size):
        images = np.empty((size, parts.height, parts.width, 3), np.uint8)
        labels = []
        for row, (index, vehicle) in enumerate(shown[start : start + size]):
            picture = pictures[index]
            images[row], boxes = random_part(picture.read(), picture.truth, parts, random, vehicle)
            required = must_be_found(boxes, picture.truth, parts)
            # The boxes of the truth are clipped to the picture, so those of a part are clipped to it, too.
            labels.append((np.clip(boxes, 0, parts.limit), picture.truth.class_ids, required))
        yield as_input(images), as_targets(labels)


def _every_picture(
    pictures: Sequence[Picture], parts: PartSelection, random: np.random.Generator
) -> list[tuple[int, int | None]]:
    """Yields picture indices, each with the index of the vehicle to show, or None for any part."""
    shown: list[tuple[int, int | None]] = []
    for index in random.permutation(len(pictures)).tolist():
        count = len(pictures[index].truth)
        aimed = count > 0 and random.random() < parts.around_a_vehicle
        shown.append((index, int(random.integers(count)) if aimed else None))
    return shown


def _one_vehicle_each(pictures: Sequence[Picture], random: np.random.Generator) -> list[tuple[int, int | None]]:
    by_class: dict[int, list[tuple[int, int]]] = {}
    for index, picture in enumerate(pictures):
        for vehicle in np.flatnonzero(picture.truth.visibility >= _MIN_VISIBILITY).tolist():
            by_class.setdefault(int(picture.truth.class_ids[vehicle]), []).append((index, vehicle))
    classes = random.choice(sorted(by_class), len(pictures)).tolist()
    return [by_class[number][int(random.integers(len(by_class[number])))] for number in classes]


def random_part(
    image: npt.NDArray[np.uint8],
    truth: Truth,
    parts: PartSelection,
    random: np.random.Generator,
    vehicle: int | None = None,
) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Returns a part of `image`, and the boxes `(n, 4)` of `truth` in its pixels, not clipped to it.

    `vehicle` is the row of a vehicle whose centre it shows; None: the part is anywhere.
    """
    height, width = image.shape[:2]
    scale = float(np.exp(random.uniform(*np.log(parts.scales))))
    mirrored = bool(random.random() < 0.5)
    box = None if vehicle is None else truth.boxes_xyxy[vehicle]
    left = _start(width, parts.width / scale, None if box is None else box[[0, 2]], random)
    top = _start(height, parts.height / scale, None if box is None else box[[1, 3]], random)
    along_x = -scale if mirrored else scale
    offset_x = (left * scale + parts.width) if mirrored else -left * scale
    matrix = np.array([[along_x, 0, offset_x], [0, scale, -top * scale]])
    part = cv2.warpAffine(
        random_light(image, random), matrix, (parts.width, parts.height), flags=cv2.INTER_LINEAR, borderValue=_PADDING
    )
    x = truth.boxes_xyxy[:, [2, 0] if mirrored else [0, 2]] * along_x + offset_x
    y = truth.boxes_xyxy[:, [1, 3]] * scale - top * scale
    return np.asarray(part, np.uint8), np.column_stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]]).astype(np.float32)


def _start(side: float, shown: float, vehicle: Floats | None, random: np.random.Generator) -> float:
    """Start, along one axis of the picture, of a part that shows `shown` of it and the vehicle's centre."""
    # A part larger than the picture contains it anywhere; a smaller one may extend a little over its border.
    lowest, highest = sorted((0.0, side - shown))
    lowest, highest = lowest - _OVER_THE_BORDER * shown, highest + _OVER_THE_BORDER * shown
    if vehicle is not None and shown < side:
        middle = float(vehicle.mean())
        lowest, highest = max(lowest, middle - shown), min(highest, middle)
    return float(random.uniform(lowest, max(lowest, highest)))


def must_be_found(boxes_xyxy: Floats, truth: Truth, parts: PartSelection) -> npt.NDArray[np.bool_]:
    """`(n,)`: whether the vehicles of `truth`, at `boxes_xyxy` `(n, 4)` in pixels of the part, must be found in it."""
    inside = np.clip(boxes_xyxy, 0, parts.limit)
    share = _areas(inside) / np.maximum(_areas(boxes_xyxy), 1e-6)
    tall = inside[:, 3] - inside[:, 1] >= _MIN_HEIGHT_PX
    required: npt.NDArray[np.bool_] = (truth.visibility >= _MIN_VISIBILITY) & tall & (share >= _MIN_INSIDE)
    return required


def _areas(boxes_xyxy: Floats) -> Floats:
    areas: Floats = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1)
    return areas


def as_input(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """`(B, H, W, 3)` BGR to `(B, 3, H, W)` float32 RGB in [0, 1], channels last in memory."""
    rgb = np.ascontiguousarray(images[..., ::-1])
    return torch.from_numpy(rgb).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last).div_(255)


def as_targets(labels: Sequence[tuple[Floats, npt.NDArray[np.int16], npt.NDArray[np.bool_]]]) -> Targets:
    """Pads, per picture, boxes `(n, 4)`, classes `(n,)` and whether each must be found `(n,)` to the longest."""
    longest = max(1, *(len(boxes) for boxes, _, _ in labels))
    boxes_xyxy = torch.zeros(len(labels), longest, 4)
    class_ids = torch.zeros(len(labels), longest, dtype=torch.int64)
    is_object, is_ignored = (torch.zeros(len(labels), longest, dtype=torch.bool) for _ in range(2))
    for row, (boxes, classes, required) in enumerate(labels):
        count = len(boxes)
        boxes_xyxy[row, :count] = torch.from_numpy(boxes)
        class_ids[row, :count] = torch.from_numpy(classes.astype(np.int64))
        is_object[row, :count] = torch.from_numpy(required)
        is_ignored[row, :count] = torch.from_numpy(~required)
    return Targets(boxes_xyxy, class_ids, is_object, is_ignored)
