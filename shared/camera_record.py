"""Records who changed a camera of a running site, in the transaction that changes it.

The aggregator alone numbers `events`. So the transaction leaves a note in `commands`, from which the aggregator writes
the event in its next cycle, once, and an answer under the id of the request, so that the same request has no second
effect (`docs/decisions/0012-cameras-change-at-once.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.camera_config import CameraConfig
from shared.commands import WAITING_MOST, CommandsFull, InvalidCommand, new_id
from shared.errors import MessageError, MtmcError
from shared.keys import Keys
from shared.lenient_reads import hash_at, newest_entries_at
from shared.lenient_values import whole
from shared.operator_commands import ANSWERED_FOR_S, Answer, CameraKind, OperatorCommand


@dataclass(frozen=True)
class Asked:
    """Who asks for a change of cameras."""

    by: str
    """One line of at most 64 characters."""
    id: str = field(default_factory=new_id)
    """Chosen by the sender; the same id again is the same request, for an hour."""


@dataclass(frozen=True)
class Note:
    """What is done to one camera."""

    kind: CameraKind
    camera: str
    title: str = ""
    settings: tuple[str, ...] = ()
    """`camera_changed`: names of the settings that change."""
    calibration: str = ""
    """If its point pairs change: what they give then."""

    @classmethod
    def of(cls, kind: CameraKind, name: str, camera: CameraConfig | None) -> Note:
        """A note about the camera `name`; None: its settings cannot be read."""
        return cls(kind, name, (camera.title if camera else None) or "")


class CarriedOut(MtmcError):
    """A request with this id was carried out before, so nothing was done now."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(f"the request {answer.id} was carried out before")


class ChangeRecord:
    """The record of one transaction."""

    def __init__(self, pipe: Any, keys: Keys, asked: Asked) -> None:
        """Reads what is needed, before the transaction `pipe` queues commands.

        Raises:
            CarriedOut: the same request was carried out before.
            CommandsFull: too many notes wait for the aggregator.
            InvalidCommand: `asked` cannot be recorded.
        """
        self._pipe, self._keys, self._asked = pipe, keys, asked
        if not OperatorCommand.is_id(asked.id):
            raise InvalidCommand("its id must have 1 to 64 letters, digits, '-' or '_'")
        answer = Answer.decode(hash_at(pipe, keys.command(asked.id)))
        if answer is not None:
            raise CarriedOut(answer)
        if pipe.xlen(keys.commands) >= WAITING_MOST:
            raise CommandsFull(
                f"{WAITING_MOST} commands wait for the aggregator of site {keys.site}: is it running? See `mtmc status`"
            )
        newest = newest_entries_at(pipe, keys.ticks, count=1)
        fields = newest[0][1] if newest else {}
        self._tick, self._time_ns = whole(fields.get(b"tick")) or 0, whole(fields.get(b"time_ns")) or 0

    def queue(self, notes: Sequence[Note]) -> None:
        """Queues the notes, and the answers to them. The first one has the id of the request.

        Raises:
            InvalidCommand: a note cannot be recorded.
        """
        for number, note in enumerate(notes):
            command = OperatorCommand(
                new_id() if number else self._asked.id,
                note.kind,
                self._asked.by,
                camera=note.camera,
                title=note.title,
                settings=" ".join(note.settings),
                calibration=note.calibration,
            )
            try:
                command.check()
            except MessageError as error:
                raise InvalidCommand(str(error)) from None
            answer = Answer(
                command.id, command.kind, "done", "", 0, 0, "", self._tick, self._time_ns, camera=note.camera
            )
            self._pipe.xadd(self._keys.commands, dict(command.encode()), maxlen=2 * WAITING_MOST, approximate=True)
            self._pipe.hset(self._keys.command(command.id), mapping=answer.encode())
            self._pipe.expire(self._keys.command(command.id), ANSWERED_FOR_S)
