"""What operators ask of the aggregator: reads `commands` from its cursor, and remembers what was answered."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import structlog

from association.outcome import Done
from services.aggregator.reader import FOREIGN_ID, START, DeadLetter, entry_order
from shared.errors import MessageError
from shared.keys import Keys
from shared.operator_commands import Answer, OperatorCommand, Outcome

_log = structlog.get_logger()
_READ_AT_ONCE = 20
_CARRIED_OUT_AT_ONCE = 20
"""Commands of one cycle, so that it stays short."""
_WAITING_MOST = 200
"""Entries that are read ahead, however many another program writes."""
_REMEMBERED = 1_000
"""Answers that are remembered: a command that is sent again is not carried out again."""


@dataclass(frozen=True)
class TakenCommands:
    """The commands of a cycle."""

    commands: tuple[OperatorCommand, ...] = ()
    """In the order in which they were sent; some may have been sent before."""
    entry_ids: tuple[str, ...] = ()
    """All entries of `commands` that were read for it, dead letters included."""
    dead_letters: tuple[DeadLetter, ...] = ()
    invalid: tuple[tuple[str, str], ...] = ()
    """Id of the command, and what is wrong with it, of dead letters that have an id."""


class CommandReader:
    """Reads the stream `commands`. Nothing in it is trusted."""

    def __init__(self, keys: Keys) -> None:
        self.stream = keys.commands
        self.cursor = self.read_upto = START
        """Ids of the last entry that a cycle used, and of the last one that was read."""
        self._waiting: deque[tuple[str, OperatorCommand | DeadLetter, str]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def start_at(self, cursor: str) -> None:
        """Continues after the entry `cursor`, and discards what was read but not used."""
        self.cursor = self.read_upto = cursor
        self._waiting.clear()

    def ask(self, pipe: Any) -> None:
        """Queues the reading of the next entries in a pipeline of redis-py."""
        pipe.xread({self.stream: self.read_upto}, count=_READ_AT_ONCE)

    def accept(self, answer: Iterable[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]) -> None:
        """Takes the reply to what `ask` queued, unless enough is waiting: then it is read again later."""
        if len(self._waiting) >= _WAITING_MOST:
            return
        for _, entries in answer:
            for entry_id, fields in entries:
                # Nothing can follow such an id; it is deleted when the keys are looked after.
                if entry_order(entry_id.decode())[0] < FOREIGN_ID:
                    self._accept(entry_id.decode(), fields)

    def _accept(self, entry_id: str, fields: Mapping[bytes, bytes]) -> None:
        self.read_upto = entry_id
        try:
            self._waiting.append((entry_id, OperatorCommand.decode(fields), ""))
        except MessageError as error:
            _log.warning("skipped a command that cannot be decoded", entry=entry_id, reason=str(error))
            of = fields.get(b"id", b"").decode(errors="replace")
            self._waiting.append((entry_id, DeadLetter(self.stream, entry_id, str(error)), of))

    def take(self) -> TakenCommands:
        """Removes and returns the commands of a cycle."""
        taken, commands = [], list[OperatorCommand]()
        while self._waiting and len(commands) < _CARRIED_OUT_AT_ONCE:
            taken.append(self._waiting.popleft())
            self.cursor, one, _ = taken[-1]
            commands += [one] if isinstance(one, OperatorCommand) else []
        letters = tuple(one for _, one, _ in taken if isinstance(one, DeadLetter))
        invalid = tuple(
            (of, one.reason) for _, one, of in taken if isinstance(one, DeadLetter) and OperatorCommand.is_id(of)
        )
        return TakenCommands(tuple(commands), tuple(entry_id for entry_id, _, _ in taken), letters, invalid)


class Answers:
    """The answers to the last commands, by their ids."""

    def __init__(self) -> None:
        self._by_id: dict[str, Answer] = {}

    def __contains__(self, command_id: str) -> bool:
        return command_id in self._by_id

    def __getitem__(self, command_id: str) -> Answer:
        return self._by_id[command_id]

    def __iter__(self) -> Iterator[Answer]:
        return iter(self._by_id.values())

    def unanswered(self, commands: Sequence[OperatorCommand]) -> list[OperatorCommand]:
        """Those that have no answer yet, each once."""
        first: dict[str, OperatorCommand] = {}
        for one in commands:
            if one.id not in self:
                first.setdefault(one.id, one)
        return list(first.values())

    def new_notes(self, commands: Sequence[OperatorCommand]) -> list[OperatorCommand]:
        """Those that say what was done to a camera, and have not been recorded yet."""
        return [one for one in self.unanswered(commands) if one.is_note]

    def add(self, answer: Answer) -> None:
        """Remembers an answer; the oldest one may be forgotten."""
        self._by_id[answer.id] = answer
        while len(self._by_id) > _REMEMBERED:
            del self._by_id[next(iter(self._by_id))]

    def to_list(self) -> list[tuple[Any, ...]]:
        """All answers for a checkpoint."""
        return [astuple(answer) for answer in self]

    @classmethod
    def from_list(cls, data: Iterable[Iterable[Any]]) -> Answers:
        """The inverse of `to_list`."""
        answers = cls()
        for item in data:
            answers.add(Answer(*item))
        return answers


def answer_of(command: OperatorCommand, done: Done, tick: int, time_ns: int) -> Answer:
    """The answer to a command that the cycle `tick` carried out or refused, at the site time `time_ns`."""
    outcome: Outcome = "refused" if done.refused else "done"
    gids = done.gid, done.other_gid
    return Answer(
        command.id, command.kind, outcome, done.refused, *gids, done.undoes, tick, time_ns, camera=command.camera
    )
