"""The site in Redis: published by the CLI, read by every service."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from shared.camera_settings import camera_names, queue_addition, queue_removal
from shared.config import MODEL_SECTIONS, SiteConfig
from shared.errors import ConfigError, Problem
from shared.keys import Keys
from shared.layout import Layout
from shared.lenient_reads import hash_at, text_at
from shared.lenient_values import whole
from shared.redis_connection import Client
from shared.site_layout import site_layout
from shared.yaml_file import dotted


@dataclass(frozen=True)
class PublishedSite:
    """The site as every service reads it."""

    revision: int
    config: SiteConfig
    layout: Layout
    masks: Mapping[str, bytes]
    """Camera → its mask, as the bytes of the image file."""
    text: bytes = field(default=b"", repr=False, compare=False)
    """As it is in Redis, to publish it again if Redis loses it."""

    @property
    def keys(self) -> Keys:
        """The key names of this site."""
        return Keys(self.config.site)


def publish_site(client: Client, config: SiteConfig, layout: Layout | None = None) -> int:
    """Writes the site for the services to read; returns its revision, which increases when the content changes.

    Addresses and passwords of Redis are left out: every process gets them on its own command line or environment.
    `layout` replaces the layout of the configuration. If only models differ that the site file does not name, the
    cameras stay as they are at run time. It is one transaction, so two publishers never get the same revision.

    Raises:
        LayoutError: the layout file cannot be read.
        OSError: a mask cannot be read.
    """
    keys = Keys(config.site)
    content = _content(config, layout)
    new = _Head(0, _digest(content), _models(content))

    def attempt(pipe: Any) -> int:
        old = _head(text_at(pipe, keys.config))
        newest = max(old.revision, read_revision(pipe, keys))
        is_same_file = old.digest == new.digest and old.revision == newest
        if is_same_file and old.models == new.models:
            pipe.multi()
            return newest
        text = json.dumps({"revision": newest + 1, "digest": new.digest, **content})
        if is_same_file:
            pipe.multi()
            pipe.set(keys.config, text)
            pipe.set(keys.revision, newest + 1)
            return newest + 1
        gone = sorted(set(camera_names(hash_at(pipe, keys.cameras))).difference(config.camera_names))
        is_hash = pipe.type(keys.cameras) in (b"hash", b"none")
        pipe.multi()
        if not is_hash:
            pipe.delete(keys.cameras)
        pipe.set(keys.config, text)
        pipe.set(keys.revision, newest + 1)
        queue_removal(pipe, keys, gone, config.association.replay_seconds)
        queue_addition(pipe, keys, config.cameras)
        if not config.cameras:
            pipe.set(keys.no_cameras, 1)
        return newest + 1

    revision: int = client.transaction(attempt, keys.config, keys.revision, keys.cameras, value_from_callable=True)
    return revision


def is_published(client: Client, config: SiteConfig) -> bool:
    """Whether the published site is exactly what `publish_site` would write for `config`.

    Raises:
        LayoutError: the layout file cannot be read.
        OSError: a mask cannot be read.
    """
    old, content = _head(text_at(client, Keys(config.site).config)), _content(config)
    return (old.digest, old.models) == (_digest(content), _models(content))


@dataclass(frozen=True)
class _Head:
    """What identifies a published content; revision 0 and an empty digest if it cannot be read."""

    revision: int = 0
    digest: str = ""
    models: Mapping[str, Any] = field(default_factory=dict)


def _head(text: bytes | None) -> _Head:
    try:
        content = json.loads(text or b"{}")
        return _Head(int(content["revision"]), str(content["digest"]), _models(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return _Head()


def _content(config: SiteConfig, layout: Layout | None = None) -> dict[str, Any]:
    return {
        "site": config.model_dump(mode="json", by_alias=True, exclude={"redis"}),
        "layout": (layout or site_layout(config)).to_dict(),
        "masks": {
            camera.name: base64.b64encode(camera.mask.read_bytes()).decode() for camera in config.cameras if camera.mask
        },
    }


def _models(content: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that name a model."""
    return {name: content["site"][name] for name in MODEL_SECTIONS}


def _digest(content: Mapping[str, Any]) -> str:
    """Of what the site file says: a model that it does not name is left out."""
    site = content["site"]
    if left_out := site.get("preselected"):
        content = {**content, "site": {name: value for name, value in site.items() if name not in left_out}}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def read_revision(client: Client, keys: Keys) -> int:
    """The revision that is published now; 0 if none is, or if it is not a number."""
    return whole(text_at(client, keys.revision)) or 0


def read_site(client: Client, site: str) -> PublishedSite | None:
    """The published site, or None if it has not been published yet.

    Raises:
        ConfigError: this version cannot read what is published.
    """
    keys = Keys(site)
    text = text_at(client, keys.config)
    return None if text is None else parse_site(text, keys)


def parse_site(text: bytes, keys: Keys) -> PublishedSite:
    """The site that `text`, the value of `keys.config`, describes.

    Raises:
        ConfigError: this version cannot read it.
    """
    try:
        content = json.loads(text)
        return PublishedSite(
            revision=int(content["revision"]),
            config=SiteConfig.model_validate(content["site"]),
            layout=Layout.from_dict(content["layout"]),
            masks={camera: base64.b64decode(mask, validate=True) for camera, mask in content["masks"].items()},
            text=text,
        )
    except (ValidationError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
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
    cameras = camera_names(hash_at(client, keys.cameras))
    with client.pipeline(transaction=True) as pipe:
        pipe.delete(keys.files_origin, keys.seen, keys.marked_at)
        for camera in cameras:
            pipe.hdel(keys.camera(camera), "state", "error", "origin")
        pipe.execute()
