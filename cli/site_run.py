"""A site's recordings, run once through the real services over a Redis of their own, and recorded."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cli.address import RedisAddress
from cli.publishing import publish
from cli.state import StateFolder
from cli.supervision import Program, Supervisor
from cli.up import REDIS, UpOptions, child_environment, site_programs, wait_for_redis
from evaluation.source_frames import SourceFrames
from recording.description import Description, FrameNumbers
from recording.reading import Recording
from recording.writing import RecordingWriter
from services.camera_worker.camera import Timing
from services.camera_worker.file_source import DEFAULT_FPS, VideoFile, plausible_fps
from shared.config import SiteConfig
from shared.config_file import site_layout
from shared.errors import MtmcError
from shared.keys import Keys
from shared.layout import Layout
from shared.redis_connection import Client
from shared.redis_server import RedisServer, any_free_port, find_binary
from shared.service import stop_on_signals
from shared.site import restart_recordings
from shared.version import made_by

_POLL_S = 0.05
_LAST_LINES = 15
_AT_ONCE = 2000
_PATIENCE_S = 180.0
"""Without a new tick for so long something hangs; engines may be built before the first."""
