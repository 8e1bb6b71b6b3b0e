from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from services.camera_worker import preparation
from services.camera_worker.camera import Camera
from services.camera_worker.handover import Outcome, ReleaseWhen
from services.camera_worker.held import Phase
from services.camera_worker.roster import Roster
from services.camera_worker.source_timing import SourceTimings
from shared.camera_config import CameraConfig
from shared.camera_settings import add_camera, remove_cameras, set_paused
from shared.gate import Gate, Progress
from shared.leases import Leases
from shared.redis_connection import Client
from shared.site_time import SiteTime
from tests.integration.worker_parts import StillSource, WorkerSite, wait_for
from vision.video.picture_health import Fault, FaultKind
from vision.video.timing import Timing


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> dict[str, StillSource]:
    """Camera → the source that was opened for it last; a test may add one before."""
    opened: dict[str, StillSource] = {}

    def open_source(_: str, *, camera: str, **__: object) -> StillSource:
        return opened.setdefault(camera, StillSource())

    monkeypatch.setattr(preparation, "open_source", open_source)
    return opened


@pytest.fixture
def site(redis_client: Client, tmp_path: Path) -> WorkerSite:
    return WorkerSite(redis_client, tmp_path, "ab")


@pytest.fixture
def patient_site(redis_client: Client, tmp_path: Path) -> WorkerSite:
    """No lease ends while a test plays the loop, which would renew it."""
    return WorkerSite(redis_client, tmp_path, "ab", worker={"lease_seconds": 60})


def stepped(roster: Roster, condition: Callable[[], object]) -> None:
    def step() -> object:
        roster.step()
        return condition()

    wait_for(step)


def given(site: WorkerSite) -> dict[str, Camera]:
    """The cameras that the roster has given to the loop since the last call."""
    return {camera.name: camera for camera in site.handover.arrivals(0.0)}


def in_phase(roster: Roster, phase: Phase, *names: str) -> Callable[[], bool]:
    return lambda: all(roster.phases().get(name) is phase for name in names)


def test_free_cameras_are_claimed_prepared_and_given_to_the_loop(
    site: WorkerSite, sources: dict[str, StillSource]
) -> None:
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a", "b"))
    cameras = given(site)
    assert set(cameras) == {"a", "b"}
    assert cameras["a"].source is sources["a"]
    assert site.state("a")["owner"] == site.state("b")["owner"] != ""
    assert site.state("a")["class_names"] == '["person"]'


def test_a_camera_is_given_only_once_its_source_has_answered(site: WorkerSite, sources: dict[str, StillSource]) -> None:
    sources["a"] = StillSource()
    sources["a"].answered.clear()
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "b"))
    stepped(roster, in_phase(roster, Phase.OPENING, "a"))
    assert set(given(site)) == {"b"}
    sources["a"].answered.set()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a"))
    assert set(given(site)) == {"a"}


@pytest.mark.usefixtures("sources")
def test_a_paused_camera_is_released_after_the_loop_gave_it_back(
    patient_site: WorkerSite, sources: dict[str, StillSource]
) -> None:
    site, roster = patient_site, patient_site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a", "b"))
    camera = given(site)["a"]
    set_paused(site.client, site.keys, ["a"], paused=True)
    stepped(roster, in_phase(roster, Phase.LEAVING, "a"))
    assert site.handover.release_requests() == [(camera, ReleaseWhen.AFTER_NEXT_TICK)]
    assert site.owned("a"), "until the loop has sent the last tick"
    site.handover.give_back(camera, Outcome.RELEASED)
    stepped(roster, lambda: "a" not in roster.phases())
    assert (site.state("a")["state"], site.owned("a")) == ("paused", False)
    wait_for(sources["a"].closed.is_set)


@pytest.mark.usefixtures("sources")
def test_a_camera_with_new_settings_is_prepared_again(site: WorkerSite) -> None:
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a", "b"))
    camera = given(site)["a"]
    changed = camera.config.model_copy(update={"time_offset_seconds": 1.0})
    site.client.hset(site.keys.cameras, "a", changed.model_dump_json(by_alias=True))
    stepped(roster, in_phase(roster, Phase.LEAVING, "a"))
    assert site.handover.release_requests() == [(camera, ReleaseWhen.NOW)]
    site.handover.give_back(camera, Outcome.RELEASED)
    stepped(roster, in_phase(roster, Phase.RUNNING, "a"))
    again = given(site)["a"]
    assert again.config == changed
    assert again.lease.epoch > camera.lease.epoch


def test_the_roster_renews_leases_while_preparing_and_the_loop_while_running(
    site: WorkerSite, sources: dict[str, StillSource]
) -> None:
    """Because a hung loop must lose its cameras, so that another worker takes them over."""
    sources["a"] = StillSource()
    sources["a"].answered.clear()
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "b"))
    epoch = site.epoch("a")
    stepped(roster, lambda: not site.owned("b"))
    assert (site.owned("a"), site.epoch("a")) == (True, epoch)
    assert Leases(site.client, site.keys).acquire("camera:b", 30) is not None


@pytest.mark.usefixtures("sources")
def test_a_lease_that_expired_on_a_busy_machine_is_still_the_workers_when_the_state_is_written(
    site: WorkerSite,
) -> None:
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a", "b"))
    stepped(roster, lambda: site.state("a").get("fps") is not None)
    lease, epoch = given(site)["a"].lease, site.epoch("a")
    site.client.delete(lease.key)
    site.client.hdel(site.keys.camera("a"), "fps")
    # The next report of its rates, within two seconds.
    stepped(roster, lambda: site.state("a").get("fps") is not None)
    assert roster.phases()["a"] is Phase.RUNNING
    assert not site.owned("a"), "the loop renews it, if it does not hang"
    lease.renew()
    assert site.epoch("a") == epoch


@pytest.mark.usefixtures("sources")
@pytest.mark.parametrize("lease_seconds", [1.0, 2.0])
def test_the_cameras_of_a_hung_loop_are_taken_over(redis_client: Client, tmp_path: Path, lease_seconds: float) -> None:
    """Although the roster of the hung worker continues to send heartbeats and reports."""
    site = WorkerSite(redis_client, tmp_path, "ab", worker={"lease_seconds": lease_seconds})
    hung = site.roster()
    stepped(hung, in_phase(hung, Phase.RUNNING, "a", "b"))
    epoch = site.epoch("a")
    other = WorkerSite(redis_client, tmp_path, "ab", worker={"lease_seconds": lease_seconds})
    healthy = other.roster()

    def taken() -> bool:
        hung.step()
        healthy.step()
        return site.epoch("a") > epoch and healthy.phases().get("a") is not None

    wait_for(taken)


@pytest.mark.usefixtures("sources")
def test_a_release_that_fails_because_of_a_lost_connection_is_retried_by_the_next_step(
    patient_site: WorkerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, roster = patient_site, patient_site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a", "b"))
    camera = given(site)["a"]
    set_paused(site.client, site.keys, ["a"], paused=True)
    stepped(roster, in_phase(roster, Phase.LEAVING, "a"))
    retire, failures = Gate.retire, []

    def cut(gate: Gate, *words: object) -> None:
        if len(failures) < 2:
            failures.append(words)
            raise RedisConnectionError("the connection was lost")
        retire(gate, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(Gate, "retire", cut)
    site.handover.give_back(camera, Outcome.RELEASED)
    for _ in range(2):
        with pytest.raises(RedisConnectionError):
            roster.step()
    assert site.owned("a")
    stepped(roster, lambda: "a" not in roster.phases())
    assert (site.state("a")["state"], site.owned("a")) == ("paused", False)


@pytest.mark.usefixtures("sources")
def test_an_ended_file_keeps_its_lease_and_stays_ended_for_the_next_owner(site: WorkerSite) -> None:
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a", "b"))
    site.handover.give_back(given(site)["a"], Outcome.ENDED)
    stepped(roster, in_phase(roster, Phase.ENDED, "a"))
    assert site.state("a")["state"] == "ended"
    until = time.monotonic() + 2 * site.config.worker.lease_seconds
    stepped(roster, lambda: time.monotonic() > until)
    assert site.owned("a")
    roster.close()
    assert (site.state("a")["state"], site.owned("a")) == ("ended", False)
    another = site.roster()
    stepped(another, in_phase(another, Phase.ENDED, "a"))
    assert "a" not in given(site)


def test_a_camera_that_cannot_run_says_why_and_is_released_and_the_others_run(
    site: WorkerSite, sources: dict[str, StillSource], tmp_path: Path
) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    own = {"detector": {"model": str(tmp_path / "broken.onnx")}}
    broken = site.config_of("a").model_validate({"name": "c", "source": "rtsp://nowhere/", **own})
    assert add_camera(site.client, site.keys, broken)
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a", "b"))
    stepped(roster, lambda: site.state("c").get("state") == "down")
    assert "broken.onnx" in site.state("c")["error"]
    stepped(roster, lambda: "c" not in roster.phases())
    assert not site.owned("c")
    assert "c" not in sources


def test_a_hung_preparation_is_abandoned_and_a_source_that_it_opens_later_is_closed(
    site: WorkerSite, sources: dict[str, StillSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "OPENING_LIMIT_S", 0.3)
    released = threading.Event()
    open_source = preparation.open_source

    def hang(source: str, *, camera: str, **options: object) -> object:
        if camera == "a":
            released.wait(60)
        return open_source(source, camera=camera, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(preparation, "open_source", hang)
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "b"))
    stepped(roster, lambda: site.state("a").get("state") == "down")
    assert "opening its source" in site.state("a")["error"]
    assert not site.owned("a")
    released.set()
    wait_for(lambda: "a" in sources and sources["a"].closed.is_set())


@pytest.mark.usefixtures("sources")
def test_a_removed_camera_is_released_at_once_while_it_is_being_prepared(
    site: WorkerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(preparation, "open_source", lambda *_, **__: released.wait(60) and StillSource())
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.PREPARING, "a", "b"))
    remove_cameras(site.client, site.keys, ["a"], kept_seconds=60)
    stepped(roster, lambda: "a" not in roster.phases())
    assert roster.phases()["b"] is Phase.PREPARING
    released.set()


@pytest.mark.usefixtures("sources")
def test_site_time_is_measured_again_while_the_roster_runs(site: WorkerSite, monkeypatch: pytest.MonkeyPatch) -> None:
    roster = site.roster()
    measured: list[None] = []
    monkeypatch.setattr(SiteTime, "measure", lambda _: measured.append(None))
    monkeypatch.setattr("shared.site_time.MEASURE_EVERY_S", 0.0)
    stepped(roster, lambda: len(measured) >= 2)


@pytest.mark.usefixtures("sources")
def test_a_bug_with_one_camera_does_not_stop_the_others(site: WorkerSite, monkeypatch: pytest.MonkeyPatch) -> None:
    of = SourceTimings.of

    def broken(self: SourceTimings, config: CameraConfig, progress: Progress) -> Timing:
        if config.name == "a":
            raise ValueError("a bug")
        return of(self, config, progress)

    monkeypatch.setattr(SourceTimings, "of", broken)
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "b"))
    stepped(roster, lambda: site.state("a").get("state") == "down")
    assert "unexpected error (ValueError)" in site.state("a")["error"]
    assert not site.owned("a")
    assert site.client.zcard(site.keys.workers) == 1
    assert site.registry.get_sample_value("mtmc_camera_worker_roster_restarts_total") == 1


def test_a_source_that_never_answers_is_abandoned_and_retried_later(
    site: WorkerSite, sources: dict[str, StillSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.camera_worker.roster.ANSWER_LIMIT_S", 0.3)
    monkeypatch.setattr("services.camera_worker.roster._RETRY_UNFIT_S", (0.1, 0.2))
    sources["a"] = StillSource()
    sources["a"].answered.clear()
    roster = site.roster()
    stepped(roster, lambda: site.state("a").get("state") == "down")
    assert "neither a picture nor an error" in site.state("a")["error"]
    wait_for(sources["a"].closed.is_set)
    sources["a"] = StillSource()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a"))
    stepped(roster, lambda: site.state("a")["error"] == "")


@pytest.mark.usefixtures("sources")
def test_a_preparation_that_still_hangs_is_not_retried(site: WorkerSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "OPENING_LIMIT_S", 0.1)
    monkeypatch.setattr("services.camera_worker.roster._RETRY_UNFIT_S", (0.05, 0.1))
    released, calls = threading.Event(), []
    open_source = preparation.open_source

    def hang(source: str, *, camera: str, **options: object) -> object:
        calls.append(camera)
        if camera == "a":
            released.wait(60)
        return open_source(source, camera=camera, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(preparation, "open_source", hang)
    roster = site.roster()
    stepped(roster, lambda: site.state("a").get("state") == "down")
    until = time.monotonic() + 1.5
    stepped(roster, lambda: time.monotonic() > until)
    assert calls.count("a") == 1
    released.set()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a"))


@pytest.mark.usefixtures("sources")
def test_a_camera_that_cannot_run_here_goes_to_a_worker_that_can_run_it(site: WorkerSite, tmp_path: Path) -> None:
    """The first worker lacks the mask; both own an equal share of the cameras."""
    mask = tmp_path / "mask.png"
    masked = site.config_of("a").model_copy(update={"mask": mask})
    site.client.hset(site.keys.cameras, "a", masked.model_dump_json(by_alias=True))
    without = site.roster()
    stepped(without, lambda: site.state("a").get("state") == "down")
    assert site.state("a")["refused"] != ""
    cv2.imwrite(str(mask), np.full((48, 64), 255, np.uint8))
    other = site.roster()

    def taken() -> bool:
        other.step()
        return other.phases().get("a") is Phase.RUNNING

    wait_for(taken)


@pytest.mark.usefixtures("sources")
def test_an_ended_file_has_no_rate(site: WorkerSite) -> None:
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a", "b"))
    camera = given(site)["a"]
    for _ in range(5):
        camera.count_handled()
        time.sleep(0.01)
    site.handover.give_back(camera, Outcome.ENDED)
    stepped(roster, in_phase(roster, Phase.ENDED, "a"))
    assert (site.state("a")["state"], site.state("a")["fps"]) == ("ended", "0.0")


def test_a_released_camera_is_free_once_its_source_is_closed(
    patient_site: WorkerSite, sources: dict[str, StillSource]
) -> None:
    """Another worker on this host may want the same device."""
    sources["a"] = StillSource(close_seconds=0.4)
    site, roster = patient_site, patient_site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a", "b"))
    camera = given(site)["a"]
    set_paused(site.client, site.keys, ["a"], paused=True)
    stepped(roster, in_phase(roster, Phase.LEAVING, "a"))
    site.handover.give_back(camera, Outcome.RELEASED)
    roster.step()
    assert site.state("a")["state"] == "paused", "written at once, so that no other camera waits for its ticks"
    while site.owned("a"):
        assert not sources["a"].closed.is_set() or roster.phases()["a"] is Phase.CLOSING
        roster.step()
    assert sources["a"].closed.is_set()


def test_that_a_camera_was_moved_outlives_its_worker_until_somebody_pauses_it_or_changes_its_settings(
    site: WorkerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[str, object] = {}

    def open_source(_: str, *, camera: str, moved: object = None, **__: object) -> StillSource:
        known[camera] = moved
        source = StillSource()
        source.moved = "moved at noon"
        return source

    monkeypatch.setattr(preparation, "open_source", open_source)

    def opened_by_another_worker(*names: str) -> dict[str, object]:
        known.clear()
        roster = site.roster()
        stepped(roster, in_phase(roster, Phase.RUNNING, *names))
        stepped(roster, lambda: all(site.state(name).get("moved") for name in names))
        given(site)
        roster.close()
        return dict(known)

    assert opened_by_another_worker("a", "b") == {"a": None, "b": None}
    assert opened_by_another_worker("a", "b") == {"a": "moved at noon", "b": "moved at noon"}
    for paused in (True, False):
        set_paused(site.client, site.keys, ["a"], paused=paused)
    assert opened_by_another_worker("a", "b") == {"a": None, "b": "moved at noon"}
    changed = site.config_of("b").model_copy(update={"title": "turned on purpose"})
    site.client.hset(site.keys.cameras, "b", changed.model_dump_json(by_alias=True))
    assert opened_by_another_worker("a", "b") == {"a": "moved at noon", "b": None}


def test_what_is_wrong_with_the_pictures_of_a_camera_is_its_state(
    site: WorkerSite, sources: dict[str, StillSource]
) -> None:
    roster = site.roster()
    stepped(roster, in_phase(roster, Phase.RUNNING, "a", "b"))
    given(site)
    sources["a"].fault = Fault(FaultKind.FROZEN, "not changed for 9 s")
    stepped(roster, lambda: site.state("a").get("state") == "frozen")
    assert (site.state("a")["fault"], site.state("b")["state"]) == ("not changed for 9 s", "live")
    sources["a"].fault = None
    stepped(roster, lambda: site.state("a").get("state") == "live")
    assert site.state("a")["fault"] == ""
