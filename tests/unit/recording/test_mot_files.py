"""Import and export of MOTChallenge text, and the tracker over detections in that format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recording.errors import RecordingError
from recording.export import camera_numbers, export_recording
from recording.mot_import import ImportOptions, MotSource, import_mot
from recording.mot_text import read_mot
from recording.mot_tracking import TrackingOptions, track_mot
from recording.reading import Recording
from recording.rows import AssignmentRows
from shared.errors import LayoutError
from vision.tracking.settings import TrackerSettings

SIZE = (640, 480)


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def sources(tmp_path: Path) -> list[MotSource]:
    """Two cameras: in `c01` objects 4 and 9 from frame 1 to 40, in `c02` object 4 from frame 11, lines shuffled."""
    rng = np.random.default_rng(1)
    made = []
    for camera, who in (("c01", {4: 1, 9: 1}), ("c02", {4: 11})):
        lines = [
            f"{frame},{object_id},{10 + frame * 0.37:.2f},{object_id * 40},50.25,90.5,0.{frame + 30}"
            for object_id, first in who.items()
            for frame in range(first, 41)
        ]
        order = rng.permutation(len(lines))
        text = write(tmp_path / f"{camera}.txt", [lines[i] for i in order])
        ids = [int(lines[i].split(",")[1]) for i in order]
        np.save(tmp_path / f"{camera}.npy", np.array([[5.0 * (i == 4), 5.0 * (i == 9), 0] for i in ids], np.float32))
        made.append(MotSource(camera, text, tmp_path / f"{camera}.npy"))
    return made


def boxes_of(path: Path) -> dict[tuple[int, int], list[float]]:
    rows = read_mot(path)
    return dict(
        zip(zip(rows.frame.tolist(), rows.object_id.tolist(), strict=True), rows.box_ltwh.tolist(), strict=True)
    )


def test_an_export_equals_what_was_imported(sources: list[MotSource], tmp_path: Path) -> None:
    done = import_mot(sources, ImportOptions(fps=10), tmp_path / "r")
    assert (done.ticks, done.boxes, done.tracks, done.embeddings, done.clipped) == (40, 110, 3, 110, 0)
    exported = export_recording(Recording.open(tmp_path / "r"), "mot", tmp_path / "text", ids="track")
    assert (exported.boxes, exported.without_gid) == (110, 0)
    for source in sources:
        assert boxes_of(tmp_path / "text" / f"{source.camera}.txt") == boxes_of(source.tracks)


def test_embeddings_follow_their_boxes_through_the_sorting(sources: list[MotSource], tmp_path: Path) -> None:
    import_mot(sources, ImportOptions(fps=10), tmp_path / "r")
    rows = Recording.open(tmp_path / "r").tracks("c01")
    assert rows.embeddings[rows.embedding_row].argmax(axis=1).tolist() == (rows.track_id == 9).astype(int).tolist()
    assert np.allclose(np.linalg.norm(rows.embeddings.astype(float), axis=1), 1, atol=1e-3)


def test_every_camera_has_every_tick_and_tracks_end_as_in_a_tracker(sources: list[MotSource], tmp_path: Path) -> None:
    write(sources[0].tracks, ["1,1,0,0,9,9", "12,1,0,0,9,9", "60,2,0,0,9,9"])
    options = ImportOptions(fps=10, max_lost_seconds=1.5, size=SIZE)
    import_mot([MotSource("a", sources[0].tracks), MotSource("b", sources[1].tracks)], options, tmp_path / "r")
    recording = Recording.open(tmp_path / "r")
    assert recording.ticks("a").tolist() == recording.ticks("b").tolist() == list(range(1, 61))
    assert [part.tolist() for part in recording.ended("a")] == [[28], [1]]
    assert recording.tick_times_ns("a")[:2].tolist() == [100_000_000, 200_000_000]
    rows = recording.tracks("a")
    assert (rows.width, rows.height) == SIZE
    assert rows.embeddings.shape == (0, 0)


def test_a_stride_takes_every_third_frame_and_keeps_its_number(sources: list[MotSource], tmp_path: Path) -> None:
    import_mot(sources, ImportOptions(fps=30, stride=3), tmp_path / "r")
    recording = Recording.open(tmp_path / "r")
    assert recording.fps == 10
    assert recording.last_tick == 14
    export_recording(recording, "mot", tmp_path / "text", ids="track")
    everything = boxes_of(sources[0].tracks)
    assert boxes_of(tmp_path / "text" / "c01.txt") == {key: box for key, box in everything.items() if key[0] % 3 == 1}


def test_confidences_out_of_range_are_clipped_and_counted(tmp_path: Path) -> None:
    text = write(tmp_path / "a.txt", ["1,1,0,0,9,9,1.7", "2,1,0,0,9,9,-0.25", "3,1,0,0,9,9,0.5"])
    assert import_mot([MotSource("a", text)], ImportOptions(fps=10), tmp_path / "r").clipped == 2
    assert Recording.open(tmp_path / "r").tracks("a").score.tolist() == [1, 0, 0.5]


def test_invalid_imports_are_refused_before_anything_is_written(sources: list[MotSource], tmp_path: Path) -> None:
    folder = tmp_path / "r"
    np.save(tmp_path / "c02.npy", np.ones((30, 7), np.float32))
    with pytest.raises(RecordingError, match="the features have 3 and 7 columns"):
        import_mot(sources, ImportOptions(fps=10), folder)
    empty = write(tmp_path / "empty.txt", [])
    with pytest.raises(RecordingError, match="the text files contain no boxes"):
        import_mot([MotSource("a", empty)], ImportOptions(fps=10), folder)
    layout = write(tmp_path / "layout.txt", ["compatibility", "1 1 1", "1 1 1", "1 1 1"])
    with pytest.raises(LayoutError, match=r"layout\.txt"):
        import_mot([MotSource("a", sources[0].tracks)], ImportOptions(fps=10, layout=layout), folder)
    assert not folder.exists()


def test_ground_truth_is_imported_without_what_does_not_count(tmp_path: Path) -> None:
    visdrone = write(
        tmp_path / "a.txt",
        ["1,0,0,0,300,200,0,0,0,0", "1,0,9,9,300,200,0,0,0,0", "1,5,1,0,9,9,1,4,0,2", "2,5,2,0,9,9,1,4,0,2"],
    )
    mot17 = write(tmp_path / "b.txt", ["1,1,0,0,9,9,0,7,1", "1,2,0,0,9,9,1,1,0.3"])
    features = np.eye(4, dtype=np.float32)
    np.save(tmp_path / "a.npy", features)
    sources = [MotSource("a", visdrone, tmp_path / "a.npy"), MotSource("b", mot17)]
    done = import_mot(sources, ImportOptions(fps=10), tmp_path / "r")
    assert (done.boxes, done.left_out, done.tracks, done.embeddings) == (3, 3, 2, 2)
    rows = Recording.open(tmp_path / "r").tracks("a")
    assert rows.class_id.tolist() == [4, 4]
    assert rows.embeddings[rows.embedding_row].argmax(axis=1).tolist() == [2, 3]
    write(tmp_path / "b.txt", ["1,1,0,0,9,9,0", "1,2,0,0,9,9,0"])
    with pytest.raises(RecordingError, match=r"b\.txt: line 1: column 7 is 0 in all lines"):
        import_mot(sources, ImportOptions(fps=10), tmp_path / "r2")


def test_a_file_of_all_cameras_is_imported_with_its_embeddings(named: Recording, tmp_path: Path) -> None:
    text = tmp_path / "track1.txt"
    done = export_recording(named, "cityflow", text)
    np.save(tmp_path / "all.npy", np.repeat([[1.0, 0], [0, 1.0]], [57, done.boxes - 57], axis=0))
    sources = [MotSource(camera, text, tmp_path / "all.npy") for camera in ("c02", "c01")]
    again = import_mot(sources, ImportOptions(fps=10), tmp_path / "again")
    assert (again.boxes, again.embeddings) == (done.boxes, done.boxes)
    recording = Recording.open(tmp_path / "again")
    counts = {camera: len(recording.tracks(camera)) for camera in recording.cameras}
    assert counts == {"c02": 28, "c01": 59}
    export_recording(recording, "mot", tmp_path / "text", ids="track")
    export_recording(named, "mot", tmp_path / "named")
    assert boxes_of(tmp_path / "text" / "c02.txt") == boxes_of(tmp_path / "named" / "c02.txt")
    rows = recording.tracks("c02")
    assert rows.embeddings[rows.embedding_row].argmax(axis=1).tolist() == [1] * 28


def test_frames_from_zero_begin_at_the_first_tick(tmp_path: Path) -> None:
    text = write(tmp_path / "a.txt", ["0,1,0,0,9,9", "1,1,0,0,9,9", "2,1,0,0,9,9"])
    done = import_mot([MotSource("a", text)], ImportOptions(fps=10), tmp_path / "r")
    assert (done.ticks, done.texts.first_frame_found) == (3, True)
    export_recording(Recording.open(tmp_path / "r"), "mot", tmp_path / "text", ids="track")
    assert (tmp_path / "text" / "a.txt").read_text().startswith("0,1,0,0,9,9,1,")


@pytest.fixture
def named(sources: list[MotSource], tmp_path: Path) -> Recording:
    """Object 4 has gid 1 in both cameras, object 9 has gid 2 from tick 20 on."""
    import_mot(sources, ImportOptions(fps=10), tmp_path / "r")
    changes = [(3, 0, 4, 1, -1), (13, 1, 4, 1, -1), (20, 0, 9, 2, -1)]
    return Recording.open(tmp_path / "r").with_assignments(AssignmentRows.of(changes))


def test_exported_ids_are_those_published_at_the_tick_and_boxes_without_one_are_omitted(
    named: Recording, tmp_path: Path
) -> None:
    done = export_recording(named, "mot", tmp_path / "text")
    assert (done.boxes, done.without_gid) == (110 - 2 - 2 - 19, 23)
    first, second = (boxes_of(tmp_path / "text" / f"{camera}.txt") for camera in named.cameras)
    assert sorted(first) == sorted([(frame, 1) for frame in range(3, 41)] + [(frame, 2) for frame in range(20, 41)])
    assert sorted(second) == [(frame, 1) for frame in range(13, 41)]


def test_cityflow_counts_cameras_by_the_number_in_their_names(named: Recording, tmp_path: Path) -> None:
    done = export_recording(named, "cityflow", tmp_path / "track1.txt")
    lines = (tmp_path / "track1.txt").read_text().splitlines()
    assert len(lines) == done.boxes == 87
    assert lines[0] == "1 1 3 11.11 160 50.25 90.5 -1 -1"
    assert {line.split()[0] for line in lines} == {"1", "2"}


def test_csv_has_every_box(named: Recording, tmp_path: Path) -> None:
    done = export_recording(named, "csv", tmp_path / "all.csv")
    lines = (tmp_path / "all.csv").read_text().splitlines()
    assert done.boxes == 110
    assert done.without_gid == 23
    assert lines[:2] == [
        "camera,tick,frame,time_ns,track_id,gid,left,top,width,height,score,class",
        "c01,1,1,100000000,4,,10.37,160,50.25,90.5,0.31,0",
    ]
    assert sum(line.split(",")[5] == "" for line in lines[1:]) == 23


@pytest.mark.parametrize(
    ("cameras", "numbers"),
    [(["c041", "c042"], [41, 42]), (["gate", "hall2"], [1, 2]), (["a1", "b1"], [1, 2]), (["cam0"], [0])],
)
def test_camera_numbers(cameras: list[str], numbers: list[int]) -> None:
    assert camera_numbers(cameras) == numbers


def detections(path: Path) -> Path:
    """Two objects cross the view within 60 frames; one of them is not detected in frames 20 to 25."""
    lines = [
        f"{frame},-1,{10 + step * frame},{top},40,80,{score}"
        for frame in range(1, 61)
        for step, top, score in ((3, 50, 0.9), (4, 300, 0.3 if frame > 40 else 0.8))
        if not (top == 300 and 20 <= frame <= 25)
    ]
    return write(path, lines[::-1])


def test_the_tracker_keeps_frame_numbers_and_ids(tmp_path: Path) -> None:
    text = detections(tmp_path / "det.txt")
    done = track_mot(text, TrackingOptions(fps=30, size=SIZE), TrackerSettings(), tmp_path / "out" / "t.txt")
    rows = read_mot(tmp_path / "out" / "t.txt")
    assert (done.tracks, done.boxes, done.frames) == (2, len(rows), 60)
    assert sorted(set(rows.object_id.tolist())) == [1, 2]
    upper = rows.select(rows.box_ltwh[:, 1] == 50)
    assert upper.frame.tolist() == list(range(2, 61))  # The second detection makes it a track.
    assert len(set(upper.object_id.tolist())) == 1


def test_the_stride_and_the_trackers_options_are_applied(tmp_path: Path) -> None:
    text = detections(tmp_path / "det.txt")
    strict = TrackerSettings(low_score=0.5, min_hits=3)
    track_mot(text, TrackingOptions(fps=30, stride=2), strict, tmp_path / "t.txt")
    rows = read_mot(tmp_path / "t.txt")
    assert set((rows.frame % 2).tolist()) == {1}
    assert rows.frame.min() == 5
    lower = rows.select(rows.box_ltwh[:, 1] == 300)
    assert lower.frame.max() == 39  # From frame 41 on its detections are below the low score.
