"""`mtmc config`: check, describe and publish site files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from launcher.address import find_redis
from launcher.publishing import publish as publish_site_file
from launcher.site_file import as_written, load_site
from shared.config import CameraConfig, SiteConfig
from shared.config_file import site_layout
from shared.errors import ConfigError, redact
from shared.layout import Layout
from site_checks.files import SiteChecks


def check(site_file: Path, environment: Mapping[str, str], root: Path | None = None) -> str:
    """What the site holds, in a few lines.

    Raises:
        ConfigError: with every problem.
    """
    site = load_site(site_file, environment, root=root, tell=True)
    checks = SiteChecks(site_file, site, environment)
    problems = [*checks.models(), *checks.masks(), *checks.recordings()]
    if problems:
        raise ConfigError(as_written(site_file, problems, root))
    return summary(site_file, site)


def summary(site_file: Path, site: SiteConfig) -> str:
    """A valid site in words."""
    redis = site.redis.url.get_secret_value() if site.redis.url else "started by `mtmc up`"
    layout = site_layout(site)
    lines = [
        f"{site_file}: all is well",
        f"  site      {site.site}, {site.clock.mode} at {site.clock.target_fps:g} ticks/s, "
        f"cameras at most {max(1, site.clock.max_skew_ticks)} ticks apart",
        f"  redis     {redact(redis)}",
        f"  detector  {site.detector.model}",
        f"  embedder  {site.embedder.model}",
        *(f"  camera    {camera.name}: {_camera_words(camera)}" for camera in site.cameras),
        f"  layout    {layout_words(layout, given=site.layout is not None)}",
    ]
    return "\n".join(lines)


def layout_words(layout: Layout, *, given: bool) -> str:
    """Which camera can follow which, in words."""
    if not given:
        return "none: whoever leaves a camera may turn up in any other, at any time"
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


def schema() -> str:
    """The JSON Schema of a site file."""
    described = SiteConfig.model_json_schema(by_alias=True)
    described["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(described, indent=2)


def publish(
    site_file: Path,
    redis_url: str | None,
    state: Path | None,
    environment: Mapping[str, str],
    root: Path | None = None,
) -> str:
    """Publishes a site file; says where.

    Raises:
        MtmcError: the file or Redis is not fit for it.
    """
    site = load_site(site_file, environment, root=root, tell=True)
    address = find_redis(redis_url, site, site_file, state, environment)
    client = address.open()
    try:
        with address.in_words():
            published = publish_site_file(client, site)
    finally:
        client.close()
    where = f"site {site.site}, revision {published.revision}, is published at {redact(address.url)}"
    return f"{where}\n{published.note}" if published.note else where


def _camera_words(camera: CameraConfig) -> str:
    extras = [
        *(["looped"] if camera.loop else []),
        *(["masked"] if camera.mask else []),
        *(["paused"] if camera.paused else []),
        *([f"only workers labelled {', '.join(camera.labels)}"] if camera.labels else []),
    ]
    return redact(camera.source) + (f" ({'; '.join(extras)})" if extras else "")
