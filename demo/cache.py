"""A cache of rendered sites; an entry is reused if rendering now would give the same files."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from demo.errors import DemoError
from demo.scenario import Difficulty
from demo.site import SITE_FILE, DemoSite, is_vacant, write_site

MADE_OF = "made-of.json"


def rendered_site(
    folder: Path,
    site: DemoSite,
    *,
    processes: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Returns the path of the `site.yaml` of `site` in `folder`; renders the site if it is not there yet.

    Replaces a rendered site of other settings or of an older version at that path.

    Raises:
        DemoError: as in `demo.site.write_site`, or the folder at that path is not a rendered site.
    """
    wanted = _made_of(site)
    known = _known(folder)
    if known == wanted and (folder / SITE_FILE).is_file():
        return folder / SITE_FILE
    site.chosen_cameras(site.scenario())
    if known is not None:
        try:
            _empty(folder)
        except OSError as error:
            raise DemoError(f"{folder} cannot be replaced: {error.strerror or error}; name another folder") from None
    elif folder.is_dir() and not is_vacant(folder):
        raise DemoError(f"{folder} is not a rendered site; move it away, or name another folder")
    return write_site(folder, site, processes=processes, progress=progress, notes={MADE_OF: wanted})


def cache_name(site: DemoSite) -> str:
    """Name of the site's folder in the cache."""
    rate = "" if site.fps == 5.0 else f"-{site.fps:g}fps"
    kind = "" if site.difficulty is Difficulty.NORMAL else f"-{site.difficulty}"
    kind += "" if site.has_layout else "-no-layout"
    kind += "" if site.has_calibration else "-no-calibration"
    some = "" if site.cameras is None else "-" + "-".join(sorted(set(site.cameras)))
    return f"demo-seed-{site.seed}-{site.seconds:g}s{rate}{kind}{some}".replace("/", "_")[:200]


def _made_of(site: DemoSite) -> dict[str, Any]:
    return {
        "seed": site.seed,
        "seconds": site.seconds,
        "fps": site.fps,
        "difficulty": site.difficulty,
        "has_layout": site.has_layout,
        "has_calibration": site.has_calibration,
        "cameras": None if site.cameras is None else sorted(set(site.cameras)),
        "models": str(site.models.resolve()),
        "sources": _sources_digest(),
    }


def _known(folder: Path) -> dict[str, Any] | None:
    try:
        known = json.loads((folder / MADE_OF).read_text())
    except (OSError, ValueError):
        return None
    return known if isinstance(known, dict) else None


def _empty(folder: Path) -> None:
    """Keeps the folder itself: it may be the volume of a container."""
    (folder / SITE_FILE).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@lru_cache(maxsize=1)
def _sources_digest() -> str:
    """Checksum of the modules that draw: another version draws another site."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
