"""Process-wide settings of OpenCV."""

from __future__ import annotations

import os

import cv2


def silence_opencv() -> None:
    """Stop OpenCV from writing to stderr, where it would print names of files and devices.

    OpenCV reads the log level of its FFmpeg from the environment when it first opens a video, so call this before. A
    level set by the user is kept. FFmpeg as PyAV carries it prints nothing unless asked to.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
