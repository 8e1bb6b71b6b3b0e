"""Reads text files that people wrote, with whatever editor."""

from __future__ import annotations

import codecs
from pathlib import Path

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # Before UTF-16, whose mark is its beginning.
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(path: Path) -> str:
    r"""The text of a file in UTF-8, or in the encoding of its byte order mark; each line ends with `\n`.

    Raises:
        OSError: the file cannot be read.
        UnicodeDecodeError: it is not text of that encoding.
    """
    return decode_text(path.read_bytes())


def decode_text(content: bytes) -> str:
    """As `read_text`, for the bytes of a file."""
    mark, encoding = next((one for one in _BYTE_ORDER_MARKS if content.startswith(one[0])), (b"", "utf-8"))
    text = content[len(mark) :].decode(encoding)
    if "\0" in text:
        at = content.index(b"\0")
        raise UnicodeDecodeError(encoding, content, at, at + 1, "a zero byte; is it UTF-16 without a byte order mark?")
    return text.replace("\r\n", "\n").replace("\r", "\n")
