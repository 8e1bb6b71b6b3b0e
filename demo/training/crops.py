"""Vehicles cut out of rendered pictures, with a margin that allows for errors of a detector's box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demo.training.pictures import Picture

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_MARGIN = 0.15


@dataclass(frozen=True)
class CropSelection:
    """The vehicles that are cut out."""

    min_visibility: float
    min_height_px: float


LEARNT = CropSelection(0.3, 14.0)
JUDGED = CropSelection(0.4, 20.0)
"""The vehicles that a detector must find."""


@dataclass(frozen=True, eq=False)
class Crop:
    """One sighting of one vehicle."""

    image: Bytes
    """`(h, w, 3)` BGR: the box with a margin of up to `_MARGIN` of its size, cut at the border of the picture."""
    box_xyxy: Floats
    """`(4,)`, pixels of `image`."""
    identity: int
    """Counts from 0; the same for all sightings of one vehicle in one scene."""
    scene: int
    camera: str
    class_id: int


def crops_of(pictures: Sequence[Picture], wanted: CropSelection) -> list[Crop]:
    """Returns every vehicle that is visible and tall enough; identities are numbered in order of appearance."""
    numbers: dict[tuple[int, int], int] = {}
    return [crop for picture in pictures for crop in _crops_of(picture, wanted, numbers)]


def _crops_of(picture: Picture, wanted: CropSelection, numbers: dict[tuple[int, int], int]) -> Iterator[Crop]:
    image, truth = picture.read(), picture.truth
    limit = np.array([image.shape[1], image.shape[0]] * 2)
    for number, box, class_id, visibility in zip(
        truth.ids.tolist(), truth.boxes_xyxy, truth.class_ids.tolist(), truth.visibility, strict=True
    ):
        size = box[2:] - box[:2]
        if visibility < wanted.min_visibility or size[1] < wanted.min_height_px:
            continue
        margin = np.ceil(size * _MARGIN)
        left, top, right, bottom = np.clip([*np.floor(box[:2] - margin), *np.ceil(box[2:] + margin)], 0, limit)
        cut = image[int(top) : int(bottom), int(left) : int(right)].copy()
        identity = numbers.setdefault((picture.seed, number), len(numbers))
        inside = (box - np.array([left, top, left, top])).astype(np.float32)
        yield Crop(cut, inside, identity, picture.seed, picture.camera, class_id)


def imprecise(crop: Crop, random: np.random.Generator, deviation: float = 0.03) -> Floats:
    """`(4,)`: the crop's box with errors as of a detector; each side is off by `deviation` of the size."""
    size = np.tile(crop.box_xyxy[2:] - crop.box_xyxy[:2], 2)
    box: Floats = (crop.box_xyxy + random.normal(0, deviation, 4) * size).astype(np.float32)
    return box


def stretched(crop: Crop, box_xyxy: Floats, width: int, height: int) -> Bytes:
    """`(height, width, 3)` BGR: the content of a box, cut and resized as in vision/inference/embedding.py."""
    limit = np.array([crop.image.shape[1], crop.image.shape[0]] * 2)
    clipped = np.clip(box_xyxy, 0, limit)
    (left, top), (right, bottom) = np.floor(clipped[:2]).astype(int), np.ceil(clipped[2:]).astype(int)
    cut = crop.image[top : max(bottom, top + 1), left : max(right, left + 1)]
    return np.asarray(cv2.resize(cut, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
