"""Publishes a recorded site in virtual mode, under a name that only replays use."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from recording.reading import Recording
from shared.config import REFERENCE_ONLY, AssociationConfig, SiteConfig
from shared.errors import MtmcError
from shared.keys import Keys
from shared.layout import Layout
from shared.leases import REPLAY_SECONDS, Leases
from shared.redis_connection import Client
from shared.site import PublishedSite, publish_site, read_site

_NOTICED_S = 2.5
"""Time for services to notice that their site was published again; they check once a second."""


@dataclass(frozen=True)
class ReplaySettings:
    """How a recording is replayed."""

    site: str | None = None
    """Name of the site in Redis; None: that of the recorded site."""
    association: Mapping[str, Any] | None = None
    """Settings of the `association` section that replace the recorded ones."""
    layout: Layout | None = None
    """Replaces the recorded layout."""


def publish_recording(client: Client, recording: Recording, settings: ReplaySettings) -> PublishedSite:
    """Publish the recording's site in virtual mode; the data of an earlier replay is deleted.

    Raises:
        MtmcError: the site is running or has data that was not written by a replay, or a setting is invalid.
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
    """The configuration for replaying a recording.

    Raises:
        MtmcError: a setting is invalid.
    """
    config = recording.description.site_config()
    changes = dict(settings.association or {})
    if REFERENCE_ONLY & changes.keys():  # as in a site file, and the recorded mode would win otherwise
        changes = {"mode": "reference"} | changes
    try:
        association = AssociationConfig.model_validate(config.association.model_dump(by_alias=True) | changes)
    except ValidationError as error:
        first = error.errors()[0]
        raise MtmcError(f"association.{first['loc'][0] if first['loc'] else ''}: {first['msg']}") from None
    clock = config.clock.model_copy(update={"mode": "virtual"})
    name = settings.site or config.site
    return config.model_copy(update={"site": name, "clock": clock, "association": association})


def _refuse_foreign(client: Client, keys: Keys) -> None:
    if not client.exists(keys.replay) and next(iter(client.scan_iter(keys.everything, count=1000)), None):
        raise MtmcError(
            f"site {keys.site} has data in this Redis that was not written by a replay; use another name with --site"
        )
    if client.exists(keys.lease("clock")):
        raise MtmcError(f"a replay of site {keys.site} is running in this Redis; wait for it, or use another --site")


@contextlib.contextmanager
def _aggregator_stands_by(client: Client, keys: Keys) -> Iterator[None]:
    """Keep a running aggregator idle until it has noticed that another site was published.

    Otherwise it would continue with the state of the previous replay and assign different gids.
    """
    if not client.exists(keys.lease("aggregator")):
        yield
        return
    lease, leases = None, Leases(client, keys)
    while lease is None:  # The aggregator may acquire the role again right after losing it.
        with client.pipeline(transaction=True) as pipe:
            pipe.hincrby(keys.epochs, "aggregator", 1)
            pipe.delete(keys.lease("aggregator"))
            pipe.execute()
        lease = leases.acquire("aggregator", REPLAY_SECONDS)
    try:
        yield
        time.sleep(_NOTICED_S)
    finally:
        lease.release()


def _make_room(client: Client, keys: Keys) -> None:
    """Delete the data of an earlier replay; the next one gets a new revision, by which services recognise it."""
    kept = {keys.config, keys.revision, keys.epochs, keys.lease("aggregator")}
    gone = [key for key in client.scan_iter(keys.everything, count=1000) if key.decode() not in kept]
    for at in range(0, len(gone), 1000):
        client.unlink(*gone[at : at + 1000])
    if text := client.get(keys.config):
        client.set(keys.config, json.dumps(json.loads(text) | {"digest": ""}))
