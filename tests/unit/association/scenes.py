"""Synthetic tracks for tests of the association, with an adjustable noise level of the embeddings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from association.core import Association
from association.linkage import Linkage
from association.outcome import Assignment, CameraTick, CycleResult, Event
from association.settings import AssociationSettings
from shared.layout import Layout
from shared.messages import TrackBatch

TICK_NS = 10**8
EMBEDDER = "sim"
DIMENSION = 32


def settings(
    *,
    mode: Literal["live", "reference"] = "reference",
    min_similarity: float = 0.5,
    linkage: Linkage = "average",
    min_track_frames: int = 3,
    learn: bool = True,
    interval_ticks: int = 10,
    retention_s: float = 60,
    linger_s: float = 1,
    lost_s: float = 3.5,
) -> AssociationSettings:
    """10 ticks a second."""
    retention_ns, linger_ns, lost_ns = (round(seconds * 1e9) for seconds in (retention_s, linger_s, lost_s))
    return AssociationSettings(
        mode,
        min_similarity,
        linkage,
        min_track_frames,
        learn,
        interval_ticks,
        retention_ns,
        linger_ns,
        lost_ns,
        TICK_NS,
    )


def overlapping(n: int) -> Layout:
    """All views overlap; no other steps are possible."""
    names = tuple("ABCDEFGH"[:n])
    layout = Layout.closed(names)
    for one in names:
        for other in names:
            if one != other:
                layout = layout.with_transition(one, other, 0, 60, overlapping=True)
    return layout


def street(n: int, min_seconds: float = 1, max_seconds: float = 20) -> Layout:
    """Separate views in a row; a step to a neighbour takes `min_seconds` to `max_seconds`, in both directions."""
    names = tuple("ABCDEFGH"[:n])
    layout = Layout.closed(names)
    for one, other in itertools.pairwise(names):
        layout = layout.with_transition(one, other, min_seconds, max_seconds)
        layout = layout.with_transition(other, one, min_seconds, max_seconds)
    return layout


def appearance(who: int, noise: float = 0.0, rng: np.random.Generator | None = None) -> np.ndarray:
    """An embedding of unit norm, in a different direction for every `who`."""
    vector = np.random.default_rng(who).standard_normal(DIMENSION)
    vector /= np.linalg.norm(vector)
    if rng is not None:
        vector = vector + noise * rng.standard_normal(DIMENSION) / DIMENSION**0.5
    return vector / np.linalg.norm(vector)


@dataclass(frozen=True)
class Stay:
    """One track: `camera` sees `who` from tick `first` to `last`; its end is reported `hidden` ticks later."""

    who: int
    camera: int
    first: int
    last: int
    track_id: int = 0
    hidden: int = 5
    class_id: int = 0
    embedder: str = EMBEDDER


def entries(stays: Sequence[Stay], noise: float = 0.0, seed: int = 0) -> list[CameraTick]:
    """The entries of all cameras for `stays`, sorted by (tick, camera); tracks without a number get the next one."""
    rng = np.random.default_rng(seed)
    numbered = [(stay.track_id or number, stay) for number, stay in enumerate(stays, start=1)]
    cameras = sorted({stay.camera for stay in stays})
    seen = []
    for tick in range(1, max(stay.last + stay.hidden for stay in stays) + 1):
        for camera in cameras:
            own = [(track, stay) for track, stay in numbered if stay.camera == camera]
            here = [(track, stay) for track, stay in own if stay.first <= tick <= stay.last]
            ended = [track for track, stay in own if tick == stay.last + stay.hidden]
            seen.append(CameraTick(camera, tick, tick * TICK_NS, batch(here, ended, noise, rng)))
    return seen


def batch(
    here: Sequence[tuple[int, Stay]],
    ended: Sequence[int] = (),
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> TrackBatch:
    """A batch of the tracks `here`, all with embeddings."""
    n = len(here)
    vectors = [appearance(stay.who, noise, rng) for _, stay in here]
    return TrackBatch(
        track_ids=np.array([track for track, _ in here], np.int64),
        boxes_xyxy=np.zeros((n, 4), np.float32),
        scores=np.ones(n, np.float32),
        class_ids=np.array([stay.class_id for _, stay in here], np.int16),
        qualities=np.full(n, 0.8, np.float32),
        embedding_rows=np.arange(n, dtype=np.int32),
        embeddings=np.array(vectors, np.float16) if n else np.zeros((0, DIMENSION), np.float16),
        ended=np.array(ended, np.int64),
        embedder=here[0][1].embedder if n else EMBEDDER,
    )


@dataclass
class Run:
    """Runs an association and keeps a copy of the published map, as a reader would."""

    association: Association
    tick: int = 0
    gids: dict[tuple[int, int], int] = field(default_factory=dict)
    """The current map: (camera, track) → gid."""
    ever: dict[tuple[int, int], int] = field(default_factory=dict)
    """The last gid of every track that had one."""
    changes: list[tuple[int, Assignment]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    aliases: dict[int, int] = field(default_factory=dict)
    results: list[CycleResult] = field(default_factory=list)

    def play(self, seen: Sequence[CameraTick], upto: int | None = None) -> Run:
        """Run a cycle for every tick, up to the last entry or `upto`."""
        by_tick: dict[int, list[CameraTick]] = {}
        for one in seen:
            by_tick.setdefault(one.tick, []).append(one)
        for tick in range(self.tick + 1, (upto or max(by_tick)) + 1):
            self.cycle(tick, by_tick.get(tick, []))
        return self

    def cycle(self, tick: int, seen: Sequence[CameraTick]) -> CycleResult:
        result = self.association.cycle(tick, tick * TICK_NS, seen)
        self.tick = tick
        for change in result.assignments:
            self.changes.append((tick, change))
            key = (change.camera, change.track_id)
            if change.gid:
                self.gids[key] = self.ever[key] = change.gid
            else:
                del self.gids[key]
        self.events += result.events
        self.aliases |= result.aliases
        self.results.append(result)
        return result

    def gid(self, track_id: int) -> int | None:
        """The last gid of a track; track numbers of a scene are unique over its cameras."""
        return next((gid for (_, track), gid in self.ever.items() if track == track_id), None)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


def play(layout: Layout, stays: Sequence[Stay], upto: int | None = None, **given: object) -> Run:
    """Run a whole scene with clean embeddings."""
    make: Callable[..., AssociationSettings] = settings
    return Run(Association(layout, make(**given))).play(entries(stays), upto)
