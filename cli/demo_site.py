"""The synthetic site, made for an evaluation."""

from __future__ import annotations

from pathlib import Path

from cli.progress import progress
from demo.site import DETECTOR, EMBEDDER, MODELS, write_site
from demo.videos import GROUND_TRUTH
from shared.errors import MtmcError


def make_demo(folder: Path, seed: int, seconds: float) -> tuple[Path, Path]:
    """Renders the site into `folder`, which must not be there; its site file and the folder of its truth.

    Raises:
        MtmcError: it cannot be made as asked.
    """
    missing = [name for name in (DETECTOR, EMBEDDER) if not (MODELS / name).is_file()]
    if missing:
        raise MtmcError(f"the demo's models are missing: {', '.join(missing)} in {MODELS}")
    with progress("rendering") as told:
        site_file = write_site(folder, seed, seconds, progress=told)
    return site_file, folder / GROUND_TRUTH
