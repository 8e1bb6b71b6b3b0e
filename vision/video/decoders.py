"""Process-wide settings of the OpenCV and FFmpeg decoders."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

import cv2


def silence_decoders() -> None:
    """Stop OpenCV and FFmpeg from writing to stderr, where they would print URLs with passwords.

    OpenCV reads FFmpeg's log level from the environment when it first opens a video for reading or writing, so call
    this before. A level set by the user is kept.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def prepare_decoders(environ: MutableMapping[str, str] = os.environ) -> None:
    """Silence the decoders and select RTSP over TCP; call at process start, before the first source is opened.

    UDP loses packets, which shows as torn pictures. A user's own OPENCV_FFMPEG_CAPTURE_OPTIONS are kept.
    """
    environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    silence_decoders()
