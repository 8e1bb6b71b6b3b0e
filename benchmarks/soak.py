"""Whether memory, threads, files and keys of a running site stay flat.

    python -m benchmarks.soak [--minutes 20] [--virtual-minutes 60] [--camera-changes 1000] [--csv FILE]

Three parts, each with `mtmc up`, the demo, and a viewer of its page. 0 leaves a part out.

- demo: six cameras, in real time, for `--minutes`.
- virtual: two cameras, in virtual time, for `--virtual-minutes` of site time.
- cameras: two cameras in real time, while three others are added and removed `--camera-changes` times. Their sources
  are video files and an address that nobody serves; half of their names are new, and half were used before. Afterwards
  no key and no metric of a removed camera may be left.

After `--warm-up` minutes (site time in the virtual part), the medians of the first and the last fifth of the samples
are compared with the bounds in `_BOUNDS`. `redis-data` is the memory of Redis without `redis-logs`: `assignments` and
`events` grow until their caps (docs/keys.md), together about 7 MiB. The settings are those of the demo, except that
identities are kept for a minute after they left instead of five, and 20 s of tracks for recovery instead of 60. Exit
code 1: something grows.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.changing_cameras import ChangingCameras
from benchmarks.flatness import Bound, growth, table
from benchmarks.watched_site import Series, SiteFailed, WatchedSite
from demo.cache import cache_name, rendered_site
from demo.site import DemoSite
from launcher.programs import usable_cores
from launcher.site_access import OpenSite
from shared.logs import configure_logging

_SETTINGS = {"MTMC__ASSOCIATION__RETENTION_SECONDS": "60", "MTMC__ASSOCIATION__REPLAY_SECONDS": "20"}
_FEW = ("crossing-southwest", "roundabout")
_NOBODY = "rtsp://127.0.0.1:9/none"
_BOUNDS = {
    "MiB": Bound(10, 0.05),
    "threads": Bound(4, 0),
    "files": Bound(8, 0),
    "keys": Bound(100, 0.25),
    "metrics": Bound(50, 0.05),
}
"""Last word of a quantity's name → by how much it may grow. The number of keys follows the number of identities."""
_SAMPLE_S = 3.0
_CHANGE_S = 0.25
_EXPIRED_S = 75.0
"""Until nothing of a removed camera is left: `viewers` names it for a minute."""
_SHOWN = 20


@dataclass(frozen=True)
class Part:
    """One part of the soak, with its samples."""

    name: str
    series: Series
    is_fine: bool


class Soak:
    """Runs the parts."""

    def __init__(self, folder: Path, cache: Path, warm_up_s: float) -> None:
        self._folder, self._cache, self._warm_up_s = folder, cache, warm_up_s

    def demo(self, seconds: float) -> Part:
        """The demo as `mtmc demo` runs it."""
        watched = WatchedSite(self._site_file(None), self._folder / "demo", _SETTINGS)
        with watched.running() as site:
            began = time.monotonic()
            while (now := time.monotonic() - began) < seconds:
                self._sample(watched, site, now)
        return self._judged("demo", watched, f"{seconds / 60:g} minutes")

    def virtual(self, seconds: float) -> Part:
        """Two cameras of the demo, as fast as the machine can compute."""
        settings = {**_SETTINGS, "MTMC__CLOCK__MODE": "virtual"}
        watched = WatchedSite(self._site_file(_FEW), self._folder / "virtual", settings)
        with watched.running() as site:
            began, fps = time.monotonic(), site.published.config.clock.target_fps
            first = int(site.client.get(site.keys.tick) or 0)
            while (now := (int(site.client.get(site.keys.tick) or 0) - first) / fps) < seconds:
                self._sample(watched, site, now)
            took = time.monotonic() - began
        return self._judged("virtual", watched, f"{seconds / 60:g} minutes of site time in {took / 60:.1f} minutes")

    def cameras(self, changes: int) -> Part:
        """Cameras are added and removed."""
        site_file = self._site_file(_FEW)
        sources = [*(str(site_file.resolve().parent / f"{name}.mp4") for name in _FEW), _NOBODY]
        watched = WatchedSite(site_file, self._folder / "cameras", _SETTINGS)
        with watched.running() as site:
            began, cameras = time.monotonic(), ChangingCameras(site, sources)
            sampled_at = 0.0
            while cameras.added < changes:
                cameras.change()
                if (now := time.monotonic() - began) >= sampled_at:
                    watched.sample(now, site)
                    sampled_at = now + _SAMPLE_S
                time.sleep(_CHANGE_S)
            took = time.monotonic() - began
            cameras.remove_all()
            time.sleep(_EXPIRED_S)
            left = cameras.leftovers()
            exported = watched.exported(site, "extra-")
        for what in (*left, *exported)[:_SHOWN]:
            print_line(f"left of a removed camera: {what}")
        part = self._judged(
            "cameras",
            watched,
            f"{changes} cameras added and removed in {took / 60:.1f} minutes, {cameras.were_live} of them were live",
        )
        return Part(part.name, part.series, part.is_fine and not left and not exported)

    def _site_file(self, cameras: tuple[str, ...] | None) -> Path:
        site = DemoSite(1, 120.0, cameras)
        return rendered_site(self._cache / cache_name(site), site, processes=usable_cores())

    def _sample(self, watched: WatchedSite, site: OpenSite, seconds: float) -> None:
        watched.sample(seconds, site)
        time.sleep(_SAMPLE_S)

    def _judged(self, name: str, watched: WatchedSite, what: str) -> Part:
        found = [
            growth(each, samples, self._warm_up_s, _BOUNDS[each.rsplit(" ", 1)[-1]])
            for each, samples in sorted(watched.series.items())
        ]
        print_line(f"{name}: {what}; judged after {self._warm_up_s / 60:g} minutes\n{table(found)}")
        if watched.restarts:
            print_line(f"  processes died or were restarted: {watched.restarts}")
        return Part(name, watched.series, all(each.is_flat for each in found) and not watched.restarts)


def write_csv(path: Path, parts: Sequence[Part]) -> None:
    """One row for each sample."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["part", "quantity", "seconds", "value"])
        for part in parts:
            for name, samples in part.series.items():
                writer.writerows([part.name, name, f"{at:.1f}", f"{value:g}"] for at, value in samples)


def print_line(text: str) -> None:
    """Prints at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Prints one table for each part."""
    parser = argparse.ArgumentParser(description="Soak test of a running site")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--virtual-minutes", type=float, default=60)
    parser.add_argument("--camera-changes", type=int, default=1000)
    parser.add_argument("--warm-up", type=float, default=2, help="minutes that are not judged")
    parser.add_argument("--csv", type=Path, help="write all samples to this file")
    parser.add_argument("--cache", type=Path, default=Path(".mtmc"), help="folder in which rendered sites are cached")
    options = parser.parse_args()
    configure_logging("soak", "ERROR")
    parts: list[Part] = []
    with tempfile.TemporaryDirectory(prefix="mtmc-soak-") as folder:
        soak = Soak(Path(folder), options.cache, options.warm_up * 60)
        wanted: list[Callable[[], Part]] = []
        if options.minutes:
            wanted.append(lambda: soak.demo(options.minutes * 60))
        if options.virtual_minutes:
            wanted.append(lambda: soak.virtual(options.virtual_minutes * 60))
        if options.camera_changes:
            wanted.append(lambda: soak.cameras(options.camera_changes))
        for run in wanted:
            try:
                parts.append(run())
            except SiteFailed as error:
                print_line(str(error))
                return 1
            if options.csv:
                write_csv(options.csv, parts)
    is_fine = all(part.is_fine for part in parts)
    print_line("flat" if is_fine else "NOT FLAT")
    return 0 if is_fine else 1


if __name__ == "__main__":
    sys.exit(main())
