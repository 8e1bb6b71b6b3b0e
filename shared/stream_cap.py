"""How many entries of `tracks:{camera}` are kept: `replay_seconds` of them, under a cap in bytes."""

from __future__ import annotations

from shared.config import SiteConfig

STREAM_BYTES = 64 * 1024 * 1024
"""Limit of one `tracks:{camera}`. Only crowded scenes reach it; otherwise `replay_seconds` is the limit."""
LEAST_ENTRIES = 10
_NEW_SHARE = 0.02
"""Weight of the newest entry in the mean size: the mean adapts within about 50 entries."""


class StreamCap:
    """The maximum length of one camera's stream, from a running mean of its entry size."""

    def __init__(self, site: SiteConfig) -> None:
        self._by_age = site.association.replay_seconds * site.clock.target_fps
        self._mean_bytes = 0.0

    def entries(self, payload_bytes: int) -> int:
        """How many entries to keep after appending one with a payload of `payload_bytes`."""
        if self._mean_bytes:
            self._mean_bytes += _NEW_SHARE * (payload_bytes - self._mean_bytes)
        else:
            self._mean_bytes = float(payload_bytes)
        return max(LEAST_ENTRIES, round(min(self._by_age, STREAM_BYTES / max(1.0, self._mean_bytes))))
