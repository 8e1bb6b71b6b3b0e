"""The synthetic site, made for an evaluation."""

from __future__ import annotations

from pathlib import Path

from cli.demo import check_models
from cli.progress import progress
from demo.site import MODELS, DemoSite, write_site
from demo.videos import GROUND_TRUTH


def make_demo(folder: Path, seed: int, seconds: float) -> tuple[Path, Path]:
    """Renders the site into `folder`, which must not be there; its site file and the folder of its truth.

    Raises:
        MtmcError: it cannot be made as asked.
    """
    check_models(MODELS)
    with progress("rendering") as told:
        site_file = write_site(folder, DemoSite(seed, seconds), progress=told)
    return site_file, folder / GROUND_TRUTH
