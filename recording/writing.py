"""Writes a recording to a folder, entry by entry."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from recording.description import FILE, Description, MissingEntries, write_description
from recording.entry_log import SUFFIX, EntryFields, EntryLogWriter
from recording.errors import RecordingError
from recording.reading import ASSIGNMENTS, COMMANDS, EVENTS, TRACKS
from shared.messages import SCHEMA, TrackEntry
from shared.operator_commands import OperatorCommand


class RecordingWriter:
    """Writes a new recording. Flushed entries can be read even if the writer is killed."""

    def __init__(self, folder: Path, description: Description) -> None:
        """Create the recording.

        Raises:
            RecordingError: the folder already contains a recording, or cannot be written.
        """
        self.folder, self.description = folder, description
        self.cameras: tuple[str, ...] = tuple(camera["name"] for camera in description.site["cameras"])
        if (folder / FILE).exists():
            raise RecordingError(folder, "already contains a recording; use another folder, or delete it")
        try:
            (folder / TRACKS).mkdir(parents=True, exist_ok=True)
            self._tracks = {camera: EntryLogWriter(folder / TRACKS / f"{camera}{SUFFIX}") for camera in self.cameras}
            self._assignments = EntryLogWriter(folder / f"{ASSIGNMENTS}{SUFFIX}")
            self._events = EntryLogWriter(folder / f"{EVENTS}{SUFFIX}")
            self._commands = EntryLogWriter(folder / f"{COMMANDS}{SUFFIX}")
            write_description(folder, description)
        except OSError as error:
            raise RecordingError(folder, f"cannot be written ({error.strerror}: {error.filename})") from None

    @property
    def _logs(self) -> tuple[EntryLogWriter, ...]:
        return (*self._tracks.values(), self._assignments, self._events, self._commands)

    def add_entry(self, camera: str, entry_id: str, fields: EntryFields) -> None:
        """Append an entry of `tracks:{camera}`, unchanged."""
        self._tracks[camera].append(entry_id, fields)

    def add(self, entry: TrackEntry) -> None:
        """Append an entry that does not come from a stream."""
        numbers = {
            "schema": SCHEMA,
            "seq": entry.seq,
            "tick": entry.tick,
            "time_ns": entry.time_ns,
            "n": len(entry.batch),
        }
        fields = {name.encode(): str(value).encode() for name, value in numbers.items()}
        fields |= {b"camera": entry.camera.encode(), b"payload": entry.batch.encode()}
        self.add_entry(entry.camera, f"0-{entry.seq}", fields)

    def add_assignment(self, entry_id: str, fields: EntryFields) -> None:
        """Append an entry of `assignments`, unchanged."""
        self._assignments.append(entry_id, fields)

    def assign(self, tick: int, camera: str, track_id: int, gid: int, published_ms: int = 0) -> None:
        """Append a change of the global-ID map; `published_ms` is Redis time in ms, 0 if there is none."""
        values = {"tick": tick, "camera": camera, "track_id": track_id, "gid": gid}
        self.add_assignment(f"{published_ms}-1", {name.encode(): str(value).encode() for name, value in values.items()})

    def add_event(self, entry_id: str, fields: EntryFields) -> None:
        """Append an entry of `events`, unchanged."""
        self._events.append(entry_id, fields)

    def add_commands(self, tick: int, commands: Sequence[OperatorCommand]) -> None:
        """Append what operators asked for, carried out in the cycle of `tick`."""
        for number, command in enumerate(commands):
            fields = {"tick": tick} | command.encode()
            self._commands.append(
                f"{tick}-{number}", {name.encode(): str(value).encode() for name, value in fields.items()}
            )

    def flush(self) -> None:
        """Make all entries appended so far readable."""
        for log in self._logs:
            log.flush()

    @property
    def size_bytes(self) -> int:
        """Total size of all appended entries."""
        return sum(log.size_bytes for log in self._logs)

    def describe(self, **known: Any) -> None:
        """Update fields of the description that were unknown before."""
        self.description = self.description.model_copy(update=known)
        write_description(self.folder, self.description)

    def finish(self, last_tick: int, missing: Sequence[MissingEntries] = ()) -> None:
        """Mark the recording as complete up to `last_tick`, except for the gaps in `missing`, and close it."""
        self.close()
        self.describe(last_tick=last_tick, missing=tuple(missing))

    def close(self) -> None:
        """Close all files; without `finish` the recording counts as interrupted."""
        with contextlib.ExitStack() as stack:
            for log in self._logs:
                stack.callback(log.close)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
