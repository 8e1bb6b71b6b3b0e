"""How the time of a source becomes site time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How the time of a source becomes site time."""

    begin_ns: int
    """Recordings: site time of the first picture."""
    offset_ns: int
    """Live sources: added to the time of capture."""
    scale: float
    """Recordings: seconds of media in a second of site time."""

    def media_time_s(self, site_ns: int) -> float:
        """The moment in a recording that belongs to a moment of site time; negative before it begins."""
        return (site_ns - self.begin_ns) * self.scale / 1e9
