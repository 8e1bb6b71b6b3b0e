"""A camera whose lease this worker holds, and the phase it is in."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import Enum

from services.camera_worker.camera import Camera
from services.camera_worker.preparation import Preparation, close_in_background
from shared.camera_config import CameraConfig
from shared.leases import Lease

CLOSE_LIMIT_S = 1.0
"""After this long, closing a source is no longer waited for. It takes milliseconds unless a read hangs."""


class Phase(Enum):
    """The phases of a held camera, in order."""

    CLAIMED = "claimed"  # only the lease was acquired
    PREPARING = "preparing"  # its model is being loaded and its source opened
    OPENING = "opening"  # waiting for the first picture or failure of its source
    RUNNING = "running"  # the loop handles it and renews its lease
    LEAVING = "leaving"  # the loop was requested to release it
    ENDED = "ended"  # its file was played to the end; the lease is kept so that no worker plays it again
    RETIRING = "retiring"  # its release must still be written to Redis
    CLOSING = "closing"  # the lease is released once the source is closed, so that another worker can open it


@dataclass
class Held:
    """A camera whose lease this worker holds."""

    config: CameraConfig
    lease: Lease
    phase: Phase
    refused: frozenset[str] = frozenset()
    """Workers that cannot open its source."""
    movable: bool = False
    """Whether another live worker could claim it instead."""
    preparation: Preparation | None = None
    camera: Camera | None = None
    retire_as: str = "released"
    """The state to write when it is released (`released`, `paused`) or when its file has ended (`ended`)."""
    keep: bool = False
    """Whether to keep the lease after its file has ended, so that no worker plays it again."""
    opening_since_s: float = 0.0
    """When its source was opened, monotonic seconds."""
    closing: threading.Thread | None = None
    """The thread that closes its source."""
    closing_since_s: float = 0.0

    @property
    def loop_renews_lease(self) -> bool:
        """Whether the loop renews the lease, not the roster, so that a loop that hangs loses its cameras."""
        return self.phase in (Phase.RUNNING, Phase.LEAVING)

    @property
    def is_releasing(self) -> bool:
        """Whether it is being released already."""
        return self.phase in (Phase.LEAVING, Phase.RETIRING, Phase.CLOSING)

    def release_source(self) -> None:
        """Abandons its preparation and closes its source, in the background."""
        if self.preparation is not None:
            self.preparation.abandon()
        if self.camera is not None and self.closing is None:
            self.closing, self.closing_since_s = close_in_background(self.camera.source), time.monotonic()

    @property
    def source_is_closed(self) -> bool:
        """True if its source is closed, or has been closing for longer than `CLOSE_LIMIT_S`."""
        if self.closing is None or not self.closing.is_alive():
            return True
        return time.monotonic() - self.closing_since_s > CLOSE_LIMIT_S
