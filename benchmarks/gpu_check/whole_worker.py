"""Camera workers with many cameras of 1080p at 10 Hz, in a running site: delay, skipped ticks, and what they use."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import yaml
from redis.exceptions import RedisError

from benchmarks.gpu_check.networks import CROP_HEIGHT, CROP_WIDTH
from shared.keys import Keys
from shared.messages import TrackEntry
from shared.redis_connection import Client, connect
from shared.redis_server import RedisServer, any_free_port, find_binary

_ROOT = Path(__file__).resolve().parents[2]
_SITE = "gpu"
_START_S = 120.0
_STOP_S = 60.0


@dataclass(frozen=True)
class Load:
    """One row of the table."""

    cameras: int
    workers: int
    p50_ms: float
    """From the begin of a tick until its entry is in `tracks:{camera}`, over all cameras; by Redis's clock."""
    p95_ms: float
    handled: float
    """Share of the ticks of the clock that were handled, 0 to 1; the others were skipped to keep up."""
    boxes: float
    """Tracks per picture."""
    crops: float
    """Embedded crops per picture."""
    cpu_cores: float
    """Of all workers; decoding is included."""
    memory_mib: float
    """Of all workers."""
    gpu: float | None
    """Share of the time in which the GPU computes, 0 to 1; None: no GPU."""
    gpu_mib: float | None


@dataclass
class GpuSamples:
    """What `nvidia-smi` says, once per second."""

    shares: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)


def measure(
    folder: Path,
    detector: Path,
    embedder: Path,
    clips: Sequence[Path],
    cameras: int,
    workers: int,
    seconds: float,
) -> Load:
    """Runs a site of `cameras` cameras that play `clips`, and measures for `seconds` once all are live.

    The cameras are shared equally between `workers`, which share the GPU.

    Raises:
        SystemExit: the site does not start.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name:
        site = _site_file(Path(name), detector, embedder, clips, cameras, workers)
        server = RedisServer(find_binary(), Path(name) / "redis", any_free_port(), persistent=False)
        server.write_settings()
        with (
            (Path(name) / "output.txt").open("w") as output,
            _running([str(part) for part in server.command], output.fileno()),
        ):
            client = connect(server.url)
            _until(lambda: _answers(client), 20, "Redis does not answer")
            options = ["--redis", server.url, "--workers", str(workers)]
            command = [sys.executable, "-m", "cli", "up", str(site), *options]
            try:
                with _running(command, output.fileno()):
                    keys = Keys(_SITE)
                    _until(lambda: _live(client, keys) == cameras, _START_S, "not all cameras are live")
                    time.sleep(min(3.0, seconds))
                    return _measure(client, keys, cameras, seconds)
            except TimeoutError as error:
                raise SystemExit(f"{error}:\n{(Path(name) / 'output.txt').read_text()[-3000:]}") from None


def _site_file(folder: Path, detector: Path, embedder: Path, clips: Sequence[Path], cameras: int, workers: int) -> Path:
    content = {
        "site": _SITE,
        "clock": {"target_fps": 10},
        "detector": {"model": str(detector.resolve())},
        "embedder": {"model": str(embedder.resolve()), "width": CROP_WIDTH, "height": CROP_HEIGHT},
        "cameras": [
            {"name": f"cam{number}", "source": str(clips[number % len(clips)].resolve()), "loop": True}
            for number in range(cameras)
        ],
        "worker": {"capacity": -(-cameras // workers)},
        "streamer": {"port": 0},
    }
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@contextlib.contextmanager
def _running(command: Sequence[str], output: int) -> Iterator[None]:
    process = subprocess.Popen(command, cwd=_ROOT, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(client: Client) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def _until(condition: object, seconds: float, complaint: str) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(complaint)
        time.sleep(0.2)


def _live(client: Client, keys: Keys) -> int:
    return sum(client.hget(keys.camera(name.decode()), "state") == b"live" for name in client.hkeys(keys.cameras))


def _measure(client: Client, keys: Keys, cameras: int, seconds: float) -> Load:
    names = client.zrange(keys.workers, 0, -1)
    processes = [psutil.Process(int(client.hget(keys.worker(name.decode()), "pid") or 0)) for name in names]
    first, used = int(client.get(keys.tick) or 0), _cpu_s(processes)
    samples, stop = GpuSamples(), threading.Event()
    watching = threading.Thread(target=_watch_gpu, args=(samples, stop))
    watching.start()
    began = time.monotonic()
    time.sleep(seconds)
    passed, cores = time.monotonic() - began, _cpu_s(processes) - used
    last = int(client.get(keys.tick) or 0)
    stop.set()
    watching.join()
    time.sleep(1.0)  # until the last ticks are handled
    ticks = {
        int(fields[b"tick"]): int(fields[b"time_ns"])
        for _, fields in client.xrange(keys.ticks)
        if first < int(fields[b"tick"]) <= last
    }
    delays, boxes, crops = [], 0, 0
    for name in client.hkeys(keys.cameras):
        for entry_id, fields in client.xrange(keys.tracks(name.decode())):
            tick = int(fields[b"tick"])
            if tick not in ticks:
                continue
            batch = TrackEntry.decode(fields).batch
            boxes += len(batch.track_ids)
            crops += int((batch.embedding_rows >= 0).sum())
            delays.append(int(entry_id.split(b"-")[0]) - ticks[tick] / 1e6)
    handled = max(1, len(delays))
    p50, p95 = np.percentile(delays or [np.nan], (50, 95))
    return Load(
        cameras=cameras,
        workers=len(processes),
        p50_ms=float(p50),
        p95_ms=float(p95),
        handled=len(delays) / max(1, len(ticks) * cameras),
        boxes=boxes / handled,
        crops=crops / handled,
        cpu_cores=cores / passed,
        memory_mib=sum(process.memory_info().rss for process in processes) / 2**20,
        gpu=float(np.mean(samples.shares)) / 100 if samples.shares else None,
        gpu_mib=max(samples.mib) if samples.mib else None,
    )


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))  # user and system


def _watch_gpu(samples: GpuSamples, stop: threading.Event) -> None:
    query = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    while not stop.is_set():
        try:
            said = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout
            share, mib = said.splitlines()[0].split(",")
            samples.shares.append(float(share))
            samples.mib.append(float(mib))
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return
        stop.wait(1.0)
