"""What happened to a site within the last day that people should know although it is over. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from shared.lenient_values import whole

_SHOWN_MS = 24 * 3600 * 1000


def notices(restored: Mapping[str, str], skew: Mapping[str, str], now_ms: int) -> tuple[str, ...]:
    """One line for each; `restored` and `skew` are the hashes of that name, `now_ms` is Redis time."""
    found = []
    if when := _recent(restored.get("at_ms"), now_ms):
        identities, tracks = whole(restored.get("identities")), whole(restored.get("tracks"))
        highest = whole(restored.get("highest_gid"))
        if identities:
            what = f"{identities} identities and {tracks or 0} tracks were written again; older history is lost"
        else:
            what = f"all identities are lost; new global ids begin above {highest or 0}"
        found.append(f"Redis came back empty at {when}: {what}")
    if when := _recent(skew.get("stepped_at_ms"), now_ms):
        seconds = (whole(skew.get("step_ms")) or 0) / 1000
        found.append(
            f"somebody set Redis's clock by {seconds:+.1f} s at {when}; ticks and tracks went on. Check time "
            "synchronisation on its host"
        )
    return tuple(found)


def _recent(at_ms: str | None, now_ms: int) -> str | None:
    """The time as text; None if there is none, or if it is not within the last day."""
    at = whole(at_ms)
    if at is None or abs(now_ms - at) > _SHOWN_MS:
        return None
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
