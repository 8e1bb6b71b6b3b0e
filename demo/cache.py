"""Rendered sites that are used again as long as they are what would be rendered now."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from demo.errors import DemoError
from demo.site import MODELS, SITE_FILE, chosen_cameras, scenario_of, write_site

MADE_OF = "made-of.json"


def cached_site(
    cache: Path,
    seed: int,
    seconds: float,
    cameras: Sequence[str] | None = None,
    fps: float = 5.0,
    *,
    models: Path = MODELS,
    processes: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """The path of the `site.yaml` of such a site below the folder `cache`, rendered now only if it must be.

    The arguments are those of `demo.site.write_site`. A site that an older version has rendered is replaced.

    Raises:
        DemoError: as `write_site`; or what stands in the site's place is none.
    """
    wanted = made_of(seed, seconds, cameras, fps, models)
    folder = cache / _name(seed, seconds, cameras, fps)
    if _known(folder) == wanted and (folder / SITE_FILE).is_file():
        return folder / SITE_FILE
    chosen_cameras(scenario_of(seed, 1.0, fps), cameras)
    if folder.exists():
        if _known(folder) is None:
            raise DemoError(f"{folder} is no rendered site; move it away")
        shutil.rmtree(folder)
    return write_site(
        folder,
        seed,
        seconds,
        cameras,
        fps,
        models=models,
        processes=processes,
        progress=progress,
        notes={MADE_OF: wanted},
    )


def made_of(seed: int, seconds: float, cameras: Sequence[str] | None, fps: float, models: Path) -> dict[str, Any]:
    """All that a rendered site depends on."""
    return {
        "seed": seed,
        "seconds": seconds,
        "fps": fps,
        "cameras": None if cameras is None else sorted(set(cameras)),
        "models": str(models.resolve()),
        "sources": _sources_digest(),
    }


def _name(seed: int, seconds: float, cameras: Sequence[str] | None, fps: float) -> str:
    rate = "" if fps == 5.0 else f"-{fps:g}fps"
    some = "" if cameras is None else "-" + "-".join(sorted(set(cameras)))
    return f"demo-seed-{seed}-{seconds:g}s{rate}{some}".replace("/", "_")[:200]


def _known(folder: Path) -> dict[str, Any] | None:
    try:
        known = json.loads((folder / MADE_OF).read_text())
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


@lru_cache(maxsize=1)
def _sources_digest() -> str:
    """Of the modules that draw: another version draws another site."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
