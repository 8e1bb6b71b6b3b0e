"""How long a takeover of the aggregator takes with a full gallery, and whether cycles go on over a slow link.

    python -m benchmarks.takeover [--tracks 100000] [--seconds 100] [--bytes-per-second 60000]

A Redis of its own is filled with a checkpoint of `--tracks` tracks of 512 values that have ended and may return. Then
an aggregator is killed: the time until the next cycle is committed, with a new aggregator that has to load the
checkpoint, and with a standby that has followed. Then an aggregator with `--link-tracks` tracks runs for `--seconds`
behind a proxy that lets through `--bytes-per-second` in each direction: its lost leases, cycles and checkpoints.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from association.core import Association
from association.identities import Identity
from association.settings import AssociationSettings
from services.aggregator.persistence import Checkpoint, Checkpoints, pack
from services.aggregator.saving import CheckpointSaver
from shared.config import SiteConfig
from shared.errors import LeaseLost
from shared.gate import CompletedCamera, Gate
from shared.leases import Lease, Leases
from shared.logs import configure_logging
from shared.messages import TrackBatch
from shared.redis_connection import RETRYABLE, Client, connect
from shared.redis_server import RedisServer, find_binary
from shared.site import PublishedSite, publish_site, read_site
from tests.slow_link import SlowLink

_CAMERAS = tuple(f"cam{number}" for number in range(20))
_DIMENSION, _CROPS, _FPS = 512, 50, 10
_OPEN_TRACKS = 2
"""In each camera."""
PROGRAM = """
import sys
from services.aggregator.__main__ import main
from shared.process import ServiceOptions
from shared.service import stop_on_signals
main(ServiceOptions(site=sys.argv[1], redis_url=sys.argv[2]), stop_on_signals())
"""


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """A Redis of its own; its URL."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        server = RedisServer(find_binary(), Path(folder), port)
        server.write_settings()
        with (
            (Path(folder) / "log").open("wb") as log,
            subprocess.Popen(server.command, stdout=log, stderr=log) as process,
        ):
            client = connect(server.url)
            while True:
                with contextlib.suppress(*RETRYABLE):
                    client.ping()
                    break
                time.sleep(0.05)
            yield server.url
            process.kill()


def published(client: Client, name: str, cameras: int) -> PublishedSite:
    """A site with so many cameras, and checkpoints every 10 s."""
    config = {
        "site": name,
        "clock": {"mode": "live", "target_fps": _FPS},
        "detector": {"model": "/d.onnx"},
        "embedder": {"model": "/e.onnx"},
        "association": {
            "learn": False,  # It would learn from the whole gallery at once.
            "retention_seconds": 86400,
            "checkpoint_seconds": 10,
            "replay_seconds": 120,
            "cluster_interval_seconds": 10,  # At 1 s, two aggregators with this gallery need more than two cores.
        },
        "cameras": [{"name": camera, "source": "rtsp://nowhere"} for camera in _CAMERAS[:cameras]],
    }
    publish_site(client, SiteConfig.model_validate(config))
    site = read_site(client, name)
    assert site is not None
    return site


def fill(client: Client, site: PublishedSite, tracks: int, now_ns: int) -> None:
    """Saves a checkpoint with the open tracks and so many that have ended, each of an identity of its own."""
    cameras = site.config.camera_names
    association = Association(site.layout.over(cameras), AssociationSettings.of(site.config))
    table, rng = association.table, np.random.default_rng(0)
    rows = np.array([table.add(i % len(cameras), i + 1, 0, 0, now_ns) for i in range(tracks)], np.intp)
    for at in range(0, tracks, 10_000):
        chosen = rows[at : at + 10_000]
        vectors = rng.standard_normal((len(chosen), _DIMENSION)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1)[:, None]
        table.embed(chosen, vectors, np.full(len(chosen), _CROPS, np.float32), "embedder")
    table.rows["ended"][rows], table.rows["ended_ns"][rows] = True, now_ns
    every = rows.tolist()
    for camera, looks in enumerate(open_looks(len(cameras))):
        own = [table.add(camera, track_id, 0, 0, now_ns) for track_id in open_tracks(camera)]
        table.embed(np.array(own), looks, np.full(len(own), _CROPS, np.float32), "embedder")
        every += own
    table.rows["gid"][every], table.rows["embedded"][every] = np.arange(1, len(every) + 1), _CROPS
    for gid, row in enumerate(every, start=1):
        is_open = not table.rows["ended"][row]
        association.identities.add(Identity(gid, 0, now_ns, now_ns, rows=[row], present=is_open))
    lease = Leases(client, site.keys).acquire("aggregator", 600)
    assert lease is not None
    saver = CheckpointSaver(client, site.keys, Checkpoints(client, site.keys))
    began = time.monotonic()
    packed = pack(Checkpoint(0, 0, {}, {}, cameras, association.to_dict()))
    captured = time.monotonic()
    saver.start(lease, packed, [])
    saver.wait(600)
    print_line(f"captured in {captured - began:.2f} s, saved in {time.monotonic() - captured:.1f} s")
    saver.close()
    lease.release()


def open_tracks(camera: int) -> list[int]:
    """The track ids of the objects that stay in a camera."""
    return [10**9 + camera * 1000 + number for number in range(_OPEN_TRACKS)]


def open_looks(cameras: int) -> np.ndarray:
    """Their embeddings, `(cameras, _OPEN_TRACKS, _DIMENSION)` float32, unit norm."""
    looks = np.random.default_rng(1).standard_normal((cameras, _OPEN_TRACKS, _DIMENSION)).astype(np.float32)
    return looks / np.linalg.norm(looks, axis=2)[..., None]


class Workers(threading.Thread):
    """Plays the clock and the workers: in each camera, two objects that stay."""

    def __init__(self, url: str, site: PublishedSite, origin_ns: int, embeds_every: int) -> None:
        super().__init__(daemon=True)
        self._embeds_every = embeds_every
        self._client, self._site, self._origin_ns = connect(url), site, origin_ns
        self.ends = threading.Event()

    def run(self) -> None:
        """Handles ticks in real time until `ends` is set."""
        keys, gate = self._site.keys, Gate(self._client, self._site.keys, self._site.config.clock)
        cameras = self._site.config.camera_names
        leases = {camera: self._joined(gate, camera) for camera in cameras}
        looks = open_looks(len(cameras))
        tick = 0
        while not self.ends.wait(1 / _FPS):
            tick += 1
            time_ns = self._origin_ns + tick * 10**9 // _FPS
            with self._client.pipeline(transaction=True) as pipe:
                pipe.set(keys.tick, tick)
                pipe.xadd(keys.ticks, {"tick": tick, "time_ns": time_ns, "gate": tick + 1}, maxlen=100)
                pipe.execute()
            done = []
            for number, (camera, lease) in enumerate(leases.items()):
                batch = self._batch(number, looks[number]) if tick % self._embeds_every == 0 else TrackBatch()
                done.append(CompletedCamera(camera, lease, time_ns, len(batch), batch.encode(), longest=1200))
            gate.complete_tick(tick, done, "0-0")

    def _joined(self, gate: Gate, camera: str) -> Lease:
        lease = Leases(self._client, self._site.keys).acquire(f"camera:{camera}", 3600)
        assert lease is not None
        gate.join(camera, lease)
        return lease

    def _batch(self, camera: int, looks: np.ndarray) -> TrackBatch:
        count = len(looks)
        corners = np.arange(count, dtype=np.float32)[:, None] * 200 + np.array([10, 10, 60, 110], np.float32)
        return TrackBatch(
            track_ids=np.array(open_tracks(camera)),
            boxes_xyxy=corners,
            scores=np.ones(count, np.float32),
            class_ids=np.zeros(count, np.int16),
            qualities=np.ones(count, np.float32),
            embedding_rows=np.arange(count, dtype=np.int32),
            embeddings=looks.astype(np.float16),
            ended=np.zeros(0, np.int64),
            embedder="embedder",
            width=1280,
            height=720,
        )


@contextlib.contextmanager
def aggregator(site: PublishedSite, url: str) -> Iterator[subprocess.Popen[bytes]]:
    """An aggregator as a process of its own."""
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, "-c", PROGRAM, site.config.site, url]
        with subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as process:
            try:
                yield process
            finally:
                process.kill()
                log.seek(0)
                text = log.read().decode()
                process.lost_leases = text.count("lost a lease")  # type: ignore[attr-defined]
                for line in text.splitlines():
                    if "error" in line or "acquired" in line or "Traceback" in line:
                        print_line(f"    {line[:200]}")


def newest_cycle(client: Client, site: PublishedSite) -> bytes:
    """The id of the newest cycle."""
    found = client.xrevrange(site.keys.cycles, count=1)
    return found[0][0] if found else b""


def wait_for_cycle(client: Client, site: PublishedSite, after: bytes, limit_s: float = 300) -> float:
    """Seconds until another cycle than `after` is committed."""
    began = time.monotonic()
    while newest_cycle(client, site) == after:
        if time.monotonic() > began + limit_s:
            return float("inf")
        time.sleep(0.02)
    return time.monotonic() - began


def takeovers(client: Client, site: PublishedSite, url: str) -> None:
    """Prints how long it takes until a cycle is committed after the owner was killed."""
    with aggregator(site, url) as owner:
        print_line(f"first start: {wait_for_cycle(client, site, b''):.1f} s until the first cycle")
        time.sleep(5)
        owner.kill()
        owner.wait()
        with aggregator(site, url) as second:
            taken = wait_for_cycle(client, site, newest_cycle(client, site))
            print_line(f"takeover by a new process: {taken:.1f} s")
            with aggregator(site, url):
                time.sleep(25)
                second.kill()
                second.wait()
                taken = wait_for_cycle(client, site, newest_cycle(client, site))
                print_line(f"takeover by a standby: {taken:.1f} s")


def slow_link(client: Client, site: PublishedSite, url: str, seconds: float, bytes_per_second: float) -> None:
    """Prints what happens to an aggregator behind a slow link."""
    port = int(url.rsplit(":", 1)[1].split("/")[0])
    link = SlowLink(port, bytes_per_second)
    before = client.get(site.keys.state_current)
    began, epoch = time.monotonic(), int(client.hget(site.keys.epochs, "aggregator") or 0)
    worst, last, last_at = 0.0, newest_cycle(client, site), began
    with aggregator(site, f"redis://127.0.0.1:{link.port}/0") as process:
        wait_for_cycle(client, site, last)
        last_at = time.monotonic()
        while time.monotonic() < began + seconds:
            time.sleep(0.02)
            if (newest := newest_cycle(client, site)) != last:
                # In the first half it loads its state and catches up with the cameras.
                if last_at > began + seconds / 2:
                    worst = max(worst, time.monotonic() - last_at)
                last, last_at = newest, time.monotonic()
        worst = max(worst, time.monotonic() - last_at)
    is_saved = client.get(site.keys.state_current) != before
    epochs = f"{epoch} → {int(client.hget(site.keys.epochs, 'aggregator'))}"
    lost: int = process.lost_leases  # type: ignore[attr-defined]
    print_line(
        f"behind {bytes_per_second / 1000:.0f} kB/s for {seconds:.0f} s: {lost} lost leases, epochs {epochs}, "
        f"{client.xlen(site.keys.cycles)} cycles kept, at most {worst:.1f} s between two in the second half, "
        f"checkpoint {'saved' if is_saved else 'NOT saved'}"
    )


def print_line(text: str) -> None:
    """Prints at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Prints one line for each figure."""
    parser = argparse.ArgumentParser(description="Takeover of the aggregator")
    parser.add_argument("--tracks", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=100)
    parser.add_argument("--bytes-per-second", type=float, default=60_000)
    parser.add_argument("--link-tracks", type=int, default=250)
    parser.add_argument("--only", choices=("takeover", "link"))
    options = parser.parse_args()
    configure_logging("takeover", "ERROR")
    for part in ("takeover", "link"):
        if options.only not in (None, part):
            continue
        with redis_server() as url:
            client = connect(url)
            is_link = part == "link"  # The entries of four cameras fit through it.
            site = published(client, part, 4 if is_link else len(_CAMERAS))
            origin_ns = time.time_ns()
            fill(client, site, options.link_tracks if is_link else options.tracks, origin_ns)
            workers = Workers(url, site, origin_ns, 50 if is_link else 5)
            workers.start()
            with contextlib.suppress(LeaseLost):
                if part == "takeover":
                    takeovers(client, site, url)
                else:
                    slow_link(client, site, url, options.seconds, options.bytes_per_second)
            workers.ends.set()
            workers.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
