from __future__ import annotations

import pytest

from shared.lenient_values import whole


@pytest.mark.parametrize(("text", "number"), [(b"7", 7), ("-7", -7), (b"007", 7), (b"9223372036854775807", 2**63 - 1)])
def test_a_whole_number_is_read(text: bytes | str, number: int) -> None:
    assert whole(text) == number


@pytest.mark.parametrize(
    "text", [None, b"", b"1_0", b" 7", b"7\n", "\N{ARABIC-INDIC DIGIT SEVEN}", b"\xff", b"1e3", b"9223372036854775808"]
)
def test_what_is_no_whole_number_is_none(text: bytes | str | None) -> None:
    assert whole(text) is None
