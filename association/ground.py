"""What calibrations say of cameras: where a place in one picture is in another, and which views overlap. Pure.

Coordinates are those of the calibration: pixels of the pictures that it was made for, without the lens's distortion.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from shared.calibration import Calibration
from shared.homography import Matrix, mapped
from shared.layout import Layout

Floats = npt.NDArray[np.float64]
_SAMPLES = (24, 16)
"""Columns and rows of the pixels that are looked up in the other picture."""
_COARSEST_M = 0.3
"""Where a pixel is more metres wide than this, objects are too far away to be seen."""
_LEAST_SHARE = 0.02
"""Least share of the pixels that must lie in the other picture, for the views to overlap."""


class Ground:
    """The calibrations of a layout; `camera` is an index in it."""

    def __init__(self, layout: Layout) -> None:
        self._calibrations: dict[int, Calibration] = {
            index: layout.calibrations[name] for index, name in enumerate(layout.cameras) if name in layout.calibrations
        }
        self.moved: set[int] = set()
        """Cameras that were moved for good, so that their calibrations no longer fit."""
        self._mappings: dict[tuple[int, int], Matrix] = {}

    def __contains__(self, camera: int) -> bool:
        return camera in self._calibrations and camera not in self.moved

    @property
    def fingerprints(self) -> dict[int, str]:
        """Camera → what tells its calibration from another one, for those whose calibration fits."""
        return {camera: one.fingerprint for camera, one in self._calibrations.items() if camera not in self.moved}

    def changed_since(self, before: Mapping[int, str]) -> set[int]:
        """The cameras whose calibration was another one, or none, when these were the `fingerprints`."""
        now = self.fingerprints
        return {camera for camera in {*before, *now} if before.get(camera) != now.get(camera)}

    def places(self, camera: int, feet: Floats, width: int, height: int) -> Floats:
        """Feet in the coordinates of the calibration.

        Args:
            camera: a calibrated camera.
            feet: `(…, 3)` float64: x, y and size, pixels.
            width: of the camera's pictures, pixels; 0 if unknown.
            height: likewise.
        """
        calibration = self._calibrations[camera]
        if calibration.width and width and calibration.width != width:
            feet = feet * (calibration.width / width)
        straight = calibration.straightened(feet[..., :2].reshape(-1, 2)).reshape(feet[..., :2].shape)
        return np.concatenate([straight, feet[..., 2:]], axis=-1)

    def to_ground(self, camera: int, places: Floats) -> Floats:
        """Places of `places` in metres, `(n, 2)` to `(n, 2)` float64; nan on and above the horizon."""
        return mapped(self._calibrations[camera].image_to_ground, places)

    def sized_on_ground(self, camera: int, places: Floats) -> Floats:
        """Places and sizes of `places` in metres, `(n, 3)` to `(n, 3)` float64; nan on and above the horizon."""
        here = self.to_ground(camera, places[:, :2])
        aside = self.to_ground(camera, places[:, :2] + places[:, 2:] * np.array([1.0, 0.0]))
        return np.column_stack([here, np.linalg.norm(aside - here, axis=1)])

    def mapping(self, first: int, second: int) -> Matrix | None:
        """`(3, 3)` float64: places in the first picture to those in the second.

        None unless both are calibrated, and look where they looked then.
        """
        if first not in self or second not in self:
            return None
        if (first, second) not in self._mappings:
            one, other = self._calibrations[first].image_to_ground, self._calibrations[second].image_to_ground
            matrix = np.linalg.inv(other) @ one
            self._mappings[first, second] = np.round(matrix / np.linalg.norm(matrix), 14).astype(np.float64)
        return self._mappings[first, second]

    def overlap(self, first: int, second: int) -> bool | None:
        """Whether both see a part of the ground from near enough; None unless that is known of both."""
        return self._sees(first, second) if self._has_size(first) and self._has_size(second) else None

    def _has_size(self, camera: int) -> bool:
        return camera in self and self._calibrations[camera].width > 0 and self._calibrations[camera].height > 0

    def _sees(self, first: int, second: int) -> bool:
        one, other = self._calibrations[first], self._calibrations[second]
        x, y = np.meshgrid(*((np.arange(n) + 0.5) / n for n in _SAMPLES))
        pixels = np.stack([x.ravel() * one.width, y.ravel() * one.height], axis=1)
        ground = one.to_ground(pixels)
        there = other.to_picture(ground)
        with np.errstate(invalid="ignore"):
            inside = ((there >= 0) & (there < (other.width, other.height))).all(axis=1)
            near = (_metres_per_pixel(one, pixels) < _COARSEST_M) & (_metres_per_pixel(other, there) < _COARSEST_M)
        return float((inside & near).mean()) >= _LEAST_SHARE


def _metres_per_pixel(calibration: Calibration, pixels: Floats) -> Floats:
    """How wide a pixel is on the ground, `(n, 2)` to `(n,)`; inf where there is no ground."""
    aside = calibration.to_ground(pixels + np.array([1.0, 0.0])) - calibration.to_ground(pixels)
    return np.nan_to_num(np.linalg.norm(aside, axis=1), nan=np.inf)
