"""Puts a site file into Redis, for the services to read."""

from __future__ import annotations

from dataclasses import dataclass

from launcher.camera_changes import camera_changes
from shared.camera_settings import read_settings
from shared.config import SiteConfig
from shared.errors import ConfigError, MaskError, MtmcError
from shared.keys import Keys
from shared.redis_connection import Client
from shared.site import PublishedSite, publish_site, read_site


@dataclass(frozen=True)
class Published:
    """What came of it."""

    revision: int
    """It grew if the content changed."""
    note: str | None
    """What became of cameras that were added, paused … while the site ran; None if nothing was."""


def publish(client: Client, site: SiteConfig) -> Published:
    """Publishes the site.

    Raises:
        MtmcError: a mask or the layout cannot be used.
    """
    before, running = _published(client, site.site), read_settings(client, Keys(site.site))
    try:
        if any(camera.mask for camera in site.cameras):
            _check_masks(site)
        revision = publish_site(client, site)
    except OSError as error:
        raise MtmcError(f"{error.filename}: cannot be read ({error.strerror})") from None
    note = None
    made = camera_changes(before.config.cameras, running) if before else None
    if before and made:
        lost = camera_changes(site.cameras, running).among(made.by_camera)
        if revision == before.revision:
            note = f"the running cameras differ from the site file ({made}); see: mtmc cameras list"
        elif lost:
            note = f"changes made while the site ran are gone ({lost}); write them into the site file to keep them"
    return Published(revision, note)


def _published(client: Client, site: str) -> PublishedSite | None:
    try:
        return read_site(client, site)
    except ConfigError:  # of another version, and about to be replaced
        return None


def _check_masks(site: SiteConfig) -> None:
    from vision.video.mask import decode_mask  # with OpenCV, which takes a moment to load

    for camera in site.cameras:
        if camera.mask is not None:
            try:
                decode_mask(camera.mask.read_bytes())
            except MaskError as error:
                raise MtmcError(f"camera {camera.name}: the mask {camera.mask} {error}") from None
