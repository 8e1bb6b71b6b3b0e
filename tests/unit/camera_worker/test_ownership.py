from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from services.camera_worker.ownership import CameraToClaim, LiveWorker, wanted_changes

LABELS = ("gpu", "hall")


@dataclass
class Site:
    """Workers that act one after the other, in any order."""

    workers: dict[str, LiveWorker]
    cameras: dict[str, CameraToClaim]
    changes: int = field(default=0)

    def act(self, worker: str, *, rebalance: bool = True) -> None:
        claims, releases = wanted_changes(worker, self.workers, self.cameras, rebalance=rebalance)
        for name in claims:
            camera = self.cameras[name]
            assert camera.owner is None, "claims a camera that has an owner"
            assert camera.labels <= self.workers[worker].labels, "claims a camera without its labels"
            self.cameras[name] = replace(camera, owner=worker)
        for name in releases:
            assert self.cameras[name].owner == worker, "releases what it does not own"
            self.cameras[name] = replace(self.cameras[name], owner=None)
        assert not set(claims) & set(releases)
        assert self.counts()[worker] <= self.workers[worker].capacity or not claims
        self.changes += len(claims) + len(releases)

    def settle(self, random: Random, *, rebalance: bool = True) -> None:
        """Lets all workers act until none wants a change; fails if they never agree."""
        for _ in range(40):
            before = self.changes
            for worker in random.sample(sorted(self.workers), len(self.workers)):
                self.act(worker, rebalance=rebalance)
            if self.changes == before:
                return
        raise AssertionError(f"the workers go on exchanging cameras: {self.counts()}")

    def counts(self) -> Counter[str]:
        owned = Counter(dict.fromkeys(self.workers, 0))
        owned.update(camera.owner for camera in self.cameras.values() if camera.owner is not None)
        return owned


def equal_workers(count: int, capacity: int = 1000) -> dict[str, LiveWorker]:
    return {f"w{i}": LiveWorker(frozenset(), capacity) for i in range(count)}


def free_cameras(count: int) -> dict[str, CameraToClaim]:
    return {f"c{i:03d}": CameraToClaim(frozenset(), None) for i in range(count)}


labels = st.frozensets(st.sampled_from(LABELS))


@st.composite
def sites(draw: st.DrawFn) -> Site:
    workers = {f"w{i}": LiveWorker(draw(labels), draw(st.integers(1, 6))) for i in range(draw(st.integers(1, 5)))}
    owner = st.none() | st.sampled_from(sorted(workers)) | st.just("another")
    cameras = {f"c{i:02d}": CameraToClaim(draw(labels), draw(owner)) for i in range(draw(st.integers(0, 14)))}
    return Site(workers, cameras)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(0, 20), st.randoms(use_true_random=False), st.data())
def test_equal_workers_end_up_with_even_shares_from_any_start(
    workers: int, cameras: int, random: Random, data: st.DataObject
) -> None:
    site = Site(equal_workers(workers), free_cameras(cameras))
    for name in site.cameras:
        owner = data.draw(st.none() | st.sampled_from(sorted(site.workers)))
        site.cameras[name] = replace(site.cameras[name], owner=owner)
    site.settle(random)
    counts = site.counts()
    assert sum(counts.values()) == cameras
    assert max(counts.values()) - min(counts.values()) <= 1


@settings(max_examples=150, deadline=None)
@given(sites(), st.randoms(use_true_random=False), st.booleans())
def test_any_workers_agree_and_leave_no_claimable_camera_free(site: Site, random: Random, rebalance: bool) -> None:
    site.settle(random, rebalance=rebalance)
    counts = site.counts()
    for name, camera in site.cameras.items():
        if camera.owner is None:
            able = [w for w, view in site.workers.items() if camera.labels <= view.labels]
            assert all(counts[w] >= site.workers[w].capacity for w in able), f"no worker claims {name}"


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(1, 20), st.randoms(use_true_random=False))
def test_the_cameras_of_a_dead_worker_are_claimed_evenly(workers: int, cameras: int, random: Random) -> None:
    site = Site(equal_workers(workers), free_cameras(cameras))
    site.settle(random)
    kept = {name: camera.owner for name, camera in site.cameras.items() if camera.owner != "w0"}
    del site.workers["w0"]
    for name, camera in site.cameras.items():
        if camera.owner == "w0":
            site.cameras[name] = replace(camera, owner=None)
    site.settle(random)
    assert all(camera.owner is not None for camera in site.cameras.values())
    assert max(site.counts().values()) - min(site.counts().values()) <= 1
    assert {name: site.cameras[name].owner for name in kept} == kept, "a living worker's camera was moved"


def test_a_new_worker_gets_only_its_share_and_nothing_moves_twice() -> None:
    site = Site(equal_workers(2), {name: replace(c, owner="w0") for name, c in free_cameras(9).items()})
    site.settle(Random(1))
    assert site.counts() == {"w0": 5, "w1": 4}
    assert site.changes == 8, "four cameras change hands: four releases, four claims"


def test_seven_cameras_over_three_workers_are_not_left_at_three_three_one() -> None:
    site = Site(equal_workers(3), free_cameras(7))
    for name, owner in zip(site.cameras, ["w0", "w0", "w0", "w1", "w1", "w1", "w2"], strict=True):
        site.cameras[name] = replace(site.cameras[name], owner=owner)
    site.settle(Random(1))
    assert sorted(site.counts().values()) == [2, 2, 3]


def test_without_rebalancing_no_worker_releases_a_camera() -> None:
    site = Site(equal_workers(3), {name: replace(c, owner="w0") for name, c in free_cameras(9).items()})
    site.settle(Random(1), rebalance=False)
    assert site.counts()["w0"] == 9


def test_a_camera_that_only_one_worker_can_claim_goes_there_beyond_its_share() -> None:
    workers = {"gpu": LiveWorker(frozenset({"gpu"}), 10), "cpu": LiveWorker(frozenset(), 10)}
    cameras = {f"c{i}": CameraToClaim(frozenset({"gpu"}), None) for i in range(6)}
    site = Site(workers, cameras)
    site.settle(Random(1))
    assert site.counts() == {"gpu": 6, "cpu": 0}


def test_what_does_not_fit_a_small_worker_goes_to_a_large_one() -> None:
    site = Site({"s": LiveWorker(frozenset(), 1), "m": LiveWorker(frozenset(), 10)}, free_cameras(8))
    site.settle(Random(1))
    assert site.counts() == {"s": 1, "m": 7}


def test_a_camera_that_no_worker_can_claim_does_not_affect_the_shares() -> None:
    cameras = {name: replace(c, owner="w0") for name, c in free_cameras(4).items()}
    cameras["strange"] = CameraToClaim(frozenset({"moon"}), None)
    site = Site(equal_workers(2), cameras)
    site.settle(Random(1))
    assert site.counts() == {"w0": 2, "w1": 2}


def test_a_camera_whose_source_is_on_another_host_goes_to_a_worker_there() -> None:
    workers = equal_workers(2)
    refused = {"c": CameraToClaim(frozenset(), None, frozenset({"w0"}))}
    assert wanted_changes("w0", workers, refused, rebalance=True) == ([], [])
    assert wanted_changes("w1", workers, refused, rebalance=True) == (["c"], [])


def test_a_camera_that_no_worker_can_open_is_still_claimed_so_that_its_error_shows() -> None:
    workers = equal_workers(2)
    refused = {"c": CameraToClaim(frozenset(), None, frozenset({"w0", "w1", "a worker that is gone"}))}
    assert any(wanted_changes(name, workers, refused, rebalance=True)[0] == ["c"] for name in workers)
