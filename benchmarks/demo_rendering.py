"""Rendering speed of the synthetic site: pictures per second over all cameras, including encoding and truth.

    python -m benchmarks.demo_rendering [--seed 1] [--seconds 120] [--processes 2]

Renders all six cameras to a temporary folder, as `mtmc demo` does. Real time is 30 pictures per second: six cameras
at 5 Hz. The time to start the processes and to draw the empty views is included.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from demo.scenario import Scenario
from demo.videos import GROUND_TRUTH, render_cameras

_FPS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    began = time.perf_counter()
    scenario = Scenario.generate(chosen.seed, chosen.seconds, _FPS)
    generated = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / GROUND_TRUTH).mkdir()
        render_cameras(scenario, scenario.cameras, Path(folder), chosen.processes)
        rendered = time.perf_counter()
        size = sum(path.stat().st_size for path in Path(folder).glob("*.mp4"))
    count, pictures, seconds = len(scenario.cameras), scenario.ticks * len(scenario.cameras), rendered - generated
    print(f"{pictures} pictures of {count} cameras by {chosen.processes} processes in {seconds:.1f} s")
    print(f"{pictures / seconds:.0f} pictures/s, {pictures / count / _FPS / seconds:.1f} × real time")
    print(f"scenario: {generated - began:.1f} s; video: {size / pictures / 1000:.1f} kB per picture")


if __name__ == "__main__":
    main()
