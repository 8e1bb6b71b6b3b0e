"""Settings of OpenCV's and FFmpeg's decoders, which hold for the whole process."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

import cv2


def silence_decoders() -> None:
    """Keep OpenCV and FFmpeg from writing to stderr, where they would show URLs with their passwords.

    FFmpeg's level is read from the environment when OpenCV first opens a video to read or write, so this has to come
    before; a level set by the user stays.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def prepare_decoders(environ: MutableMapping[str, str] = os.environ) -> None:
    """For the process entry, before the first source is opened: quiet decoders, and RTSP over TCP.

    UDP loses packets, which shows as torn pictures. A user's own OPENCV_FFMPEG_CAPTURE_OPTIONS stay.
    """
    environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    silence_decoders()
