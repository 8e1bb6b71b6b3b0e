"""What is known of one camera, from Redis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CameraFacts:
    """The input of `judged`: everything that determines the state of one camera."""

    name: str
    settings: bytes = b"{}"
    """JSON of its settings; the source in it may contain a password."""
    written: Mapping[str, str] = field(default_factory=dict)
    """`camera:{name}` as its owner wrote it."""
    owner_gone: bool = False
    """Whether `owner` in `written` names a worker that is dead."""
    stalled: bool = False
    """Whether the clock lists it as stalled."""
    seen_tick: int | None = None
    live_tracks: int | None = None
    gids: int = 0
    claimed_ms: int | None = None
    """When it was last claimed, ms of Redis time; None if unknown, or in virtual time."""
    picture_ms: int | None = None
    """When its newest picture was published, ms of the pictures' Redis."""
