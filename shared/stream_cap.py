"""How many entries of `tracks:{camera}` are kept: `replay_seconds` of them, under a cap in bytes."""

from __future__ import annotations

from shared.config import SiteConfig

STREAM_BYTES = 64 * 1024 * 1024
"""Cap of one `tracks:{camera}`. Only crowds reach it; otherwise `replay_seconds` is the cap."""
LEAST_ENTRIES = 10
_NEW_SHARE = 0.02
"""Weight of the newest entry in the mean size: the mean follows a crowd within some 50 entries."""


class StreamCap:
    """The cap of one camera's stream; learns how large its entries are."""

    def __init__(self, site: SiteConfig) -> None:
        self._by_age = site.association.replay_seconds * site.clock.target_fps
        self._mean_bytes = 0.0

    def entries(self, payload_bytes: int) -> int:
        """How many entries to keep now that one with a payload of this size (bytes) is appended."""
        if self._mean_bytes:
            self._mean_bytes += _NEW_SHARE * (payload_bytes - self._mean_bytes)
        else:
            self._mean_bytes = float(payload_bytes)
        return max(LEAST_ENTRIES, round(min(self._by_age, STREAM_BYTES / max(1.0, self._mean_bytes))))
