"""Makes a place in Redis for a recording: its site in virtual mode, where nothing but a replay has ever been."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from recording.reading import Recording
from shared.config import AssociationConfig, SiteConfig
from shared.errors import MtmcError
from shared.keys import Keys
from shared.layout import Layout
from shared.leases import Leases
from shared.redis_connection import Client
from shared.site import PublishedSite, publish_site, read_site

_LEASE_SECONDS = 10.0
_NOTICED_S = 2.5
"""Services ask once a second whether their site was published anew."""


@dataclass(frozen=True)
class ReplaySettings:
    """How a recording is played."""

    site: str | None = None
    """None: the name of the recorded site."""
    association: Mapping[str, Any] | None = None
    """Settings that replace the recorded ones."""
    layout: Layout | None = None
    """In place of the recorded one."""


def publish_recording(client: Client, recording: Recording, settings: ReplaySettings) -> PublishedSite:
    """Publishes the recording's site in virtual mode; what an earlier replay left there is deleted.

    Raises:
        MtmcError: the site runs or holds data that no replay wrote, or a setting is not allowed.
    """
    config = replayed_site(recording, settings)
    keys = Keys(config.site)
    _refuse_foreign(client, keys)
    with _aggregator_stands_by(client, keys):
        _make_room(client, keys)
        publish_site(client, config, settings.layout or recording.description.site_layout())
        client.set(keys.replay, recording.folder.name)
    site = read_site(client, config.site)
    assert site is not None
    return site


def replayed_site(recording: Recording, settings: ReplaySettings) -> SiteConfig:
    """The configuration under which a recording is played.

    Raises:
        MtmcError: a setting is not allowed.
    """
    config = recording.description.site_config()
    try:
        association = AssociationConfig.model_validate(
            config.association.model_dump(by_alias=True) | dict(settings.association or {})
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise MtmcError(f"association.{first['loc'][0] if first['loc'] else ''}: {first['msg']}") from None
    clock = config.clock.model_copy(update={"mode": "virtual"})
    name = settings.site or config.site
    return config.model_copy(update={"site": name, "clock": clock, "association": association})


def _refuse_foreign(client: Client, keys: Keys) -> None:
    if not client.exists(keys.replay) and next(iter(client.scan_iter(keys.everything, count=1000)), None):
        raise MtmcError(
            f"site {keys.site} holds data in this Redis that no replay wrote; give the replay another name with --site"
        )
    if client.exists(keys.lease("clock")):
        raise MtmcError(f"a replay of site {keys.site} is under way in this Redis; wait for it, or name another --site")


@contextlib.contextmanager
def _aggregator_stands_by(client: Client, keys: Keys) -> Iterator[None]:
    """Keeps an aggregator that runs from doing anything until it has seen that another site was published.

    It would go on with its memory of the replay before, and give other gids.
    """
    if not client.exists(keys.lease("aggregator")):
        yield
        return
    lease, leases = None, Leases(client, keys)
    while lease is None:  # It may take up again what it has just lost.
        with client.pipeline(transaction=True) as pipe:
            pipe.hincrby(keys.epochs, "aggregator", 1)
            pipe.delete(keys.lease("aggregator"))
            pipe.execute()
        lease = leases.acquire("aggregator", _LEASE_SECONDS)
    try:
        yield
        time.sleep(_NOTICED_S)
    finally:
        lease.release()


def _make_room(client: Client, keys: Keys) -> None:
    """Deletes what an earlier replay left, so that the next one is seen by its revision to be another."""
    kept = {keys.config, keys.revision, keys.epochs, keys.lease("aggregator")}
    gone = [key for key in client.scan_iter(keys.everything, count=1000) if key.decode() not in kept]
    for at in range(0, len(gone), 1000):
        client.unlink(*gone[at : at + 1000])
    if text := client.get(keys.config):
        client.set(keys.config, json.dumps(json.loads(text) | {"digest": ""}))
