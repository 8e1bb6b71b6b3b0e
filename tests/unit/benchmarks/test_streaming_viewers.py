from __future__ import annotations

import socket
import time

from benchmarks.streaming.viewers import Viewer


def test_each_new_picture_counts_once_wherever_the_data_is_cut() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        viewer = Viewer(server.getsockname()[1], "/north.mjpg")
        parts = b"".join(
            b"--mtmc-picture\r\nX-Mtmc-Tick: %d\r\nX-Mtmc-Capture-Time: %.9f\r\n\r\n" % (tick, time.time()) + b"x" * 300
            for tick in (1, 2, 2, 3)
        )
        for size in (7, 500):
            viewer.ticks.clear()
            viewer.arrived_at.clear()
            viewer.ages_s.clear()
            for begin in range(0, len(parts), size):
                viewer.took(memoryview(parts[begin : begin + size]))
            assert viewer.ticks == {None: 3}
            assert viewer.pictures == len(viewer.ages_s) == 3
            assert all(0 <= age < 60 for age in viewer.ages_s)
        viewer.socket.close()
