"""The format of `/wall.stream`."""

from __future__ import annotations

import json
import struct
from typing import Any


def wall_message(header: dict[str, Any], body: bytes = b"") -> bytes:
    """One message: two little-endian uint32 lengths, a JSON header, a body (a JPEG or nothing)."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return b"".join((struct.pack("<II", len(text), len(body)), text, body))
