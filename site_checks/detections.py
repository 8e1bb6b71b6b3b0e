"""Tries the detectors of a site on pictures of its cameras: one that is misread finds nothing, or absurd boxes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from shared.camera_config import CameraConfig
from shared.config import DetectorFile, SiteConfig
from shared.errors import MtmcError, SourceUnavailable
from site_checks.finding import Finding, ok, warning
from vision.inference.models import Models
from vision.inference.plausibility import doubt
from vision.inference.selection import Thresholds
from vision.video.decoding import Converter
from vision.video.video_file import VideoFile

AREA = "detections"
PICTURES = 10
Image = npt.NDArray[np.uint8]


class SeenPictures:
    """Pictures of live cameras that other checks have seen, at most `PICTURES` of each."""

    def __init__(self) -> None:
        self._of: defaultdict[str, list[Image]] = defaultdict(list)

    def add(self, camera: str, image: Image) -> None:
        """Keep a picture, if there are not enough already. Each camera's are added by one thread."""
        kept = self._of[camera]
        if len(kept) < PICTURES:
            kept.append(image)

    def of(self, camera: str) -> Sequence[Image]:
        """The pictures of one camera."""
        return self._of[camera]


def examine_detections(site: SiteConfig, models: Models, seen: SeenPictures) -> Iterator[Finding]:
    """One finding for each detector for which there are ten pictures."""
    cameras: defaultdict[DetectorFile, list[CameraConfig]] = defaultdict(list)
    for camera in site.cameras:
        if not camera.paused:
            cameras[site.detector_of(camera)].append(camera)
    for file, group in cameras.items():
        pictures = _pictures(group, seen)
        if len(pictures) < PICTURES:
            continue
        try:
            detector = models.detector(group[0])
            thresholds = {camera.name: models.thresholds(camera) for camera in group}
            # One at a time: on a host with a running site, a large batch would hold up its workers.
            found = [detector.detect([image], [thresholds[camera.name]])[0] for camera, image in pictures]
        except MtmcError:
            continue  # already reported
        problem = doubt(
            [(boxes, image.shape[1], image.shape[0]) for boxes, (_, image) in zip(found, pictures, strict=True)]
        )
        what = f"detector {file.model.name}, head {detector.head}"
        if problem is None:
            boxes = sum(len(each) for each in found)
            yield ok(AREA, f"{what}: {boxes} boxes in {len(pictures)} pictures of {_named(pictures)}")
        else:
            yield warning(
                AREA,
                f"{what}: {problem} of {_named(pictures)}{_wanted(thresholds.values())}",
                f"if there are objects, look at what it finds: mtmc models try {file.model} PICTURE -o found.jpg; then "
                "correct detector.head, detector.size or detector.classes, or export the model again",
            )


def _named(pictures: Sequence[tuple[CameraConfig, Image]]) -> str:
    names = list(dict.fromkeys(camera.name for camera, _ in pictures))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _wanted(thresholds: Iterable[Thresholds]) -> str:
    limited = any(each.class_ids is not None for each in thresholds)
    return ", of the classes in detector.classes" if limited else ""


def _pictures(cameras: Sequence[CameraConfig], seen: SeenPictures) -> list[tuple[CameraConfig, Image]]:
    """Ten pictures of the cameras, the same number of each as far as possible; fewer if there are no more."""
    each = {camera.name: _of_camera(camera, -(-PICTURES // len(cameras)), seen) for camera in cameras[:PICTURES]}
    rounds = max((len(images) for images in each.values()), default=0)
    ordered = [
        (camera, each[camera.name][turn])
        for turn in range(rounds)
        for camera in cameras[:PICTURES]
        if turn < len(each[camera.name])
    ]
    return ordered[:PICTURES]


def _of_camera(camera: CameraConfig, count: int, seen: SeenPictures) -> Sequence[Image]:
    if not camera.is_file:
        return seen.of(camera.name)
    try:
        return _of_file(Path(camera.source), camera.name, count)
    except (SourceUnavailable, av.FFmpegError):
        return ()  # already reported


def _of_file(path: Path, camera: str, count: int) -> list[Image]:
    """`count` pictures spread over the file; the first ones if it cannot seek."""
    video, converter, images = VideoFile(path, camera), Converter(), []
    try:
        duration_s = video.claimed_seconds or 0.0
        for number in range(count):
            if duration_s and video.seekable:
                video.seek(duration_s * number / count)
            picture = video.read()
            if picture is None:
                break
            images.append(converter.image(picture.frame))
    finally:
        video.close()
    return images
