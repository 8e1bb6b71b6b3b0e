"""Settings of the association, converted to ticks and nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from association.linkage import Linkage
from shared.config import SiteConfig

_LOST_MARGIN_S = 1.0
"""Without news, a track counts as ended this much later than its own tracker would end it."""


@dataclass(frozen=True)
class AssociationSettings:
    """See `shared.config.AssociationConfig`; times in ns of site time."""

    mode: Literal["reference", "live"]
    min_similarity: float
    linkage: Linkage
    min_track_frames: int
    learn: bool
    """Whether the live mode learns."""
    interval_ticks: int
    """Ticks between revisions of the grouping; 1 or more."""
    retention_ns: int
    linger_ns: int
    lost_ns: int
    """A track that is neither seen nor reported as ended for this long counts as ended, because its worker is gone."""
    tick_ns: int
    """Length of a tick. `lost_ns` is measured in ticks, because a camera's own timestamps may be wrong."""

    @classmethod
    def of(cls, site: SiteConfig) -> AssociationSettings:
        """Convert a site's settings."""
        association, fps = site.association, site.clock.target_fps
        return cls(
            mode=association.mode,
            min_similarity=association.min_similarity,
            linkage=association.linkage,
            min_track_frames=association.min_track_frames,
            learn=association.learn,
            interval_ticks=max(1, round(association.cluster_interval_seconds * fps)),
            retention_ns=round(association.retention_seconds * 1e9),
            linger_ns=round(association.linger_seconds * 1e9),
            lost_ns=round((site.tracker.max_lost_seconds + _LOST_MARGIN_S) * 1e9),
            tick_ns=round(1e9 / fps),
        )
