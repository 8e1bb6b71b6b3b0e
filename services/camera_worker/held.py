"""A camera whose lease this worker holds, and where it is on its way."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum

from services.camera_worker.camera import Camera
from services.camera_worker.preparation import Preparation, close_in_background
from shared.config import CameraConfig
from shared.leases import Lease


class Phase(Enum):
    """Where a held camera is on its way."""

    CLAIMED = "claimed"  # nothing else has been done yet
    PREPARING = "preparing"  # its model is loaded, its source is opened
    OPENING = "opening"  # its source has neither given a picture nor failed yet
    RUNNING = "running"  # the loop has it, and renews its lease
    LEAVING = "leaving"  # the loop has been asked to let go of it
    ENDED = "ended"  # its file was played to the end; it is held so that nobody plays it again
    RETIRING = "retiring"  # Redis is still to be told that it is given up


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
    """Once its end is told it is held on, so that nobody plays its file again."""

    @property
    def loop_renews_lease(self) -> bool:
        """Whether its lease is the loop's to renew: a loop that hangs must lose its cameras."""
        return self.phase in (Phase.RUNNING, Phase.LEAVING)

    @property
    def going(self) -> bool:
        """Whether it is being given up already."""
        return self.phase in (Phase.LEAVING, Phase.RETIRING)

    def let_source_go(self) -> threading.Thread | None:
        """Abandons its preparation and closes its source, both in the background; the thread that closes."""
        if self.preparation is not None:
            self.preparation.abandon()
        return close_in_background(self.camera.source) if self.camera is not None else None
