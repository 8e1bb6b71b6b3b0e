"""Pauses, resumes and removes cameras of a running site."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from redis.exceptions import RedisError

from launcher.site_access import OpenSite, unknown_cameras
from shared.camera_record import Asked
from shared.camera_settings import read_settings, remove_cameras, set_paused
from shared.errors import MtmcError


@dataclass(frozen=True)
class PausedCameras:
    """The result of pausing or resuming cameras."""

    paused: bool
    """Whether the cameras are now paused (or resumed)."""
    cameras: tuple[str, ...]
    """In the order given."""
    unchanged: frozenset[str]
    """Cameras that already were in this state."""
    unlike_published: tuple[str, ...]
    """Cameras whose `paused` now differs from the published site."""


def pause_cameras(
    site: OpenSite, names: Sequence[str] | None, *, paused: bool, asked: Asked | None = None
) -> PausedCameras:
    """Pauses cameras, or resumes them; all of them if `names` is None.

    `asked`: for the record in `events`; None: nothing is recorded.

    Raises:
        MtmcError: the site runs in virtual time or has no such camera, or a camera's settings cannot be read.
    """
    require_changeable(site)
    running = read_settings(site.client, site.keys)
    if names is None:
        wanted = [name for name, camera in running.items() if camera]
    else:
        wanted = list(dict.fromkeys(names))
        if unknown := [name for name in wanted if name not in running]:
            raise unknown_cameras(site.keys.site, unknown, list(running))
    changed = [name for name in wanted if (camera := running[name]) is None or camera.paused != paused]
    if not paused:
        _delete_pictures(changed, site)  # The pictures are from before the pause.
    refused = set_paused(site.client, site.keys, changed, paused=paused, asked=asked)
    if refused:
        raise MtmcError(f"the settings of {', '.join(refused)} cannot be read; remove the camera and add it again")
    published = {camera.name: camera.paused for camera in site.published.config.cameras}
    return PausedCameras(
        paused,
        tuple(wanted),
        frozenset(wanted) - frozenset(changed),
        tuple(name for name in wanted if published.get(name, paused) != paused),
    )


def remove_from_site(site: OpenSite, names: Sequence[str], asked: Asked | None = None) -> list[str]:
    """Removes cameras; returns their names without duplicates.

    `asked`: for the record in `events`; None: nothing is recorded.

    Raises:
        MtmcError: the site runs in virtual time, or has no such camera.
    """
    require_changeable(site)
    running = read_settings(site.client, site.keys)
    wanted = list(dict.fromkeys(names))
    kept_seconds = site.published.config.association.replay_seconds
    if unknown := remove_cameras(site.client, site.keys, wanted, kept_seconds, asked=asked):
        raise unknown_cameras(site.keys.site, unknown, list(running))
    _delete_pictures(wanted, site)
    return wanted


def require_changeable(site: OpenSite) -> None:
    """Raises MtmcError if the site runs in virtual time."""
    if site.published.config.clock.mode == "virtual":
        raise MtmcError(
            f"site {site.keys.site} runs in virtual time, in which the cameras cannot be changed at runtime; change "
            "the site file and publish it"
        )


def _delete_pictures(cameras: Collection[str], site: OpenSite) -> None:
    """Deletes pictures now. One that is published meanwhile, or is in an unreachable Redis, expires anyway."""
    keys = [site.keys.frames(camera) for camera in cameras]
    if not keys:
        return
    site.client.delete(*keys)
    if site.address.frames_url:
        with contextlib.suppress(RedisError), site.address.pictures(site.client) as frames:
            frames.delete(*keys)
