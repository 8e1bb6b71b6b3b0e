"""Repairs keys that something else has overwritten, so that a cycle can be committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from services.aggregator.publication import Command
from services.aggregator.reader import DeadLetter, entry_order
from shared.keys import Keys
from shared.leases import UnusableKey

_log = structlog.get_logger()
NUMBERS_END = 2**53
"""No entry has such a time: one with a larger id is foreign."""
_EVENTS_END = 10**12
"""No event has such a number, but ids that Redis chooses for another program are larger: the time in ms."""


@dataclass
class Repair:
    """What a commit has to do first."""

    commands: list[Command] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    """Keys that are deleted; what is known of their content is to be written again."""
    letters: list[DeadLetter] = field(default_factory=list)
    last_event: int | None = None
    """Number of the last event, if it is higher than expected."""


def repair(unusable: Sequence[UnusableKey], keys: Keys, committed_tick: int) -> Repair:
    """The repair of `unusable` keys; logs each of them.

    Args:
        unusable: as `UnusableKeys` has them.
        keys: of the site.
        committed_tick: tick of the last committed cycle.
    """
    found = Repair()
    for one in unusable:
        if one.key == keys.events and one.problem == "id" and entry_order(one.found)[0] < _EVENTS_END:
            found.last_event = entry_order(one.found)[0]
            done = "the numbers of events continue after it"
        elif one.problem == "id":
            last = {keys.cycles: committed_tick, keys.events: _EVENTS_END}.get(one.key, NUMBERS_END)
            found.commands.append(["CUT", one.key, f"{last}-0"])
            done = "the entries that nobody can continue from were deleted"
        elif one.problem == "number":
            found.commands.append(["HDEL", one.key, one.found])
            done = "the field was deleted"
        else:
            found.commands.append(["DEL", one.key])
            found.deleted.add(one.key)
            done = "it was deleted, and what is known of its content was written again"
        _log.error("another program has written into a key of the aggregator", key=one.key, reason=str(one), done=done)
        found.letters.append(DeadLetter(one.key, "", f"{one}: {done}"))
    return found
