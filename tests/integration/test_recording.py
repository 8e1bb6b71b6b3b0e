"""A running site is recorded and the recording replayed, with the same gids from any aggregator."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from association.outcome import CameraTick
from recording import association
from recording.association import associate
from recording.following import follow
from recording.playing import Pace, Player, ticks_of
from recording.published import PublishedReader
from recording.publishing import ReplaySettings, publish_recording
from recording.reading import Recording
from recording.recorder import Recorder
from recording.replay import InProcess, Watcher, play
from recording.replay_output import replayed_copy
from recording.rows import AssignmentRows
from recording.video import VideoRecorder
from services.aggregator.service import Aggregator
from shared.calibration import Calibration
from shared.camera_calibrations import merged
from shared.camera_config import CameraConfig
from shared.camera_settings import add_camera
from shared.commands import send
from shared.errors import LeaseLost, MtmcError
from shared.layout import Layout
from shared.operator_commands import OperatorCommand
from shared.process import RevisionWatch, ServiceOptions, connect_site
from shared.redis_connection import Client, connect
from shared.service import run
from shared.site import PublishedSite, publish_site
from tests.conftest import RedisProcess
from tests.integration.test_aggregator import CAMERAS, ORIGIN_NS, TICKS, Feeder, aggregator_of, scene, site_of
from tests.recordings import write_recording
from tests.stopwatch import Stopwatch
from tests.unit.association.scenes import Stay, batch, entries, overlapping

Changes = list[tuple[int, int, int, int]]


def changes(rows: AssignmentRows) -> Changes:
    columns = (rows.tick, rows.camera, rows.track_id, rows.gid)
    return list(zip(*(column.tolist() for column in columns), strict=True))


class Site:
    """A site of scripted cameras with its aggregator and a recorder."""

    def __init__(self, client: Client, folder: Path, seen: Sequence[CameraTick], *, before: int = 0) -> None:
        self.client, self.site = client, site_of(client, "hall")
        self.feeder, self.aggregator = Feeder(client, self.site, seen), Aggregator(client, self.site)
        self.run(before)
        self.recorder = Recorder(client, self.site, folder)

    def run(self, ticks: int) -> None:
        for _ in range(ticks):
            self.feeder.feed()
            self.aggregator.step()

    def record(self, ticks: int) -> None:
        for _ in range(ticks):
            self.run(1)
            self.recorder.step()


@pytest.fixture(scope="module")
def recorded(redis_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """An undisturbed site, recorded from its first tick to its last."""
    client = connect(redis_server_url)
    client.flushall()
    folder = tmp_path_factory.mktemp("recorded") / "r"
    site = Site(client, folder, scene())
    site.record(TICKS)
    done = site.recorder.finish("enough")
    client.close()
    assert (done.first_tick, done.last_tick, done.entries) == (1, TICKS, TICKS * len(CAMERAS))
    assert (done.missing, done.not_recorded, done.undecodable) == ((), (), 0)
    return Recording.open(folder)


def test_a_recording_contains_all_tracks_and_the_published_gids_with_their_times(recorded: Recording) -> None:
    assert recorded.cameras == CAMERAS
    seen = [one for one in scene() if one.camera == 1 and one.tick <= TICKS]
    rows = recorded.tracks("B")
    assert rows.track_id.tolist() == [track for one in seen for track in one.batch.track_ids.tolist()]
    assert recorded.ticks("B").tolist() == list(range(1, TICKS + 1))
    assert recorded.tick_times_ns("B")[0] == ORIGIN_NS + 10**8
    assert recorded.description.origin_ns == ORIGIN_NS
    assert (recorded.assignments().published_ms > 0).all()
    published = [recorded.gids_as_published(camera) > 0 for camera in CAMERAS]
    assert np.concatenate(published).mean() > 0.5
    assert all(shown.any() for shown in published)
    numbers = [int(entry_id.split("-")[0]) for entry_id, _ in recorded.events()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_association_alone_assigns_the_same_gids_at_the_same_ticks_every_time(recorded: Recording) -> None:
    reported: list[tuple[int, int]] = []
    first = associate(recorded, progress=lambda done, total: reported.append((done, total)))
    again = associate(recorded)
    assert changes(first.recording.assignments()) == changes(recorded.assignments())
    assert changes(again.recording.assignments()) == changes(first.recording.assignments())
    assert first.events == again.events
    assert [one.kind for one in first.events] == [fields[b"kind"].decode() for _, fields in recorded.events()]
    assert len(first.cycle_seconds) == TICKS
    assert (first.cycle_seconds > 0).all()
    assert set(first.recording.assignments().published_ms.tolist()) == {-1}
    assert reported[-1] == (TICKS, TICKS)


def identities(recording: Recording) -> int:
    return len(np.unique(recording.assignments().gid))


def test_settings_and_layout_can_be_replaced(recorded: Recording) -> None:
    strict = associate(recorded, association={"min_similarity": 0.99})
    assert identities(strict.recording) > identities(recorded)
    apart = associate(recorded, layout=Layout.closed(CAMERAS))
    assert identities(apart.recording) > identities(recorded)
    with pytest.raises(MtmcError, match=r"association\.min_similarity: .*less than or equal to 1"):
        associate(recorded, association={"min_similarity": 2})


def test_a_site_that_had_run_for_days_is_replayed_from_its_own_ticks(tmp_path: Path) -> None:
    seen = entries([Stay(1, 0, 1, 20), Stay(1, 1, 5, 30)])
    early = write_recording(tmp_path / "early", seen, overlapping(2))
    late = write_recording(tmp_path / "late", seen, overlapping(2), first_tick=2_600_001)
    shifted = [(tick + 2_600_000, *rest) for tick, *rest in changes(associate(early).recording.assignments())]
    assert changes(associate(late).recording.assignments()) == shifted
    assert len({gid for *_, gid in shifted}) == 1


# -- recording ---------------------------------------------------------------------------------------------------


def test_a_recording_started_in_the_middle_has_the_gids_of_existing_tracks(
    redis_client: Client, tmp_path: Path
) -> None:
    seen = entries([Stay(1, 0, 1, 60), Stay(1, 1, 20, 60), Stay(2, 2, 1, 60), Stay(2, 3, 1, 60)])
    site = Site(redis_client, tmp_path / "r", seen, before=30)
    site.record(20)
    done = site.recorder.finish("enough")
    assert (done.first_tick, done.last_tick) == (31, 50)
    recording = Recording.open(tmp_path / "r")
    gids = [recording.gids_as_published(camera) for camera in CAMERAS]
    assert [len(found) for found in gids] == [20] * 4
    first, second = int(gids[0][0]), int(gids[2][0])
    assert [set(found.tolist()) for found in gids] == [{first}, {first}, {second}, {second}]
    assert first != second


def test_it_can_start_with_everything_still_in_redis(redis_client: Client, tmp_path: Path) -> None:
    site = Site(redis_client, tmp_path / "unused", scene(), before=30)
    site.recorder.close()
    recorder = Recorder(redis_client, site.site, tmp_path / "r", from_start=True)
    done = recorder.finish("enough")
    assert (done.first_tick, done.last_tick, done.entries) == (1, 30, 120)


def test_entries_that_were_trimmed_before_they_could_be_read_are_reported(redis_client: Client, tmp_path: Path) -> None:
    site = Site(redis_client, tmp_path / "r", scene())
    site.record(10)
    site.run(10)
    redis_client.xtrim(site.site.keys.tracks("B"), maxlen=4, approximate=False)
    site.record(5)
    done = site.recorder.finish("enough")
    assert [(gap.camera, gap.after_tick, gap.next_tick) for gap in done.missing] == [("B", 10, 17)]
    recording = Recording.open(tmp_path / "r")
    assert recording.description.missing == done.missing
    assert recording.ticks("B").tolist() == [*range(1, 11), *range(17, 26)]
    # It can still be replayed; in the gap the camera counts as having seen nothing.
    assert len(associate(recording).cycle_seconds) == 25


def test_entries_that_cannot_be_decoded_are_skipped_and_counted(redis_client: Client, tmp_path: Path) -> None:
    site = Site(redis_client, tmp_path / "r", scene())
    site.record(3)
    redis_client.xadd(site.site.keys.tracks("A"), {"schema": "99"})
    site.record(3)
    done = site.recorder.finish("enough")
    assert (done.undecodable, done.missing) == (1, ())
    assert Recording.open(tmp_path / "r").ticks("A").tolist() == [1, 2, 3, 4, 5, 6]


def test_cameras_added_during_the_recording_are_reported(redis_client: Client, tmp_path: Path) -> None:
    site = Site(redis_client, tmp_path / "r", scene())
    site.record(3)
    assert add_camera(redis_client, site.site.keys, CameraConfig(name="E", source="rtsp://nowhere"))
    deadline = time.monotonic() + 60
    while not site.recorder._not_recorded:
        assert time.monotonic() < deadline, "it does not notice the camera"
        site.recorder.step()
    assert site.recorder.finish("enough").not_recorded == ("E",)


def followed(site: Site, **given: float) -> Callable[[], str]:
    """Follow the site on a thread; returns a function that waits for the end and returns the reason."""
    why: list[str] = []
    thread = threading.Thread(
        target=lambda: why.append(follow(site.recorder, threading.Event(), fps=10, **given).why), daemon=True
    )
    thread.start()

    def ended() -> str:
        thread.join(20)
        assert why, "the recorder is still running"
        return why[0]

    return ended


def test_it_ends_after_the_given_seconds_of_site_time(redis_client: Client, tmp_path: Path) -> None:
    site = Site(redis_client, tmp_path / "r", scene())
    ended = followed(site, seconds=1.5)
    site.run(40)
    assert ended() == "1.5 seconds were recorded"
    assert Recording.open(tmp_path / "r").last_tick == 15


def test_it_ends_when_the_files_of_all_cameras_have_ended(redis_client: Client, tmp_path: Path) -> None:
    site = Site(redis_client, tmp_path / "r", scene())
    ended = followed(site)
    site.run(12)
    for camera, lease in site.feeder.leases.items():
        site.feeder.gate.retire(camera, lease, "ended")
    assert ended() == "the files of all cameras have ended"
    recording = Recording.open(tmp_path / "r")
    assert recording.last_tick == 12
    assert changes(associate(recording).recording.assignments()) == changes(recording.assignments())


def test_it_ends_when_another_site_is_published_under_the_name(redis_client: Client, tmp_path: Path) -> None:
    site = Site(redis_client, tmp_path / "r", scene())
    ended = followed(site)
    site.run(5)
    other = site.site.config.association.model_copy(update={"min_similarity": 0.7})
    publish_site(redis_client, site.site.config.model_copy(update={"association": other}))
    assert ended() == "the site was published again"


def test_it_ends_with_everything_read_so_far_when_redis_is_gone(redis_process: RedisProcess, tmp_path: Path) -> None:
    client = connect(redis_process.url)
    site = Site(client, tmp_path / "r", scene())
    site.record(20)
    ended = followed(site)
    redis_process.stop()
    assert ended() == "lost the connection to Redis"
    recording = Recording.open(tmp_path / "r")
    assert recording.last_tick == 20
    assert len(recording.assignments())
    client.close()


def test_the_pictures_become_a_video_with_one_frame_per_tick(redis_client: Client, tmp_path: Path) -> None:
    site = site_of(redis_client, "hall", ("A",))
    video = VideoRecorder(redis_client, redis_client, site.keys, ("A",), tmp_path / "video", 10, 5)
    key = site.keys.frames("A")
    for tick in (4, 6, 7, 9):
        _, jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), tick * 20, np.uint8))
        fields = {"tick": tick, "time_ns": tick, "width": 64, "height": 48, "jpeg": jpeg.tobytes()}
        redis_client.xadd(key, fields)
    deadline = time.monotonic() + 60
    while video.frames_written != {"A": 5} and time.monotonic() < deadline:
        time.sleep(0.02)
    video.close()
    assert redis_client.zscore(site.keys.viewers, "A"), "no worker would publish pictures"
    capture = cv2.VideoCapture(str(tmp_path / "video" / "A.mp4"))
    found = []
    while (answer := capture.read())[0]:
        found.append(round(float(answer[1].mean()) / 20))
    capture.release()
    assert found == [6, 6, 7, 7, 9]


# -- replaying ---------------------------------------------------------------------------------------------------


@pytest.fixture
def short(tmp_path: Path) -> Recording:
    seen = entries([Stay(1, 0, 1, 20), Stay(1, 1, 5, 30), Stay(2, 0, 10, 40)])
    return write_recording(tmp_path / "short", seen, overlapping(2))


@pytest.fixture
def elsewhere(redis_url: str) -> Iterator[Callable[[PublishedSite], None]]:
    """Starts an aggregator on its own thread, which restarts when its site is published again."""
    stop, threads = threading.Event(), []

    def serve_one(name: str) -> None:
        while (connected := connect_site(ServiceOptions(name, redis_url), stop)) is not None:
            published = RevisionWatch(connected)
            again = run(Aggregator(connected.client, connected.site), stop, published.is_replaced)
            connected.close()
            if not again:
                return

    def start(site: PublishedSite) -> None:
        threads.append(threading.Thread(target=serve_one, args=(site.config.site,)))
        threads[-1].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join(10)


def collected(client: Client, site: PublishedSite) -> tuple[PublishedReader, Changes]:
    found: Changes = []

    def assigned(_: str, fields: dict[bytes, bytes]) -> None:
        camera = site.config.camera_names.index(fields[b"camera"].decode())
        found.append((int(fields[b"tick"]), camera, int(fields[b"track_id"]), int(fields[b"gid"])))

    return PublishedReader(client, site.keys, assigned, lambda *_: None), found


def test_an_aggregator_in_another_process_assigns_the_same_gids(
    short: Recording, redis_client: Client, elsewhere: Callable[[PublishedSite], None]
) -> None:
    site = publish_recording(redis_client, short, ReplaySettings("test"))
    published, found = collected(redis_client, site)
    waited: list[bool] = []

    def start_one() -> None:
        waited.append(True)
        elsewhere(site)

    watcher = Watcher(no_aggregator=start_one)
    assert play(Player(redis_client, site, short), short, published, watcher=watcher) == short.last_tick
    assert waited == [True]
    assert found == changes(associate(short).recording.assignments())
    assert redis_client.hget(site.keys.camera("A"), "state") == b"ended"
    assert not redis_client.exists(site.keys.lease("clock"))
    # Replay again under the same name: the aggregator notices that it is a new replay.
    again = publish_recording(redis_client, short, ReplaySettings("test"))
    published, found_again = collected(redis_client, again)
    play(Player(redis_client, again, short), short, published)
    assert found_again == found


def test_a_site_not_written_by_a_replay_is_refused(short: Recording, redis_client: Client) -> None:
    site = site_of(redis_client, "hall")
    before = redis_client.get(site.keys.config)
    with pytest.raises(MtmcError, match="site hall has data in this Redis that was not written by a replay"):
        publish_recording(redis_client, short, ReplaySettings())
    assert redis_client.get(site.keys.config) == before
    publish_recording(redis_client, short, ReplaySettings("other"))
    assert redis_client.get(site.keys.config) == before


def test_two_replays_do_not_mix(short: Recording, redis_client: Client) -> None:
    site = publish_recording(redis_client, short, ReplaySettings("test"))
    player = Player(redis_client, site, short)
    player.begin()
    with pytest.raises(MtmcError, match="a replay of site test is running"):
        publish_recording(redis_client, short, ReplaySettings("test"))
    player.close()
    publish_recording(redis_client, short, ReplaySettings("test"))


def test_a_replay_removes_all_data_of_the_previous_one(short: Recording, tmp_path: Path, redis_client: Client) -> None:
    site = publish_recording(redis_client, short, ReplaySettings("test"))
    # Not one that goes on: it would write again.
    aggregator = Aggregator(redis_client, site)
    play(Player(redis_client, site, short), short, collected(redis_client, site)[0], aggregator=InProcess(aggregator))
    aggregator.close()
    assert redis_client.xlen(site.keys.assignments)
    empty = [CameraTick(0, tick, tick, batch([])) for tick in range(1, 4)]
    nothing = write_recording(tmp_path / "nothing", empty, overlapping(2))
    site = publish_recording(redis_client, nothing, ReplaySettings("test"))
    kept = {site.keys.config, site.keys.revision, site.keys.epochs, site.keys.cameras, site.keys.replay}
    left = {key.decode() for key in redis_client.scan_iter(site.keys.everything)}
    assert left - kept <= {site.keys.lease("aggregator")}
    assert redis_client.hlen(site.keys.cameras) == 2


def test_a_replay_can_be_stopped_and_keeps_its_pace(
    short: Recording, redis_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = publish_recording(redis_client, short, ReplaySettings("test"))
    published, _ = collected(redis_client, site)
    stop, ticks = threading.Event(), list[int]()
    aggregator = InProcess(aggregator_of(redis_client, site))
    handle = aggregator.handle_tick

    def handle_ten() -> None:
        handle()
        ticks.append(1)
        if len(ticks) == 10:
            stop.set()

    monkeypatch.setattr(aggregator, "handle_tick", handle_ten)
    watch = Stopwatch()
    done = play(
        Player(redis_client, site, short), short, published, aggregator=aggregator, pace=Pace(2.0, 10), stop=stop
    )
    assert done == 10
    assert watch.seconds > 9 / 20 - 0.01, "it was faster than twenty ticks per second"
    assert watch.within(5), watch.seconds


def test_a_replay_whose_leases_expired_continues_to_the_same_gids(short: Recording, redis_client: Client) -> None:
    site = publish_recording(redis_client, short, ReplaySettings("test"))
    published, found = collected(redis_client, site)
    player, aggregator = Player(redis_client, site, short), InProcess(aggregator_of(redis_client, site))
    player.begin()
    for tick, seen in ticks_of(short):
        while not player.advance(tick):
            aggregator.catch_up()
        if tick % 7 == 0:  # As if the machine had stalled until all leases expired.
            redis_client.delete(*(site.keys.lease(role) for role in ("clock", "camera:A", "camera:B", "aggregator")))
        player.feed(tick, seen)
        aggregator.handle_tick()
    while not player.wait_for_aggregator(short.last_tick):
        aggregator.catch_up()
    published.read()
    player.close()
    assert found == changes(associate(short).recording.assignments())


@pytest.mark.parametrize("role", ["clock", "camera:A"])
def test_a_replay_ends_when_another_process_takes_a_role(short: Recording, redis_client: Client, role: str) -> None:
    site = publish_recording(redis_client, short, ReplaySettings("test"))
    player = Player(redis_client, site, short)
    player.begin()
    redis_client.hincrby(site.keys.epochs, role, 1)
    redis_client.set(site.keys.lease(role), "another process", px=60_000)

    def play_a_tick() -> None:
        player.advance(1)
        player.feed(1, [None, None])

    with pytest.raises(LeaseLost, match=role):
        play_a_tick()
    player.close()
    assert redis_client.get(site.keys.lease(role)) == b"another process"


# -- corrections of operators ------------------------------------------------------------------------------

GROUND = json.dumps(Calibration(np.diag([0.01, 0.01, 1.0]), 640, 360).to_dict())


def test_a_replay_repeats_the_corrections_of_operators_at_their_ticks(
    redis_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = entries([Stay(1, 0, 1, 90), Stay(2, 1, 1, 90), Stay(3, 2, 1, 90), Stay(3, 3, 1, 90)])
    site = Site(redis_client, tmp_path / "r", seen)
    keys = site.site.keys
    asked: dict[int, OperatorCommand] = {
        20: OperatorCommand("c1", "merge", "Ann", 1, 2),
        30: OperatorCommand("c2", "split", "Ann", 3, tracks=(("D", 4),)),
        40: OperatorCommand("c3", "undo", "Ann", undoes="c1"),
        50: OperatorCommand("c4", "merge", "Ann", 1, 99),
        60: OperatorCommand("c5", "forget", "Ann", 3),
        70: OperatorCommand("c6", "camera_changed", "Ann", camera="A", settings="title", calibration=GROUND),
    }
    while site.feeder.tick < 90:
        if site.feeder.tick in asked:
            for _ in range(2):
                send(redis_client, keys, asked[site.feeder.tick])
        site.record(1)
    site.recorder.finish("the end")
    recorded = Recording.open(tmp_path / "r")
    assert {tick: [one.id for one in each] for tick, each in recorded.commands().items()} == {
        21: ["c1", "c1"],
        31: ["c2", "c2"],
        41: ["c3", "c3"],
        51: ["c4", "c4"],
        61: ["c5", "c5"],
        71: ["c6", "c6"],
    }
    as_published = changes(recorded.assignments())
    assert {gid for _, _, _, gid in as_published} == {0, 1, 2, 3, 4}
    used: list[list[str]] = []
    monkeypatch.setattr(association, "merged", lambda *given: used.append(sorted(given[1])) or merged(*given))
    assert changes(associate(recorded).recording.assignments()) == as_published
    assert used == [["A"]], "the calibration, once"
    alone = changes(associate(recorded, association={"min_track_frames": 5}).recording.assignments())
    assert {gid for _, _, _, gid in alone} <= {0, 1, 2, 3}, "with other settings, the gids may be other objects"

    replayed = publish_recording(redis_client, recorded, ReplaySettings("again"))
    found: list[tuple[bytes, ...]] = []
    names = (b"tick", b"camera", b"track_id", b"gid")
    reader = PublishedReader(
        redis_client, replayed.keys, lambda _, one: found.append(tuple(one[name] for name in names)), lambda *_: None
    )
    copy = replayed_copy(tmp_path / "copy", recorded, replayed)
    aggregator = InProcess(Aggregator(redis_client, replayed))
    play(Player(redis_client, replayed, recorded), recorded, reader, aggregator=aggregator, copy=copy)
    copy.finish(recorded.last_tick)
    assert [
        (int(tick), CAMERAS.index(camera.decode()), int(track), int(gid)) for tick, camera, track, gid in found
    ] == (as_published)
    assert redis_client.hget(replayed.keys.command("c5"), "outcome") == b"done"


def test_a_recording_that_began_later_repeats_no_corrections(redis_client: Client, tmp_path: Path) -> None:
    site = Site(redis_client, tmp_path / "r", entries([Stay(1, 0, 1, 60), Stay(2, 1, 1, 60)]), before=20)
    send(redis_client, site.site.keys, OperatorCommand("c1", "merge", "Ann", 1, 2))
    site.record(20)
    site.recorder.finish("the end")
    recorded = Recording.open(tmp_path / "r")
    assert (recorded.folder / "commands.entries").stat().st_size > 50
    assert recorded.commands() == {}
