"""Crops of single boxes from a site's video files, for the report."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from evaluation.confusions import Sight
from evaluation.source_frames import FramesOf
from shared.errors import SourceUnavailable
from vision.video.decoding import Converter
from vision.video.video_file import Picture, VideoFile

_HEIGHT_PX = 150
_WIDEST_PX = 260
_MARGIN = 0.15
"""Margin around the box on every side, as a fraction of its size."""
_JPEG_QUALITY = 80


@dataclass(frozen=True)
class BoxPictures:
    """JPEG crops as `data:` URLs; a box has none if its video file is missing or ends early."""

    pictures: Mapping[Sight, str]

    def of(self, sight: Sight) -> str | None:
        """The crop of one box, or None."""
        return self.pictures.get(sight)


def cut_out(sights: Iterable[Sight], sources: Mapping[str, str], frames_of: FramesOf) -> BoxPictures:
    """Cut out all boxes; each video file is read once, from the beginning to the last box.

    Args:
        sights: the boxes.
        sources: camera → path of its video file.
        frames_of: maps ticks to frame numbers.
    """
    by_camera: dict[str, list[tuple[int, Sight]]] = {}
    for sight in sights:
        frame = int(frames_of(sight.camera, np.array([sight.tick], np.int64))[0])
        by_camera.setdefault(sight.camera, []).append((frame, sight))
    pictures: dict[Sight, str] = {}
    for camera, wanted in by_camera.items():
        path = Path(sources.get(camera, ""))
        if path.is_file():
            pictures |= _from_file(path, camera, wanted)
    return BoxPictures(pictures)


def _from_file(path: Path, camera: str, wanted: list[tuple[int, Sight]]) -> dict[Sight, str]:
    found: dict[Sight, str] = {}
    picture: Picture | None = None
    converter = Converter()
    try:
        video = VideoFile(path, camera)
    except SourceUnavailable:
        return found
    try:
        for frame in sorted({frame for frame, _ in wanted}):
            while picture is None or picture.number + 1 < frame:
                picture = video.read()
                if picture is None:
                    return found
            image = converter.image(picture.frame)
            found |= {sight: _encoded(image, sight) for at, sight in wanted if at == frame}
    finally:
        video.close()
    return found


def _encoded(image: np.ndarray, sight: Sight) -> str:
    left, top, right, bottom = sight.box_xyxy
    margin_x, margin_y = _MARGIN * (right - left), _MARGIN * (bottom - top)
    height, width = image.shape[:2]
    x0, x1 = (int(np.clip(x, 0, width)) for x in (left - margin_x, np.ceil(right + margin_x)))
    y0, y1 = (int(np.clip(y, 0, height)) for y in (top - margin_y, np.ceil(bottom + margin_y)))
    crop = image[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)].copy()
    corners = [(int(left) - x0, int(top) - y0), (int(right) - x0, int(bottom) - y0)]
    scale = min(_HEIGHT_PX / crop.shape[0], _WIDEST_PX / crop.shape[1])
    crop = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    (ax, ay), (bx, by) = corners
    cv2.rectangle(crop, (int(ax * scale), int(ay * scale)), (int(bx * scale), int(by * scale)), (255, 255, 255), 1)
    encoded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
