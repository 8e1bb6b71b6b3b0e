"""The calibrations of cameras, from their settings: point pairs, or a file; and those that changed at run time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import numpy as np

from shared.calibration import Calibration, CalibrationError, calibration_of_points
from shared.calibration_files import read_calibration
from shared.camera_config import CalibrationPoints, CameraConfig
from shared.errors import MessageError

NO_CALIBRATION = "none"
"""The text of a camera whose point pairs were deleted."""


def calibration_of_settings(camera: CameraConfig) -> Calibration | None:
    """The calibration that a camera has in its settings; point pairs count, if it has a file, too.

    Raises:
        CalibrationError: it cannot be used.
    """
    if camera.calibration_points is not None:
        return of_points(camera.calibration_points)
    return None if camera.calibration is None else read_calibration(camera.calibration)


def of_points(given: CalibrationPoints) -> Calibration:
    """The calibration that point pairs give.

    Raises:
        CalibrationError: they do not give one.
    """
    pixels = np.array([pair.pixel for pair in given.points], np.float64).reshape(-1, 2)
    metres = np.array([pair.metres for pair in given.points], np.float64).reshape(-1, 2)
    return calibration_of_points(pixels, metres, given.width, given.height)


def calibrations_since(
    published: Mapping[str, CameraConfig], settings: Mapping[str, CameraConfig | None]
) -> dict[str, Calibration | None]:
    """Camera → its calibration, where its point pairs differ from those of the published site; None: it has none now.

    A camera without point pairs then and now keeps the calibration of the published site.
    """
    changed: dict[str, Calibration | None] = {}
    for name, camera in settings.items():
        before = published.get(name)
        points = None if camera is None else camera.calibration_points
        if points != (None if before is None else before.calibration_points):
            try:
                changed[name] = None if points is None else of_points(points)
            except CalibrationError:  # not by this program
                changed[name] = None
    return changed


def after_changes(
    changed: Mapping[str, Calibration | None],
    texts: Iterable[tuple[str, str]],
    published: Mapping[str, CameraConfig],
) -> dict[str, Calibration | None]:
    """What `calibrations_since` gives after more changes: names of cameras, and what `calibration_text` gave for them.

    Raises:
        MessageError: a text is something else.
    """
    found = dict(changed)
    for name, text in texts:
        found[name] = parsed_calibration(text)
        before = published.get(name)
        if found[name] is None and (before is None or before.calibration_points is None):
            del found[name]  # back to that of the site file, if it has one
    return found


def merged(published: Mapping[str, Calibration], changed: Mapping[str, Calibration | None]) -> dict[str, Calibration]:
    """The calibrations of the published site with those that changed since."""
    return {camera: one for camera, one in {**published, **changed}.items() if one is not None}


def calibration_text(camera: CameraConfig | None) -> str:
    """What the point pairs of a camera give, as text for the aggregator."""
    if camera is None or camera.calibration_points is None:
        return NO_CALIBRATION
    try:
        return json.dumps(of_points(camera.calibration_points).to_dict())
    except CalibrationError:
        return NO_CALIBRATION


def parsed_calibration(text: str) -> Calibration | None:
    """The reverse of `calibration_text`.

    Raises:
        MessageError: it is something else.
    """
    if text == NO_CALIBRATION:
        return None
    try:
        found = Calibration.from_dict(json.loads(text))
        if not np.isfinite(found.image_to_ground).all():
            raise ValueError
        np.linalg.inv(found.image_to_ground)
    except (ValueError, KeyError, TypeError, RecursionError, np.linalg.LinAlgError):
        raise MessageError("'calibration' is not a calibration") from None
    return found
