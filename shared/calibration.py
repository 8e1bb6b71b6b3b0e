"""Where the ground is in a camera's picture: the mapping between both, and how point pairs give it.

The ground is a plane; its coordinates are metres, the same for all cameras of a site.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from shared.errors import MtmcError
from shared.homography import Matrix, Points, determine_one, inverse, least_squares, mapped, oriented

_MOST_ERROR_M = 1.0
"""Point pairs that fit the ground worse than this, as a root mean square, are refused."""
_ON_A_LINE = 1e-4
"""Flatness below which points are on a line."""
_FEWEST_POINTS = 4
_ITERATIONS = 20
"""Of Newton's method, which removes the distortion of a lens."""
_SHORT_STEP = 1e-6
"""Half the difference of two places that gives a derivative, in focal lengths."""
_SHORT_STEPS = _SHORT_STEP * np.array([[[0, 0]], [[1, 0]], [[-1, 0]], [[0, 1]], [[0, -1]]])
_MOST_MISSED = 1e-6
"""A place that the lens moves farther than this from where it was seen is not found, in focal lengths."""
_COEFFICIENTS = 14
"""Of OpenCV's largest model of a lens."""
_EARTH_M = 6_371_000.0
_BELOW = np.array([[640.0, 700.0], [740.0, 700.0]])
"""Pixels that show the ground in nearly every picture."""
_DEGREES = 0.01
"""Units of the ground between them are degrees, not metres, if there are fewer."""
_BORDER = 0.1
"""Share of the picture by which the pixel of a point pair may be outside: one that was computed, not seen."""


class CalibrationError(MtmcError):
    """A calibration file cannot be used."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """The mapping between one camera's picture and the ground."""

    image_to_ground: Matrix
    """`(3, 3)` float64: straightened pixels to metres, with positive depth in front of the camera."""
    width: int = 0
    """Of the pictures that it was made for, pixels; 0 if unknown: that of the camera's pictures."""
    height: int = 0
    """Likewise."""
    intrinsic: Matrix | None = None
    """`(3, 3)` float64, pixels; None: the lens does not distort."""
    distortion: tuple[float, ...] = ()
    """Coefficients in OpenCV's order."""
    error_m: float | None = None
    """Root mean square error of the point pairs that it was fitted to, metres; None if there were none."""
    is_geographic: bool = False
    """The ground is in degrees of latitude and longitude; see `with_common_origin`."""

    def straightened(self, points: Points) -> Points:
        """Pixels without the distortion of the lens, `(n, 2)` to `(n, 2)` float64.

        Where the lens shows nothing by its coefficients, the pixels stay as they are.
        """
        straight = self.straightened_or_nan(points)
        return np.where(np.isnan(straight), points, straight)

    def straightened_or_nan(self, points: Points) -> Points:
        """Pixels without the distortion of the lens, `(n, 2)` to `(n, 2)` float64; nan where the lens shows nothing.

        The model of OpenCV's `undistortPoints` (Brown-Conrady, thin prism, tilt), inverted by Newton's method.
        """
        if self.intrinsic is None or not self.distortion:
            return points
        focal, centre = self.intrinsic[[0, 1], [0, 1]], self.intrinsic[[0, 1], [2, 2]]
        seen, tilt = (points - centre) / focal, self._tilt()
        if tilt is not None:
            seen = mapped(inverse(tilt), seen)
        plain = seen
        with np.errstate(all="ignore"):
            for _ in range(_ITERATIONS):
                here, right, left, below, above = self._bent(plain + _SHORT_STEPS)
                by_x, by_y = (right - left) / (2 * _SHORT_STEP), (below - above) / (2 * _SHORT_STEP)
                missed = here - seen
                size = _cross(by_x, by_y)
                plain = plain - np.stack([_cross(missed, by_y), _cross(by_x, missed)], axis=-1) / size[..., None]
                if not (np.abs(missed) > _MOST_MISSED**2).any():
                    break
            radial, added = self._distortion_at(plain)
            is_found = np.abs(plain * radial + added - seen).max(axis=-1) < _MOST_MISSED
            # Elsewhere, the model folds the picture back: it is of no use there.
            is_found &= (radial[..., 0] > 0) & (size > 0)
        return np.where(is_found[..., None], plain * focal + centre, np.nan)

    def distorted(self, points: Points) -> Points:
        """The inverse of `straightened_or_nan`."""
        if self.intrinsic is None or not self.distortion:
            return points
        focal, centre = self.intrinsic[[0, 1], [0, 1]], self.intrinsic[[0, 1], [2, 2]]
        seen, tilt = self._bent((points - centre) / focal), self._tilt()
        return (seen if tilt is None else mapped(tilt, seen)) * focal + centre

    def _bent(self, plain: Points) -> Points:
        """Where the lens shows `(…, n, 2)` places, in focal lengths from the centre, before the sensor is tilted."""
        radial, added = self._distortion_at(plain)
        return plain * radial + added

    def _distortion_at(self, plain: Points) -> tuple[Points, Points]:
        """By what the lens multiplies `(…, n, 2)` places: `(…, n, 1)`; and what it adds: `(…, n, 2)`."""
        k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, *_ = self._coefficients()
        x, y = plain[..., 0], plain[..., 1]
        square = x * x + y * y
        radial = (1 + square * (k1 + square * (k2 + square * k3))) / (1 + square * (k4 + square * (k5 + square * k6)))
        aside, along = 2 * p1 * x * y + p2 * (square + 2 * x * x), p1 * (square + 2 * y * y) + 2 * p2 * x * y
        if s1 or s2 or s3 or s4:  # a thin prism
            aside, along = aside + square * (s1 + square * s2), along + square * (s3 + square * s4)
        return radial[..., None], np.stack([aside, along], axis=-1)

    def _tilt(self) -> Matrix | None:
        """`(3, 3)`: how a sensor that is not parallel to the lens moves its picture; None if it is parallel."""
        x, y = self._coefficients()[12:]
        if not (x or y):
            return None
        rotation = Rotation.from_euler("xy", [-x, -y]).as_matrix()
        towards = np.array([[rotation[2, 2], 0, -rotation[0, 2]], [0, rotation[2, 2], -rotation[1, 2]], [0, 0, 1]])
        tilt: Matrix = towards @ rotation
        return tilt

    def _coefficients(self) -> tuple[float, ...]:
        return (*self.distortion, *([0.0] * (_COEFFICIENTS - len(self.distortion))))

    def to_ground(self, points: Points) -> Points:
        """Pixels to metres, `(n, 2)` to `(n, 2)` float64; nan above the horizon and where the lens shows nothing."""
        return mapped(self.image_to_ground, self.straightened_or_nan(points))

    def to_picture(self, places: Points) -> Points:
        """Metres to pixels, `(n, 2)` to `(n, 2)` float64; nan behind the camera."""
        return self.distorted(mapped(inverse(self.image_to_ground), places))

    @property
    def fingerprint(self) -> str:
        """Tells this calibration from others."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-compatible values."""
        return {
            "image_to_ground": self.image_to_ground.tolist(),
            "width": self.width,
            "height": self.height,
            "intrinsic": None if self.intrinsic is None else self.intrinsic.tolist(),
            "distortion": list(self.distortion),
            "error_m": self.error_m,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """The inverse of `to_dict`."""
        intrinsic = data["intrinsic"]
        return cls(
            np.array(data["image_to_ground"], np.float64).reshape(3, 3),
            int(data["width"]),
            int(data["height"]),
            None if intrinsic is None else np.array(intrinsic, np.float64).reshape(3, 3),
            tuple(float(value) for value in data["distortion"]),
            data["error_m"],
        )


def calibration_of_points(
    pixels: Points,
    metres: Points,
    width: int,
    height: int,
    intrinsic: Matrix | None = None,
    distortion: tuple[float, ...] = (),
) -> Calibration:
    """The calibration that point pairs give, `(n, 2)` float64 each; pixels are of pictures of `width` by `height`.

    `intrinsic` and `distortion` as in `Calibration`: of the lens that took these pictures.

    Raises:
        CalibrationError: there are fewer than four, or they are shares of the picture, outside of it, on a line, or of
            no plane.
    """
    if len(pixels) < _FEWEST_POINTS:
        raise CalibrationError(f"has {len(pixels)} point pairs; at least {_FEWEST_POINTS} are needed")
    if np.abs(pixels).max() <= 1.0:
        raise CalibrationError("has no pixels greater than 1; are they shares of the picture?")
    size = np.array([width, height])
    is_outside = ((pixels < -_BORDER * size) | (pixels > (1 + _BORDER) * size)).any(axis=1)
    if size.all() and is_outside.any():
        x, y = pixels[is_outside][0]
        raise CalibrationError(
            f"has the pixel ({x:g}, {y:g}) outside of a picture of {width}×{height}; correct it, or the resolution"
        )
    lens = Calibration(np.eye(3), width, height, intrinsic, distortion)
    matrix, error_m = fit_ground(pixels, metres, lens)
    found = checked(replace(lens, image_to_ground=matrix, error_m=error_m))
    if not np.isfinite(point_errors(found, pixels, metres)).all():
        raise CalibrationError("has point pairs above the horizon that the others give; are two of them swapped?")
    return found


def point_errors(calibration: Calibration, pixels: Points, metres: Points) -> tuple[Points, Points]:
    """How far each of `(n, 2)` point pairs is off: `(n,)` in metres, and `(n,)` in pixels."""
    on_ground = np.linalg.norm(calibration.to_ground(pixels) - metres, axis=1)
    in_picture = np.linalg.norm(calibration.to_picture(metres) - pixels, axis=1)
    return on_ground.astype(np.float64), in_picture.astype(np.float64)


def with_common_origin(calibrations: Mapping[str, Calibration]) -> dict[str, Calibration]:
    """The calibrations of one site, all in metres: degrees are measured from a place that the first camera sees."""
    found, origin = dict(calibrations), None
    for camera, one in sorted(calibrations.items()):
        if one.is_geographic:
            if origin is None:
                origin = mapped(one.image_to_ground, _BELOW)[0]
            metres = math.radians(1.0) * _EARTH_M
            east = metres * math.cos(math.radians(float(origin[0])))
            to_metres = np.array([[0.0, east, -east * origin[1]], [metres, 0.0, -metres * origin[0]], [0.0, 0.0, 1.0]])
            metric = replace(one, image_to_ground=to_metres @ one.image_to_ground, is_geographic=False)
            found[camera] = checked(metric)
    return found


def looks_geographic(matrix: Matrix) -> bool:
    """Whether the ground is in degrees of latitude and longitude: 100 pixels are much less than one unit apart."""
    one, other = mapped(matrix, _BELOW)
    if not (np.isfinite([one, other]).all() and abs(one[0]) <= 90.0 and abs(one[1]) <= 180.0):
        return False
    return bool(np.linalg.norm(one - other) < _DEGREES)


def fit_ground(pixels: Points, metres: Points, lens: Calibration | None = None) -> tuple[Matrix, float]:
    """The homography with the least algebraic error (Hartley and Zisserman, 4.1), and its error.

    Args:
        pixels: `(n, 2)` float64, at least four.
        metres: `(n, 2)` float64, the same places on the ground.
        lens: removes the distortion of the pixels.

    Returns:
        `(3, 3)` float64, straightened pixels to metres, and the root mean square error in metres.

    Raises:
        CalibrationError: the points are on a line, do not fit one plane, or are where the lens shows nothing.
    """
    straight = pixels if lens is None else lens.straightened_or_nan(pixels)
    if not (is_finite := np.isfinite(straight).all(axis=1)).all():
        x, y = pixels[~is_finite][0]
        raise CalibrationError(f"has the pixel ({x:g}, {y:g}), which its lens cannot show; check distortion")
    if min(map(_flatness, (straight, metres))) < _ON_A_LINE or not determine_one(straight, metres):
        raise CalibrationError(
            "has point pairs on a line; at least 4, of which no 3 are on a line, must be spread over the ground"
        )
    if (matrix := least_squares(straight, metres)) is None:
        raise CalibrationError("has point pairs that no view of a plane has; are two of them swapped?")
    distances = np.linalg.norm(mapped(matrix, straight) - metres, axis=1)
    if np.isnan(distances).any():
        x, y = pixels[np.isnan(distances)][0]
        raise CalibrationError(
            f"has point pairs that do not fit one plane: pixel ({x:g}, {y:g}) is above the horizon that they give; "
            "is one of them wrong, or are two swapped?"
        )
    error_m = float(np.sqrt((distances**2).mean()))
    if error_m > _MOST_ERROR_M:
        worst = int(distances.argmax())
        raise CalibrationError(
            f"has point pairs that do not fit one plane: the error is {error_m:.2f} m, most at pixel "
            f"({pixels[worst][0]:g}, {pixels[worst][1]:g}), which lands {distances[worst]:.2f} m away; check that pair"
        )
    return matrix, error_m


def _cross(one: Points, other: Points) -> Points:
    """The determinant of each two of `(n, 2)` vectors, `(n,)`."""
    found: Points = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    return found


def _flatness(points: Points) -> float:
    """Extent of points across their main direction, relative to along it; 0: they are on a line."""
    along, across = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return float(across / max(along, 1e-12))


def checked(found: Calibration) -> Calibration:
    """The calibration with the lower middle of the picture in front of the camera.

    Raises:
        CalibrationError: its homography cannot be inverted.
    """
    matrix = found.image_to_ground
    largest = np.abs(matrix).max(axis=1, keepdims=True)
    width, height = found.width or 1920, found.height or 1080
    below = found.straightened(np.array([[width / 2, height - 1.0]]))
    is_usable = bool(np.isfinite(matrix).all() and largest.all()) and np.linalg.cond(matrix / largest) <= 1e12
    matrices = oriented(matrix[None], below[None]) if is_usable else np.empty((0, 3, 3))
    if not len(matrices):
        raise CalibrationError("has a homography that cannot be inverted; are two rows the same?")
    return replace(found, image_to_ground=matrices[0])
