"""The questions of a search by appearance: a worker embeds a crop, and the aggregator compares it with the identities.

`docs/keys.md` describes the fields.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from shared.questions import Fields

EMBED, COMPARE = "embed", "compare"
"""The kinds of questions."""
CROP_BYTES_MOST, CROP_SIDE_MOST = 1024 * 1024, 4096
"""Of a crop, bytes as JPEG and pixels."""
MATCHES_MOST = 2_000
"""Identities that an answer has."""
_MATCH = np.dtype([("gid", "<i8"), ("score", "<f4"), ("similarity", "<f4")])


def encode_matches(mode: str, matches: Sequence[tuple[int, float, float]]) -> Fields:
    """The answer to `compare`: gid, score and similarity of each identity, in their order; `mode` of association."""
    return {"mode": mode, "payload": np.array(list(matches), _MATCH).tobytes()}


def decode_matches(answer: Mapping[str, bytes]) -> tuple[str, list[tuple[int, float, float]]]:
    """The inverse of `encode_matches`; what cannot be read is left out."""
    packed = answer.get("payload", b"")
    found = np.frombuffer(packed[: len(packed) // _MATCH.itemsize * _MATCH.itemsize], _MATCH)
    matches = [(int(gid), float(score), float(similarity)) for gid, score, similarity in found.tolist()]
    return answer.get("mode", b"").decode(errors="replace"), matches
