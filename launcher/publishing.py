"""Publishes a site in Redis, where the services read it."""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass

import structlog
from redis.exceptions import AuthenticationError, NoPermissionError

from launcher.address import RedisAddress
from launcher.camera_changes import camera_changes
from shared.camera_settings import read_settings
from shared.config import SiteConfig
from shared.errors import ConfigError, MaskError, MtmcError
from shared.keys import Keys
from shared.redis_connection import RETRYABLE, Client, check
from shared.redis_permissions import require_permissions
from shared.service_list import read_services
from shared.site import PublishedSite, publish_site, read_site

_log = structlog.get_logger()
_RETRY_S = 0.5


@dataclass(frozen=True)
class PublishResult:
    """The published revision, and a note if cameras were changed at runtime."""

    revision: int
    """Higher than before if the content changed."""
    note: str | None
    """What became of cameras added, paused … at runtime; None if there were no such changes."""


def publish(client: Client, site: SiteConfig) -> PublishResult:
    """Publishes the site.

    Raises:
        MtmcError: a mask or the layout is unusable.
    """
    keys = Keys(site.site)
    before, running = _published(client, site.site), read_settings(client, keys)
    try:
        if any(camera.mask or camera.mask_polygons for camera in site.cameras):
            _check_masks(site)
        revision = publish_site(client, site)
    except OSError as error:
        raise MtmcError(f"{error.filename}: cannot be read ({error.strerror}); check path and permissions") from None
    note = None
    made = camera_changes(before.config.cameras, running) if before else None
    if before and made and (unlike := camera_changes(site.cameras, running).among(made.by_camera)):
        if read_settings(client, keys) == running:
            note = f"the running cameras differ from the site file ({unlike}); see: mtmc cameras list"
        else:
            note = f"publishing undid changes made at runtime ({unlike}); add them to the site file to keep them"
    return PublishResult(revision, note)


def require_usable_address(client: Client, site: SiteConfig) -> None:
    """Checks that a streamer that runs on this machine can listen on `streamer.host`.

    Raises:
        MtmcError: this machine does not have the address.
    """
    services = read_services(client, Keys(site.site))
    if not any(one.role == "streamer" and one.host == socket.gethostname() for one in services):
        return
    host = site.streamer.host
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.bind(where)
    except OSError as error:
        raise MtmcError(
            f"streamer.host: {host} is no address of this machine, where the site's streamer runs "
            f"({error.strerror or error}); use 127.0.0.1, or 0.0.0.0 for every address. "
            "The published site stays as it is"
        ) from None


def publish_when_redis_answers(address: RedisAddress, site: SiteConfig, stop: threading.Event) -> bool:
    """Publishes the site as soon as Redis answers; returns False if `stop` was set first. Logs why it waits.

    Raises:
        MtmcError: Redis, a mask or the layout is unusable.
    """
    client = address.connect()
    is_waiting = False
    try:
        while not stop.is_set():
            reason = _try_to_publish(client, site, address)
            if reason is None:
                return True
            if not is_waiting:
                _log.warning("waiting", site=site.site, reason=reason)
                is_waiting = True
            stop.wait(_RETRY_S)
        return False
    finally:
        client.close()


def _try_to_publish(client: Client, site: SiteConfig, address: RedisAddress) -> str | None:
    """Publishes the site; returns None on success, else why Redis cannot be written yet."""
    try:
        with contextlib.suppress(AuthenticationError, NoPermissionError):  # `check` has the better message
            client.ping()
        check(client, address.url)
        require_permissions(client, address.url)
        result = publish(client, site)
    except RETRYABLE as error:
        return f"Redis does not answer yet: {error}"
    _log.info("site published", site=site.site, revision=result.revision)
    if result.note:
        _log.warning(result.note, site=site.site)
    return None


def _published(client: Client, site: str) -> PublishedSite | None:
    try:
        return read_site(client, site)
    except ConfigError:  # published by another version, and about to be replaced
        return None


def _check_masks(site: SiteConfig) -> None:
    from vision.video.mask import camera_mask, decode_mask  # imports OpenCV, which is slow to load

    for camera in site.cameras:
        image = None
        if camera.mask is not None:
            image = camera.mask.read_bytes()
            try:
                decode_mask(image)
            except MaskError as error:
                raise MtmcError(f"camera {camera.name}: the mask {camera.mask} {error}") from None
        try:
            camera_mask(image, camera.mask_polygons)
        except MaskError as error:
            raise MtmcError(f"camera {camera.name}: its mask {error}") from None
