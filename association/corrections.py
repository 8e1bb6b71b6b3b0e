"""Carries out what operators ask for: merge, split, name and forget identities, and undo what can be undone. Pure.

The tracks that an operator merged or split are pinned: no automatic decision takes them away from their identity or
divides them. Identities that were split are kept apart: no automatic decision merges them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from association.changes import IdentityChanges
from association.correction_history import Corrected
from association.identities import Identities, Identity
from association.live_grouping import LiveGrouping
from association.outcome import Asked, CycleResult, Done, Event
from association.possibility import NEVER_NS
from association.reference_grouping import ReferenceGrouping
from association.track_table import TrackTable
from shared.operator_commands import Kind, OperatorCommand


@dataclass(frozen=True)
class Correction:
    """What an operator asks for. Merged gids stand for the identity that survived."""

    kind: Kind
    command: str
    """Id of the command, which no other correction has."""
    by: str
    gid: int = 0
    other_gid: int = 0
    """`merge`: the other identity."""
    tracks: tuple[tuple[int, int], ...] = ()
    """`split`: index of the camera and track id of each track to split off."""
    name: str = ""
    """`name`: the name. `merge`: the name of the result; empty: that of the older identity, else of the other one."""
    undoes: str = ""
    """`undo`: id of the command to undo; empty: the last correction that is not undone."""

    @classmethod
    def of(cls, command: OperatorCommand, camera_index: Mapping[str, int]) -> Correction | Done:
        """From a command; a refusal if it names a camera that the site does not have."""
        unknown = [camera for camera, _ in command.tracks if camera not in camera_index]
        if unknown:
            return Done(refused=f"the site has no camera {unknown[0]}")
        tracks = tuple((camera_index[camera], track_id) for camera, track_id in command.tracks)
        names = command.name, command.undoes
        return cls(command.kind, command.id, command.by, command.gid, command.other_gid, tracks, *names)


class _Refused(Exception):
    """A correction that cannot be carried out; nothing has changed."""


class Corrections:
    """Carries out the corrections of one association."""

    def __init__(
        self,
        table: TrackTable,
        identities: Identities,
        grouping: LiveGrouping | ReferenceGrouping,
        cameras: Sequence[str],
    ) -> None:
        self._table, self._identities, self._grouping = table, identities, grouping
        self._cameras = cameras
        self._changes = IdentityChanges(table, identities)

    def carry_out(self, wanted: Correction, result: CycleResult) -> Done:
        """Carries out one correction, or says why not."""
        carry_out = {
            "merge": self._merge,
            "split": self._split,
            "name": self._name,
            "unname": self._name,
            "forget": self._forget,
            "undo": self._undo,
        }
        try:
            return carry_out[wanted.kind](wanted, result)
        except _Refused as error:
            return Done(refused=str(error))

    # -- what can be asked for -------------------------------------------------------------------------

    def _merge(self, wanted: Correction, result: CycleResult) -> Done:
        one, other = self._identity(wanted.gid), self._identity(wanted.other_gid)
        older, younger = sorted((one, other), key=lambda identity: identity.gid)
        self._require_two_that_can_be_one(older, younger)
        done = Corrected(
            wanted.command,
            "merge",
            older.gid,
            younger.gid,
            rows=list(younger.rows),
            names=[older.name, younger.name],
            absorbed=list(younger.absorbed),
            first_ns=[older.first_ns, younger.first_ns],
            apart=[sorted(older.apart), sorted(younger.apart)],
        )
        decision = self._grouping.weigh(younger.rows, older.rows)
        self._identities.set_apart(older.gid, younger.gid, apart=False)
        self._changes.merge(older, younger, decision, result, Asked(wanted.by, wanted.command))
        if wanted.name:
            older.name = wanted.name
        if older.name != done.names[0]:
            result.renamed.add(older.gid)
        done.names.append(older.name)
        done.pinned = self._pin(older)
        self._identities.corrections.add(done)
        return Done(gid=older.gid, other_gid=younger.gid)

    def _split(self, wanted: Correction, result: CycleResult) -> Done:
        identity = self._identity(wanted.gid)
        rows = self._rows_of(identity, wanted.tracks)
        rest = [row for row in identity.rows if row not in rows]
        if not rest:
            raise _Refused(f"these are all tracks of id {identity.gid}: nothing would be left of it")
        decision = self._grouping.weigh(rows, rest)
        newcomer, pinned_before = self._changes.create(rows[0]), set(identity.pinned)
        done = Corrected(wanted.command, "split", newcomer.gid, identity.gid, names=["", identity.name])
        self._changes.split_into(identity, newcomer, rows, decision, result, Asked(wanted.by, wanted.command))
        for gid in (*identity.apart, identity.gid):
            self._identities.set_apart(newcomer.gid, gid, apart=True)
        done.pinned = [row for row in (*self._pin(identity), *self._pin(newcomer)) if row not in pinned_before]
        self._identities.corrections.add(done)
        return Done(gid=newcomer.gid, other_gid=identity.gid)

    def _name(self, wanted: Correction, result: CycleResult) -> Done:
        identity = self._identity(wanted.gid)
        if wanted.kind == "unname" and not identity.name:
            raise _Refused(f"id {identity.gid} has no name")
        before = identity.name
        self._rename(identity, wanted.name, Asked(wanted.by, wanted.command), result)
        self._identities.corrections.add(Corrected(wanted.command, wanted.kind, identity.gid, names=[before]))
        return Done(gid=identity.gid)

    def _forget(self, wanted: Correction, result: CycleResult) -> Done:
        identity = self._identity(wanted.gid)
        for row in list(identity.rows):
            camera, track_id = int(self._table.rows["camera"][row]), self._table.track_id(row)
            if not self._table.rows["ended"][row] or self._table.rows["lingering"][row]:
                result.assignments.append(replace(self._changes.assignment(row), gid=0))
            result.erased_tracks.append((camera, track_id))
            if row in result.ended_rows:
                result.ended_rows.remove(row)
            self._table.remove(row)
            self._grouping.forget(row)
            self._identities.corrections.forget_row(row)
        gids = [identity.gid, *identity.absorbed]
        self._identities.corrections.forget_identity(gids)
        result.forgotten.append(self._identities.remove(identity.gid))
        result.dropped_aliases += identity.absorbed
        result.erased += gids
        result.touched.discard(identity.gid)
        result.renamed |= set(gids)
        result.events.append(Event("forgotten", identity.gid, asked=Asked(wanted.by, wanted.command)))
        self._identities.corrections.add(Corrected(wanted.command, "forget", identity.gid))
        return Done(gid=identity.gid)

    # -- undo ------------------------------------------------------------------------------------------

    def _undo(self, wanted: Correction, result: CycleResult) -> Done:
        """Undoes a correction whose identities exist, and have not been corrected since."""
        found = self._identities.corrections.find(wanted.undoes)
        if found is None:
            what = f"no correction {wanted.undoes}" if wanted.undoes else "no correction"
            raise _Refused(f"there is {what} that can be undone; the last 100 can be")
        if found.is_undone:
            raise _Refused(f"the correction {found.command} is undone already")
        if found.kind == "forget":
            raise _Refused(f"id {found.gid} was forgotten: that cannot be undone")
        if later := self._identities.corrections.later_than(found):
            raise _Refused(
                f"the identities of the correction {found.command} were corrected again since: undo "
                f"{later[-1].command} first"
            )
        asked = Asked(wanted.by, wanted.command, found.command)
        undo = {"merge": self._undo_merge, "split": self._undo_split}.get(found.kind, self._undo_name)
        undo(found, asked, result)
        self._unpin(found.pinned)
        found.is_undone = True
        return Done(gid=found.gid, other_gid=found.other_gid, undoes=found.command)

    def _undo_merge(self, found: Corrected, asked: Asked, result: CycleResult) -> None:
        """Gives the tracks that the other identity had its gid back."""
        kept = self._still(found.gid)
        rows = [row for row in found.rows if row in kept.rows]
        if not rows:
            raise _Refused(f"no track of the former id {found.other_gid} is remembered")
        if len(rows) == len(kept.rows):
            raise _Refused(f"no other track of id {kept.gid} is remembered: nothing would be left of it")
        others = [row for row in kept.rows if row not in rows]
        decision = self._grouping.weigh(rows, others)
        restored = self._changes.create_again(rows[0], found.other_gid)
        restored.settled_ns, restored.absorbed = kept.settled_ns, list(found.absorbed)
        back = {restored.gid, *restored.absorbed}
        kept.absorbed = [gid for gid in kept.absorbed if gid not in back]
        result.aliases = {gid: to for gid, to in result.aliases.items() if gid not in back}
        result.aliases |= dict.fromkeys(restored.absorbed, restored.gid)
        result.dropped_aliases.append(restored.gid)
        pinned = kept.pinned.intersection(rows)
        self._changes.split_into(kept, restored, rows, decision, result, asked)
        restored.pinned |= pinned
        kept.first_ns, restored.first_ns = found.first_ns
        rows_of = self._table.rows
        kept.last_ns = max(int(rows_of["last_ns"][row]) for row in others)
        self._keep_apart_again(found, kept, restored)
        before, restored.name, after = found.names
        kept.name = before if kept.name == after else kept.name  # It may have inherited another one since.
        result.renamed |= {kept.gid, restored.gid}

    def _keep_apart_again(self, found: Corrected, kept: Identity, restored: Identity) -> None:
        apart_of_kept, apart_of_restored = found.apart
        for gid in apart_of_restored:
            other = self._identities.resolve(gid)
            if other not in self._identities or other == restored.gid:
                continue
            if gid not in apart_of_kept and other != kept.gid:
                self._identities.set_apart(kept.gid, other, apart=False)
            self._identities.set_apart(restored.gid, other, apart=True)

    def _undo_split(self, found: Corrected, asked: Asked, result: CycleResult) -> None:
        """Merges what was split off into the identity that it had left."""
        newcomer, identity = self._still(found.gid), self._still(found.other_gid)
        self._require_two_that_can_be_one(identity, newcomer)
        self._identities.set_apart(identity.gid, newcomer.gid, apart=False)
        decision = self._grouping.weigh(newcomer.rows, identity.rows)
        self._changes.merge(identity, newcomer, decision, result, asked)

    def _undo_name(self, found: Corrected, asked: Asked, result: CycleResult) -> None:
        self._rename(self._still(found.gid), found.names[0], asked, result)

    # -- shared ----------------------------------------------------------------------------------------

    def _identity(self, gid: int) -> Identity:
        found = self._identities.resolve(gid)
        if found in self._identities:
            return self._identities[found]
        if 0 < gid < self._identities.next_gid:
            raise _Refused(f"there is no id {gid} any more: nobody has seen it for long, or it was forgotten")
        raise _Refused(f"there is no id {gid}: it was never given")

    def _still(self, gid: int) -> Identity:
        """An identity that a correction left; it must not have been merged into another one since."""
        identity = self._identity(gid)
        if identity.gid != gid:
            raise _Refused(f"id {gid} was merged into id {identity.gid} since then")
        return identity

    def _rows_of(self, identity: Identity, tracks: Sequence[tuple[int, int]]) -> list[int]:
        """The rows of tracks, with the parts of those that were divided, in the order in which they joined."""
        rows = self._table.rows
        own = {row: (int(rows["camera"][row]), self._table.track_id(row)) for row in identity.rows}
        for camera, track_id in tracks:
            if (camera, track_id) not in own.values():
                raise _Refused(
                    f"id {identity.gid} has no track {track_id} in camera {self._cameras[camera]}, or it is not "
                    "remembered"
                )
        if not tracks:
            raise _Refused("no track was given that is to be split off")
        return [row for row, track in own.items() if track in tracks]

    def _require_two_that_can_be_one(self, one: Identity, other: Identity) -> None:
        if one.gid == other.gid:
            raise _Refused(f"both are id {one.gid}")
        for visit in self._table.visits(one.rows):
            for beside in self._table.visits(other.rows):
                both_open = visit.open_until_ns == beside.open_until_ns == NEVER_NS
                if visit.camera != beside.camera:
                    continue
                at_once = min(visit.last_ns, beside.last_ns) >= max(visit.first_ns, beside.first_ns)
                if both_open or (at_once and self._grouping.clashes(*sorted((visit, beside)))):
                    raise _Refused(
                        f"id {one.gid} and id {other.gid} {'are' if both_open else 'were'} in camera "
                        f"{self._cameras[visit.camera]} at the same time: one object cannot be"
                    )

    def _rename(self, identity: Identity, name: str, asked: Asked, result: CycleResult) -> None:
        identity.name = name
        result.renamed.add(identity.gid)
        result.touched.add(identity.gid)
        result.events.append(Event("named" if name else "unnamed", identity.gid, asked=asked))

    def _pin(self, identity: Identity) -> list[int]:
        """Pins all tracks of an identity; those that were not pinned before."""
        found = [row for row in identity.rows if row not in identity.pinned]
        identity.pinned.update(found)
        return found

    def _unpin(self, rows: Sequence[int]) -> None:
        for row in rows:
            gid = int(self._table.rows["gid"][row])
            if gid in self._identities:
                self._identities[gid].pinned.discard(row)
