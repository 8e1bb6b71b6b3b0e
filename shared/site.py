"""The site in Redis: published by the CLI, read by every service."""

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
from shared.yaml_file import dotted


@dataclass(frozen=True)
class PublishedSite:
    """The site as every service reads it."""

    revision: int
    config: SiteConfig
    layout: Layout
    masks: Mapping[str, bytes]
    """Camera → its mask, as the bytes of the image file."""

    @property
    def keys(self) -> Keys:
        """The key names of this site."""
        return Keys(self.config.site)


def publish_site(client: Client, config: SiteConfig, layout: Layout | None = None) -> int:
    """Writes the site for the services to read; returns its revision, which increases when the content changes.

    Addresses and passwords of Redis are left out: every process gets them on its own command line or environment.
    `layout` replaces the layout of the configuration.

    Raises:
        LayoutError: the layout file cannot be read.
        OSError: a mask cannot be read.
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
    """Whether the published site is exactly what `publish_site` would write for `config`.

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
    """The revision that is published now; 0 if none is."""
    return int(client.get(keys.revision) or 0)


def read_site(client: Client, site: str) -> PublishedSite | None:
    """The published site, or None if it has not been published yet.

    Raises:
        ConfigError: this version cannot read what is published.
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
        reason = _reason(error)
        raise ConfigError(
            [Problem(keys.config, "", "", f"was written by another version of mtmc; publish the site again ({reason})")]
        ) from None


def _reason(error: Exception) -> str:
    """What is wrong, on one line and without the values of settings, which may be secrets."""
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False, include_context=False)
        return "; ".join(f"{dotted(item['loc'])}: {item['msg']}" for item in found)
    return " ".join(str(error).split())


def restart_files(client: Client, keys: Keys) -> None:
    """Makes the site's files play from the beginning, starting at the tick of their next claim; used by `mtmc up`."""
    cameras = [name.decode() for name in client.hkeys(keys.cameras)]
    with client.pipeline(transaction=True) as pipe:
        pipe.delete(keys.files_origin, keys.seen, keys.marked_at)
        for camera in cameras:
            pipe.hdel(keys.camera(camera), "state", "error", "origin")
        pipe.execute()
