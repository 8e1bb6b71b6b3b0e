"""The stopwatch of the tests does not count the moments in which the machine was held up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.stopwatch import Pulse

ROOT = Path(__file__).resolve().parents[2]
HELD_UP = """
import time
from tests.stopwatch import pulse
began_s, of_process = time.monotonic(), pulse()
print("ready", flush=True)
while time.monotonic() < began_s + 2.0:
    time.sleep(0.01)
print(of_process.stalled_s(began_s, time.monotonic()), flush=True)
"""


def test_a_stall_counts_as_far_as_it_is_within_the_time() -> None:
    found = Pulse()
    found._stalls += [(10.0, 12.0), (20.0, 21.0)]
    assert found.stalled_s(5.0, 9.0) == 0.0
    assert found.stalled_s(11.0, 20.5) == 1.5
    assert found.stalled_s(10.0, 30.0) == 3.0


def test_a_process_that_was_stopped_knows_for_how_long() -> None:
    with subprocess.Popen([sys.executable, "-c", HELD_UP], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGSTOP)
        time.sleep(1.0)
        os.kill(process.pid, signal.SIGCONT)
        assert float(process.stdout.readline()) > 0.8
