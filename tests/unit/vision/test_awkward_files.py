"""Files that players show correctly and naive readers do not: each picture must be shown at its own time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from shared.backoff import Backoff
from shared.errors import SourceUnavailable
from tests.videos import CLOCK, SIZE, number_in, picture, write_video
from vision.video.file_facts import frame_times, frames_at, read_facts
from vision.video.file_source import FileSource
from vision.video.source import SourceState
from vision.video.video_file import VideoFile

Play = Callable[..., FileSource]
STEADY = [i / 25 for i in range(100)]
THIRTY_THEN_TEN = [*(i / 30 for i in range(150)), *(5 + i / 10 for i in range(50))]
WITH_A_GAP = [*(i / 25 for i in range(50)), *(5 + i / 25 for i in range(50))]
B_FRAMES = {"bf": "2", "g": "50"}


@pytest.fixture
def play() -> Iterator[Play]:
    opened: list[FileSource] = []

    def open_file(path: Path, **options: object) -> FileSource:
        opened.append(FileSource(path, camera="c1", **options))  # type: ignore[arg-type]
        return opened[-1]

    yield open_file
    for source in opened:
        source.close()


def shown(source: FileSource, at_s: float) -> int | None:
    frame = source.frame_at(at_s, None)
    assert source.error is None
    return None if frame is None else number_in(frame.image)


def nearest(times_s: list[float], at_s: float) -> int:
    return min(range(len(times_s)), key=lambda i: (round(abs(times_s[i] - at_s), 4), i))


def assert_shows_its_pictures_in_time(source: FileSource, times_s: list[float], rate: int = 10) -> None:
    for tick in range(int(times_s[-1] * rate)):
        assert shown(source, tick / rate) == nearest(times_s, tick / rate), tick


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bf.mp4", {"options": B_FRAMES}),
        ("bf.mkv", {"options": B_FRAMES}),
        ("bf.ts", {"options": B_FRAMES}),
        ("bf.avi", {"options": B_FRAMES, "rate": 25}),
        ("av1.mp4", {"codec": "libsvtav1", "options": {"preset": "10", "crf": "20"}}),
        ("hevc.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none"}}),
        ("ten_bits.mkv", {"pixels": "yuv420p10le"}),
        ("444.mp4", {"pixels": "yuv444p"}),
        ("odd.mkv", {"pixels": "yuv444p", "size": (387, 65)}),
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
        ("fragmented.mp4", {"container_options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("mjpeg.avi", {"codec": "mjpeg", "pixels": "yuvj420p", "rate": 25}),
        ("naïve 100%d #1 [a]?.mp4", {}),
    ],
)
def test_the_pictures_of_every_container_and_codec_are_shown_in_time(
    play: Play, tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    path = write_video(tmp_path / name, STEADY, **options)  # type: ignore[arg-type]
    assert_shows_its_pictures_in_time(play(path), STEADY)
    assert read_facts(path, "c1").fps == pytest.approx(25, rel=0.01)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_a_variable_rate_is_followed(play: Play, tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, THIRTY_THEN_TEN)
    assert_shows_its_pictures_in_time(play(path, interval_s=0.1), THIRTY_THEN_TEN)
    assert_shows_its_pictures_in_time(play(path), THIRTY_THEN_TEN, rate=7)
    assert frame_times(path, "c1")[0] == pytest.approx(THIRTY_THEN_TEN, abs=0.002)
    facts = read_facts(path, "c1")
    assert facts.is_variable
    assert (round(1 / facts.shortest_s), round(1 / facts.longest_s)) == (30, 10)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_in_a_gap_nothing_is_seen(play: Play, tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, WITH_A_GAP)
    source = play(path)
    assert [shown(source, at) for at in (1.9, 1.97, 2.1, 3.0, 4.9, 5.0, 5.5)] == [47, 49, None, None, None, 50, 62]
    facts = read_facts(path, "c1")
    assert [(round(at, 2), round(length, 2)) for at, length in facts.gaps] == [(1.96, 3.04)]
    assert not facts.is_variable
    found = frames_at(frame_times(path, "c1")[0], np.array([1.9, 1.97, 2.1, 3.0, 4.9, 5.0, 5.5, 99.0]), 25)
    assert found.tolist() == [47, 49, -1, -1, -1, 50, 62, -1]


def test_pictures_that_are_seconds_apart_are_no_gaps(play: Play, tmp_path: Path) -> None:
    slow = [2.0 * i for i in range(8)]
    source = play(write_video(tmp_path / "slow.mp4", slow))
    assert [shown(source, at) for at in (0.0, 0.9, 1.1, 4.9, 5.1, 13.9)] == [0, 0, 1, 2, 3, 7]
    assert read_facts(tmp_path / "slow.mp4", "c1").gaps == ()


@pytest.mark.parametrize("fps", [300, 480])
def test_a_high_speed_camera_plays_at_its_own_speed(play: Play, tmp_path: Path, fps: int) -> None:
    times = [i / fps for i in range(2 * fps)]
    path = write_video(tmp_path / "fast.mp4", times, rate=fps)
    assert_shows_its_pictures_in_time(play(path, interval_s=0.1), times)
    assert read_facts(path, "c1").fps == pytest.approx(fps, rel=0.01)


def joined(folder: Path, parts: list[list[float]], suffix: str = "ts", **options: object) -> Path:
    """MPEG-TS files with these time stamps, one after the other in one file."""
    path, first = folder / f"joined.{suffix}", 0
    with path.open("wb") as output:
        for times in parts:
            part = write_video(
                folder / f"part.{suffix}", times, first=first, container_options={"muxdelay": "0"}, **options
            )  # type: ignore[arg-type]
            output.write(part.read_bytes())
            first += len(times)
    return path


@pytest.mark.parametrize("start_s", [0.0, 100.0, 3000.0])
def test_a_jump_of_the_clock_in_mpeg_ts_is_taken_out(play: Play, tmp_path: Path, start_s: float) -> None:
    path = joined(tmp_path, [[50 + at for at in STEADY], [start_s + at for at in STEADY]])
    times = [*STEADY, *(4 + at for at in STEADY)]
    source = play(path)
    for tick in range(75):
        number = shown(source, tick / 10)
        assert number is not None
        assert abs(times[number] - tick / 10) < 0.07, tick
    assert frame_times(path, "c1")[0][-1] == pytest.approx(7.96, abs=0.1)


def test_the_clock_of_mpeg_ts_may_wrap_around(play: Play, tmp_path: Path) -> None:
    wrap_s = 2**33 / 90_000
    times = [wrap_s - 2 + at for at in STEADY]
    assert_shows_its_pictures_in_time(play(write_video(tmp_path / "wrap.ts", times)), STEADY)


def test_a_late_request_seeks_in_mpeg_ts_but_not_over_a_jump(play: Play, tmp_path: Path) -> None:
    long = [i / 25 for i in range(1000)]
    whole = write_video(tmp_path / "whole.ts", long, options={"g": "25"})
    assert shown(play(whole), 35.0) == 875
    jumping = joined(tmp_path, [long[:500], [1000 + at for at in long[:500]]], options={"g": "25"})
    number = shown(play(jumping), 35.0)
    assert number == pytest.approx(875, abs=1)


@pytest.mark.parametrize("loop", [0, 3])
def test_a_file_of_variable_rate_loops_after_its_last_picture(play: Play, tmp_path: Path, loop: int) -> None:
    path = write_video(tmp_path / "a.mp4", THIRTY_THEN_TEN)
    source = play(path, loop=True)
    duration_s = THIRTY_THEN_TEN[-1] + 1 / VideoFile(path, "c1").fps
    if loop:
        assert shown(source, 0.0) == 0
    for at in (7.0, 9.9, duration_s + 0.01):
        frame = source.frame_at(loop * duration_s + at, None)
        assert frame is not None
        assert (frame.loop, number_in(frame.image)) == (
            loop + (at > duration_s),
            nearest(THIRTY_THEN_TEN, at % duration_s),
        )


def test_raw_h264_plays_at_the_rate_that_the_camera_states(play: Play, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.h264", STEADY, container="h264", options=B_FRAMES)
    assert shown(play(path), 2.0) == 50
    assert shown(play(path, fps=10), 2.0) == 20
    facts = read_facts(path, "c1")
    assert (facts.has_time_stamps, facts.fps) == (False, 25)


def test_with_time_stamps_fps_scales_the_speed(play: Play, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", THIRTY_THEN_TEN)
    average = len(THIRTY_THEN_TEN) / THIRTY_THEN_TEN[-1]
    source = play(path, fps=2 * average)
    assert shown(source, 3.5) == pytest.approx(nearest(THIRTY_THEN_TEN, 7.0), abs=1)


def test_an_interlaced_file_shows_its_pictures(play: Play, tmp_path: Path) -> None:
    options = {"x264-params": "tff=1:interlaced=1", "bf": "0"}
    path = write_video(tmp_path / "a.mp4", STEADY, options=options)
    assert_shows_its_pictures_in_time(play(path), STEADY)
    assert read_facts(path, "c1").interlaced


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_file_is_turned_upright(play: Play, tmp_path: Path, rotation: int) -> None:
    path = write_video(tmp_path / "a.mp4", STEADY, rotation=rotation)
    frame = play(path).frame_at(2.0, None)
    assert frame is not None
    upright = np.rot90(picture(50), rotation // 90)
    assert frame.image.shape == upright.shape
    assert np.abs(frame.image.astype(int) - upright).mean() < 10
    assert read_facts(path, "c1").rotation % 360 == rotation % 360


def test_the_size_may_change_in_mid_stream(play: Play, tmp_path: Path) -> None:
    path = tmp_path / "a.h264"
    small = write_video(tmp_path / "small.h264", STEADY[:50], container="h264", size=(192, 48))
    large = write_video(tmp_path / "large.h264", STEADY[:50], container="h264", first=50)
    path.write_bytes(small.read_bytes() + large.read_bytes())
    source = play(path)
    before, after = source.frame_at(1.0, None), source.frame_at(3.0, None)
    assert before is not None
    assert after is not None
    assert (before.image.shape, after.image.shape) == ((48, 192, 3), (SIZE[1], SIZE[0], 3))
    assert (number_in(before.image), number_in(after.image)) == (25, 75)


def test_a_damaged_part_is_skipped(play: Play, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", STEADY, options={"g": "25"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = random.Random(1).randbytes(2000)
    path.write_bytes(data)
    source = play(path)
    seen = [shown(source, tick / 10) for tick in range(38)]
    assert sum(number == nearest(STEADY, tick / 10) for tick, number in enumerate(seen)) >= 25
    assert seen[-3:] == [nearest(STEADY, tick / 10) for tick in (35, 36, 37)]


def test_a_file_cut_off_in_the_middle_plays_to_there(play: Play, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", STEADY, options={"g": "10"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = play(path)
    assert shown(source, 1.0) == 25
    assert source.frame_at(60.0, None) is None
    assert source.state is SourceState.ENDED


def test_an_8k_picture_is_shown(play: Play, tmp_path: Path) -> None:
    path = write_video(tmp_path / "8k.avi", [0.0], codec="mjpeg", pixels="yuvj420p", size=(7680, 4320), rate=25)
    frame = play(path).frame_at(0.0, None)
    assert frame is not None
    assert frame.image.shape == (4320, 7680, 3)


def test_audio_alone_is_named(play: Play, tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.wav"
    output = av.open(str(path), "w")
    stream = output.add_stream("pcm_s16le", rate=8000)
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
    frame.rate = 8000
    output.mux(stream.encode(frame))
    output.close()
    with pytest.raises(SourceUnavailable, match="contains no video, only audio"):
        read_facts(path, "c1")


def test_hardware_that_is_missing_is_named_and_auto_falls_back_to_the_cpu(play: Play, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", STEADY)
    assert shown(play(path, hwaccel="auto"), 2.0) == 50
    source = play(path, hwaccel="videotoolbox")  # of macOS; no test runs there with this codec
    assert source.answered.wait(20)
    if source.state is SourceState.DOWN:
        assert "cannot be decoded on videotoolbox here" in str(source.error)
        assert "set hwaccel to auto or none" in str(source.error)


def test_an_unsupported_codec_is_named(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", STEADY[:5])
    path.write_bytes(path.read_bytes().replace(b"avc1", b"evc1").replace(b"avcC", b"evcC"))
    with pytest.raises(SourceUnavailable, match="evc"):
        read_facts(path, "c1")


def test_a_file_with_rare_key_frames_is_sought_without_going_back_again_and_again(play: Play, tmp_path: Path) -> None:
    slow = [i / 10 for i in range(600)]
    path = write_video(tmp_path / "rare.mp4", slow, rate=10, options={"g": "250", "sc_threshold": "0"})
    source = play(path)
    assert shown(source, 0.0) == 0
    for at in (22.0, 48.0, 23.5, 59.0, 12.0):
        assert shown(source, at) == round(at * 10)
    assert shown(play(path, loop=True), 78.0) == 180
    assert shown(play(path, interval_s=0.1), 24.4) == 244


def test_a_looping_file_that_is_replaced_is_played_from_its_start(play: Play, tmp_path: Path) -> None:
    late = [100 + at for at in STEADY]
    path = write_video(tmp_path / "a.ts", late)
    source = play(path, loop=True, backoff=Backoff(0.05, 0.1))
    assert shown(source, 0.0) == 0
    write_video(tmp_path / "b.ts", STEADY, first=200).replace(path)
    deadline = time.monotonic() + 20
    number = None
    while number is None or number < 200:
        assert time.monotonic() < deadline
        frame = source.frame_at(5.0, 0.1)
        number = number_in(frame.image) if frame is not None else None
    assert source.frame_at(6.0, None) is not None


def test_a_time_before_the_file_shows_its_first_picture(play: Play, tmp_path: Path) -> None:
    source = play(write_video(tmp_path / "a.mp4", STEADY))
    assert [shown(source, at) for at in (0.0, 3.0, -3.0)] == [0, 75, 0]


def test_a_looping_file_of_one_picture_does_not_start_over(play: Play, tmp_path: Path) -> None:
    source = play(write_video(tmp_path / "a.mp4", [0.0]), loop=True)
    seen = [source.frame_at(at, None) for at in (0.0, 0.5, 100.0)]
    assert [frame.loop for frame in seen if frame is not None] == [0, 0, 0]


def test_metadata_that_is_no_text_does_not_matter(play: Play, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", STEADY, rate=25, metadata={"title": "Tuer"})
    path.write_bytes(path.read_bytes().replace(b"Tuer", b"T\xfcr\0"))
    assert shown(play(path), 1.0) == 25
    assert read_facts(path, "c1").fps == pytest.approx(25, rel=0.01)


def test_a_file_whose_time_stamps_are_all_equal_plays_at_its_rate(play: Play, tmp_path: Path) -> None:
    # Matroska rounds them to milliseconds.
    path = write_video(tmp_path / "a.mkv", [i / CLOCK for i in range(40)], codec="mjpeg", pixels="yuvj420p", rate=25)
    source = play(path)
    assert shown(source, 1.0) == pytest.approx(25, abs=1)


def test_the_facts_of_a_file_whose_time_stamps_stand_still_can_be_read(tmp_path: Path) -> None:
    facts = read_facts(write_video(tmp_path / "a.mkv", [round(i / 4) / 10 for i in range(80)]), "c1")
    assert facts.fps > 0
    assert facts.shortest_s > 0


@pytest.mark.parametrize("seed", range(8))
def test_any_request_to_any_file_gets_the_nearest_picture(play: Play, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    times, at_s = list[float](), 0.0
    for _ in range(rng.choice([40, 300, 600])):
        times.append(round(at_s, 3))
        at_s += rng.choice([0.02, 0.04, 0.04, 0.04, 0.1, 0.1, 0.5] if rng.random() < 0.97 else [1.5, 3.0, 8.5])
    name = f"a.{rng.choice(['mp4', 'mkv', 'ts', 'mov'])}"
    options = {"g": rng.choice(["1", "12", "250"]), "bf": rng.choice(["0", "2"])}
    path = write_video(tmp_path / name, times, options=options)
    looping = seed % 2 == 1
    source = play(path, loop=looping, interval_s=rng.choice([None, 0.1]))
    found, fps = frame_times(path, "c1")
    duration_s, asked_s = found[-1] + 1 / fps, 0.0
    for _ in range(50):
        jump = rng.uniform(0, (3 if looping else 1) * times[-1])
        asked_s = rng.choice([asked_s + 0.1, asked_s + 0.1, asked_s + rng.uniform(0, 15), jump])
        if not looping and asked_s > times[-1]:
            asked_s = 0.0
        frame = source.frame_at(asked_s, 20.0)
        at_s = asked_s % duration_s if looping else asked_s
        if looping and min(at_s, duration_s - at_s) < 2 / fps:
            continue  # between the end and the start, where rounding decides
        expected = int(frames_at(found, np.array([at_s]), fps)[0])
        number = -1 if frame is None else number_in(frame.image)
        if -1 not in (expected, number):
            assert abs(found[number] - at_s) < abs(found[expected] - at_s) + 0.003, (asked_s, number, expected)
        else:
            assert number == expected, asked_s
