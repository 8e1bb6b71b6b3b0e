"""What an aggregator knows of its site: the association, what it has read for it, and how far it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace

import structlog

from association.core import Association
from association.corrections import Correction
from association.outcome import CameraTick, CycleResult, Done
from association.settings import AssociationSettings
from services.aggregator.operators import Answers, CommandReader, TakenCommands, answer_of
from services.aggregator.persistence import Checkpoint, RecordedCycle
from services.aggregator.publication import CYCLES_KEPT, Command, CycleRecord, Publication
from services.aggregator.reader import START, TrackReader
from shared.calibration import Calibration
from shared.camera_calibrations import after_changes, calibrations_since, merged
from shared.camera_settings import camera_names, read_settings
from shared.gate import Gate
from shared.lenient_reads import hash_at
from shared.messages import TrackEntry
from shared.operator_commands import Answer, OperatorCommand
from shared.redis_connection import Client
from shared.site import PublishedSite

_log = structlog.get_logger()


def _fingerprints(calibrations: Mapping[str, Calibration | None]) -> dict[str, str | None]:
    return {camera: None if one is None else one.fingerprint for camera, one in calibrations.items()}


class AggregatorState:
    """The state of one site. It reads from Redis, but never writes: `uncommitted` is what has to be written."""

    def __init__(self, client: Client, site: PublishedSite, gate: Gate) -> None:
        self._client, self._site, self._gate = client, site, gate
        self.keys, self.config = site.keys, site.config
        self._published = {camera.name: camera for camera in site.config.cameras}
        self._virtual = site.config.clock.mode == "virtual"
        self._association_settings = AssociationSettings.of(site.config)
        # Older cycles cannot be re-run: their entries are gone.
        replay_ticks = math.ceil(site.config.association.replay_seconds * site.config.clock.target_fps)
        self._cycles_kept = CYCLES_KEPT + replay_ticks
        self.highest_used_gid = 0
        """The highest gid that may have been published by this process, whatever Redis has lost since."""
        self.reset()

    def reset(self) -> None:
        """Forgets everything but `highest_used_gid`."""
        self.commands_read = CommandReader(self.keys)
        self.answers = Answers()
        """The answers to the last commands of operators."""
        self._titles = {camera.name: camera.title for camera in self.config.cameras if camera.title}
        self.calibrations: dict[str, Calibration | None] = {}
        """Camera → its calibration, if that was changed since the site was published; None: it has none."""
        self._calibrations_are_known = False
        """Whether they are those of the last cycle; otherwise the site was published since, or nothing is known."""
        self._recorded_cameras: tuple[str, ...] = ()
        """The cameras as the cycles that were run so far have recorded them; empty: unknown."""
        self.use_cameras(())
        self.cursors: dict[str, str] = {}
        """Camera → id of the last entry used."""
        self.last_tick = self.last_time_ns = 0
        """Of the last cycle that was run."""
        self.committed_tick = self.checkpoint_tick = 0
        """Of the last cycle that was committed; of the last checkpoint."""
        self.events = 0
        """Number of the last event."""
        self.uncommitted: tuple[CycleRecord, list[Command]] | None = None
        """The last cycle and its commands, until it is known that they were committed."""
        self.differs_since: int | None = None
        """Tick of the first cycle of the last owner that had another outcome here."""

    # -- cameras ---------------------------------------------------------------------------------------

    def use_cameras(self, names: Iterable[str]) -> None:
        """Starts an empty association with the cameras of the site file, in its order, then the other `names`.

        The relative order of two cameras never changes, so a cycle can be replayed after cameras were added.
        """
        configured = self.config.camera_names
        self.cameras = (*configured, *sorted(set(names).difference(configured)))
        self.camera_index = {camera: index for index, camera in enumerate(self.cameras)}
        self.association = self._new_association()
        self.reader = TrackReader(self._client, self.keys, self.cameras, self._gate, self.commands_read)
        self.publication = Publication(
            self.keys, self.cameras, self.config.association.retention_seconds, self._titles, self._cycles_kept
        )

    def _new_association(self) -> Association:
        """An empty association of the present cameras with their present calibrations."""
        layout = self._site.layout.over(self.cameras)
        if self._association_settings.mode != "reference":
            known = {camera: one for camera, one in self.calibrations.items() if camera in self.camera_index}
            layout = replace(layout, calibrations=merged(layout.calibrations, known))
        return Association(layout, self._association_settings)

    def use_calibrations(self, calibrations: Mapping[str, Calibration | None]) -> None:
        """Uses other calibrations from now on; what was learned of places in these cameras is forgotten."""
        if _fingerprints(calibrations) == _fingerprints(self.calibrations):
            return
        self.calibrations = dict(calibrations)
        state = self.association.to_dict()
        self.association = self._new_association()
        self.association.restore(state, range(len(self.cameras)))

    def use_present_calibrations(self) -> None:
        """Uses the calibrations that the cameras have in Redis now, unless it is known which ones the last owner used.

        Those are used until the note of a change comes, so that each cycle can be run again with the same outcome.
        """
        if self._calibrations_are_known:
            return
        self._calibrations_are_known = True
        self.use_calibrations(calibrations_since(self._published, read_settings(self._client, self.keys)))

    def follow_cameras(self) -> None:
        """Adds the cameras that were added to the site while this process runs.

        A removed camera is kept as long as tracks or entries of it remain: its tracks end in the usual way, and their
        identities live on.
        """
        present = self.site_cameras()
        is_known = present or self._client.exists(self.keys.no_cameras)
        gone = set(self.cameras) - present if is_known else set()
        for camera in gone:
            self.reader.last_seq.pop(camera, None)  # It may be added again and then count from one.
        if not present <= self.camera_index.keys():
            self.add_cameras(present, gone)

    def add_cameras(self, present: Set[str], gone: Set[str] = frozenset()) -> None:
        """Adds the cameras of `present` that are new, and forgets those of `gone` of which nothing is left."""
        rows = self.association.table.rows
        used = {self.cameras[index] for index in rows["camera"][rows["used"]].tolist()}
        unused = [camera for camera in gone - used if not self._client.exists(self.keys.tracks(camera))]
        added = set(present).difference(self.cameras)
        self.change_cameras({*self.cameras, *present}.difference(unused))
        _log.info("cameras were added", cameras=" ".join(sorted(added)))

    def change_cameras(self, names: Set[str]) -> None:
        """Uses the cameras `names` from now on, and those of the site file."""
        state, before, last_seq = self.association.to_dict(), self.cameras, self.reader.last_seq
        self.read_titles()
        self.use_cameras(names)
        self.association.restore(state, [self.camera_index.get(camera, -1) for camera in before])
        self.cursors = {camera: at for camera, at in self.cursors.items() if camera in self.camera_index}
        self.reader.start_at(self.cursors, last_seq)

    def site_cameras(self) -> set[str]:
        """The cameras that the site has now."""
        return set(camera_names(hash_at(self._client, self.keys.cameras)))

    def read_titles(self) -> None:
        """Reads the titles of the cameras that were added at run time."""
        settings = read_settings(self._client, self.keys)
        self._titles |= {name: camera.title for name, camera in settings.items() if camera and camera.title}

    # -- cycles ----------------------------------------------------------------------------------------

    def next_tick(self, upto: int, unwatched_upto: int = 0) -> int | None:
        """The tick of the next cycle up to `upto`: one with entries, or one at which the grouping is revised.

        In virtual mode it depends on the entries and not on when they were read, so that a run can be repeated exactly.
        `unwatched_upto`: up to this tick nobody looked, because Redis, the clock or this process was away.
        """
        due = []
        waiting = self.reader.first_tick()
        if waiting is not None:
            due.append(max(waiting, self.last_tick + 1))
        if len(self.association.table):
            interval = self.association.settings.interval_ticks
            # After an outage, a revision without entries would find all tracks lost.
            due.append((max(self.last_tick, unwatched_upto) // interval + 1) * interval)
        tick = min(due, default=upto + 1)
        if tick <= upto:
            return tick
        if self.commands_read and upto > max(self.last_tick, unwatched_upto):
            return upto  # No camera takes part, but an operator asks for something.
        # In virtual mode the clock waits for the cycle of every tick.
        return upto if self._virtual and upto > self.last_tick else None

    def run_cycle(self, tick: int, now_ns: int) -> CycleResult:
        """Runs the cycle `tick`, at the time `now_ns`, on the entries up to it; it is `uncommitted` then."""
        taken = self.reader.take_upto(tick)
        late = sum(tick - entry.tick > self.config.association.max_late_ticks for entry in taken.entries)
        if late:
            _log.warning("entries arrived late and are used in this cycle", tick=tick, count=late)
        asked = self.commands_read.take()
        notes = self.answers.new_notes(asked.commands)
        result, answers = self.apply(tick, now_ns, taken.entries, asked.commands)
        self.cursors |= taken.cursors
        self.last_tick, self.last_time_ns = tick, now_ns
        record = CycleRecord(
            tick,
            now_ns,
            taken.cursors,
            result,
            taken.gaps,
            [*taken.dead_letters, *asked.dead_letters],
            self.association.identities.next_gid,
            self.events,
            late,
            len(taken.entries),
            asked,
            self.commands_read.cursor,
            [*answers, *self._refused_at_once(asked, tick, now_ns)],
            notes,
            () if self._recorded_cameras == self.cameras else self.cameras,
        )
        self._recorded_cameras = self.cameras
        self.events = record.events
        self.uncommitted = (record, self.commands(record))
        return result

    def apply(
        self, tick: int, now_ns: int, entries: list[TrackEntry], commands: Sequence[OperatorCommand]
    ) -> tuple[CycleResult, list[Answer]]:
        """Runs a cycle of the association on `entries` and what operators ask for; the answers to all `commands`.

        A command that was answered before has the same answer, and no other effect.
        """
        seen = [
            CameraTick(self.camera_index[entry.camera], entry.tick, entry.time_ns, entry.batch) for entry in entries
        ]
        new = self.answers.unanswered(commands)
        if texts := [(command.camera, command.calibration) for command in new if command.calibration]:
            self.use_calibrations(after_changes(self.calibrations, texts, self._published))
        wanted = [Done() if command.is_note else Correction.of(command, self.camera_index) for command in new]
        result = self.association.cycle(tick, now_ns, seen, [one for one in wanted if isinstance(one, Correction)])
        corrected = iter(result.corrected)
        for command, one in zip(new, wanted, strict=True):
            done = one if isinstance(one, Done) else next(corrected)
            self.answers.add(answer_of(command, done, tick, now_ns))
        return result, [self.answers[command_id] for command_id in dict.fromkeys(one.id for one in commands)]

    def _refused_at_once(self, asked: TakenCommands, tick: int, now_ns: int) -> list[Answer]:
        """The answers to entries that are no commands, as far as they have an id that no command has."""
        return [
            Answer(command_id, "", "refused", reason, 0, 0, "", tick, now_ns)
            for command_id, reason in asked.invalid
            if command_id not in self.answers
        ]

    def commands(self, record: CycleRecord) -> list[Command]:
        """The commands that publish the last cycle."""
        return self.publication.commands(record, self.association.table, self.association.identities)

    def committed(self) -> CycleRecord:
        """Takes note that the uncommitted cycle was committed, and returns it."""
        assert self.uncommitted is not None
        record, self.uncommitted = self.uncommitted[0], None
        self.note_gids()
        self.committed_tick = self.last_tick
        return record

    def note_gids(self) -> None:
        """Marks gids as used, so that none that may have been published is reused; gids of a rejected cycle may be."""
        self.highest_used_gid = max(self.highest_used_gid, self.association.identities.next_gid - 1)

    # -- checkpoints and recorded cycles ---------------------------------------------------------------

    def checkpoint(self) -> Checkpoint:
        """The state after the last cycle."""
        return Checkpoint(
            self.last_tick,
            self.events,
            self.cursors,
            self.reader.last_seq,
            self.cameras,
            self.association.to_dict(),
            {
                "cursor": self.commands_read.cursor,
                "answers": self.answers.to_list(),
                "calibrations": {
                    name: None if one is None else one.to_dict() for name, one in self.calibrations.items()
                },
                "revision": self._site.revision,
            },
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continues after a checkpoint; its cameras must be in use."""
        places = [self.camera_index[camera] for camera in checkpoint.cameras]
        written = checkpoint.commands.get("calibrations", {})
        self.calibrations = {name: Calibration.from_dict(one) if one else None for name, one in written.items()}
        self._calibrations_are_known = checkpoint.commands.get("revision") == self._site.revision
        self.association = self._new_association()
        self.association.restore(checkpoint.association, places)
        self._recorded_cameras = tuple(checkpoint.cameras)
        self.cursors = dict(checkpoint.cursors)
        self.last_tick = self.checkpoint_tick = checkpoint.tick
        self.events = checkpoint.events
        self.reader.start_at(self.cursors, checkpoint.last_seq)
        self.commands_read.start_at(checkpoint.commands.get("cursor", START))
        self.answers = Answers.from_list(checkpoint.commands.get("answers", ()))

    def continue_after(self, cycle: RecordedCycle) -> None:
        """Continues after a committed cycle: it was run again, or its entries are not to be used."""
        self._recorded_cameras = cycle.cameras or self._recorded_cameras
        self.cursors |= cycle.cursors
        self.last_tick, self.last_time_ns, self.events = cycle.tick, cycle.time_ns, cycle.events
        self.commands_read.start_at(cycle.commands_cursor)

    def read_unused_again(self) -> None:
        """Discards the entries that were read but not used, so that they are read again: Redis may have lost them."""
        self.reader.start_at(self.cursors, self.reader.last_seq)
        self.commands_read.start_at(self.commands_read.cursor)
