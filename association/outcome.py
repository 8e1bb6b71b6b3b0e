"""Inputs and outputs of an association cycle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from association.decisions import Decision
from association.identities import Identity
from association.positions import Position
from shared.messages import TrackBatch

EventKind = Literal["appeared", "handover", "merged", "split", "left", "named", "unnamed", "forgotten"]


@dataclass(frozen=True)
class CameraTick:
    """The tracks of one camera at one tick."""

    camera: int
    """Index in the layout."""
    tick: int
    time_ns: int
    """Site time of the picture, ns."""
    batch: TrackBatch


@dataclass(frozen=True)
class Assignment:
    """A change of the global-ID map."""

    camera: int
    track_id: int
    gid: int
    """0: the track is removed from the map."""


@dataclass(frozen=True)
class Asked:
    """Who asked for a correction."""

    by: str
    command: str
    """Id of the command."""
    undoes: str = ""
    """Id of the command that this one undoes; empty if it undoes none."""


@dataclass(frozen=True)
class Event:
    """A change of an identity."""

    kind: EventKind
    gid: int
    camera: int = -1
    """Index in the layout; -1: not about one camera."""
    track_id: int = 0
    other_gid: int = 0
    """`merged`: the gid that ceases to exist. `split`: the gid that the track leaves."""
    from_camera: int = -1
    """`handover`: index of the camera in which it was last seen."""
    decision: Decision | None = None
    """What spoke for it; None if there was nothing to decide. Of a correction: what the evidence said before it."""
    asked: Asked | None = None
    """The operator who asked for it; None: the aggregator decided."""


@dataclass(frozen=True)
class Sighting:
    """One stay of an identity in one camera; reported when the track joins the identity and again when it ends."""

    gid: int
    camera: int
    track_id: int
    first_ns: int
    last_ns: int
    first_tick: int
    last_tick: int
    ended: bool
    decision: Decision | None
    """Why the track joined the identity; None for a first track, and at the end."""


@dataclass(frozen=True)
class Done:
    """What became of a correction."""

    refused: str = ""
    """Why it was not carried out; empty: it was."""
    gid: int = 0
    """The identity that survived, was split off, was named or was forgotten."""
    other_gid: int = 0
    """The gid that ceased to exist, or the identity that the tracks left; 0: none."""
    undoes: str = ""
    """`undo`: id of the command that was undone."""


@dataclass
class CycleResult:
    """The changes made by a cycle. Times of sightings and identities are in steady time."""

    step_ns: int = 0
    """By how much Redis's clock was set since the cycle before, ns; 0: not at all."""
    shift_ns: int = 0
    """Site time minus steady time, ns."""
    assignments: list[Assignment] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    aliases: dict[int, int] = field(default_factory=dict)
    """Merged gid → surviving gid."""
    dropped_aliases: list[int] = field(default_factory=list)
    """Merged gids that need not be looked up any more."""
    sightings: list[Sighting] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    """Gids of existing identities whose record changed."""
    positions: dict[int, Position] = field(default_factory=dict)
    """Gid → where it is now, at revisions and for identities in calibrated views."""
    renamed: set[int] = field(default_factory=set)
    """Gids whose name may have changed; some of them may have ceased to exist."""
    forgotten: list[Identity] = field(default_factory=list)
    erased: list[int] = field(default_factory=list)
    """Gids of which nothing must be left, because an operator wants them to be forgotten."""
    erased_tracks: list[tuple[int, int]] = field(default_factory=list)
    """Index of the camera and track id of their tracks."""
    corrected: list[Done] = field(default_factory=list)
    """What became of each of the corrections that were asked for."""
    ended_rows: list[int] = field(default_factory=list)
    """Internal to the cycle: rows of the tracks that ended in it, each once."""
