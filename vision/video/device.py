"""Local devices, read with OpenCV, which knows the cameras of every system and their pixel formats."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import av
import cv2

from shared.errors import SourceUnavailable
from vision.video.address import device_of, display_name
from vision.video.stream_readers import Arrival, StreamFacts


class DeviceReader:
    """An open local device."""

    facts = StreamFacts("device")
    is_file = waits_for_key_frames = False

    def __init__(self, source: str, camera: str) -> None:
        """Open the device.

        Raises:
            SourceUnavailable: it cannot be opened.
        """
        backend = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
        self._capture = cv2.VideoCapture(device_of(source), backend)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceUnavailable(
                camera,
                f"{display_name(source)} cannot be opened; check that the camera is attached and no other program "
                "uses it",
            )

    def pictures(self) -> Iterator[Arrival | None]:
        while True:
            ok, image = self._capture.read()
            if not ok or image is None:
                return
            yield Arrival(av.VideoFrame.from_ndarray(image, format="bgr24"))

    def close(self) -> None:
        self._capture.release()
