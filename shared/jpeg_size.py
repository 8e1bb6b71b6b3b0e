"""The size of a JPEG from its header, without decoding it: a small file can claim a picture that fills the memory."""

from __future__ import annotations

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of the header of a frame (ISO/IEC 10918-1, table B.1)."""
_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length."""


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels; None if this is not the beginning of a JPEG, or has no size in its header."""
    if not data.startswith(b"\xff\xd8\xff"):
        return None
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES:
            height, width = (int.from_bytes(data[start : start + 2]) for start in (at + 5, at + 7))
            return (width, height) if at + 9 <= len(data) and width and height else None
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return None
