"""The site as it stands in Redis: published by the CLI, read by every service."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from shared.camera_settings import queue_addition, queue_removal
from shared.config import SiteConfig
from shared.config_file import site_layout
from shared.errors import ConfigError, Problem
from shared.keys import Keys
from shared.layout import Layout
from shared.redis_connection import Client


@dataclass(frozen=True)
class PublishedSite:
    """What every service knows of its site."""

    revision: int
    config: SiteConfig
    layout: Layout
    masks: Mapping[str, bytes]
    """Camera → the encoded picture of its mask."""

    @property
    def keys(self) -> Keys:
        """The key names of this site."""
        return Keys(self.config.site)


def publish_site(client: Client, config: SiteConfig, layout: Layout | None = None) -> int:
    """Writes the site for the services to read; returns its revision, which grows when the content changed.

    Addresses and passwords of Redis stay out of it: every process is given its own. `layout` stands in for that of the
    configuration.

    Raises:
        LayoutError: the layout file cannot be read.
    """
    keys = Keys(config.site)
    content = _content(config, layout)
    digest = _digest(content)
    before = client.get(keys.config)
    old: dict[str, Any] = json.loads(before) if before else {"revision": 0, "digest": ""}
    if old["digest"] == digest:
        return int(old["revision"])
    revision = int(old["revision"]) + 1
    gone = sorted({name.decode() for name in client.hkeys(keys.cameras)}.difference(config.camera_names))
    with client.pipeline(transaction=True) as pipe:
        pipe.set(keys.config, json.dumps({"revision": revision, "digest": digest, **content}))
        pipe.set(keys.revision, revision)
        queue_removal(pipe, keys, gone, config.association.replay_seconds)
        queue_addition(pipe, keys, config.cameras)
        pipe.execute()
    return revision


def is_published(client: Client, config: SiteConfig) -> bool:
    """Whether what stands in Redis is this very site, as `publish_site` would write it.

    Raises:
        LayoutError: the layout file cannot be read.
        OSError: a mask cannot be read.
    """
    written = client.get(Keys(config.site).config)
    return written is not None and json.loads(written)["digest"] == _digest(_content(config))


def _content(config: SiteConfig, layout: Layout | None = None) -> dict[str, Any]:
    return {
        "site": config.model_dump(mode="json", by_alias=True, exclude={"redis"}),
        "layout": (layout or site_layout(config)).to_dict(),
        "masks": {
            camera.name: base64.b64encode(camera.mask.read_bytes()).decode() for camera in config.cameras if camera.mask
        },
    }


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def read_revision(client: Client, keys: Keys) -> int:
    """The revision that stands in Redis now; 0 when nothing is published."""
    return int(client.get(keys.revision) or 0)


def read_site(client: Client, site: str) -> PublishedSite | None:
    """The published site, or None when nobody has published it yet.

    Raises:
        ConfigError: what stands there is not understood by this version.
    """
    keys = Keys(site)
    text = client.get(keys.config)
    if text is None:
        return None
    try:
        content = json.loads(text)
        return PublishedSite(
            revision=int(content["revision"]),
            config=SiteConfig.model_validate(content["site"]),
            layout=Layout.from_dict(content["layout"]),
            masks={camera: base64.b64decode(mask, validate=True) for camera, mask in content["masks"].items()},
        )
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(
            [Problem(keys.config, "", "", f"was written by another version of mtmc; publish the site again ({reason})")]
        ) from None


def restart_recordings(client: Client, keys: Keys) -> None:
    """Lets the site's files start over, from the tick at which they are claimed next; `mtmc up` does it."""
    cameras = [name.decode() for name in client.hkeys(keys.cameras)]
    with client.pipeline(transaction=True) as pipe:
        pipe.delete(keys.files_origin, keys.seen, keys.marked_at)
        for camera in cameras:
            pipe.hdel(keys.camera(camera), "state", "error", "origin")
        pipe.execute()
