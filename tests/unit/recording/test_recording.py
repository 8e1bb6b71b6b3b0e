from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from recording.description import FILE, Description, FrameNumbers, MissingEntries
from recording.errors import RecordingError
from recording.reading import Recording
from recording.writing import RecordingWriter
from shared.calibration_files import parse_calibration
from shared.layout import Layout
from shared.messages import TrackEntry
from tests.recordings import ORIGIN_NS, site_config, write_recording
from tests.unit.association.scenes import Stay, entries, overlapping

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "recording1"
SCENE = entries([Stay(1, 0, 1, 6), Stay(1, 1, 3, 8), Stay(2, 0, 2, 9)])


def write_golden(folder: Path) -> None:
    """Write the golden recording of version 1."""
    layout = overlapping(2)
    described = Description.of(
        site_config(layout.cameras),
        layout,
        "mtmc 0.1.0 record",
        origin_ns=ORIGIN_NS,
        frames=FrameNumbers(tick_of_first=3, first=1, stride=1),
        first_tick=3,
    )
    with RecordingWriter(folder, described) as writer:
        for seq, one in enumerate(SCENE, start=1):
            writer.add(TrackEntry(seq, layout.cameras[one.camera], one.tick, ORIGIN_NS + one.tick * 10**8, one.batch))
        writer.assign(4, "A", 1, 1, published_ms=1_700_000_000_412)
        writer.assign(5, "B", 2, 1, published_ms=1_700_000_000_513)
        writer.add_event("1-0", {b"kind": b"appeared", b"gid": b"1"})
        writer.finish(9, [MissingEntries(camera="B", after_tick=1, next_tick=2)])


def test_recordings_of_version_1_remain_readable() -> None:
    recording = Recording.open(GOLDEN)
    assert (recording.cameras, recording.fps) == (("A", "B"), 10.0)
    assert (recording.first_tick, recording.last_tick) == (3, 9)
    assert recording.ticks("A").tolist() == list(range(3, 10))
    rows = recording.tracks("A")
    assert rows.tick.tolist() == [3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 9]
    assert rows.embeddings.shape == (11, 32)
    assert recording.gids_as_published("A", rows).tolist() == [0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0]
    assert recording.gids_as_published("B").tolist() == [0, 0, 1, 1, 1, 1]
    assert recording.assignments().published_ms.tolist() == [1_700_000_000_412, 1_700_000_000_513]
    assert recording.frame_of(rows.tick).tolist()[:3] == [1, 1, 2]
    assert [fields for _, fields in recording.events()] == [{b"kind": b"appeared", b"gid": b"1"}]
    assert recording.description.missing == (MissingEntries(camera="B", after_tick=1, next_tick=2),)
    assert recording.description.site_layout().overlapping.tolist() == [[False, True], [True, False]]


def test_the_current_writer_writes_version_1(tmp_path: Path) -> None:
    write_golden(tmp_path / "new")
    for path in sorted(GOLDEN.rglob("*.entries")):
        assert (tmp_path / "new" / path.relative_to(GOLDEN)).read_bytes() == path.read_bytes(), path.name


def test_no_credential_is_written(tmp_path: Path) -> None:
    write_golden(tmp_path / "new")
    text = (tmp_path / "new" / FILE).read_text()
    assert "hunter2" not in text
    assert "rtsp://***@A/" in text


def test_a_recording_is_never_overwritten(tmp_path: Path) -> None:
    write_recording(tmp_path / "r", SCENE, overlapping(2))
    with pytest.raises(RecordingError, match="already contains a recording"):
        write_recording(tmp_path / "r", SCENE, overlapping(2))


def test_after_a_killed_recorder_only_ticks_of_all_cameras_count(tmp_path: Path) -> None:
    layout = overlapping(2)
    with RecordingWriter(tmp_path / "r", Description.of(site_config(layout.cameras), layout, "a test")) as writer:
        for seq, one in enumerate(SCENE, start=1):
            if not (one.camera == 1 and one.tick > 7):
                writer.add(TrackEntry(seq, layout.cameras[one.camera], one.tick, one.tick, one.batch))
    recording = Recording.open(tmp_path / "r")
    assert recording.last_tick == 7
    assert recording.ticks("A").tolist() == recording.ticks("B").tolist() == list(range(1, 8))
    assert recording.tracks("A").tick.max() == 7


def test_a_camera_that_ended_long_before_the_others_does_not_shorten_a_killed_recording(
    tmp_path: Path,
) -> None:
    scene = entries([Stay(1, 0, 1, 100), Stay(1, 1, 1, 100)])
    layout = overlapping(2)
    with RecordingWriter(tmp_path / "r", Description.of(site_config(layout.cameras), layout, "a test")) as writer:
        for seq, one in enumerate(scene, start=1):
            if one.camera == 0 or one.tick <= 20:
                writer.add(TrackEntry(seq, layout.cameras[one.camera], one.tick, one.tick, one.batch))
    recording = Recording.open(tmp_path / "r")
    assert recording.last_tick == 105
    assert recording.ticks("B").tolist() == list(range(1, 21))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, r"recording\.json: version 2 is not supported \(supported: 1\)"),
        ({"format": "other"}, r"recording\.json: does not describe a recording"),
        ({"site": {"site": "x"}}, r"recording\.json: is invalid"),
        ({"later": 1}, r"recording\.json: is invalid"),
    ],
)
def test_an_invalid_description_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    shutil.copytree(GOLDEN, tmp_path / "r")
    path = tmp_path / "r" / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RecordingError, match=message):
        Recording.open(tmp_path / "r")


def test_a_missing_folder_or_a_missing_camera_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nowhere: is not a recording: it has no recording\.json"):
        Recording.open(tmp_path / "nowhere")
    shutil.copytree(GOLDEN, tmp_path / "r")
    (tmp_path / "r" / "tracks" / "B.entries").unlink()
    with pytest.raises(RecordingError, match=r"B\.entries: is missing"):
        Recording.open(tmp_path / "r")


def test_descending_ticks_are_refused(tmp_path: Path) -> None:
    described = Description.of(site_config("A"), Layout.open(("A",)), "a test")
    with RecordingWriter(tmp_path / "r", described) as writer:
        for tick in (1, 2, 2):
            writer.add(TrackEntry(tick, "A", tick, tick, SCENE[0].batch))
    with pytest.raises(RecordingError, match=r"A\.entries: entry 0-2: tick 2 comes after tick 2"):
        Recording.open(tmp_path / "r").tracks("A")


def test_a_description_has_the_calibrations_and_no_path_of_this_machine() -> None:
    site = site_config(("A", "B"))
    files = {"calibration": Path("/here/a.json"), "mask": Path("/here/a.png")}
    site = site.model_copy(update={"cameras": (site.cameras[0].model_copy(update=files), site.cameras[1])})
    calibration = parse_calibration("[[0.01, 0, -3], [0, -0.02, 9], [0, 0.001, 1]]")
    described = Description.of(site, replace(overlapping(2), calibrations={"A": calibration}), "mtmc 0 test")
    assert "/here" not in described.model_dump_json()
    assert described.site_layout().calibrations["A"].fingerprint == calibration.fingerprint
