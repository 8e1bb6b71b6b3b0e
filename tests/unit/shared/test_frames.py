from __future__ import annotations

import pytest

from shared.errors import MessageError
from shared.frames import FrameBox, FrameEntry

ENTRY = FrameEntry(
    "gate", 4, 5, 64, 36, b"\xff\xd8", (FrameBox(7, 1, 2, 30, 20, "car"), FrameBox(None, 0, 0, 64, 36, ""))
)


def written(entry: FrameEntry) -> dict[bytes, bytes]:
    """The fields as Redis returns them."""
    return {
        name.encode(): value if isinstance(value, bytes) else str(value).encode()
        for name, value in entry.encode().items()
    }


def test_an_entry_is_read_as_it_was_written() -> None:
    assert FrameEntry.decode("gate", written(ENTRY)) == ENTRY


def test_an_entry_without_boxes_is_a_picture_without_boxes() -> None:
    fields = written(ENTRY)
    del fields[b"boxes"]
    assert FrameEntry.decode("gate", fields).boxes == ()


@pytest.mark.parametrize(
    "boxes",
    [
        "rubbish",
        "7",
        "{}7",
        "null",
        "[7]",
        "[[7,1,2,3,4]]",
        "[[7,1,2,3,4,5]]",
        '[[7.5,1,2,3,4,"car"]]',
        '[[7,1,2,3,null,"car"]]',
        '[[7,1,2,3,true,"car"]]',
        '[[7,1,2,3,NaN,"car"]]',
        f'[[{1 << 60},1,2,3,4,"car"]]',
        "[" * 100_000,
    ],
)
def test_malformed_boxes_are_an_error(boxes: str) -> None:
    with pytest.raises(MessageError, match="frames:gate"):
        FrameEntry.decode("gate", {**written(ENTRY), b"boxes": boxes.encode()})
