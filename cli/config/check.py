"""`mtmc config check`: checks a site file and the files it names, and summarises the site."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cli.console import counted, print_note
from launcher.site_file import as_written, load_site
from shared.camera_config import CameraConfig
from shared.config import SiteConfig
from shared.errors import ConfigError, redact
from shared.layout import Layout
from shared.site_layout import site_layout
from site_checks.files import FileChecks


def check_site_file(site_file: Path, environment: Mapping[str, str], root: Path | None = None) -> str:
    """Checks the site file and every file it names; returns a summary of the site.

    Raises:
        ConfigError: carries every problem found.
    """
    site = load_site(site_file, environment, root=root, note=print_note)
    checks = FileChecks(site_file, site, environment)
    problems = [*checks.models(), *checks.masks(), *checks.videos()]
    if problems:
        raise ConfigError(as_written(site_file, problems, root))
    return summary(site_file, site)


def summary(site_file: Path, site: SiteConfig) -> str:
    """Describes a valid site."""
    redis = site.redis.url.get_secret_value() if site.redis.url else "started by `mtmc up`"
    layout = site_layout(site)
    lines = [
        f"{site_file}: no problems",
        f"  site      {site.site}, {site.clock.mode} mode at {site.clock.target_fps:g} ticks/s, "
        f"skew at most {counted(max(1, site.clock.max_skew_ticks), 'tick')}",
        f"  redis     {redact(redis)}",
        f"  detector  {site.detector.model}",
        f"  embedder  {site.embedder.model}",
        *(f"  camera    {camera.name}: {_described(camera)}" for camera in site.cameras),
        *([] if site.cameras else ["  camera    none yet; add cameras while the site runs: mtmc cameras add"]),
        f"  layout    {described_layout(layout, given=site.layout is not None)}",
    ]
    return "\n".join(lines)


def described_layout(layout: Layout, *, given: bool) -> str:
    """Describes which camera can follow which."""
    if not given:
        return "none: an object that leaves a camera may appear in any other, at any time"
    words = []
    overlapping = layout.overlapping
    n = len(layout.cameras)
    for i in range(n):
        for j in range(n):
            if i < j and overlapping[i, j]:
                words.append(f"{layout.cameras[i]} and {layout.cameras[j]} overlap")
            elif i != j and layout.compatible[i, j] and not overlapping[i, j]:
                window = f"{layout.dtmin[i, j]:g} to {layout.dtmax[i, j]:g} s"
                words.append(f"{layout.cameras[i]} to {layout.cameras[j]} in {window}")
    return "; ".join(words) or "no camera can follow another"


def _described(camera: CameraConfig) -> str:
    extras = [
        *(["looped"] if camera.loop else []),
        *(["masked"] if camera.mask or camera.mask_polygons else []),
        *(["paused"] if camera.paused else []),
        *([f"only workers labelled {', '.join(camera.labels)}"] if camera.labels else []),
    ]
    return camera.shown(camera.source) + (f" ({'; '.join(extras)})" if extras else "")
