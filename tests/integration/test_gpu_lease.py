"""Workers of one site take different GPUs, with a real Redis and GPUs that do not exist."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from structlog.testing import capture_logs

from services.camera_worker import gpu_lease
from services.camera_worker.gpu_lease import GpuChoice, GpuLease
from services.camera_worker.metrics import DeviceCollector
from services.camera_worker.worker import CameraWorker
from shared.errors import ModelError
from shared.monitoring.monitor import Monitor
from shared.process import Connected, ServiceOptions
from shared.redis_connection import Client
from shared.site import PublishedSite
from shared.site_state.reading import StateReader
from tests.integration.worker_parts import WorkerSite, wait_for
from tests.unit.vision.fake_gpus import A, B, C, pretend, runtime
from vision.inference.gpus import Gpu, Gpus, GpuTrouble

ALL = (A, B, C)


@pytest.fixture
def site(redis_client: Client, tmp_path: Path) -> WorkerSite:
    return WorkerSite(redis_client, tmp_path, "a")


class Process:
    """A worker process as far as its GPU is concerned."""

    def __init__(self, site: WorkerSite, usable: tuple[Gpu, ...] = ALL, **environ: str) -> None:
        self.site, self.environ = site, dict(environ)
        self.choice = GpuChoice(self.environ, lambda _: Gpus(present=True, usable=usable, cuda=(13, 0)))
        self.lease: GpuLease | None = None

    def start(self) -> Process:
        self.lease = self.choice.lease(self.site.client, self.site.keys, self.site.config)
        return self

    @property
    def gpu(self) -> Gpu:
        assert self.lease is not None
        return self.lease.gpu

    def stop(self) -> None:
        assert self.lease is not None
        self.lease.close()

    def kill(self) -> None:
        """Its lease is neither renewed nor released any more."""
        assert self.lease is not None
        self.lease._lease = None
        self.lease._renew = lambda: None  # type: ignore[method-assign]
        self.lease.close()


@pytest.fixture
def started(site: WorkerSite) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def start(*usable: Gpu, **environ: str) -> Process:
        processes.append(Process(site, usable or ALL, **environ).start())
        return processes[-1]

    yield start
    for process in processes:
        if process.lease is not None:
            process.stop()


def places(client: Client) -> Counter[str]:
    """GPU → how many leases there are of it."""
    return Counter(key.decode().split(":")[-2] for key in client.scan_iter("*lease:gpu:*"))


def wait_until_free(client: Client) -> None:
    """Waits until no lease is left, for less than the time after which one that was not given free is over."""
    wait_for(lambda: places(client) == {}, gpu_lease.TTL_S - 0.5)


def test_workers_that_start_at_once_take_different_gpus(site: WorkerSite) -> None:
    processes = [Process(site) for _ in ALL]
    threads = [threading.Thread(target=process.start) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {process.gpu for process in processes} == set(ALL)
    assert all(process.environ == {"CUDA_VISIBLE_DEVICES": process.gpu.uuid} for process in processes)
    assert places(site.client) == {gpu.uuid: 1 for gpu in ALL}
    for process in processes:
        process.stop()
    wait_until_free(site.client)


def test_more_workers_than_gpus_share_them_evenly(
    site: WorkerSite, started: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_lease, "_wait_for_a_free_one", lambda *_: None)
    assert Counter(started().gpu for _ in range(7)) == {A: 3, B: 2, C: 2}


def test_the_gpu_of_a_worker_that_died_is_taken_once_its_lease_is_over(
    site: WorkerSite, started: Callable[..., Process]
) -> None:
    first, second = started(A, B), started(A, B)
    assert (first.gpu, second.gpu) == (A, B)
    first.kill()
    assert places(site.client)[A.uuid] == 1, "the lease is not over yet"
    assert started(A, B).gpu == A, "it waited"


@pytest.mark.parametrize("ttl_ms", [None, 864_000_000])
def test_a_lease_without_an_end_does_not_count_as_a_worker(
    site: WorkerSite, started: Callable[..., Process], ttl_ms: int | None
) -> None:
    site.client.set(site.keys.lease(f"gpu:{A.uuid}:0"), "1:x", px=ttl_ms)
    assert started(A, B).gpu == A


@pytest.mark.parametrize("ttl_ms", [None, 864_000_000])
def test_a_worker_takes_a_place_whose_lease_has_no_end_if_no_other_is_free(
    site: WorkerSite, started: Callable[..., Process], monkeypatch: pytest.MonkeyPatch, ttl_ms: int | None
) -> None:
    monkeypatch.setattr(gpu_lease, "_PLACES", 2)
    monkeypatch.setattr(gpu_lease, "TTL_S", 0.6)
    keys = [site.keys.lease(f"gpu:{A.uuid}:{place}") for place in range(2)]
    for key in keys:
        site.client.set(key, "1:x", px=ttl_ms)
    assert [started(A).gpu for _ in range(2)] == [A, A]
    wait_for(lambda: b"1:x" not in site.client.mget(keys))
    # They are renewed, so they are there again even if the machine was held up until they were over.
    wait_for(lambda: all(0 < site.client.pttl(key) <= 600 for key in keys))


def test_a_lease_is_renewed_while_the_worker_does_something_else(
    site: WorkerSite, started: Callable[..., Process]
) -> None:
    started()
    (key,) = site.client.scan_iter("*lease:gpu:*")
    site.client.pexpire(key, 1200)
    wait_for(lambda: site.client.pttl(key) > 2000)


def test_a_worker_that_lost_its_lease_takes_another_place_on_its_gpu(
    site: WorkerSite, started: Callable[..., Process]
) -> None:
    started(A)
    (key,) = site.client.scan_iter("*lease:gpu:*")
    for damage in (lambda: site.client.set(key, "9:another", px=60_000), lambda: site.client.lpush(key, "garbage")):
        site.client.delete(key)
        damage()
        wait_for(lambda: places(site.client) == {A.uuid: 2})


def test_the_choice_is_kept_when_the_process_restarts_with_a_new_revision(
    site: WorkerSite, started: Callable[..., Process]
) -> None:
    process = started(A, B)
    process.stop()
    assert started(A, B).gpu == A
    process.start()
    assert process.gpu == A, "CUDA cannot change it any more"
    assert places(site.client) == {A.uuid: 2}


def test_an_explicit_choice_is_respected_and_counted(site: WorkerSite, started: Callable[..., Process]) -> None:
    chosen = started(B, CUDA_VISIBLE_DEVICES="1")  # the driver offers only that one
    assert (chosen.gpu, chosen.environ) == (B, {"CUDA_VISIBLE_DEVICES": "1"})
    assert started(B, C).gpu == C


def test_a_full_gpu_is_used_without_being_counted(
    site: WorkerSite, started: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_lease, "_PLACES", 2)
    with capture_logs() as logs:
        assert [started(A).gpu for _ in range(3)] == [A, A, A]
    assert [entry["counted"] for entry in logs if entry["log_level"] == "warning"] == [2]


def test_a_site_that_wants_the_cpu_looks_for_no_gpu(redis_client: Client, tmp_path: Path) -> None:
    site = WorkerSite(redis_client, tmp_path, "a")

    def look(_: Any) -> Gpus:
        raise AssertionError("it looked")

    assert GpuChoice({}, look).lease(site.client, site.keys, with_backend(site, "cpu").config) is None


def with_backend(site: WorkerSite, backend: str) -> PublishedSite:
    """The published site with another backend for both networks."""
    config = site.config
    changed = {name: getattr(config, name).model_copy(update={"backend": backend}) for name in ("detector", "embedder")}
    return replace(site.site, config=config.model_copy(update=changed))


def worker_of(site: WorkerSite, gpu: GpuChoice) -> tuple[CameraWorker, Monitor]:
    monitor = Monitor("camera-worker", "hall")
    connected = Connected(site.client, site.client, site.site, monitor)
    return CameraWorker(connected, ServiceOptions("hall", ""), gpu), monitor


def test_a_worker_says_which_gpu_it_uses(site: WorkerSite, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, Gpus(present=True, usable=ALL, cuda=(99, 0)))
    runtime(monkeypatch, fails=["tensorrt"])
    worker, monitor = worker_of(site, Process(site).choice)
    worker.roster.step()
    (state,) = StateReader(site.client, site.client, site.site).read().workers
    metrics = monitor.text().decode()
    worker.close()

    assert (state.device, state.gpu, state.gpu_problem) == ("cuda", f"{A.uuid} {A.name}", "")
    for network in ("detector", "embedder"):
        labels = f'backend="onnxruntime",device="cuda",gpu="{A.uuid} {A.name}",gpu_problem="",network="{network}"'
        assert f"mtmc_worker_device{{{labels}}} 1.0" in metrics
    wait_until_free(site.client)


def test_a_worker_with_a_gpu_that_it_cannot_use_is_a_problem_of_the_site_and_leaves_the_gpu_to_others(
    site: WorkerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, Gpus(present=True, usable=(A,), cuda=(99, 0), trouble=GpuTrouble("it is hot", "cool it")))
    runtime(monkeypatch, fails=["tensorrt", "cuda"])
    worker, monitor = worker_of(site, Process(site, (A,)).choice)
    worker.roster.step()
    wait_until_free(site.client)
    state = StateReader(site.client, site.client, site.site).read()
    metrics = monitor.text().decode()
    worker.close()

    (problem,) = [problem for problem in state.problems if problem.code == "gpu_unused"]
    (host,) = [one.host for one in state.workers]
    assert (problem.about, problem.text, problem.advice) == (
        host,
        f"a camera worker on {host} runs its networks on the CPU although there is an NVIDIA GPU: it is hot",
        "cool it, and restart the worker; or set detector.backend and embedder.backend to cpu",
    )
    assert 'device="cpu",gpu="",gpu_problem="it is hot",network="detector"} 1.0' in metrics


def test_a_worker_that_must_use_a_gpu_does_not_start_without_and_leaves_it_to_others(
    redis_client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = WorkerSite(redis_client, tmp_path, "a")
    pretend(monkeypatch, Gpus(present=True, usable=(A,), cuda=(99, 0), trouble=GpuTrouble("it is hot", "cool it")))
    runtime(monkeypatch, fails=["cuda"])
    site.site.config.embedder.__dict__["backend"] = "cuda"
    with pytest.raises(
        ModelError, match=r"embedder\.onnx: cannot run on cuda: it is hot; cool it, or set backend: auto"
    ):
        worker_of(site, Process(site, (A,)).choice)
    wait_until_free(redis_client)


def test_a_worker_that_fails_to_start_gives_its_gpu_free(site: WorkerSite, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, Gpus(present=True, usable=ALL, cuda=(99, 0)))
    runtime(monkeypatch, fails=["tensorrt"])

    def fail(*_: Any) -> None:
        raise ConnectionError("Redis is gone")

    monkeypatch.setattr("services.camera_worker.worker.SiteTime", fail)
    with pytest.raises(ConnectionError):
        worker_of(site, Process(site).choice)
    wait_until_free(site.client)


def test_metrics_of_several_networks_on_one_device_are_one_series(site: WorkerSite) -> None:
    registry = CollectorRegistry()
    for camera in site.config.cameras:
        site.models.detector(camera)
    registry.register(DeviceCollector(site.models, ""))
    text = generate_latest(registry).decode()
    assert text.count("mtmc_worker_device{") == 2
