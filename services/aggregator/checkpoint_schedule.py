"""When checkpoints of the state are saved: at intervals, after a loss, and when the aggregator stops."""

from __future__ import annotations

import json
import time

import structlog

from services.aggregator.metrics import AggregatorMetrics
from services.aggregator.persistence import Checkpoints, pack
from services.aggregator.publication import Command
from services.aggregator.saving import CheckpointSaver
from services.aggregator.state import AggregatorState
from shared.leases import Lease
from shared.redis_connection import Client

_log = structlog.get_logger()
_CLOSING_S = 5.0
"""How long an aggregator that stops tries to save its state."""
_LOOK_EVERY_S = 0.25


class CheckpointSchedule:
    """Starts the saves, one at a time. Its methods raise LeaseLost if another aggregator owns the site."""

    def __init__(
        self, client: Client, state: AggregatorState, checkpoints: Checkpoints, metrics: AggregatorMetrics
    ) -> None:
        self._state, self._metrics = state, metrics
        self._checkpoints = checkpoints
        self._saver = CheckpointSaver(client, state.keys, checkpoints)
        # Two checkpoints are kept, and the entries since the older one must still exist to be replayed.
        association = state.config.association
        seconds = min(association.checkpoint_seconds, association.replay_seconds / 3)
        self._has_saved = False
        """Whether this owner has saved a checkpoint that Redis should still have."""
        self._interval_ticks = max(1, round(seconds * state.config.clock.target_fps))

    def save_if_due(self, lease: Lease) -> None:
        """Starts to save the state, if it is due and no save is running."""
        saved_tick = self._saver.finished()
        if saved_tick is not None:
            self._state.checkpoint_tick = saved_tick
            self._has_saved = True
            self._metrics.saved_checkpoint()
        if not self._saver.is_busy and self._state.last_tick - self._state.checkpoint_tick >= self._interval_ticks:
            self._start(lease)

    def are_lost(self) -> bool:
        """Whether Redis has lost the checkpoints that this owner has saved."""
        return self._has_saved and (self._saver.found_loss or self._checkpoints.are_gone())

    def save_early(self, lease: Lease) -> None:
        """Starts to save the state as if it were due, because Redis has lost the checkpoints.

        A save that is running may have lost its first pieces, or its lease, so it does not count.
        """
        self._saver.start_anew()
        self._has_saved = False
        self._state.checkpoint_tick = self._state.last_tick - self._interval_ticks
        self.save_if_due(lease)

    def save_last(self, lease: Lease) -> None:
        """Saves the state and waits until it is saved, up to `_CLOSING_S`."""
        self._saver.abandon()
        deadline = time.monotonic() + _CLOSING_S
        is_last = False
        while time.monotonic() < deadline:
            lease.renew_if_due()
            if not self._saver.wait(_LOOK_EVERY_S):
                continue
            self._saver.finished()
            if is_last:
                return
            self._start(lease)
            is_last = True
        _log.warning("the last checkpoint takes too long; the next owner re-runs the cycles since the one before")

    def abandon(self) -> None:
        """Ends the running save: the state is not that of the site any more."""
        self._saver.start_anew()
        self._has_saved = False

    def close(self) -> None:
        """Ends the thread that saves."""
        self._saver.close()

    def _start(self, lease: Lease) -> None:
        self._saver.start(lease, pack(self._state.checkpoint()), [self._learned_layout()])

    def _learned_layout(self) -> Command:
        learned, key = self._state.association.learned(), self._state.keys.learned_layout
        if learned is None:
            return ["DEL", key]
        return ["SET", key, json.dumps({"tick": self._state.last_tick} | learned.to_dict(self._state.cameras))]
