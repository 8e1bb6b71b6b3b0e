"""Turns the result of a cycle into Redis commands for one fenced script. Pure."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from association.adoption import Adopted
from association.core import Association
from association.decisions import Decision
from association.identities import Identities, Identity
from association.outcome import Assignment, CycleResult, Event, Sighting
from association.positions import Position
from association.track_table import TrackTable
from services.aggregator.operators import TakenCommands
from services.aggregator.reader import START, DeadLetter, Gap
from shared.keys import Keys
from shared.operator_commands import ANSWERED_FOR_S, Answer, OperatorCommand, encode_commands

Command = Sequence[str | bytes | int]
Fields = dict[str, str | int]
ASSIGNMENTS_KEPT = 100_000
EVENTS_KEPT = 10_000
SIGHTINGS_KEPT = 1_000
DEAD_LETTERS_KEPT = 1_000
CYCLES_KEPT = 1_000
"""Fewest cycles that are kept, however long no checkpoint is completed."""
_REASONS = {
    "appeared": "no known identity is similar enough and possible",
    "handover": "similar, and the step is possible",
    "merged": "two identities turned out to be the same object",
    "split": "a track no longer fits its identity",
    "left": "its last track ended",
    "restored": "Redis came back empty: what the aggregator knew was written again, older history is lost",
    "gap": "entries were trimmed or lost before they were read",
    "recovered": "the cycles of the last owner were re-run with another outcome; the published ids were kept",
}

_REASONS_OF_OPERATORS = {
    "merged": "an operator says that they are one object",
    "split": "an operator says that the track is another object",
    "named": "an operator named it",
    "unnamed": "an operator took its name away",
    "forgotten": "an operator wants it to be forgotten",
    "camera_added": "an operator added it",
    "camera_paused": "an operator paused it",
    "camera_resumed": "an operator resumed it",
    "camera_removed": "an operator removed it",
}


@dataclass(frozen=True)
class CycleRecord:
    """A finished cycle, ready to be committed."""

    tick: int
    now_ns: int
    cursors: Mapping[str, str]
    """Camera → id of the last entry that the cycle used."""
    result: CycleResult
    gaps: Sequence[Gap]
    dead_letters: Sequence[DeadLetter]
    next_gid: int
    """The next unused gid; stored with every cycle, so that it survives a damaged checkpoint."""
    events_before: int
    """Number of the last event before this cycle."""
    late: int = 0
    """Entries that arrived more than `max_late_ticks` after the cycle of their tick."""
    entries: int = 0
    """Entries used, late ones included."""
    asked: TakenCommands = TakenCommands()
    """What operators asked for."""
    commands_cursor: str = START
    """Id of the last entry of `commands` that was used by then."""
    answers: Sequence[Answer] = ()
    """What became of the commands."""
    notes: Sequence[OperatorCommand] = ()
    """What operators did to cameras."""
    cameras: Sequence[str] = ()
    """The cameras in use from this cycle on; empty: those of the cycle before."""

    @property
    def events(self) -> int:
        """Number of the last event after this cycle."""
        return self.events_before + len(self.result.events) + len(self.gaps) + len(self.notes)


class Publication:
    """Turns the cycles of one site into commands."""

    def __init__(
        self,
        keys: Keys,
        cameras: Sequence[str],
        retention_seconds: float,
        titles: Mapping[str, str] | None = None,
        cycles_kept: int = CYCLES_KEPT,
    ) -> None:
        """`titles`: camera → what people call it, if that is not its name."""
        self._cycles_kept = cycles_kept
        self._keys, self._cameras, self._titles = keys, cameras, titles or {}
        self._expiry = math.ceil(retention_seconds)

    def commands(self, cycle: CycleRecord, table: TrackTable, identities: Identities) -> list[Command]:
        """All commands of one cycle.

        The entry of `cycles` has the tick as its id: a retry of a committed cycle is refused because of it, and nothing
        is written twice.
        """
        result = cycle.result
        commands: list[Command] = [self._cycle(cycle)]
        for change in result.assignments:
            commands += self._assignment(cycle.tick, change)
        for sighting in result.sightings:
            commands += self._sighting(sighting, result.shift_ns, final=sighting.gid not in result.touched)
        for gid in sorted(result.touched):
            commands += self._identity(identities[gid], table, result.shift_ns)
        commands += [self._position(gid, position) for gid, position in result.positions.items() if gid in identities]
        for younger, older in result.aliases.items():
            commands.append(["HSET", self._keys.aliases, younger, older])
            commands.append(["DEL", self._keys.identity(younger)])
            commands.append(["EXPIRE", self._keys.sightings(younger), self._expiry])
        commands += self._forgotten(result)
        for gid in sorted(result.renamed):
            commands += self._name(gid, identities)
        commands += self.answers(cycle.answers)
        if cycle.asked.entry_ids:
            commands.append(["XDEL", self._keys.commands, *cycle.asked.entry_ids])
        if cycle.late:
            commands.append(["HINCRBY", self._keys.skew, "late", cycle.late])
        commands += self.letters(cycle.dead_letters)
        happened = [self._event_fields(event) for event in result.events] + [_gap_fields(gap) for gap in cycle.gaps]
        happened += [_note_fields(note) for note in cycle.notes]
        for number, fields in enumerate(happened, start=cycle.events_before + 1):
            common: Fields = {"kind": fields["kind"], "tick": cycle.tick, "time_ns": cycle.now_ns}
            if "reason" not in fields:
                reasons = _REASONS_OF_OPERATORS if "command" in fields else _REASONS
                fields = fields | {"reason": reasons[str(fields["kind"])]}
            commands.append(_xadd(self._keys.events, common | fields, EVENTS_KEPT, f"{number}-0"))
        return commands

    def restatement(self, association: Association, tick: int | None = None) -> list[Command]:
        """The commands that write the whole state again, because Redis lost it or its keys expired too early.

        The global-ID map, whose keys do not expire, is only written with `tick`. Sightings of forgotten tracks are
        lost.
        """
        state, table, identities = association.restated(), association.table, association.identities
        commands: list[Command] = []
        if tick is not None:
            commands += [command for change in state.assignments for command in self._assignment(tick, change)]
        commands += [["DEL", self._keys.sightings(gid)] for gid in sorted(state.touched)]
        for sighting in state.sightings:
            commands += self._sighting(sighting, state.shift_ns, final=False)
        for gid in sorted(state.touched):
            commands += self._identity(identities[gid], table, state.shift_ns)
            commands += self._named_identity(identities[gid])
        return commands + [["HSET", self._keys.aliases, younger, older] for younger, older in state.aliases.items()]

    def gids_key(self, camera: str) -> str:
        """The key of a camera's global-ID map."""
        return self._keys.gids(camera)

    def letters(self, letters: Sequence[DeadLetter]) -> list[Command]:
        """The commands that write dead letters."""
        every = [{"stream": one.stream, "entry": one.entry_id, "reason": one.reason} for one in letters]
        return [_xadd(self._keys.dead_letters, {**fields}, DEAD_LETTERS_KEPT) for fields in every]

    def changes(self, tick: int, gids: Mapping[tuple[str, int], int]) -> list[Command]:
        """The commands that change the global-ID map: (camera, track id) → gid; 0: removed."""
        return [command for track, gid in gids.items() for command in self._change(tick, *track, gid)]

    def recovered(
        self, number: int, tick: int, time_ns: int, adopted: Adopted, association: Association
    ) -> list[Command]:
        """The commands after a recovery that kept the published ids: the event `number`, and the changed records."""
        fields: Fields = {"kind": "recovered", "tick": tick, "time_ns": time_ns, "tracks": adopted.tracks}
        event = _xadd(self._keys.events, fields | {"reason": _REASONS["recovered"]}, EVENTS_KEPT, f"{number}-0")
        records = [
            command
            for gid in sorted(adopted.touched)
            for command in self._identity(association.identities[gid], association.table, association.shift_ns)
        ]
        return [event, *records]

    def restored(
        self,
        number: int,
        tick: int,
        time_ns: int,
        cursors: Mapping[str, str],
        association: Association,
        *,
        with_cycle: bool,
    ) -> list[Command]:
        """The commands after Redis came back empty: the event `number`, and the cycle `tick`, if it is lost, too."""
        identities, shown = association.identities, len(association.table.shown())
        nothing = CycleRecord(tick, time_ns, cursors, CycleResult(), (), (), identities.next_gid, number)
        fields: Fields = {"kind": "restored", "tick": tick, "time_ns": time_ns}
        fields |= {"identities": len(identities), "tracks": shown, "reason": _REASONS["restored"]}
        return [
            *([self._cycle(nothing)] if with_cycle else []),
            _xadd(self._keys.events, fields, EVENTS_KEPT, f"{number}-0"),
            self.loss(time_ns, identities.next_gid - 1, len(identities), shown),
        ]

    def loss(self, time_ns: int, highest_gid: int, identities: int = 0, tracks: int = 0) -> Command:
        """The command that says for `mtmc status` that Redis lost everything, and what was written again."""
        fields: Fields = {"at_ms": time_ns // 1_000_000, "identities": identities, "tracks": tracks}
        return ["HSET", self._keys.restored, *_flat(fields | {"highest_gid": highest_gid})]

    def rewritten(self, deleted: Collection[str], association: Association) -> list[Command]:
        """The commands that write again what the state knows of the content of `deleted` keys."""
        commands: list[Command] = []
        table, identities = association.table, association.identities
        shown = table.rows[table.shown()]
        for index, camera in enumerate(self._cameras):
            own = shown[shown["camera"] == index]
            if self._keys.gids(camera) in deleted and len(own):
                pairs = zip(own["track_id"].tolist(), own["gid"].tolist(), strict=True)
                commands += [["HSET", self._keys.gids(camera), track_id, gid] for track_id, gid in pairs]
        for identity in identities:
            if self._keys.identity(identity.gid) in deleted:
                commands += self._identity(identity, table, association.shift_ns)
            if self._keys.names in deleted:
                commands += self._named_identity(identity)
            if self._keys.aliases in deleted:
                commands += [["HSET", self._keys.aliases, younger, identity.gid] for younger in identity.absorbed]
        return commands

    def _named_identity(self, identity: Identity) -> list[Command]:
        return [["HSET", self._keys.names, identity.gid, identity.name]] if identity.name else []

    def _forgotten(self, result: CycleResult) -> list[Command]:
        commands: list[Command] = [
            ["DEL", self._keys.identity(gone.gid), self._keys.sightings(gone.gid)] for gone in result.forgotten
        ]
        commands += [["DEL", self._keys.identity(gid), self._keys.sightings(gid)] for gid in result.erased]
        for camera, track_id in result.erased_tracks:
            commands.append(["HSET", self._keys.erased, f"{self._cameras[camera]}/{track_id}", 1])
        return commands + [["HDEL", self._keys.aliases, gid] for gid in result.dropped_aliases]

    def _name(self, gid: int, identities: Identities) -> list[Command]:
        """The commands that publish the name of an identity, or that it has none."""
        if gid not in identities:
            return [["HDEL", self._keys.names, gid]]
        key, name = self._keys.identity(gid), identities[gid].name
        if not name:
            return [["HDEL", self._keys.names, gid], ["HDEL", key, "name"]]
        return [["HSET", self._keys.names, gid, name], ["HSET", key, "name", name]]

    def answers(self, answers: Iterable[Answer]) -> list[Command]:
        """The commands that answer operators."""
        commands: list[Command] = []
        for answer in answers:
            key = self._keys.command(answer.id)
            commands += [["DEL", key], ["HSET", key, *_flat(answer.encode())], ["EXPIRE", key, ANSWERED_FOR_S]]
        return commands

    def _cycle(self, cycle: CycleRecord) -> Command:
        cursor = " ".join(f"{camera}={entry_id}" for camera, entry_id in cycle.cursors.items())
        fields: Fields = {"tick": cycle.tick, "time_ns": cycle.now_ns, "events": cycle.events}
        fields |= {"next_gid": cycle.next_gid, "digest": digest(cycle.result, self._cameras), "cursor": cursor}
        if cycle.cameras:
            fields["cameras"] = " ".join(cycle.cameras)
        if cycle.commands_cursor != START:
            fields["commands_cursor"] = cycle.commands_cursor
        if cycle.asked.commands:
            fields["commands"] = encode_commands(cycle.asked.commands)
        return _xadd(self._keys.cycles, fields, self._cycles_kept, f"{cycle.tick}-0")

    def _assignment(self, tick: int, change: Assignment) -> list[Command]:
        return self._change(tick, self._cameras[change.camera], change.track_id, change.gid)

    def _change(self, tick: int, camera: str, track_id: int, gid: int) -> list[Command]:
        fields: Fields = {"tick": tick, "camera": camera, "track_id": track_id, "gid": gid}
        gids = self._keys.gids(camera)
        changed: Command = ["HSET", gids, track_id, gid] if gid else ["HDEL", gids, track_id]
        return [changed, _xadd(self._keys.assignments, fields, ASSIGNMENTS_KEPT)]

    def _sighting(self, sighting: Sighting, shift_ns: int, *, final: bool) -> list[Command]:
        key = self._keys.sightings(sighting.gid)
        fields: Fields = {
            "camera": self._cameras[sighting.camera],
            "track_id": sighting.track_id,
            "first_tick": sighting.first_tick,
            "last_tick": sighting.last_tick,
            "first_ns": sighting.first_ns + shift_ns,
            "last_ns": sighting.last_ns + shift_ns,
            "ended": int(sighting.ended),
        }
        fields |= _decision_fields(sighting.decision)
        commands = [_xadd(key, fields, SIGHTINGS_KEPT)]
        return [*commands, ["EXPIRE", key, self._expiry]] if final else commands

    def _identity(self, identity: Identity, table: TrackTable, shift_ns: int) -> list[Command]:
        seen_by = dict.fromkeys(self._cameras[int(camera)] for camera in table.rows["camera"][identity.rows])
        key = self._keys.identity(identity.gid)
        fields: Fields = {
            "gid": identity.gid,
            "class": identity.class_id,
            "first_seen_ns": identity.first_ns + shift_ns,
            "last_seen_ns": identity.last_ns + shift_ns,
            "cameras": " ".join(seen_by),
            "tracks": len(identity.rows),
            "present": int(identity.present),
        }
        names = (key, self._keys.sightings(identity.gid))
        keep: list[Command] = [
            ["PERSIST", name] if identity.present else ["EXPIRE", name, self._expiry] for name in names
        ]
        fields |= {"name": identity.name} if identity.name else {}
        return [["HSET", key, *_flat(fields)], *keep]

    def _position(self, gid: int, position: Position) -> Command:
        fields: Fields = {
            "x": f"{position.x:.2f}",
            "y": f"{position.y:.2f}",
            "uncertainty": f"{position.uncertainty:.2f}",
        }
        fields["speed"] = "" if position.speed is None else f"{position.speed:.2f}"
        return ["HSET", self._keys.identity(gid), *_flat(fields)]

    def _event_fields(self, event: Event) -> Fields:
        fields: Fields = {"kind": event.kind, "gid": event.gid}
        if event.camera >= 0:
            fields |= self._named(event.camera, "camera", "title") | {"track_id": event.track_id}
        if event.from_camera >= 0:
            fields |= self._named(event.from_camera, "from_camera", "from_title")
        if event.other_gid:
            fields["other_gid"] = event.other_gid
        if event.asked is not None:
            fields |= {"by": event.asked.by, "command": event.asked.command}
            fields |= {"undoes": event.asked.undoes} if event.asked.undoes else {}
        return fields | _decision_fields(event.decision)

    def _named(self, camera: int, name_field: str, title_field: str) -> Fields:
        """The name of a camera, and its title if it has one."""
        name = self._cameras[camera]
        title = self._titles.get(name)
        fields: Fields = {name_field: name}
        return fields | {title_field: title} if title else fields


def digest(result: CycleResult, cameras: Sequence[str]) -> str:
    """A digest of the changes of the global-ID map and of the merges of a cycle: 16 hexadecimal digits."""
    changes = [f"{cameras[change.camera]} {change.track_id} {change.gid}" for change in result.assignments]
    merges = [f"{younger} {older}" for younger, older in result.aliases.items()]
    return hashlib.sha256("\n".join([*changes, "", *merges]).encode()).hexdigest()[:16]


def touched_keys(commands: Sequence[Command]) -> list[str]:
    """Every key of the commands, because a script must declare the keys that it touches."""
    return sorted({str(key) for command in commands for key in (command[1:] if command[0] == "DEL" else command[1:2])})


def _decision_fields(decision: Decision | None) -> Fields:
    """Why a track belongs to an identity; `terms` is text: `NAME=VALUE NAME=VALUE …`."""
    if decision is None:
        return {}
    fields: Fields = {"score": f"{decision.score:.3f}"}
    if decision.terms:
        fields["terms"] = " ".join(f"{name}={value:.3f}" for name, value in decision.terms.items())
    if decision.runner_up is not None:
        fields |= {"runner_up": decision.runner_up, "margin": f"{decision.margin:.3f}"}
    return fields


def _gap_fields(gap: Gap) -> Fields:
    return {"kind": "gap", "camera": gap.camera, "after_seq": gap.after_seq, "next_seq": gap.next_seq}


def _note_fields(note: OperatorCommand) -> Fields:
    fields: Fields = {"kind": note.kind, "camera": note.camera}
    fields |= {"title": note.title} if note.title else {}
    fields |= {"by": note.by, "command": note.id}
    if note.kind == "camera_changed":
        changed = ", ".join(note.settings.split()) or "its settings"
        fields["reason"] = f"an operator changed {changed}"
    return fields


def _xadd(key: str, fields: Fields, kept: int, entry_id: str = "*") -> Command:
    return ["XADD", key, "MAXLEN", "~", kept, entry_id, *_flat(fields)]


def _flat(fields: Fields) -> list[str | int]:
    return [part for pair in fields.items() for part in pair]
