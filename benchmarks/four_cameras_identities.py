"""Identities on four real cameras, scored with geometry instead of ground truth.

    python -m benchmarks.four_cameras_identities [--keep DIR | --recording DIR] [--seconds S] [--fps F]
        [--no-layout] [--calibrated]

Runs the whole system on `../shared/data/ufes-four-cameras` (or `$MTMC_SHARED/data/…`) in virtual time, or only the
aggregator (with `--recording`, from an earlier `--keep`). Two boxes in two cameras at one tick are one person if their
feet are within 0.5 m, and two if they are more than 1.5 m apart.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.four_cameras import FPS, site
from benchmarks.shared_data import shared_folder
from cli.console import table_console
from cli.progress import progress_bar
from evaluation.ground_plane import PairCounts, count_pairs
from evaluation.live import LiveFigures, live_figures
from evaluation.matching import CameraMatch
from evaluation.tables import pair_table
from evaluation.tracks import PublishedTracks
from launcher.site_file import load_site
from launcher.site_run import run_site, runnable
from recording.association import associate
from recording.reading import Recording
from shared.calibration_files import read_calibration
from shared.layout import Layout
from shared.logs import configure_logging

RECORDINGS = Path("data") / "ufes-four-cameras"


def calibrated(layout: Layout, shared: Path) -> Layout:
    """The layout with the calibrations of the data set."""
    files = {camera: shared / RECORDINGS / f"{camera}.calibration.json" for camera in layout.cameras}
    return replace(layout, calibrations={camera: read_calibration(file) for camera, file in files.items()})


def record(folder: Path, seconds: float | None, fps: float = FPS, *, has_layout: bool = True) -> Recording:
    """Runs the site, and writes its recording into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    loaded = load_site(site(folder, fps), {})
    if not has_layout:
        loaded = loaded.model_copy(update={"layout": None})
    config = runnable(loaded, seconds, live=False)
    with progress_bar("running") as progress:
        return run_site(config, folder, os.environ, seconds=seconds, progress=progress).recording


def judged(shared: Path, recording: Recording) -> tuple[PairCounts, LiveFigures]:
    """Scores of the published ids by geometry, and figures that need no truth (purity and completeness do)."""
    tracks = [PublishedTracks.recorded(recording, camera) for camera in recording.cameras]
    calibrations = [
        read_calibration(shared / RECORDINGS / f"{camera}.calibration.json") for camera in recording.cameras
    ]
    live = live_figures([CameraMatch.without_truth(camera) for camera in tracks], 1.0 / recording.fps)
    return count_pairs(tracks, calibrations), live


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Identities on four real cameras")
    parser.add_argument("--keep", type=Path, help="keep site file, logs and recording in this empty folder")
    parser.add_argument("--recording", type=Path, help="recording of an earlier run; runs only the aggregator")
    parser.add_argument("--seconds", type=float, help="only the first of them")
    parser.add_argument("--fps", type=float, default=FPS, help=f"ticks per second (default: {FPS}, as the files)")
    parser.add_argument("--no-layout", action="store_true", help="the site does not say that the views overlap")
    parser.add_argument("--calibrated", action="store_true", help="use the calibrations of the cameras")
    arguments = parser.parse_args()
    shared = shared_folder() or sys.exit("no data found: set MTMC_SHARED to the folder that holds data/ and weights/")
    configure_logging("four-cameras", "WARNING")
    with tempfile.TemporaryDirectory() as name:
        if arguments.recording:
            recording = Recording.open(arguments.recording)
        else:
            folder = arguments.keep or Path(name)
            recording = record(folder, arguments.seconds, arguments.fps, has_layout=not arguments.no_layout)
        layout = Layout.open(recording.cameras) if arguments.no_layout else recording.description.site_layout()
        if arguments.recording or arguments.calibrated:
            layout = calibrated(layout, shared) if arguments.calibrated else layout
            recording = associate(recording, layout=layout).recording
        pairs, live = judged(shared, recording)
    table_console().print(pair_table(pairs, live))


if __name__ == "__main__":
    main()
