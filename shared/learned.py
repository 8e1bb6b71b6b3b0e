"""Reads what the aggregator has learned of the cameras of a site: the key `layout:learned`."""

from __future__ import annotations

import json
import math

LARGEST_OFFSET_S = 1.0
"""Pictures that are later than this are corrected by this much only."""


def learned_offsets(text: bytes | None) -> dict[str, float]:
    """Camera → how late its pictures are, seconds; empty if nothing is known, or if it cannot be read.

    Offsets that are not certain yet are left out.
    """
    try:
        found = json.loads(text)["time_offsets"] if text else []
        offsets = {str(one["camera"]): (float(one["seconds"]), float(one["deviation"])) for one in found}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return {
        camera: late_s
        for camera, (late_s, deviation_s) in offsets.items()
        if math.isfinite(late_s) and abs(late_s) > 3 * deviation_s
    }
