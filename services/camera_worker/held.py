"""A camera whose lease this worker holds, and where it is on its way."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import Enum

from services.camera_worker.camera import Camera
from services.camera_worker.preparation import Preparation, close_in_background
from shared.config import CameraConfig
from shared.leases import Lease

CLOSE_LIMIT_S = 1.0
"""A source closes in milliseconds unless a read hangs."""


class Phase(Enum):
    """Where a held camera is on its way."""

    CLAIMED = "claimed"  # nothing else has been done yet
    PREPARING = "preparing"  # its model is loaded, its source is opened
    OPENING = "opening"  # its source has neither given a picture nor failed yet
    RUNNING = "running"  # the loop has it, and renews its lease
    LEAVING = "leaving"  # the loop has been asked to let go of it
    ENDED = "ended"  # its file was played to the end; it is held so that nobody plays it again
    RETIRING = "retiring"  # Redis is still to be told that it is given up
    CLOSING = "closing"  # Redis knows; the lease is released once its source is closed, so that another can open it


@dataclass
class Held:
    """A camera whose lease this worker holds."""

    config: CameraConfig
    lease: Lease
    phase: Phase
    refused: frozenset[str] = frozenset()
    """Workers that cannot open its source."""
    movable: bool = False
    """Another live worker could take it instead."""
    preparation: Preparation | None = None
    camera: Camera | None = None
    retire_as: str = "released"
    """The state to write when it is given up (`released`, `paused`), or when its file has ended (`ended`)."""
    keep: bool = False
    """Keep the lease after the end has been reported, so that no worker plays the file again."""
    opening_since_s: float = 0.0
    """When its source was opened, monotonic seconds."""
    closing: threading.Thread | None = None
    """Closes its source."""
    closing_since_s: float = 0.0

    @property
    def loop_renews_lease(self) -> bool:
        """Whether its lease is the loop's to renew: a loop that hangs must lose its cameras."""
        return self.phase in (Phase.RUNNING, Phase.LEAVING)

    @property
    def going(self) -> bool:
        """Whether it is being given up already."""
        return self.phase in (Phase.LEAVING, Phase.RETIRING, Phase.CLOSING)

    def let_source_go(self) -> None:
        """Abandons its preparation and closes its source, both in the background."""
        if self.preparation is not None:
            self.preparation.abandon()
        if self.camera is not None and self.closing is None:
            self.closing, self.closing_since_s = close_in_background(self.camera.source), time.monotonic()

    @property
    def source_is_closed(self) -> bool:
        """Whether its source is closed, or has taken so long that nobody should wait for it."""
        if self.closing is None or not self.closing.is_alive():
            return True
        return time.monotonic() - self.closing_since_s > CLOSE_LIMIT_S
