"""Keeps libraries from printing what they read: names of files, and addresses with passwords."""

from __future__ import annotations

import logging
import os

import cv2
import urllib3


def quiet_libraries() -> None:
    """Silence OpenCV and urllib3 in this process; call it before the first source is opened.

    OpenCV reads the log level of its FFmpeg from the environment when it first opens a video; a level set by the user
    is kept. urllib3 prints the path and the query of an address whose server answers with a malformed header. FFmpeg as
    PyAV carries it prints nothing unless asked to.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    # Cameras sign their own certificates; `tls_verify` checks them.
    urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
