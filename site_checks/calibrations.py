"""Checks the calibrations of a site, and draws them on a picture of each camera."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from shared.calibration import Calibration, CalibrationError, with_common_origin
from shared.camera_calibrations import calibration_of_settings
from shared.camera_config import CameraConfig
from shared.config import SiteConfig
from site_checks.finding import Finding, error, ok, warning
from site_checks.ground_grid import with_grid
from vision.video.opening import open_source
from vision.video.options import SourceOptions

AREA = "calibrations"
_DOUBTFUL_M = 0.3
"""Point pairs that fit the ground worse than this deserve a second look."""
_LIKELY_M = 0.1, 500.0
"""How wide the ground is at the lower edge of a picture. Outside of this, the units or the direction are wrong."""
_LIKELY_SHAPE = 0.02
"""Largest difference of width to height between the pictures of a calibration and those of the camera."""
_LIKELY_SIZE = 1920, 1080
"""Of pictures whose size is not known, pixels."""


@dataclass(frozen=True)
class _NoPicture:
    reason: str


def examine_calibrations(site: SiteConfig, pictures: Path | None) -> Iterator[Finding]:
    """One finding per calibrated camera, and what is wrong with them all; with `pictures`, each is drawn there."""
    read: dict[str, Calibration] = {}
    problems: dict[str, CalibrationError] = {}
    for camera in site.cameras:
        try:
            found = calibration_of_settings(camera)
        except CalibrationError as problem:
            problems[camera.name] = problem
            continue
        if found is not None:
            read[camera.name] = found
    read = with_common_origin(read)
    for camera in site.cameras:
        if camera.name in problems:
            wrong = problems[camera.name]
            yield error(AREA, f"{camera.name}: the calibration {wrong}; correct the file, or remove the setting")
        elif camera.name in read:
            yield _examine(camera, read[camera.name], pictures)
    yield from _mirrored(read)
    if read and site.association.mode == "reference":
        what = "association.mode is reference, the default with linkage or min_similarity; it uses no calibration"
        yield warning(AREA, what, "set association.mode to live")
    if pictures is not None and not read and not problems:
        yield warning(AREA, "no camera has a calibration, so there is nothing to draw", "set cameras[].calibration")


def _mirrored(read: Mapping[str, Calibration]) -> Iterator[Finding]:
    """Cameras that show the ground as in a mirror. All look at it from above, so all must show the same side."""
    sides: dict[bool, list[str]] = {True: [], False: []}
    for name, calibration in read.items():
        if _doubt(calibration) is None:
            sides[bool(np.linalg.det(calibration.image_to_ground) > 0)].append(name)
    fewer, others = sorted(sides.values(), key=len)
    if fewer:
        yield warning(
            AREA,
            f"{', '.join(fewer)}: the ground is mirrored, compared with that of {', '.join(others)}",
            "exchange x and y of its metres, or change the sign of one of them",
        )


def _doubt(calibration: Calibration, size: tuple[int, int] = _LIKELY_SIZE) -> str | None:
    """What is not likely about the ground at the lower edge of the picture; `size`: its width and height, pixels."""
    width, height = calibration.width or size[0], calibration.height or size[1]
    # Not from corner to corner: the coefficients of wide lenses are often wrong there.
    ends = calibration.to_ground(np.array([[share * (width - 1), height - 1.0] for share in (0.45, 0.55)]))
    extent_m = 10 * float(np.linalg.norm(ends[1] - ends[0]))
    if np.isnan(extent_m):
        return "it shows no ground at the lower edge of the picture"
    if not _LIKELY_M[0] < extent_m < _LIKELY_M[1]:
        return f"the lower edge of the picture would be {extent_m:.{0 if extent_m > 1 else 2}f} m wide"
    return None


def _examine(camera: CameraConfig, calibration: Calibration, pictures: Path | None) -> Finding:
    has_file = camera.calibration is not None and camera.calibration_points is None
    what = f"{camera.name}: {camera.calibration.name if camera.calibration and has_file else 'calibration_points'}"
    if calibration.error_m is not None:
        what += f", its point pairs fit within {calibration.error_m:.2f} m"
    size = _LIKELY_SIZE
    if pictures is not None:
        image = _picture(camera)
        if isinstance(image, _NoPicture):
            return error(AREA, f"{camera.name}: no picture to draw on: {image.reason}")
        drawn = with_grid(image, calibration)
        if drawn is None:
            return error(
                AREA, f"{what}: the ground is not visible in a picture of {image.shape[1]}×{image.shape[0]}; check it"
            )
        size = image.shape[1], image.shape[0]
        path = pictures / f"{camera.name}.jpg"
        if not cv2.imwrite(str(path), drawn[0]):
            return error(AREA, f"{path} cannot be written; check the folder")
        what += f"; grid of {drawn[1]:g} m in {path}"
        made_for = calibration.width, calibration.height
        if all(made_for) and abs(made_for[0] / made_for[1] * size[1] / size[0] - 1) > _LIKELY_SHAPE:
            return warning(
                AREA,
                f"{what}; it was made for {made_for[0]}×{made_for[1]}, and the camera sends {size[0]}×{size[1]}",
                "make it again with a picture of this stream, or use the stream that it was made for",
            )
    doubt = _doubt(calibration, size)
    if doubt is not None:
        return warning(
            AREA, f"{what}; {doubt}", "check that it maps pixels to metres, and that its pose is that of the camera"
        )
    if calibration.error_m is not None and calibration.error_m > _DOUBTFUL_M:
        return warning(AREA, what, "check the point pairs")
    return ok(AREA, what)


def _picture(camera: CameraConfig) -> npt.NDArray[np.uint8] | _NoPicture:
    """The first picture of a camera."""
    options = SourceOptions.of(camera)
    source = open_source(
        camera.source,
        camera=camera.name,
        site_time_ns=time.time_ns,
        loop=False,
        interval_s=0.2,
        options=options,
        secrets=camera.secrets,
    )
    try:
        source.answered.wait(options.open_timeout_s + options.read_timeout_s + 2)
        frame = source.frame_at(0.0, options.read_timeout_s)
        return _NoPicture(source.error or "none came in time") if frame is None else frame.image
    finally:
        source.close()
