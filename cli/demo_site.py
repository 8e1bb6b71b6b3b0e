"""The synthetic site, made for an evaluation."""

from __future__ import annotations

from pathlib import Path

from cli.progress import progress
from demo.site import DETECTOR, EMBEDDER, GROUND_TRUTH, MODELS, scenario_of, write_site
from shared.errors import MtmcError

FPS = 5.0


def make_demo(folder: Path, seed: int, seconds: float) -> tuple[Path, Path]:
    """Renders the site into `folder`, which must not be there; its site file and the folder of its truth.

    Raises:
        MtmcError: it cannot be made as asked.
    """
    missing = [name for name in (DETECTOR, EMBEDDER) if not (MODELS / name).is_file()]
    if missing:
        raise MtmcError(f"the demo's models are missing: {', '.join(missing)} in {MODELS}")
    scenario = scenario_of(seed, seconds, FPS)
    done, total = 0, len(scenario.cameras) * scenario.ticks
    with progress("rendering") as told:
        told(0, total)

        def rendered(pictures: int) -> None:
            nonlocal done
            done += pictures
            told(done, total)

        site_file = write_site(folder, seed, seconds, fps=FPS, progress=rendered)
    return site_file, folder / GROUND_TRUTH
