"""The association core: takes the tracks of all cameras and returns identities with permanent gids.

Pure: no clock, no Redis. The same entries in the same order produce bit-identical results, which recovery relies on.
It counts in steady time (`shared.steady_time`), so that nothing ages when somebody sets Redis's clock.
New tracks are assigned at every cycle. At fixed intervals the grouping is revised: identities that turn out to be the
same object are merged (the older gid stays), and a track that does not fit its identity is split off. Existing gids are
never renumbered. Half an interval earlier, the live mode learns, so that no single cycle does all the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from association.adoption import Adopted, Published, adopt
from association.changes import IdentityChanges
from association.corrections import Correction, Corrections
from association.identities import Identities
from association.learned_layout import LearnedLayout
from association.likeness import IdentityGallery
from association.live_grouping import LiveGrouping
from association.outcome import Assignment, CameraTick, CycleResult, Event
from association.possibility import NEVER_NS, Possibility
from association.reference_grouping import ReferenceGrouping
from association.settings import AssociationSettings
from association.track_table import TrackTable, crop_weights
from shared.layout import Layout
from shared.steady_time import SteadyTime

_TRACKS_KEPT, _TRACKS_KEPT_OF_DEPARTED = 16, 8
"""Ended tracks that an identity keeps while it is in view, and after it left. With 4 after it left, IDF1 on the demo
was 0.005 lower; with 8 it was as with all."""
_SETTLED_NS = 10_000_000_000
"""Tracks are kept in any case until they ended this long ago, because travel times are learned from them."""


class Association:
    """The state of the association of one site."""

    def __init__(self, layout: Layout, settings: AssociationSettings) -> None:
        self.settings = settings
        self._layout = layout
        self._revised_at = self._learned_at = self._merged_at = 0
        self._time = SteadyTime(settings.tick_ns)
        self._hold(TrackTable(), Identities())

    def _hold(self, table: TrackTable, identities: Identities) -> None:
        self.table, self.identities = table, identities
        is_live = self.settings.mode == "live"
        kind = LiveGrouping if is_live else ReferenceGrouping
        possibility = Possibility(self._layout, assume_overlaps=not is_live)
        self._grouping: LiveGrouping | ReferenceGrouping = kind(table, identities, possibility, self.settings)
        self._changes = IdentityChanges(table, identities)
        self._corrections = Corrections(table, identities, self._grouping, self._layout.cameras)

    def cycle(
        self, tick: int, now_ns: int, seen: Sequence[CameraTick], wanted: Sequence[Correction] = ()
    ) -> CycleResult:
        """Process one cycle. Corrections take effect after the entries, and before anything is decided of them.

        Args:
            tick: the tick of the cycle.
            now_ns: site time of `tick`, ns.
            seen: the new entries of all cameras, sorted by (tick, camera).
            wanted: corrections that operators ask for, in their order.
        """
        result = CycleResult(step_ns=self._time.note_tick(tick, now_ns), shift_ns=self._time.shift_ns)
        now_ns = self._time.steady_ns(now_ns)
        for camera_tick in seen:
            steady_ns = self._time.steady_ns(camera_tick.time_ns, camera_tick.tick)
            self._observe(replace(camera_tick, time_ns=steady_ns), result)
        self._end_lost(tick, result)
        self._stop_lingering(now_ns, result)
        result.corrected = [self._corrections.carry_out(one, result) for one in wanted]
        self._grouping.assign(result)
        interval = self.settings.interval_ticks
        # At different ticks, because one cycle that did all of it would be slow.
        learns_at, merges_at, revises_at = ((tick + ahead) // interval for ahead in (interval // 2, interval // 4, 0))
        if learns_at > self._learned_at and isinstance(self._grouping, LiveGrouping):
            self._learned_at = learns_at
            self._grouping.learn()
        if merges_at > self._merged_at and isinstance(self._grouping, LiveGrouping):
            self._merged_at = merges_at
            self._grouping.merge(result)
        revising = revises_at > self._revised_at
        if revising:
            self._revised_at = revises_at
            self._grouping.revise(result)
        self._mark_departures(result)
        if revising and isinstance(self._grouping, LiveGrouping):
            result.positions = self._grouping.positions()
        if revising:
            self._forget(now_ns, result)
            self._shrink()
        return result

    # -- input ---------------------------------------------------------------------------------------

    def _observe(self, seen: CameraTick, result: CycleResult) -> None:
        batch, table = seen.batch, self.table
        indices = np.empty(len(batch), np.intp)
        for i, track_id in enumerate(batch.track_ids.tolist()):
            row = table.find(seen.camera, track_id)
            if row is None:
                row = table.add(seen.camera, track_id, int(batch.class_ids[i]), seen.tick, seen.time_ns)
            elif table.rows["ended"][row]:
                self._reopen(row, result)
            indices[i] = row
        rows = table.rows
        rows["last_ns"][indices] = np.maximum(rows["last_ns"][indices], seen.time_ns)
        rows["last_tick"][indices] = np.maximum(rows["last_tick"][indices], seen.tick)
        embedded = np.flatnonzero(batch.embedding_rows >= 0)
        if len(embedded):
            vectors = batch.embeddings[batch.embedding_rows[embedded]].astype(np.float32)
            weights = crop_weights(batch.qualities[embedded])
            table.embed(indices[embedded], vectors, weights, batch.embedder)
        self._grouping.observe(seen, indices)
        for track_id in batch.ended.tolist():
            row = table.find(seen.camera, track_id)
            if row is not None and not rows["ended"][row]:
                self._end(row, seen.time_ns, result)

    def _reopen(self, row: int, result: CycleResult) -> None:
        """Reopen an ended track: after hanging for a while, a camera resumes the same tracks."""
        rows = self.table.rows
        rows["ended"][row], rows["ended_ns"][row] = False, NEVER_NS
        gid = int(rows["gid"][row])
        if gid:
            self.identities[gid].present = True
            result.touched.add(gid)
            if not rows["lingering"][row]:
                result.assignments.append(self._changes.assignment(row))
        rows["lingering"][row] = False
        if row in result.ended_rows:
            result.ended_rows.remove(row)

    def _end(self, row: int, ended_ns: int, result: CycleResult) -> None:
        rows = self.table.rows
        rows["ended"][row], rows["ended_ns"][row] = True, max(ended_ns, int(rows["last_ns"][row]))
        rows["lingering"][row] = rows["gid"][row] > 0
        result.ended_rows.append(row)

    def _end_lost(self, tick: int, result: CycleResult) -> None:
        rows, settings = self.table.rows, self.settings
        alive = self.table.alive()
        for row in alive[(tick - rows["last_tick"][alive]) * settings.tick_ns > settings.lost_ns].tolist():
            self._end(row, int(rows["last_ns"][row]) + settings.lost_ns, result)

    def _stop_lingering(self, now_ns: int, result: CycleResult) -> None:
        rows = self.table.rows
        lingering = np.flatnonzero(rows["lingering"])
        for row in lingering[now_ns - rows["ended_ns"][lingering] > self.settings.linger_ns].tolist():
            self._unassign(row, result)

    def _unassign(self, row: int, result: CycleResult) -> None:
        rows = self.table.rows
        rows["lingering"][row] = False
        result.assignments.append(Assignment(int(rows["camera"][row]), int(rows["track_id"][row]), 0))

    # -- leaving -----------------------------------------------------------------------------------------

    def _mark_departures(self, result: CycleResult) -> None:
        rows = self.table.rows
        assigned = [row for row in result.ended_rows if rows["gid"][row]]
        result.sightings += [self._changes.sighting(row) for row in assigned]
        for row in assigned:
            identity = self.identities[int(rows["gid"][row])]
            identity.last_ns = max(identity.last_ns, int(rows["last_ns"][row]))
            result.touched.add(identity.gid)
        # An identity whose last live track was split off has left as well. Any change to an identity touches it.
        for gid in sorted(result.touched):
            identity = self.identities[gid]
            if identity.present and bool(rows["ended"][identity.rows].all()):
                identity.present = False
                last = max(identity.rows, key=lambda row: int(rows["last_ns"][row]))
                result.events.append(Event("left", gid, int(rows["camera"][last]), self.table.track_id(last)))

    def _forget(self, now_ns: int, result: CycleResult) -> None:
        rows = self.table.rows
        expired = np.flatnonzero(rows["used"] & rows["ended"] & (now_ns - rows["last_ns"] > self.settings.retention_ns))
        gone = set(expired.tolist())
        if isinstance(self._grouping, LiveGrouping):
            gone |= self._surplus(now_ns)
            if gone:
                self._grouping.retire(sorted(gone))
        for row in sorted(gone):
            if rows["lingering"][row]:
                self._unassign(row, result)
            gid, ended_ns = int(rows["gid"][row]), int(rows["ended_ns"][row])
            self.table.remove(row)
            self._grouping.forget(row)
            self.identities.corrections.forget_row(row)
            if gid:
                identity = self.identities[gid]
                identity.drop(row)
                identity.settled_ns = max(identity.settled_ns, ended_ns)
                if not identity.rows:
                    result.forgotten.append(self.identities.remove(gid))
                    if identity.name:
                        result.renamed.add(gid)
                    result.dropped_aliases += identity.absorbed
                    result.touched.discard(gid)

    def _shrink(self) -> None:
        """Give the memory of the table back after a rush."""
        new_rows = self.table.shrink()
        if new_rows is None:
            return
        self.identities.renumber_rows(new_rows)
        self._grouping.renumber_rows(new_rows)

    def _surplus(self, now_ns: int) -> set[int]:
        """Rows of ended tracks that identities no longer need: they keep the last one, and those with most crops.

        Tracks that ended too early to get a gid are not needed either.
        """
        rows = self.table.rows
        is_old = rows["used"] & rows["ended"] & (now_ns - rows["ended_ns"] > _SETTLED_NS)
        surplus = set(np.flatnonzero(is_old & (rows["gid"] == 0)).tolist())
        for identity in self.identities:
            most = _TRACKS_KEPT if identity.present else _TRACKS_KEPT_OF_DEPARTED
            if len(identity.rows) <= most:
                continue
            ended = [row for row in identity.rows if rows["ended"][row] and not rows["lingering"][row]]
            ended.sort(key=lambda row: (-int(rows["last_ns"][row]), row))
            rest = sorted(ended[1:], key=lambda row: (-int(rows["embedded"][row]), row))
            surplus |= {row for row in rest[most - 1 :] if is_old[row]}
        return surplus

    def learned(self) -> LearnedLayout | None:
        """What has been learned of the cameras; None in the reference mode, which learns nothing."""
        return self._grouping.learned() if isinstance(self._grouping, LiveGrouping) else None

    def gallery(self, embedder: str, camera: int | None = None) -> IdentityGallery:
        """A copy of what all identities look like to an embedder, to search in.

        Args:
            embedder: checksum of the model.
            camera: index of the camera that the crop is from; None: unknown.
        """
        every = [identity for identity in self.identities.by_gid() if identity.rows]
        looks = self._grouping.gallery(embedder, camera, [identity.rows for identity in every]) if every else None
        return IdentityGallery([identity.gid for identity in every], looks)

    @property
    def shift_ns(self) -> int:
        """Site time minus the steady time of identities and tracks, ns."""
        return self._time.shift_ns

    def restated(self) -> CycleResult:
        """The whole state as if one cycle had produced it, to publish it again. Decisions are not remembered."""
        rows, result = self.table.rows, CycleResult(shift_ns=self._time.shift_ns)
        for row in np.flatnonzero(rows["used"] & (rows["gid"] > 0)).tolist():
            result.sightings.append(self._changes.sighting(row))
            if not rows["ended"][row] or rows["lingering"][row]:
                result.assignments.append(self._changes.assignment(row))
        for identity in self.identities:
            result.touched.add(identity.gid)
            result.aliases |= dict.fromkeys(identity.absorbed, identity.gid)
        return result

    def adopt(self, published: Published) -> Adopted:
        """Make the state agree with what was published; see `adoption.adopt`."""
        return adopt(self.table, self.identities, published)

    # -- checkpoints -------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The whole state for a checkpoint."""
        return {
            "table": self.table.to_dict(),
            "identities": self.identities.to_dict(),
            "revised_at": self._revised_at,
            "learned_at": self._learned_at,
            "merged_at": self._merged_at,
            "time": self._time.to_dict(),
            "grouping": self._grouping.to_dict(),
        }

    def restore(self, data: Mapping[str, Any], camera_index: Sequence[int]) -> None:
        """Restore the state of `to_dict`. Camera `i` of the saved state has index `camera_index[i]` in this layout.

        A removed camera must still have an index: its tracks then end because no entries arrive, and its objects can be
        recognised in other cameras.
        """
        self._hold(TrackTable.from_dict(data["table"]), Identities.from_dict(data["identities"]))
        self.table.renumber_cameras(camera_index)
        self._grouping.restore(data.get("grouping", {}), camera_index)
        self._revised_at = data["revised_at"]
        self._learned_at = data.get("learned_at", self._revised_at)
        self._merged_at = data.get("merged_at", self._revised_at)
        self._time.restore(data.get("time", {}))
