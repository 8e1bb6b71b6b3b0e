"""Objects that go on moving while Redis is away: their tracks go on in the worker, and keep their ids and gids.

The faults last for less than `tracker.max_lost_seconds`; after longer ones, only objects that stand still go on.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.chaos.test_redis_faults import ANOTHER_WORD, FaultySite, faulty_site, wait_for
from tests.free_ports import free_port
from tests.integration.worker_parts import StillSource
from tests.running_hall import KEYS
from vision.video.source import Frame

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]
OBJECTS = ((-9, 16, 6, 8), (5, 16, 6, 8))
"""They are in the middle of the picture, 14 pixels apart, and move by 8 pixels."""
MOVES = 35.0
EDGE = 10
"""Only so many rows above and below the objects become brighter: the objects always look the same."""
FAULT_S = 1.5
DARK, BRIGHT = 40.0, 220.0
PERIOD_S = 20.0
"""There and back."""
LEAST_WAY = 1.0
"""Of the pictures' 64 pixels: so far an object has moved at least."""


class MovingSource(StillSource):
    """A live source whose edges become brighter and darker evenly, so that the objects go to and fro."""

    def frame_at(self, media_time_s: float, wait_s: float | None) -> Frame | None:
        frame = super().frame_at(media_time_s, wait_s)
        if frame is None:
            return None
        phase = time.monotonic() % PERIOD_S / PERIOD_S
        frame.image[:EDGE] = frame.image[-EDGE:] = round(DARK + (BRIGHT - DARK) * (1.0 - abs(2.0 * phase - 1.0)))
        return frame


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySite]:
    folder = tmp_path_factory.mktemp("moving")
    with faulty_site(folder, MovingSource, objects=OBJECTS, cameras=("a",), moves=MOVES) as found:
        yield found


def killed(site: FaultySite) -> None:
    site.redis.stop()
    time.sleep(FAULT_S)
    site.redis.start()


def paused(site: FaultySite) -> None:
    site.client.client_pause(round(FAULT_S * 1000), all=True)
    time.sleep(FAULT_S)


def hanging(site: FaultySite) -> None:
    os.kill(site.redis.pid, signal.SIGSTOP)
    time.sleep(FAULT_S)
    os.kill(site.redis.pid, signal.SIGCONT)


def full(site: FaultySite) -> None:
    site.client.config_set("maxmemory", site.client.info("memory")["used_memory"])
    time.sleep(FAULT_S)
    site.client.config_set("maxmemory", 0)


def read_only(site: FaultySite) -> None:
    site.client.replicaof("127.0.0.1", free_port())
    time.sleep(FAULT_S)
    site.client.replicaof("NO", "ONE")


def refusing(site: FaultySite) -> None:
    site.client.config_set("requirepass", ANOTHER_WORD)
    site.client.client_kill_filter(_type="normal", skipme=True)
    time.sleep(FAULT_S)
    site.client.config_set("requirepass", "")


def slow(site: FaultySite) -> None:
    site.network.latency_s = 0.1
    time.sleep(FAULT_S)
    site.network.latency_s = 0.0


def cut(site: FaultySite) -> None:
    for _ in range(3):
        wait_for(site.network.cut, "a connection")
        time.sleep(0.3)


def black_hole(site: FaultySite) -> None:
    with site.network.black_hole():
        time.sleep(FAULT_S)


@pytest.mark.parametrize("fault", [killed, paused, hanging, full, read_only, refusing, slow, cut, black_hole])
def test_who_moves_meanwhile_keeps_track_and_gid(site: FaultySite, fault: Callable[[FaultySite], None]) -> None:
    after = site.newest(KEYS.tracks("a"))
    with site.unharmed(fault.__name__):
        # No tracker foresees that an object turns.
        wait_for(lambda: 0.05 < time.monotonic() % (PERIOD_S / 2) / (PERIOD_S / 2) < 0.4, "the objects have turned")
        fault(site)
    lefts = [one.batch.boxes_xyxy[:, 0].min() for one in site.entries("a", after) if len(one.batch)]
    assert np.ptp(lefts) > LEAST_WAY, "the objects stood still"
