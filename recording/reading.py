"""Reads recordings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recording.description import Description, read_description
from recording.entry_log import SUFFIX, LoggedEntry, read_entries
from recording.errors import RecordingError
from recording.rows import AssignmentRows, CameraTracks, Ids, TrackRows, camera_tracks, gids_at
from shared.errors import MessageError
from shared.messages import TrackEntry
from shared.operator_commands import OperatorCommand

TRACKS, ASSIGNMENTS, EVENTS, COMMANDS = "tracks", "assignments", "events", "commands"
_TORN_SECONDS = 5.0
"""When a recorder is killed, the last entries of two cameras may be this far apart."""


class Recording:
    """The recorded entries of a site's `tracks:*`, `assignments` and `events`. Files are read on first use."""

    def __init__(self, folder: Path, description: Description, assignments: AssignmentRows | None = None) -> None:
        """`assignments` replaces the recorded ones; use `open` to read a recording."""
        self.folder, self.description = folder, description
        self.cameras: tuple[str, ...] = tuple(camera["name"] for camera in description.site["cameras"])
        self._assignments = assignments
        self._tracks: dict[str, CameraTracks] = {}
        self._last_written: int | None = None

    @classmethod
    def open(cls, folder: Path) -> Recording:
        """Open the recording in `folder`.

        Raises:
            RecordingError: the folder is not a recording, or a file is missing or invalid.
        """
        description = read_description(folder)
        recording = cls(folder, description)
        for camera in recording.cameras:
            if not recording._tracks_file(camera).is_file():
                raise RecordingError(recording._tracks_file(camera), "is missing from the recording")
        return recording

    @property
    def site(self) -> Mapping[str, Any]:
        """The site's configuration as JSON values."""
        return self.description.site

    @property
    def fps(self) -> float:
        """Ticks per second."""
        return float(self.description.site["clock"]["target_fps"])

    @property
    def first_tick(self) -> int:
        """The first completely recorded tick."""
        return self.description.first_tick

    @property
    def last_tick(self) -> int:
        """The last completely recorded tick.

        If the recorder was killed, this is the last tick that was written for all cameras, not counting cameras that
        had ended seconds before.
        """
        if self.description.last_tick is not None:
            return self.description.last_tick
        if self._last_written is None:
            ends = [tick for camera in self.cameras if (tick := self._last_written_tick(camera)) is not None]
            near = max(ends, default=0) - _TORN_SECONDS * self.fps
            self._last_written = min((end for end in ends if end >= near), default=self.first_tick - 1)
        return self._last_written

    def frame_of(self, ticks: Ids) -> Ids:
        """Frame numbers of the sources at `ticks`: `(k,)` int64 to `(k,)` int64."""
        frames = self.description.frames
        return frames.first + (np.asarray(ticks, np.int64) - frames.tick_of_first) * frames.stride

    def tracks(self, camera: str) -> TrackRows:
        """All boxes of a camera.

        Raises:
            RecordingError: there is no such camera, or its file is damaged.
        """
        return self._of(camera).rows

    def ticks(self, camera: str) -> Ids:
        """`(T,)` int64: the ticks that a camera handled, including those without tracks."""
        return self._of(camera).ticks

    def tick_times_ns(self, camera: str) -> Ids:
        """`(T,)` int64: the site time of each of `ticks`, ns."""
        return self._of(camera).tick_time_ns

    def ended(self, camera: str) -> tuple[Ids, Ids]:
        """`(K,)` int64 ticks and `(K,)` int64 track ids: when the camera reported which track as ended."""
        tracks = self._of(camera)
        return tracks.ended_tick, tracks.ended_track_id

    def assignments(self) -> AssignmentRows:
        """Every published change of the global-ID map, in order.

        Raises:
            RecordingError: the file is damaged.
        """
        if self._assignments is None:
            self._assignments = AssignmentRows.of(self._read_assignments())
        return self._assignments

    def with_assignments(self, assignments: AssignmentRows) -> Recording:
        """The same tracks with other assignments."""
        other = Recording(self.folder, self.description, assignments)
        other._tracks = self._tracks
        return other

    def gids_as_published(self, camera: str, rows: TrackRows | None = None) -> Ids:
        """The published gid of every box at its tick, `(N,)` int64; 0: none.

        `rows` None: all boxes of the camera.
        """
        chosen = self.tracks(camera) if rows is None else rows
        return gids_at(self.assignments(), self.cameras.index(camera), chosen.track_id, chosen.tick)

    def events(self) -> Iterator[LoggedEntry]:
        """The entries of `events`, in order."""
        path = self.folder / f"{EVENTS}{SUFFIX}"
        return read_entries(path) if path.is_file() else iter(())

    def commands(self) -> dict[int, list[OperatorCommand]]:
        """Tick → what operators asked for, carried out in its cycle; empty unless it began with the site.

        Otherwise a new run gives other gids than those that operators saw.

        Raises:
            RecordingError: the file is damaged.
        """
        path = self.folder / f"{COMMANDS}{SUFFIX}"
        first = next(self.events(), None)
        found: dict[int, list[OperatorCommand]] = {}
        if not path.is_file() or first is None or first[0] != "1-0":
            return found
        for entry_id, fields in read_entries(path):
            try:
                tick = int(fields[b"tick"])
                found.setdefault(tick, []).append(OperatorCommand.decode(fields))
            except (KeyError, ValueError, MessageError) as error:
                raise RecordingError(path, f"entry {entry_id} is not a command ({error})") from None
        return found

    def entries(self, camera: str) -> Iterator[TrackEntry]:
        """The entries of a camera from `first_tick` to `last_tick`, in order.

        Raises:
            RecordingError: the file is damaged.
        """
        last_tick = self.last_tick
        for entry in self._written(camera):
            if entry.tick > last_tick:
                return
            if entry.tick >= self.first_tick:
                yield entry

    def _last_written_tick(self, camera: str) -> int | None:
        return max((entry.tick for entry in self._written(camera)), default=None)

    def _written(self, camera: str) -> Iterator[TrackEntry]:
        path = self._tracks_file(camera)
        last_tick = -1
        for entry_id, fields in read_entries(path):
            try:
                entry = TrackEntry.decode(fields)
            except MessageError as error:
                raise RecordingError(path, f"entry {entry_id}: {error}") from None
            if entry.tick <= last_tick:
                raise RecordingError(path, f"entry {entry_id}: tick {entry.tick} comes after tick {last_tick}")
            last_tick = entry.tick
            yield entry

    def _of(self, camera: str) -> CameraTracks:
        if camera not in self._tracks:
            if camera not in self.cameras:
                raise RecordingError(self.folder, f"has no camera '{camera}'; it has {', '.join(self.cameras)}")
            self._tracks[camera] = camera_tracks(self.entries(camera))
        return self._tracks[camera]

    def _tracks_file(self, camera: str) -> Path:
        return self.folder / TRACKS / f"{camera}{SUFFIX}"

    def _read_assignments(self) -> Iterator[tuple[int, int, int, int, int]]:
        path = self.folder / f"{ASSIGNMENTS}{SUFFIX}"
        if not path.is_file():
            return
        index = {camera: i for i, camera in enumerate(self.cameras)}
        for entry_id, fields in read_entries(path):
            try:
                camera = index.get(fields[b"camera"].decode())
                tick, track_id, gid = (int(fields[name]) for name in (b"tick", b"track_id", b"gid"))
            except (KeyError, ValueError) as error:
                raise RecordingError(path, f"entry {entry_id} is not an assignment ({error})") from None
            if camera is not None:  # Skip cameras added during the recording; their tracks were not recorded.
                yield tick, camera, track_id, gid, published_ms(entry_id)


def published_ms(entry_id: str) -> int:
    """Redis time of a stream entry in ms, from its id; -1 for entries without one (`0-…`)."""
    ms = int(entry_id.partition("-")[0])
    return ms if ms > 0 else -1
