"""The output of a replay: counts of the aggregator's results and, optionally, a new recording."""

from __future__ import annotations

from pathlib import Path

from recording.description import Description
from recording.entry_log import EntryFields
from recording.reading import Recording
from recording.writing import RecordingWriter
from shared.site import PublishedSite
from shared.version import made_by


class ReplayOutput:
    """Counts the aggregator's results and writes them to the new recording, if there is one."""

    def __init__(self, copy: RecordingWriter | None) -> None:
        self._copy = copy
        self.assignments = 0
        self._gids: set[bytes] = set()

    @property
    def identities(self) -> int:
        """Number of different gids assigned."""
        return len(self._gids)

    def add_assignment(self, _: str, fields: EntryFields) -> None:
        """Process an entry of `assignments`."""
        self.assignments += 1
        self._gids |= {fields[b"gid"]} - {b"0"}
        if self._copy is not None:
            # In virtual time there is no time of publication.
            self._copy.add_assignment(f"0-{self.assignments}", fields)

    def add_event(self, entry_id: str, fields: EntryFields) -> None:
        """Process an entry of `events`."""
        if self._copy is not None:
            self._copy.add_event(entry_id, fields)


def replayed_copy(folder: Path, recording: Recording, site: PublishedSite) -> RecordingWriter:
    """Create a recording in `folder` for the replay of `recording` as `site`, under the recorded site's name.

    Raises:
        RecordingError: the folder cannot be used.
    """
    described = recording.description
    config = site.config.model_copy(update={"site": described.site_config().site})
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
