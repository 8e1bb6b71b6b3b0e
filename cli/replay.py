"""`mtmc replay`: a recording, once more through an aggregator."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from cli.progress import progress
from recording.description import Description
from recording.playing import Pace, Player
from recording.published import PublishedReader
from recording.publishing import ReplaySettings, publish_recording
from recording.reading import Recording
from recording.replay import InProcess, Watcher, play
from recording.writing import RecordingWriter
from services.aggregator.service import Aggregator
from shared.config_file import setting_value
from shared.embedded_redis import embedded_redis
from shared.errors import MtmcError, redact
from shared.layout import Layout, read_layout
from shared.logs import logs_of_command
from shared.redis_connection import RETRYABLE, open_redis, unreachable
from shared.service import stop_on_signals
from shared.site import PublishedSite
from shared.version import made_by

EMBEDDED = "embedded"
_SECTION = "association."


@dataclass(frozen=True)
class ReplayOptions:
    """What the command line says."""

    folder: Path
    speed: float | None = None
    """Times real time; None: as fast as possible."""
    redis_url: str | None = None
    """None, or `embedded`: a Redis and an aggregator of its own."""
    site: str | None = None
    out: Path | None = None
    layout: Path | None = None
    settings: tuple[str, ...] = ()


def replay(options: ReplayOptions, environment: Mapping[str, str], console: Console) -> int:
    """Plays a recording; the exit code (1: it was stopped before its end).

    Raises:
        MtmcError: the recording, a setting or Redis cannot be used.
    """
    recording = Recording.open(options.folder)
    settings = ReplaySettings(options.site, changed_settings(options.settings), _layout(options, recording))
    own = options.redis_url in (None, EMBEDDED)
    with contextlib.ExitStack() as stack:
        stack.enter_context(logs_of_command("replay"))
        url = stack.enter_context(embedded_redis()) if own or options.redis_url is None else options.redis_url
        client = stack.enter_context(
            contextlib.closing(open_redis(url, None if own else environment.get("MTMC_REDIS_PASSWORD") or None))
        )
        stop = stop_on_signals()
        try:
            site = publish_recording(client, recording, settings)
            copy = stack.enter_context(_copy(options.out, recording, site)) if options.out else None
            counts = _Counts(copy)
            told = stack.enter_context(progress("replaying"))
            start = f"mtmc run aggregator --site {site.config.site} --redis {redact(url)}"
            done = play(
                Player(client, site, recording),
                recording,
                PublishedReader(client, site.keys, counts.assigned, counts.happened),
                aggregator=InProcess(Aggregator(client, site)) if own else None,
                pace=Pace(options.speed, recording.fps) if options.speed else None,
                stop=stop,
                copy=copy,
                watcher=Watcher(told, lambda: console.print(f"waiting for an aggregator; start it: {start}")),
            )
        except RETRYABLE as error:
            raise unreachable(url, error) from None
        if copy is not None:
            copy.finish(recording.first_tick + done - 1)
    total = recording.last_tick - recording.first_tick + 1
    console.print(
        f"{options.folder}: {done} of {total} ticks, {counts.assignments} assignments, {counts.identities} identities"
        + (f"; written to {options.out}" if options.out else ""),
        markup=False,
        soft_wrap=True,
    )
    return 0 if done == total else 1


def changed_settings(words: Sequence[str]) -> dict[str, Any]:
    """`association.NAME=VALUE` as settings of that section.

    Raises:
        MtmcError: a word is something else.
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.startswith(_SECTION):
            raise MtmcError(f"--set {word}: write association.NAME=VALUE, as in association.min_similarity=0.6")
        found[name.removeprefix(_SECTION)] = setting_value(value)
    return found


class _Counts:
    """Counts what the aggregator publishes, and hands it on."""

    def __init__(self, copy: RecordingWriter | None) -> None:
        self._copy = copy
        self.assignments = 0
        self._gids: set[bytes] = set()

    @property
    def identities(self) -> int:
        """How many different gids were given."""
        return len(self._gids)

    def assigned(self, _: str, fields: Mapping[bytes, bytes]) -> None:
        self.assignments += 1
        self._gids |= {fields[b"gid"]} - {b"0"}
        if self._copy is not None:
            # In virtual time nobody knows when it would have been published.
            self._copy.add_assignment(f"0-{self.assignments}", fields)

    def happened(self, entry_id: str, fields: Mapping[bytes, bytes]) -> None:
        if self._copy is not None:
            self._copy.add_event(entry_id, fields)


def _layout(options: ReplayOptions, recording: Recording) -> Layout | None:
    return read_layout(options.layout, recording.cameras) if options.layout else None


def _copy(folder: Path, recording: Recording, site: PublishedSite) -> RecordingWriter:
    config = site.config.model_copy(update={"site": recording.description.site_config().site})
    described = recording.description
    description = Description.of(
        config,
        site.layout,
        made_by("replay"),
        origin_ns=described.origin_ns,
        frames=described.frames,
        first_tick=described.first_tick,
        missing=described.missing,
    )
    return RecordingWriter(folder, description)
