"""Tries a detector on one picture, so that a person can see what it finds."""

from __future__ import annotations

import colorsys
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from model_store.store import ModelStore
from shared.config_fields import is_published_detector
from shared.errors import MtmcError
from vision.inference.detection import Detections, Detector

Image = npt.NDArray[np.uint8]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GOLDEN = 0.618033988749895
"""Fractional part of the golden ratio: consecutive classes get very different hues."""


def detector_file(word: str, store: ModelStore) -> Path:
    """The file, or published name, of the detector given as `word` on the command line.

    Raises:
        MtmcError: it is an embedder, is not downloaded, or is neither a known name nor a path.
    """
    if is_published_detector(Path(word)):
        return Path(word)
    model, path = store.found(word)
    if model is not None and model.entry.kind != "detector":
        raise MtmcError(f"{word}: is an embedder; name a detector")
    if model is not None and path == model.path and not path.is_file():
        raise MtmcError(f"{word}: is not downloaded; run: mtmc models pull {model.entry.name}")
    return path


def read_picture(path: Path) -> Image:
    """The picture in the file `path`, `(height, width, 3)` uint8 BGR.

    Raises:
        MtmcError: the file cannot be read, or is not a picture.
    """
    try:
        encoded = np.frombuffer(path.expanduser().read_bytes(), np.uint8)
    except OSError as error:
        raise MtmcError(f"{path}: cannot be read ({error.strerror}); name a picture, for example a JPEG") from None
    image = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if image is None:
        raise MtmcError(f"{path}: is not a picture; name one, for example a JPEG")
    return np.asarray(image, np.uint8)


def write_picture(path: Path, image: Image) -> None:
    """Write `image` to `path`, in the format of its ending.

    Raises:
        MtmcError: the file cannot be written, or the ending is not that of a picture.
    """
    try:
        done, encoded = cv2.imencode(path.suffix, image)
    except cv2.error:
        done = False
    if not done:
        raise MtmcError(f"{path}: is not the name of a picture; end it with .jpg or .png")
    try:
        path.expanduser().write_bytes(encoded.tobytes())
    except OSError as error:
        raise MtmcError(f"{path}: cannot be written ({error.strerror}); name another file") from None


def drawn(image: Image, found: Detections, detector: Detector) -> Image:
    """A copy of `image` with a box, the class and the score of every detection."""
    picture = image.copy()
    width = max(1, round(picture.shape[1] / 600))
    scale = max(0.4, picture.shape[1] / 1600)
    # The best box is drawn last, above the others.
    for row in reversed(range(len(found))):
        number = int(found.class_ids[row])
        red, green, blue = colorsys.hls_to_rgb(number * _GOLDEN % 1, 0.5, 0.85)
        colour = (round(blue * 255), round(green * 255), round(red * 255))
        left, top, right, bottom = (int(side) for side in found.boxes_xyxy[row].round())
        cv2.rectangle(picture, (left, top), (right, bottom), colour, width, cv2.LINE_AA)
        text = f"{detector.class_names[number]} {found.scores[row]:.2f}"
        (length, height), baseline = cv2.getTextSize(text, _FONT, scale, 1)
        below = max(top, height + baseline)
        cv2.rectangle(picture, (left, below - height - baseline), (left + length, below), colour, cv2.FILLED)
        cv2.putText(picture, text, (left, below - baseline // 2), _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return picture
