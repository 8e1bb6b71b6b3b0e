"""Commits a cycle with all its outputs or not at all, whatever other programs have written into its keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from services.aggregator.persistence import Checkpoints
from services.aggregator.publication import Command, CycleRecord, touched_keys
from services.aggregator.repair import repair
from services.aggregator.state import AggregatorState
from shared.leases import Lease, UnusableKey, UnusableKeys
from shared.redis_connection import RETRYABLE

_REPAIRS = 5
"""A commit is retried so often; each time, another program has made keys unusable."""


def commit_cycle(lease: Lease, state: AggregatorState, checkpoints: Checkpoints) -> CycleRecord:
    """Commits the uncommitted cycle of `state`, and returns it as it was committed.

    Keys that have become unusable are repaired by the same script.

    Raises:
        LeaseLost: another aggregator owns the site; nothing was committed.
        RedisError: Redis is unreachable; the cycle stays uncommitted, although the script may have run.
    """
    try:
        _commit_repairing(lease, state, checkpoints)
    except RETRYABLE:
        state.note_gids()  # The script may have run, although its reply was lost.
        raise
    return state.committed()


def _commit_repairing(lease: Lease, state: AggregatorState, checkpoints: Checkpoints) -> None:
    unusable: dict[str, UnusableKey] = {}
    for _ in range(_REPAIRS):
        assert state.uncommitted is not None
        record, commands = state.uncommitted
        try:
            lease.commit(commands, touched_keys(commands), confirm=True)
        except UnusableKeys as error:
            newest = checkpoints.newest_cycle()
            if newest is not None and newest.tick == record.tick:
                return  # The script has run before.
            unusable |= {one.key: one for one in error.keys}
            state.uncommitted = _repaired(state, record, list(unusable.values()), checkpoints)
        else:
            return
    raise AssertionError(f"after {_REPAIRS} repairs these keys are unusable again: {', '.join(unusable)}")


def _repaired(
    state: AggregatorState, record: CycleRecord, unusable: Sequence[UnusableKey], checkpoints: Checkpoints
) -> tuple[CycleRecord, list[Command]]:
    """The cycle with the commands that make `unusable` keys usable before it."""
    found = repair(unusable, state.keys, state.committed_tick)
    letters = [*(one for one in record.dead_letters if one.entry_id), *found.letters]
    events = record.events_before if found.last_event is None else found.last_event
    record = replace(record, dead_letters=letters, events_before=events)
    state.events = record.events
    rewritten = state.publication.rewritten(found.deleted, state.association)
    return record, [*found.commands, *rewritten, *state.commands(record)]
