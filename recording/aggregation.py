"""Runs the real aggregator over a recording, in virtual time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recording.playing import Player
from recording.published import PublishedReader
from recording.publishing import ReplaySettings, publish_recording
from recording.reading import Recording
from recording.replay import InProcess, Watcher, play
from recording.rows import AssignmentRows
from services.aggregator.service import Aggregator
from shared.embedded_redis import embedded_redis
from shared.layout import Layout
from shared.redis_connection import Client, connect


@dataclass(frozen=True)
class AggregatorRun:
    """What came of it."""

    recording: Recording
    """The tracks of the recording with the gids of this run; `published_ms` is -1: there was no wall clock."""
    cycle_seconds: npt.NDArray[np.float64]
    """`(T,)`: wall time that the aggregator took for each tick, from reading to committing."""
    events: tuple[Mapping[str, str], ...]
    """Everything that it published in `events`, in order."""


def run_aggregator(
    recording: Recording,
    *,
    association: Mapping[str, Any] | None = None,
    layout: Layout | None = None,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> AggregatorRun:
    """Feeds every entry through the aggregator, as fast as possible, over a Redis of its own; the same every time.

    `association` overrides settings of the site's section of that name; `layout` replaces the recording's. `told` is
    called with the ticks done and their total.

    Raises:
        MtmcError: a setting is not allowed, the recording is damaged, or no Redis can be started.
    """
    index = {camera: i for i, camera in enumerate(recording.cameras)}
    changes: list[tuple[int, int, int, int, int]] = []
    events: list[Mapping[str, str]] = []

    def assigned(_: str, fields: Mapping[bytes, bytes]) -> None:
        tick, track_id, gid = (int(fields[name]) for name in (b"tick", b"track_id", b"gid"))
        changes.append((tick, index[fields[b"camera"].decode()], track_id, gid, -1))

    def happened(_: str, fields: Mapping[bytes, bytes]) -> None:
        events.append({name.decode(): value.decode() for name, value in fields.items()})

    with _own_redis() as client:
        site = publish_recording(client, recording, ReplaySettings("evaluation", association, layout))
        aggregator = InProcess(Aggregator(client, site))
        published = PublishedReader(client, site.keys, assigned, happened)
        play(Player(client, site, recording), recording, published, aggregator=aggregator, watcher=Watcher(told))
    changed = recording.with_assignments(AssignmentRows.of(changes))
    return AggregatorRun(changed, np.array(aggregator.seconds), tuple(events))


@contextlib.contextmanager
def _own_redis() -> Iterator[Client]:
    with embedded_redis() as url, contextlib.closing(connect(url)) as client:
        yield client
