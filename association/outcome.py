"""What goes into a cycle of the association, and what comes out of it. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from association.identities import Identity
from shared.messages import TrackBatch

EventKind = Literal["appeared", "handover", "merged", "split", "left"]


@dataclass(frozen=True)
class CameraTick:
    """What one camera saw at one tick."""

    camera: int
    """Index in the layout."""
    tick: int
    time_ns: int
    batch: TrackBatch


@dataclass(frozen=True)
class Assignment:
    """A change of the global-ID map."""

    camera: int
    track_id: int
    gid: int
    """0: the track is taken out of the map."""


@dataclass(frozen=True)
class Event:
    """Something that happened to an identity."""

    kind: EventKind
    gid: int
    camera: int = -1
    """Index in the layout; -1: none in particular."""
    track_id: int = 0
    other_gid: int = 0
    """`merged`: the gid that is no more. `split`: the gid that the track leaves."""
    from_camera: int = -1
    """`handover`: index of the camera where it was seen last."""
    score: float = 0.0
    """Similarity that decided."""


@dataclass(frozen=True)
class Sighting:
    """One stay of an identity in one camera, when it joins the identity and again when it ends."""

    gid: int
    camera: int
    track_id: int
    first_ns: int
    last_ns: int
    first_tick: int
    last_tick: int
    ended: bool
    score: float
    """Similarity with the identity when it joined; 0 for the first one, and at the end."""


@dataclass
class CycleResult:
    """What a cycle changed."""

    assignments: list[Assignment] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    aliases: dict[int, int] = field(default_factory=dict)
    """Merged gid → surviving gid."""
    dropped_aliases: list[int] = field(default_factory=list)
    """Merged gids that nobody needs to find any more."""
    sightings: list[Sighting] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    """Gids whose record changed; all of them exist."""
    forgotten: list[Identity] = field(default_factory=list)
    ended_rows: list[int] = field(default_factory=list)
    """For the cycle itself: rows of the tracks that ended in it, each once."""
