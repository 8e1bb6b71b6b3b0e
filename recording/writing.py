"""Writes a recording into a folder, entry by entry."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from recording.description import FILE, Description, MissingEntries, write_description
from recording.entry_log import SUFFIX, EntryFields, EntryLogWriter
from recording.errors import RecordingError
from recording.reading import ASSIGNMENTS, EVENTS, TRACKS
from shared.messages import SCHEMA, TrackEntry


class RecordingWriter:
    """A recording that grows; whatever was flushed can be read, also when the writer is killed."""

    def __init__(self, folder: Path, description: Description) -> None:
        """Begins a recording.

        Raises:
            RecordingError: there is one already, or the folder cannot be written.
        """
        self.folder, self.description = folder, description
        self.cameras: tuple[str, ...] = tuple(camera["name"] for camera in description.site["cameras"])
        if (folder / FILE).exists():
            raise RecordingError(folder, "holds a recording already; name another folder, or delete it")
        try:
            (folder / TRACKS).mkdir(parents=True, exist_ok=True)
            self._tracks = {camera: EntryLogWriter(folder / TRACKS / f"{camera}{SUFFIX}") for camera in self.cameras}
            self._assignments = EntryLogWriter(folder / f"{ASSIGNMENTS}{SUFFIX}")
            self._events = EntryLogWriter(folder / f"{EVENTS}{SUFFIX}")
            write_description(folder, description)
        except OSError as error:
            raise RecordingError(folder, f"cannot be written ({error.strerror}: {error.filename})") from None

    @property
    def _logs(self) -> tuple[EntryLogWriter, ...]:
        return (*self._tracks.values(), self._assignments, self._events)

    def add_entry(self, camera: str, entry_id: str, fields: EntryFields) -> None:
        """Appends an entry of `tracks:{camera}` as it stands there."""
        self._tracks[camera].append(entry_id, fields)

    def add(self, entry: TrackEntry) -> None:
        """Appends an entry that never was in a stream."""
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
        """Appends an entry of `assignments` as it stands there."""
        self._assignments.append(entry_id, fields)

    def assign(self, tick: int, camera: str, track_id: int, gid: int, published_ms: int = 0) -> None:
        """Appends a change of the global-ID map; `published_ms` is Redis time, 0 where there is none."""
        values = {"tick": tick, "camera": camera, "track_id": track_id, "gid": gid}
        self.add_assignment(f"{published_ms}-1", {name.encode(): str(value).encode() for name, value in values.items()})

    def add_event(self, entry_id: str, fields: EntryFields) -> None:
        """Appends an entry of `events` as it stands there."""
        self._events.append(entry_id, fields)

    def flush(self) -> None:
        """Makes everything appended so far readable."""
        for log in self._logs:
            log.flush()

    @property
    def size_bytes(self) -> int:
        """Of everything that was appended."""
        return sum(log.size_bytes for log in self._logs)

    def describe(self, **known: Any) -> None:
        """Writes fields of the description that were not known before."""
        self.description = self.description.model_copy(update=known)
        write_description(self.folder, self.description)

    def finish(self, last_tick: int, missing: Sequence[MissingEntries] = ()) -> None:
        """Says that the recording is whole up to `last_tick`, but for what is `missing`, and closes it."""
        self.close()
        self.describe(last_tick=last_tick, missing=tuple(missing))

    def close(self) -> None:
        """Closes the files, all of them; without `finish` the recording counts as cut off."""
        with contextlib.ExitStack() as stack:
            for log in self._logs:
                stack.callback(log.close)

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()
