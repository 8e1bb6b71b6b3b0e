"""File sources on real videos: every frame shows its number as blocks, so that a test can identify it."""

import os
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from structlog.testing import capture_logs

from shared.backoff import Backoff
from vision.video import file_source, video_file
from vision.video.address import file_problem
from vision.video.decoding import Converter
from vision.video.file_source import FileSource, is_needed
from vision.video.source import Frame, SourceState
from vision.video.video_file import VideoFile

BITS, BLOCK_PX = 12, 32
SHARED = Path(os.environ.get("MTMC_SHARED", Path(__file__).parents[3] / ".." / "shared")).resolve()
RAW_H264 = SHARED / "data/intel-samples/people-detection.264"
MP4 = SHARED / "data/ufes-four-cameras/cam0.mp4"
PATIENCE_S = 20.0


def picture(number: int) -> NDArray[np.uint8]:
    bits = [255 * (number >> bit & 1) for bit in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8), BLOCK_PX)
    return np.repeat(np.tile(row, (2 * BLOCK_PX, 1))[:, :, None], 3, axis=2)


def number_in(image: NDArray[np.uint8]) -> int:
    middle = image[BLOCK_PX, BLOCK_PX // 2 :: BLOCK_PX, 1]
    return sum(1 << bit for bit in range(BITS) if middle[bit] > 127)


def write_video(path: Path, frames: int, fps: float = 10.0, codec: str = "mp4v") -> Path:
    size = (BITS * BLOCK_PX, 2 * BLOCK_PX)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, size)
    assert writer.isOpened()
    for number in range(frames):
        writer.write(picture(number))
    writer.release()
    return path


def write_raw_jpegs(path: Path, frames: int) -> Path:
    """A file whose container has no length and cannot seek; FFmpeg assumes 25 fps."""
    path.write_bytes(b"".join(cv2.imencode(".jpg", picture(number))[1].tobytes() for number in range(frames)))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("videos")


@pytest.fixture(scope="module")
def short(folder: Path) -> Path:
    return write_video(folder / "short.mp4", 30)


@pytest.fixture(scope="module")
def long(folder: Path) -> Path:
    return write_video(folder / "long.mp4", 1500)


@pytest.fixture
def play() -> Iterator[Callable[..., FileSource]]:
    opened: list[FileSource] = []

    def open_file(path: Path, **options: object) -> FileSource:
        options.setdefault("backoff", Backoff(0.05, 0.1))
        opened.append(FileSource(path, camera="c1", **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_file
    for source in opened:
        source.close()


Play = Callable[..., FileSource]


def take(source: FileSource, media_time_s: float) -> Frame:
    frame = source.frame_at(media_time_s, None)
    assert frame is not None, source.error
    assert number_in(frame.image) == frame.index
    return frame


def model(tick: int, rate: int, fps: int) -> int:
    """The nearest frame in exact arithmetic, the earlier of two."""
    at = Fraction(tick, rate)
    return min(range(tick * fps // rate + 2), key=lambda i: (abs(Fraction(i, fps) - at), i))


@pytest.mark.parametrize("rate", [5, 7, 10, 25])
@pytest.mark.parametrize("hinted", [False, True])
def test_each_tick_gets_the_frame_nearest_to_it(play: Play, short: Path, rate: int, hinted: bool) -> None:
    source = play(short, interval_s=1 / rate if hinted else None)
    for tick in range(29 * rate // 10):
        assert take(source, tick / rate).index == model(tick, rate, 10)


@pytest.mark.parametrize("rate", [3, 5, 7, 10, 25])
def test_only_frames_that_a_tick_uses_are_needed(rate: int) -> None:
    used = {model(tick, rate, 10) for tick in range(400)}
    for number in range(100):
        from_s, to_s = (number - 0.5) / 10 + 1e-6, (number + 0.5) / 10 + 1e-6
        assert is_needed(from_s, to_s, 0.0, 1 / rate) == (number in used)
        assert is_needed(from_s, to_s, 2.0, None) == (number >= 20)


def test_frames_that_no_tick_needs_are_not_converted(play: Play, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[int] = []
    image = Converter.image
    monkeypatch.setattr(
        Converter, "image", lambda own, frame: converted.append(round(frame.time * 10)) or image(own, frame)
    )
    source = play(short, interval_s=0.5)
    for tick in range(6):
        assert take(source, tick * 0.5).index == 5 * tick
    # Before the first request any frame may be needed, so the source converts a full buffer and one more frame.
    assert [i for i in converted if i % 5 and i > 5] == []


def test_a_frame_repeats_while_it_is_the_nearest_and_keeps_its_site_time(play: Play, short: Path) -> None:
    source = play(short, origin_ns=7_000_000_000)
    first, again = take(source, 1.0), take(source, 1.04)
    assert again is first
    assert first.time_ns == 8_000_000_000
    assert not first.image.flags.writeable
    assert take(source, 1.06).time_ns == 8_100_000_000


def test_a_loop_starts_over_and_says_so(play: Play, short: Path) -> None:
    source = play(short, loop=True)
    seen = [take(source, position / 10) for position in range(95)]
    assert [(f.loop, f.index) for f in seen] == [divmod(position, 30) for position in range(95)]
    assert [f.time_ns for f in seen] == [position * 100_000_000 for position in range(95)]


@pytest.mark.parametrize("at", [3, 400, 901, 1400, 1499])
def test_a_late_first_request_finds_its_frame(play: Play, long: Path, at: int) -> None:
    assert take(play(long), at / 10).index == at


@pytest.mark.parametrize("at", [1500, 15_007, 1500 * 99 + 1234])
def test_a_first_request_many_loops_in_finds_its_frame_without_decoding_the_file(
    play: Play, long: Path, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = VideoFile.read
    monkeypatch.setattr(VideoFile, "read", lambda v: reads.append(1) or read(v))
    source = play(long, loop=True)
    frame = take(source, at / 10)
    assert (frame.loop, frame.index) == divmod(at, 1500)
    assert source.duration_s == pytest.approx(150.0)
    assert len(reads) < 400
    reads.clear()
    again = take(source, (at + 1500 * 200 + 30) / 10)
    assert (again.loop, again.index) == divmod(at + 1500 * 200 + 30, 1500)
    assert len(reads) < 60


def test_requests_may_jump_forward_and_back(play: Play, long: Path) -> None:
    source = play(long, loop=True)
    for at in (0, 700, 2, 1499, 1501, 1498, 4500 + 3, 10):
        frame = take(source, at / 10)
        assert (frame.loop, frame.index) == divmod(at, 1500)


def test_a_seek_that_lands_on_the_wrong_frame_is_detected(
    play: Play, long: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lands = VideoFile._picture_from
    monkeypatch.setattr(VideoFile, "_picture_from", lambda video, time_s: lands(video, time_s + 20.0))
    with capture_logs() as logs:
        assert take(play(long), 120.0).index == 1200
    assert [entry["second"] for entry in logs if entry["event"] == "cannot seek in the file"] == [120.0]


def test_the_length_is_determined_if_the_container_does_not_contain_it(play: Play, folder: Path) -> None:
    path = write_raw_jpegs(folder / "raw.mjpeg", 340)
    source = play(path, loop=True)
    assert source.frame_at(0.0, None) is not None
    assert source.fps == 25.0
    assert source.duration_s is None
    for at in (339, 340, 341, 340 * 12 + 300, 340 * 12 + 3):
        frame = take(source, at / 25)
        assert (frame.loop, frame.index) == divmod(at, 340)
    assert source.duration_s == pytest.approx(340 / 25)


def test_with_a_known_length_the_end_is_not_searched_again(
    play: Play, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_raw_jpegs(folder / "known.mjpeg", 340)
    first = play(path, loop=True)
    assert first.length is None
    take(first, 345 / 25)
    reads: list[int] = []
    read = VideoFile.read
    monkeypatch.setattr(VideoFile, "read", lambda v: reads.append(1) or read(v))
    second = play(path, loop=True, known_length=first.length)
    frame = take(second, (340 * 7 + 20) / 25)
    assert (frame.loop, frame.index) == (7, 20)
    assert second.length == first.length
    assert len(reads) < 40


@pytest.mark.parametrize("known", ["", "29 {size}", "2.900000000s 1", "x y", "-2.9s {size}", "0.000000000s {size}"])
def test_the_length_of_another_file_is_ignored(play: Play, short: Path, known: str) -> None:
    source = play(short, loop=True, known_length=known.format(size=short.stat().st_size))
    assert [take(source, position / 10).loop for position in (28, 29, 30)] == [0, 0, 1]
    assert source.length == f"3.000000000s {short.stat().st_size}"


def test_a_file_ends_half_a_frame_after_its_last(play: Play, short: Path) -> None:
    source = play(short)
    assert take(source, 2.95).index == 29
    assert source.frame_at(2.96, None) is None
    assert source.state is SourceState.ENDED
    assert source.frame_at(2.5, None) is None
    assert source.error is None


def test_a_file_whose_first_request_is_long_after_its_end_ends_at_once(play: Play, long: Path) -> None:
    source = play(long)
    assert source.frame_at(86_400.0, None) is None
    assert source.state is SourceState.ENDED


def test_a_truncated_file_ends_at_its_last_frame(play: Play, folder: Path) -> None:
    whole = write_video(folder / "whole.avi", 200, codec="MJPG").read_bytes()
    broken = folder / "broken.avi"
    broken.write_bytes(whole[: len(whole) // 2])
    with capture_logs() as logs:
        source = play(broken, loop=True)
        position = 0
        while (frame := take(source, position / 10)).loop == 0:
            position += 1
    assert 80 < position < 120
    assert frame.index == 0
    found = [e["seconds"] for e in logs if e["event"] == "file is shorter than its header claims"]
    assert found == [position / 10]


def test_a_given_frame_rate_overrides_the_container(play: Play, short: Path) -> None:
    assert take(play(short, fps=20.0), 1.0).index == 20


@pytest.mark.parametrize("claimed", [None, Fraction(0), Fraction(-1), Fraction(90_000)])
def test_an_implausible_frame_rate_does_not_matter_where_there_are_time_stamps(
    play: Play, short: Path, monkeypatch: pytest.MonkeyPatch, claimed: Fraction | None
) -> None:
    monkeypatch.setattr(video_file, "stated_rate", lambda stream: float(claimed or 0))
    with capture_logs() as logs:
        assert take(play(short), 1.0).index == 10
    assert [e["event"] for e in logs if e["log_level"] == "warning"] == []


def test_a_missing_file_is_down_and_comes_up_once_it_appears(play: Play, tmp_path: Path, short: Path) -> None:
    path = tmp_path / "later.mp4"
    source = play(path)
    assert source.answered.wait(PATIENCE_S)
    assert source.state is SourceState.DOWN
    assert "no file" in str(source.error)
    assert source.frame_at(0.0, None) is None  # a source that is down delays nobody
    part = tmp_path / "part"
    part.write_bytes(short.read_bytes())
    part.rename(path)
    with source._changed:
        assert source._changed.wait_for(lambda: source.state is SourceState.LIVE, PATIENCE_S)
    assert take(source, 0.5).index == 5
    assert source.error is None


def test_a_source_recovers_from_an_unexpected_exception(
    play: Play, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, failures = file_source.VideoFile, iter([IndexError("a bug")])

    def fails_once(*arguments: Any, **options: Any) -> Any:
        for error in failures:
            raise error
        return opened(*arguments, **options)

    monkeypatch.setattr(file_source, "VideoFile", fails_once)
    with capture_logs() as logs:
        source = play(short)
        with source._changed:
            assert source._changed.wait_for(lambda: source.state is SourceState.LIVE, PATIENCE_S)
    reasons = [entry["reason"] for entry in logs if entry["event"] == "source is down"]
    assert reasons == [f"{short}: reading failed unexpectedly (IndexError); see the worker's log"]
    assert take(source, 0.0).index == 0
    assert (source.failures, source.restarts, source.error) == (1, 1, None)


def bad_file(kind: str, folder: Path) -> Path:
    path = folder / f"bad-{kind}.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "garbage":
        path.write_bytes(bytes(range(256)) * 64)
    return path


@pytest.mark.parametrize(
    ("kind", "says"),
    [("folder", "is a folder"), ("empty", "is empty"), ("garbage", "not a video"), ("missing", "no file")],
)
def test_a_file_that_is_not_a_video_is_down_with_a_reason(play: Play, tmp_path: Path, kind: str, says: str) -> None:
    path = bad_file(kind, tmp_path)
    with capture_logs() as logs:
        source = play(path)
        assert source.answered.wait(PATIENCE_S)
        source.close()
    assert source.state is SourceState.DOWN
    assert says in str(source.error)
    assert str(path) in str(source.error)
    assert [e["event"] for e in logs if e["event"].startswith("source")] == ["source is down"]
    assert (file_problem(path) is None) == (kind == "garbage")


def test_a_colon_in_a_file_name_is_not_parsed_as_a_protocol(
    play: Play, tmp_path: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gate:north.mp4").write_bytes(short.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert take(play(Path("gate:north.mp4")), 0.3).index == 3


def test_waiting_is_bounded_and_closing_ends_it(play: Play, short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_go_on = threading.Event()
    read = VideoFile.read
    monkeypatch.setattr(VideoFile, "read", lambda v: read(v) if may_go_on.wait(PATIENCE_S) else None)
    source = play(short)
    assert source.frame_at(0.0, 0.02) is None
    assert source.state is SourceState.STARTING
    may_go_on.set()
    assert take(source, 0.0).index == 0
    source.close()
    assert not source._thread.is_alive()
    assert source.frame_at(1.0, None) is None


def test_no_more_frames_are_decoded_ahead_than_fit_in_the_buffer(play: Play, long: Path) -> None:
    source = play(long, buffer_frames=3)
    take(source, 5.0)
    with source._changed:
        assert source._changed.wait_for(lambda: len(source._buffer) == 3, PATIENCE_S)
        assert not source._changed.wait_for(lambda: len(source._buffer) > 3, 0.2)
    assert take(source, 5.1).index == 51
    assert [span.frame.index for span in source._buffer if span.frame][:2] == [52, 53]


@pytest.mark.skipif(not RAW_H264.exists(), reason=f"{RAW_H264} is not there; set MTMC_SHARED")
def test_raw_h264_without_a_length_has_596_frames_and_loops(play: Play) -> None:
    source = play(RAW_H264, loop=True)
    first = source.frame_at(0.0, None)
    again = source.frame_at(596 / 25, None)
    assert first is not None
    assert again is not None
    assert (again.loop, again.index) == (1, 0)
    assert source.duration_s == pytest.approx(596 / 25)
    assert np.array_equal(first.image, again.image)


@pytest.mark.skipif(not MP4.exists(), reason=f"{MP4} is not there; set MTMC_SHARED")
def test_seeking_in_h264_returns_the_same_frame_as_playing(play: Play) -> None:
    played = play(MP4)
    for at in range(260):
        frame = played.frame_at(at / 10, None)
    sought = play(MP4, loop=True).frame_at((268 * 40 + 259) / 10, None)
    assert frame is not None
    assert sought is not None
    assert (sought.loop, sought.index) == (40, 259)
    assert np.array_equal(frame.image, sought.image)
