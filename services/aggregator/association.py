"""The association: tracks of all cameras in, identities with permanent gids out.

Pure: it reads no clock and knows no Redis. The same entries in the same order give the same result to the bit, which
recovery relies on. New tracks are assigned at every cycle; every interval the grouping is revised: identities that
turn out to be one are merged (the older gid stays), a track that does not belong is split off. Nothing is renumbered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from services.aggregator.identities import Identities, Identity
from services.aggregator.linkage import Linkage, group_similarity
from services.aggregator.possibility import Possibility
from services.aggregator.track_table import TrackTable
from shared.layout import Layout
from shared.messages import TrackBatch

EventKind = Literal["appeared", "handover", "merged", "split", "left"]
_SPLIT_MARGIN = 0.1
"""A track leaves its identity only when it is this much less alike than it takes to join one: no flapping."""
_LEAST_WEIGHT = 1e-3
"""A crop of no quality still counts a little, or a track seen only badly would have no appearance at all."""


@dataclass(frozen=True)
class AssociationSettings:
    """See `shared.config.AssociationConfig`; times in ns of site time."""

    min_similarity: float
    linkage: Linkage
    min_track_frames: int
    interval_ticks: int
    retention_ns: int
    linger_ns: int
    lost_ns: int
    """A track that is neither seen nor reported ended for so long has ended: its worker is gone."""


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
    sightings: list[Sighting] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    """Gids whose record changed."""
    forgotten: list[Identity] = field(default_factory=list)
    ended_rows: list[int] = field(default_factory=list)
    """For the cycle itself: rows of the tracks that ended in it."""


class Association:
    """The state of one site's association."""

    def __init__(self, layout: Layout, settings: AssociationSettings) -> None:
        self.settings = settings
        self.table = TrackTable()
        self.identities = Identities()
        self._possibility = Possibility(layout)
        self._revised_at = 0

    def cycle(self, tick: int, now_ns: int, seen: Sequence[CameraTick]) -> CycleResult:
        """Takes in what the cameras saw, sorted by (tick, camera), and assigns; `now_ns` is the site time of `tick`."""
        result = CycleResult()
        for camera_tick in seen:
            self._observe(camera_tick, result)
        self._end_lost(now_ns, result)
        self._assign(result)
        if tick // self.settings.interval_ticks > self._revised_at:
            self._revised_at = tick // self.settings.interval_ticks
            self._revise(result)
            self._note_who_left(result)
            self._forget(now_ns, result)
        else:
            self._note_who_left(result)
        return result

    # -- taking in -----------------------------------------------------------------------------------

    def _observe(self, seen: CameraTick, result: CycleResult) -> None:
        batch, table = seen.batch, self.table
        rows = np.empty(len(batch), np.intp)
        for i, track_id in enumerate(batch.track_ids.tolist()):
            row = table.find(seen.camera, track_id)
            if row is None:
                row = table.add(seen.camera, track_id, int(batch.class_ids[i]), seen.tick, seen.time_ns)
            elif table.rows["ended"][row]:
                self._reopen(row, result)
            rows[i] = row
        table.rows["class"][rows] = batch.class_ids
        table.rows["last_ns"][rows] = np.maximum(table.rows["last_ns"][rows], seen.time_ns)
        table.rows["last_tick"][rows] = np.maximum(table.rows["last_tick"][rows], seen.tick)
        embedded = np.flatnonzero(batch.embedding_rows >= 0)
        if len(embedded):
            vectors = batch.embeddings[batch.embedding_rows[embedded]].astype(np.float32)
            weights = np.maximum(batch.qualities[embedded], _LEAST_WEIGHT).astype(np.float32)
            table.embed(rows[embedded], vectors, weights, batch.embedder)
        for track_id in batch.ended.tolist():
            row = table.find(seen.camera, track_id)
            if row is not None and not table.rows["ended"][row]:
                self._end(row, result)

    def _reopen(self, row: int, result: CycleResult) -> None:
        """A camera that hung for a while goes on with the same tracks."""
        rows = self.table.rows
        rows["ended"][row] = False
        gid = int(rows["gid"][row])
        if gid:
            self.identities[gid].present = True
            if not rows["lingering"][row]:
                result.assignments.append(self._assignment(row))
        rows["lingering"][row] = False

    def _end(self, row: int, result: CycleResult) -> None:
        self.table.rows["ended"][row] = True
        self.table.rows["lingering"][row] = self.table.rows["gid"][row] > 0
        result.ended_rows.append(row)

    def _end_lost(self, now_ns: int, result: CycleResult) -> None:
        rows = self.table.rows
        alive = self.table.alive()
        for row in alive[now_ns - rows["last_ns"][alive] > self.settings.lost_ns].tolist():
            self._end(row, result)
        lingering = np.flatnonzero(rows["lingering"])
        for row in lingering[now_ns - rows["last_ns"][lingering] > self.settings.linger_ns].tolist():
            rows["lingering"][row] = False
            result.assignments.append(Assignment(int(rows["camera"][row]), int(rows["track_id"][row]), 0))

    # -- assigning new tracks --------------------------------------------------------------------------

    def _assign(self, result: CycleResult) -> None:
        rows = self.table.rows
        pending = np.flatnonzero(
            rows["used"] & (rows["gid"] == 0) & (rows["embedded"] >= self.settings.min_track_frames)
        )
        pending = pending[np.lexsort((rows["track_id"][pending], rows["camera"][pending], rows["first_ns"][pending]))]
        waiting: list[int] = pending.tolist()
        while waiting:
            best = self._best_candidate(waiting)
            if best is None:
                row, score = waiting[0], 0.0
                identity = self.identities.create(
                    int(rows["class"][row]), int(rows["first_ns"][row]), int(rows["last_ns"][row])
                )
            else:
                row, identity, score = best
            waiting.remove(row)
            self._join(row, identity, score, result)

    def _best_candidate(self, waiting: Sequence[int]) -> tuple[int, Identity, float] | None:
        """The most alike possible pair of a waiting track and an identity."""
        identities = [identity for identity in self.identities if identity.rows]
        if not identities:
            return None
        alike = self._similarity([[row] for row in waiting], [identity.rows for identity in identities])
        for i, j in _descending(alike, self.settings.min_similarity):
            together = np.array([*identities[j].rows, waiting[i]])
            if self._possibility.holds(self.table.sightings(together)):
                return waiting[i], identities[j], float(alike[i, j])
        return None

    def _join(self, row: int, identity: Identity, score: float, result: CycleResult) -> None:
        rows = self.table.rows
        before = max(identity.rows, key=lambda other: int(rows["last_ns"][other]), default=None)
        camera, track_id = int(rows["camera"][row]), int(rows["track_id"][row])
        if before is None:
            result.events.append(Event("appeared", identity.gid, camera, track_id))
        elif rows["camera"][before] != camera:
            left = int(rows["camera"][before])
            result.events.append(Event("handover", identity.gid, camera, track_id, from_camera=left, score=score))
        identity.rows.append(row)
        self._take_over(row, identity, result)
        result.sightings.append(self._sighting(row, score))

    def _take_over(self, row: int, identity: Identity, result: CycleResult) -> None:
        rows = self.table.rows
        rows["gid"][row] = identity.gid
        identity.first_ns = min(identity.first_ns, int(rows["first_ns"][row]))
        identity.last_ns = max(identity.last_ns, int(rows["last_ns"][row]))
        identity.present = identity.present or not rows["ended"][row]
        result.touched.add(identity.gid)
        if not rows["ended"][row] or rows["lingering"][row]:
            result.assignments.append(self._assignment(row))

    # -- revising ----------------------------------------------------------------------------------------

    def _revise(self, result: CycleResult) -> None:
        """Splits off what does not belong, then merges what does; only identities in view can have changed."""
        for identity in sorted(self.identities, key=lambda identity: identity.gid):
            if identity.present and len(identity.rows) > 1:
                self._split_strangers(identity, result)
        self._assign(result)
        while self._merge_best(result):
            pass

    def _split_strangers(self, identity: Identity, result: CycleResult) -> None:
        rows = self.table.rows
        for row in [row for row in identity.rows if not rows["ended"][row]]:
            others = [other for other in identity.rows if other != row]
            if not others:
                return
            score = float(self._similarity([[row]], [others])[0, 0])
            possible = self._possibility.holds(self.table.sightings(np.array(identity.rows)))
            if possible and score >= self.settings.min_similarity - _SPLIT_MARGIN:
                continue
            if not possible and self._possibility.holds(self.table.sightings(np.array(others))) is False:
                continue  # another one is the culprit
            identity.rows.remove(row)
            newcomer = self.identities.create(
                int(rows["class"][row]), int(rows["first_ns"][row]), int(rows["last_ns"][row])
            )
            newcomer.rows.append(row)
            camera, track_id = int(rows["camera"][row]), int(rows["track_id"][row])
            result.events.append(Event("split", newcomer.gid, camera, track_id, identity.gid, score=score))
            result.touched.add(identity.gid)
            self._take_over(row, newcomer, result)

    def _merge_best(self, result: CycleResult) -> bool:
        identities = sorted((identity for identity in self.identities if identity.rows), key=lambda one: one.gid)
        present = [i for i, identity in enumerate(identities) if identity.present]
        if len(identities) < 2 or not present:
            return False
        alike = self._similarity([identities[i].rows for i in present], [identity.rows for identity in identities])
        alike[np.arange(len(present)), present] = -np.inf
        for i, j in _descending(alike, self.settings.min_similarity):
            one, other = identities[present[i]], identities[j]
            if self._possibility.holds(self.table.sightings(np.array([*one.rows, *other.rows]))):
                older, younger = sorted((one, other), key=lambda identity: identity.gid)
                self._merge(older, younger, float(alike[i, j]), result)
                return True
        return False

    def _merge(self, older: Identity, younger: Identity, score: float, result: CycleResult) -> None:
        self.identities.remove(younger.gid)
        older.rows.extend(younger.rows)
        older.absorbed.extend([younger.gid, *younger.absorbed])
        result.aliases |= dict.fromkeys([younger.gid, *younger.absorbed], older.gid)
        result.events.append(Event("merged", older.gid, other_gid=younger.gid, score=score))
        result.touched.discard(younger.gid)
        for row in younger.rows:
            self._take_over(row, older, result)

    # -- leaving -----------------------------------------------------------------------------------------

    def _note_who_left(self, result: CycleResult) -> None:
        rows = self.table.rows
        result.sightings += [self._sighting(row) for row in result.ended_rows if rows["gid"][row]]
        for gid in sorted({int(rows["gid"][row]) for row in result.ended_rows} - {0}):
            identity = self.identities[gid]
            identity.last_ns = max(identity.last_ns, int(rows["last_ns"][identity.rows].max()))
            result.touched.add(gid)
            if identity.present and bool(rows["ended"][identity.rows].all()):
                identity.present = False
                last = max(identity.rows, key=lambda row: int(rows["last_ns"][row]))
                result.events.append(Event("left", gid, int(rows["camera"][last]), int(rows["track_id"][last])))

    def _forget(self, now_ns: int, result: CycleResult) -> None:
        rows = self.table.rows
        for identity in list(self.identities):
            expired = [
                row for row in identity.rows if rows["ended"][row] and self._expired(rows["last_ns"][row], now_ns)
            ]
            if not expired:
                continue
            identity.rows = [row for row in identity.rows if row not in expired]
            for row in expired:
                if rows["lingering"][row]:
                    result.assignments.append(Assignment(int(rows["camera"][row]), int(rows["track_id"][row]), 0))
                self.table.remove(row)
            if not identity.rows:
                result.forgotten.append(self.identities.remove(identity.gid))
                result.touched.discard(identity.gid)
        never_assigned = np.flatnonzero(rows["used"] & rows["ended"] & (rows["gid"] == 0))
        for row in never_assigned.tolist():
            if self._expired(int(rows["last_ns"][row]), now_ns):
                self.table.remove(row)

    def _expired(self, last_ns: int, now_ns: int) -> bool:
        return now_ns - last_ns > self.settings.retention_ns

    # -- shared ------------------------------------------------------------------------------------------

    def _assignment(self, row: int) -> Assignment:
        rows = self.table.rows
        return Assignment(int(rows["camera"][row]), int(rows["track_id"][row]), int(rows["gid"][row]))

    def _sighting(self, row: int, score: float = 0.0) -> Sighting:
        names = ("gid", "camera", "track_id", "first_ns", "last_ns", "first_tick", "last_tick")
        values = {name: int(self.table.rows[name][row]) for name in names}
        return Sighting(**values, ended=bool(self.table.rows["ended"][row]), score=score)

    def _similarity(self, a: Sequence[Sequence[int]], b: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """`(len(a), len(b))` between groups of rows; -inf between other classes or embedders."""
        rows_a, groups_a, rows_b, groups_b = *_flat(a), *_flat(b)
        alike = group_similarity(
            self.table.features(rows_a), groups_a, self.table.features(rows_b), groups_b, self.settings.linkage
        )
        first_a = self.table.rows[[group[0] for group in a]]
        first_b = self.table.rows[[group[0] for group in b]]
        for name in ("class", "embedder"):
            alike[first_a[name][:, None] != first_b[name][None, :]] = -np.inf
        return alike

    def to_dict(self) -> dict[str, Any]:
        """The whole state for a checkpoint."""
        return {
            "table": self.table.to_dict(),
            "identities": self.identities.to_dict(),
            "revised_at": self._revised_at,
        }

    def restore(self, data: Mapping[str, Any], saved_cameras: Sequence[str], cameras: Sequence[str]) -> None:
        """The reverse of `to_dict`; tracks of cameras that the site no longer has are forgotten."""
        self.table = TrackTable.from_dict(data["table"])
        self.identities = Identities.from_dict(data["identities"])
        self._revised_at = data["revised_at"]
        if tuple(saved_cameras) == tuple(cameras):
            return
        index_of = {camera: index for index, camera in enumerate(cameras)}
        gone = self.table.renumber_cameras([index_of.get(camera, -1) for camera in saved_cameras])
        for identity in list(self.identities):
            identity.rows = [row for row in identity.rows if row not in gone]
            identity.present = bool((~self.table.rows["ended"][identity.rows]).any())
            if not identity.rows:
                self.identities.remove(identity.gid)


def _flat(groups: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    rows = np.array([row for group in groups for row in group], np.intp)
    return rows, np.repeat(np.arange(len(groups)), [len(group) for group in groups])


def _descending(alike: npt.NDArray[np.float32], least: float) -> list[tuple[int, int]]:
    """The index pairs of `alike` at or above `least`, the highest first; ties in order of index."""
    i, j = np.nonzero(alike >= least)
    order = np.argsort(-alike[i, j], kind="stable")
    return list(zip(i[order].tolist(), j[order].tolist(), strict=True))
