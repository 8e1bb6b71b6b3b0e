from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recording.entry_log import MAGIC, EntryLogWriter, packed, read_entries
from recording.errors import RecordingError

ENTRIES = [(f"{number}-0", {b"n": b"%d" % number, b"payload": bytes(range(number))}) for number in range(1, 6)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "a.entries"
    with EntryLogWriter(path) as writer:
        for entry_id, fields in ENTRIES:
            writer.append(entry_id, fields)
        assert writer.size_bytes == len(MAGIC) + sum(len(packed(*entry)) for entry in ENTRIES)
    return path


def test_what_was_appended_comes_back_in_order(log: Path) -> None:
    assert list(read_entries(log)) == ENTRIES
    assert log.stat().st_size == len(MAGIC) + sum(len(packed(*entry)) for entry in ENTRIES)


def test_wherever_a_writer_was_killed_all_complete_entries_survive(log: Path) -> None:
    content = log.read_bytes()
    ends = [len(MAGIC)]
    for entry in ENTRIES:
        ends.append(ends[-1] + len(packed(*entry)))
    for length in range(len(content)):
        log.write_bytes(content[:length])
        whole = sum(end <= length for end in ends[1:])
        assert list(read_entries(log)) == ENTRIES[:whole]


def test_a_last_entry_of_zeros_that_a_crashed_machine_left_is_dropped(log: Path) -> None:
    content = log.read_bytes()
    last = len(packed(*ENTRIES[-1]))
    log.write_bytes(content[: -last + 8] + bytes(last - 8))
    assert list(read_entries(log)) == ENTRIES[:-1]


@settings(deadline=None)
@given(at=st.integers(0, 10_000), by=st.integers(1, 255))
def test_damage_is_never_read_as_data(tmp_path_factory: pytest.TempPathFactory, at: int, by: int) -> None:
    path = tmp_path_factory.mktemp("log") / "a.entries"
    content = bytearray(MAGIC + b"".join(packed(*entry) for entry in ENTRIES))
    at %= len(content)
    content[at] = (content[at] + by) % 256
    path.write_bytes(content)
    try:
        found = list(read_entries(path))
    except RecordingError:
        return
    # The file looks truncated; the entries that are returned are correct.
    assert found == ENTRIES[: len(found)]
    assert len(found) < len(ENTRIES)


def test_damage_in_the_middle_is_an_error_that_says_where(log: Path) -> None:
    content = bytearray(log.read_bytes())
    content[len(MAGIC) + 12] ^= 1
    log.write_bytes(content)
    with pytest.raises(RecordingError, match=rf"a\.entries: the entry at byte {len(MAGIC)} is damaged"):
        list(read_entries(log))


@pytest.mark.parametrize("content", [b"mtmc-entries 2\n", b"\x89PNG\r\n\x1a\n-------"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(RecordingError, match="is not an entry file of version 1"):
        list(read_entries(tmp_path / "a"))


def test_an_existing_file_is_never_overwritten(log: Path) -> None:
    with pytest.raises(FileExistsError):
        EntryLogWriter(log)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    writer = EntryLogWriter(tmp_path / "b.entries")
    writer._file.close()
    writer._file = Path("/dev/full").open("wb")  # noqa: SIM115
    writer.append("1-0", {})
    with pytest.raises(RecordingError, match=r"b\.entries: cannot be written \(No space left on device\)"):
        writer.flush()
    with pytest.raises(RecordingError, match="No space left"):
        writer.close()
    writer.close()
