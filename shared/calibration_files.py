"""Reads calibration files in several forms, which are recognised by their content."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from shared.calibration import Calibration, CalibrationError, calibration_of_points, checked, looks_geographic
from shared.homography import Matrix, Points
from shared.text_file import read_text

_DISTORTIONS = (4, 5, 8)
"""Numbers of distortion coefficients that are understood, in OpenCV's order: k1 k2 p1 p2 [k3 [k4 k5 k6]]."""
_LARGEST_PICTURE = 65536
"""Pixels, in either direction."""
_SKEWED = 0.01
"""A matrix whose product with its transpose differs more from the identity is no rotation."""
_NAMES = {
    "intrinsic": ("intrinsics", "cameramatrix", "k"),
    "distortion": ("dist", "distcoeffs", "distortioncoeffs", "distortioncoefficients", "d"),
    "extrinsic": ("extrinsics",),
    "rotation": ("r",),
    "translation": ("tvec", "t"),
}
"""Other names of fields, as OpenCV and its users call them: in lower case, without underscores."""
_FORMS = (
    "a 3×3 homography from pixels to metres (image_to_ground, or text), intrinsics with a pose (extrinsic, or rotation "
    "and position), four or more point pairs, or a CALIBRATION file of run_live_mtmc.py"
)


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file in any of the supported forms, which are recognised by their content.

    Raises:
        CalibrationError: the file cannot be read or used; the message says what is wrong.
    """
    try:
        text = read_text(path)
    except OSError as error:
        raise CalibrationError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CalibrationError(f"{path} is not a text file; a calibration is JSON or text") from None
    try:
        return parse_calibration(text)
    except CalibrationError as error:
        raise CalibrationError(f"{path} {error}") from None


def parse_calibration(text: str) -> Calibration:
    """The content of a calibration file; see `read_calibration`."""
    if not text.strip():
        raise CalibrationError("is empty")
    if text.lstrip().startswith(("{", "[")):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CalibrationError(f"is not valid JSON: {error}") from None
        found = _of_json(data)
    else:
        found = _of_text(text)
    return checked(found)


def _of_json(data: Any) -> Calibration:
    if isinstance(data, list) and data and isinstance(data[0], Mapping):
        data = {"points": data}
    if isinstance(data, list):
        return Calibration(_numbers(data, (3, 3), "the homography"))
    data = _with_usual_names(data)
    width, height = _resolution(data.get("resolution", data))
    for name, is_inverse in (("image_to_ground", False), ("homography", False), ("ground_to_image", True)):
        if name in data:
            matrix = _numbers(data[name], (3, 3), name)
            return Calibration(_inverted(matrix, name) if is_inverse else matrix, width, height)
    points = data.get("points")
    if points is not None:
        return calibration_of_points(*_pairs(points), width, height)
    if "intrinsic" in data:
        intrinsic = _numbers(data["intrinsic"], (3, 3), "intrinsic")
        distortion = tuple(_flat(data.get("distortion") or []))
        unknown = next((name for name in data if name.lower().startswith("distort")), None)
        if unknown is not None and "distortion" not in data:
            raise CalibrationError(f"has {unknown}, which is not understood; call the lens's coefficients distortion")
        if distortion and len(distortion) not in _DISTORTIONS:
            raise CalibrationError(
                f"has {len(distortion)} distortion coefficients; {', '.join(map(str, _DISTORTIONS))} are understood"
            )
        rotation, translation = _pose(data)
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > _SKEWED:
            raise CalibrationError("has a rotation whose rows are not at right angles and 1 long; check its numbers")
        plane = intrinsic @ np.column_stack([rotation[:, 0], rotation[:, 1], translation])
        return Calibration(_inverted(plane, "the pose"), width, height, intrinsic, distortion)
    raise CalibrationError(f"is none of the known forms: {_FORMS}")


def _with_usual_names(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a file, under the names that this module uses."""
    usual = {other: name for name, others in _NAMES.items() for other in others}
    found = dict(data)
    for field, value in data.items():
        found.setdefault(usual.get(field.lower().replace("_", ""), field), value)
    return found


def _pose(data: Mapping[str, Any]) -> tuple[Matrix, Matrix]:
    """Rotation `(3, 3)` and translation `(3,)` from the world to the camera, metres."""
    if "rvec" in data or "rotation" in data:
        if "rvec" in data:
            rotation = Rotation.from_rotvec(_numbers(data["rvec"], (3,), "rvec")).as_matrix()
        else:
            rotation = _numbers(data["rotation"], (3, 3), "rotation")
        if "position" in data:
            return rotation, -rotation @ _numbers(data["position"], (3,), "position")
        if "translation" in data:
            return rotation, _numbers(data["translation"], (3,), "translation")
    if "extrinsic" in data:
        extrinsic = data["extrinsic"]
        if isinstance(extrinsic, list) and extrinsic and isinstance(extrinsic[0], dict):
            extrinsic = extrinsic[0].get("tf", extrinsic[0])
        values = np.array(_flat(extrinsic), np.float64)
        if len(values) in (12, 16):
            matrix = values.reshape(-1, 4)
            return matrix[:3, :3], matrix[:3, 3]
        raise CalibrationError(f"has an extrinsic of {len(values)} numbers, not 3×4 or 4×4")
    raise CalibrationError("has intrinsics, but no pose: it needs extrinsic, or rotation with position or translation")


def _of_text(text: str) -> Calibration:
    """A homography by rows, or a CALIBRATION file of `run_live_mtmc.py`: its homography maps the ground to pixels."""
    lines = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    first = next((line for line in lines if line), "")
    prefix = "homography matrix:"
    is_legacy = first.lower().startswith(prefix) or ";" in first
    if is_legacy:
        body = first[len(prefix) :] if first.lower().startswith(prefix) else first
        matrix = _inverted(_numbers(_words(body), (3, 3), "the homography"), "the homography")
        return Calibration(matrix, is_geographic=looks_geographic(matrix))
    return Calibration(_numbers(_words(" ".join(lines)), (3, 3), "the homography"))


def _pairs(points: Any) -> tuple[Points, Points]:
    try:
        pixels = np.array([_flat(one.get("pixel", one.get("image"))) for one in points], np.float64)
        metres = np.array([_flat(one.get("metres", one.get("ground"))) for one in points], np.float64)
    except (AttributeError, TypeError, ValueError):
        raise CalibrationError('has points that are not like {"pixel": [x, y], "metres": [x, y]}') from None
    if pixels.shape != (len(points), 2) or metres.shape != (len(points), 2):
        raise CalibrationError('has points that are not like {"pixel": [x, y], "metres": [x, y]}')
    if len(points) < 4:
        raise CalibrationError(f"has {len(points)} point pairs; at least 4 are needed")
    return pixels, metres


def _inverted(matrix: Matrix, what: str) -> Matrix:
    try:
        inverse: Matrix = np.linalg.inv(matrix).astype(np.float64)
    except np.linalg.LinAlgError:
        raise CalibrationError(f"has {what} that cannot be inverted") from None
    return inverse


def _resolution(data: Any) -> tuple[int, int]:
    try:
        width, height = int(data.get("width", 0)), int(data.get("height", 0))
    except (AttributeError, TypeError, ValueError, OverflowError):
        width = height = -1
    if not (0 <= width <= _LARGEST_PICTURE and 0 <= height <= _LARGEST_PICTURE):
        raise CalibrationError('has a resolution that is not like {"width": 1920, "height": 1080}')
    return width, height


def _flat(value: Any) -> list[float]:
    """The numbers of nested lists, or of an object with the field `doubles` or, as OpenCV writes it, `data`."""
    if isinstance(value, Mapping):
        inner = next((value[name] for name in ("doubles", "data") if name in value), None)
        if inner is None:
            raise CalibrationError(f"has an object with {', '.join(map(str, value)) or 'nothing'} instead of numbers")
        return _flat(inner)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [number for part in value for number in _flat(part)]
    try:
        number = math.nan if isinstance(value, bool | str) else float(value)
    except (TypeError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise CalibrationError(f"has {str(value)[:40]!r} where a number is expected")
    return [number]


def _words(text: str) -> list[float]:
    words = [word for word in re.split(r"[\s,;]+", text) if word]
    try:
        return list(map(float, words))
    except ValueError:
        raise CalibrationError(f"is none of the known forms: {_FORMS}") from None


def _numbers(value: Any, shape: tuple[int, ...], what: str) -> Matrix:
    numbers = _flat(value)
    if len(numbers) != math.prod(shape):
        wanted = "×".join(map(str, shape))
        raise CalibrationError(f"has {len(numbers)} numbers for {what}, not {wanted}")
    return np.array(numbers, np.float64).reshape(shape)
