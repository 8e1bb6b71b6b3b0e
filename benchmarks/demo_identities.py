"""The whole system on the synthetic site: identities against exact truth, on scenes not used for training.

    python -m benchmarks.demo_identities [--seeds 1 2 3] [--seconds 120] [--keep DIR]

Renders each scene, runs the real services on it in virtual time (as `mtmc evaluate --demo` does), and prints one line
per scene. The demo's models were trained on scenes with seeds from 1,000,000 on.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from cli.console import table_console
from cli.progress import progress_bar
from demo.site import MODELS, DemoSite, require_models, write_site
from demo.videos import GROUND_TRUTH
from evaluation.tables import SummaryTable
from evaluation.truth import read_truth
from launcher.site_evaluation import evaluate_site
from launcher.site_file import load_site
from shared.logs import configure_logging


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description="Identities on the synthetic site")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="seeds of the scenes (default 1 2 3)")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of each scene (default 120)")
    parser.add_argument("--keep", type=Path, help="keep scenes and recordings in this empty folder")
    arguments = parser.parse_args()
    configure_logging("demo", "WARNING")
    require_models(MODELS)
    table = SummaryTable(f"demo, {arguments.seconds:g} s at 5 Hz")
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.keep or Path(name)
        for seed in arguments.seeds:
            scene = folder / f"seed-{seed}"
            with progress_bar("rendering") as progress:
                site_file = write_site(scene / "demo", DemoSite(seed, arguments.seconds), progress=progress)
            site = load_site(site_file, os.environ)
            truth = read_truth(site_file.parent / GROUND_TRUTH, site.camera_names)
            run = evaluate_site(site, truth, scene, os.environ, progress_bar, seconds=arguments.seconds)
            table.add(f"seed {seed}", run.verdict)
    table.show(table_console())


if __name__ == "__main__":
    main()
