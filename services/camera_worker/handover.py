"""Queues between the roster's thread and the loop. Neither waits for the other."""

from __future__ import annotations

from enum import Enum
from queue import Empty, SimpleQueue
from typing import TypeVar

from services.camera_worker.camera import Camera

_Item = TypeVar("_Item")


class ReleaseWhen(Enum):
    """When the loop must release a camera."""

    NOW = "now"  # another worker gets it, or it has new settings: its tracks may continue elsewhere
    AFTER_NEXT_TICK = "after next tick"  # it was paused or removed: that tick ends all of its tracks


class Outcome(Enum):
    """Why the loop no longer handles a camera."""

    RELEASED = "released"  # at the request of the roster
    ENDED = "ended"  # its file was played to the end, and all of its tracks have ended
    LEASE_LOST = "lease lost"  # another worker owns it, or it was removed


class Handover:
    """Passes cameras in both directions."""

    def __init__(self) -> None:
        self._arrivals: SimpleQueue[Camera] = SimpleQueue()
        self._requests: SimpleQueue[tuple[Camera, ReleaseWhen]] = SimpleQueue()
        self._returned: SimpleQueue[tuple[Camera, Outcome]] = SimpleQueue()

    # -- the roster's side -----------------------------------------------------------------------------

    def give(self, camera: Camera) -> None:
        """Gives the loop a camera whose source has delivered a picture or failed. The loop then renews its lease."""
        self._arrivals.put(camera)

    def request_release(self, camera: Camera, when: ReleaseWhen) -> None:
        """Requests that the loop release a camera; `returned` will include it."""
        self._requests.put((camera, when))

    def returned(self) -> list[tuple[Camera, Outcome]]:
        """The cameras that the loop has given back since the last call, each with the reason."""
        return _drain(self._returned)

    # -- the loop's side -------------------------------------------------------------------------------

    def arrivals(self, wait_s: float) -> list[Camera]:
        """The cameras that the roster has given since the last call; waits up to `wait_s` for the first."""
        found = _drain(self._arrivals)
        if found or wait_s <= 0:
            return found
        try:
            return [self._arrivals.get(timeout=wait_s)]
        except Empty:
            return []

    def release_requests(self) -> list[tuple[Camera, ReleaseWhen]]:
        """The cameras whose release the roster has requested since the last call."""
        return _drain(self._requests)

    def give_back(self, camera: Camera, outcome: Outcome) -> None:
        """Gives a camera back to the roster: the loop no longer handles it or renews its lease."""
        self._returned.put((camera, outcome))


def _drain(queue: SimpleQueue[_Item]) -> list[_Item]:
    found = []
    try:
        while True:
            found.append(queue.get_nowait())
    except Empty:
        return found
