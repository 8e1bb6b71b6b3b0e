"""Finds the JPEG and PNG pictures in a stream of bytes, whatever is between them.

Cameras disagree about multipart streams: some leave out the first boundary, state a wrong Content-Length, or send text
and empty parts. So nothing but the markers of JPEG (ITU-T T.81, Annex B) and the chunks of PNG (RFC 2083) are used.
"""

from __future__ import annotations

import re

_START = b"\xff\xd8\xff"
_PNG, _LAST_CHUNK = b"\x89PNG\r\n\x1a\n", b"IEND"
_END, _SCAN = 0xD9, 0xDA
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD8)])
"""Markers without a length: TEM and RST0 to RST7."""
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
MAX_BYTES = 64 * 1024 * 1024
"""A longer picture is damaged: an 8K JPEG at full quality has about 30 MB."""


class PictureSplitter:
    """Give it chunks of the stream; it returns the pictures that are complete."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._at = 0  # how far the present picture has been read
        self._in_scan = self._is_png = False
        self.damaged = 0
        """Pictures that were cut off or not valid."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The pictures, encoded, that end in `chunk`."""
        self._data += chunk
        pictures = []
        while (picture := self._next()) is not None:
            pictures.append(picture)
        return pictures

    def _next(self) -> bytes | None:
        while True:
            if self._at == 0 and not self._find_start():
                return None
            end = self._find_png_end() if self._is_png else self._find_end()
            if end is None:
                if len(self._data) > MAX_BYTES:
                    self._give_up(len(_START))
                    continue
                return None
            if end > 0:
                picture = bytes(self._data[:end])
                del self._data[:end]
                self._at = 0
                return picture

    def _find_start(self) -> bool:
        starts = [start for mark in (_START, _PNG) if (start := self._data.find(mark)) >= 0]
        if not starts:
            del self._data[: max(0, len(self._data) - len(_PNG) + 1)]
            return False
        del self._data[: min(starts)]
        self._is_png = self._data.startswith(_PNG)
        self._at, self._in_scan = len(_PNG) if self._is_png else 2, False
        return True

    def _find_png_end(self) -> int | None:
        """As `_find_end`."""
        while self._at + 8 <= len(self._data):
            length = int.from_bytes(self._data[self._at : self._at + 4], "big")
            end = self._at + length + 12
            if length > MAX_BYTES:
                return self._give_up(len(_PNG))
            if end > len(self._data):
                return None
            if self._data[self._at + 4 : self._at + 8] == _LAST_CHUNK:
                return end
            self._at = end
        return None

    def _find_end(self) -> int | None:
        """Where the picture ends; None: not yet here; 0: it was damaged and given up."""
        data = self._data
        while True:
            if self._in_scan:
                match = _MARKER_IN_SCAN.search(data, self._at)
                if match is None:
                    self._at = max(self._at, len(data) - 1)
                    return None
                self._at, self._in_scan = match.start(), False
            while self._at + 1 < len(data) and data[self._at] == data[self._at + 1] == 0xFF:
                self._at += 1  # fill bytes
            if self._at + 4 > len(data) and not (self._at + 2 <= len(data) and data[self._at + 1] == _END):
                return None
            marker = data[self._at + 1]
            if data[self._at] != 0xFF or marker in (0x00, 0xD8):
                # Not a marker, or another picture begins: this one was cut off.
                return self._give_up(self._at if marker == 0xD8 else 2)
            if marker == _END:
                return self._at + 2
            if marker in _STANDALONE:
                self._at += 2
                continue
            length = int.from_bytes(data[self._at + 2 : self._at + 4], "big")
            if length < 2:
                return self._give_up(2)
            if marker == _SCAN:
                self._in_scan = True
            self._at += 2 + length

    def _give_up(self, skipped: int) -> int:
        self.damaged += 1
        del self._data[:skipped]
        self._at, self._in_scan = 0, False
        return 0
