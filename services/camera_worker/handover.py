"""What the roster's thread and the loop hand to each other. Neither waits for the other."""

from __future__ import annotations

from enum import Enum
from queue import Empty, SimpleQueue
from typing import TypeVar

from services.camera_worker.camera import Camera

_Item = TypeVar("_Item")


class Goodbye(Enum):
    """How the loop is to let go of a camera."""

    NOW = "now"  # another worker takes it, or it has new settings: its tracks may go on elsewhere
    AFTER_NEXT_TICK = "after next tick"  # paused or removed: that tick ends all of its tracks


class Outcome(Enum):
    """Why the loop no longer handles a camera."""

    LET_GO = "let go"  # as the roster asked
    ENDED = "ended"  # its file was played to the end, and all of its tracks have ended
    LEASE_LOST = "lease lost"  # another worker owns it, or it was removed


class Handover:
    """The two directions, as queues of cameras."""

    def __init__(self) -> None:
        self._arrivals: SimpleQueue[Camera] = SimpleQueue()
        self._goodbyes: SimpleQueue[tuple[Camera, Goodbye]] = SimpleQueue()
        self._returned: SimpleQueue[tuple[Camera, Outcome]] = SimpleQueue()

    # -- the roster's side -----------------------------------------------------------------------------

    def give(self, camera: Camera) -> None:
        """Gives the loop a camera whose source has answered. The loop renews its lease from now on."""
        self._arrivals.put(camera)

    def ask_back(self, camera: Camera, goodbye: Goodbye) -> None:
        """Asks the loop to let go of a camera; `returned` will name it."""
        self._goodbyes.put((camera, goodbye))

    def returned(self) -> list[tuple[Camera, Outcome]]:
        """The cameras that the loop has let go of since the last call, each with the reason."""
        return _drain(self._returned)

    # -- the loop's side -------------------------------------------------------------------------------

    def arrivals(self, wait_s: float) -> list[Camera]:
        """The cameras that the roster has given since the last call; waits at most `wait_s` for the first."""
        found = _drain(self._arrivals)
        if found or wait_s <= 0:
            return found
        try:
            return [self._arrivals.get(timeout=wait_s)]
        except Empty:
            return []

    def goodbyes(self) -> list[tuple[Camera, Goodbye]]:
        """The cameras that the roster has asked for since the last call."""
        return _drain(self._goodbyes)

    def give_back(self, camera: Camera, outcome: Outcome) -> None:
        """Tells the roster that the loop no longer handles a camera, nor renews its lease."""
        self._returned.put((camera, outcome))


def _drain(queue: SimpleQueue[_Item]) -> list[_Item]:
    found = []
    try:
        while True:
            found.append(queue.get_nowait())
    except Empty:
        return found
