"""Maps the time of a source to site time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How one camera's source time maps to site time."""

    begin_ns: int
    """Files: site time of the first frame, ns."""
    offset_ns: int
    """Live sources: added to the capture time, ns."""
    scale: float
    """Files: seconds of media time per second of site time."""

    def media_time_s(self, site_ns: int) -> float:
        """The media time of a file at site time `site_ns`, in seconds; negative before the file begins."""
        return (site_ns - self.begin_ns) * self.scale / 1e9
