"""`mtmc status`: a site at a glance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from redis.exceptions import AuthenticationError, ResponseError
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from cli.status_tables import tables
from launcher.address import find_redis, site_name
from launcher.site_file import running_site
from shared.errors import RedisUnusable, redact
from shared.keys import Keys
from shared.redis_connection import RETRYABLE, Client, check
from shared.service import stop_on_signals
from shared.site import read_revision, read_site
from shared.site_state.reading import StateReader
from shared.site_state.states import SiteState

_WATCH_S = 1.0


@dataclass(frozen=True)
class StatusOptions:
    """What the command line says."""

    site_file: Path | None = None
    site: str | None = None
    redis_url: str | None = None
    state: Path | None = None
    watch: bool = False
    json: bool = False


class NothingRuns(Exception):
    """No process of the site is alive; the message says in which Redis."""


def status(options: StatusOptions, environment: Mapping[str, str], console: Console) -> int:
    """Shows the site once, or until a signal comes; the exit code (1: nothing runs).

    Raises:
        MtmcError: the user must mend something.
    """
    site = running_site(options.site_file, environment)
    address = find_redis(options.redis_url, site, options.site_file, options.state, environment)
    client = address.connect()
    try:
        with address.pictures(client) as frames:
            start = f"mtmc up {options.site_file}" if options.site_file else "mtmc up SITE.yaml"
            look = _Look(client, frames, Keys(site_name(site, options.site)), address.url, start)
            if options.watch:
                _watch(look, console, as_json=options.json)
            else:
                _show(look(), look.redis, console, as_json=options.json)
    except NothingRuns as reason:
        Console(stderr=True, highlight=False).print(f"mtmc: {reason}", markup=False, soft_wrap=True)
        return 1
    finally:
        client.close()
    return 0


class _Look:
    """Reads the state of a running site each time it is called."""

    def __init__(self, client: Client, frames: Client, keys: Keys, url: str, start: str) -> None:
        self._client, self._frames, self._keys, self._url, self._start = client, frames, keys, url, start
        self.redis = redact(url)
        """The address without credentials."""
        self._revision: int | None = None
        self._reader: StateReader | None = None

    def __call__(self) -> SiteState:
        """The state of the site.

        Raises:
            NothingRuns: no process of the site is alive.
            MtmcError: the user must mend something.
        """
        name = self._keys.site
        try:
            check(self._client, self._url)
            state = self._read()
        except RETRYABLE as error:
            raise NothingRuns(f"Redis at {self.redis} does not answer ({redact(str(error))})") from None
        except RedisUnusable:
            if _answers(self._client):
                raise
            raise NothingRuns(
                f"nothing runs for site {name}: no Redis answers at {self.redis}; start it: {self._start}"
            ) from None
        if state is None:
            raise NothingRuns(f"nothing runs for site {name}: nobody has published it in Redis at {self.redis}")
        if not state.running:
            raise NothingRuns(
                f"nothing runs for site {name} now: no clock and no worker at {self.redis} (its last tick was "
                f"{state.tick})"
            )
        return state

    def _read(self) -> SiteState | None:
        revision = read_revision(self._client, self._keys)
        if self._reader is None or revision != self._revision:
            published = read_site(self._client, self._keys.site)
            if published is None:
                return None
            self._reader, self._revision = StateReader(self._client, self._frames, published), revision
        return self._reader.read()


def status_json(state: SiteState, redis: str) -> dict[str, Any]:
    """What `--json` gives out; `redis` is the address to show."""
    return {
        "site": state.site,
        "redis": redis,
        "revision": state.revision,
        "running": state.running,
        "tick": state.tick,
        "gate": state.gate,
        "skew_ticks": state.skew_ticks,
        "slowest": state.slowest,
        "fastest": state.fastest,
        "stalled": list(state.stalled),
        "skipped_ticks": state.skipped_ticks,
        "clock": state.clock,
        "aggregator": state.aggregator,
        "workers": [asdict(worker) for worker in state.workers],
        "cameras": [
            {
                "name": camera.name,
                "state": camera.state,
                "message": camera.message,
                "stalled": camera.stalled,
                "owner": camera.owner,
                "error": camera.error,
                "seen_tick": camera.seen_tick,
                "lag_ticks": camera.lag_ticks,
                "fps": camera.fps,
                "tracks": camera.live_tracks,
                "gids": camera.gids,
            }
            for camera in state.cameras
        ],
    }


def _answers(client: Client) -> bool:
    """Whether a server is there at all (and merely not fit for use)."""
    try:
        client.ping()
    except RETRYABLE as error:
        return isinstance(error, AuthenticationError)
    except ResponseError:
        return True
    return True


def _show(state: SiteState, redis: str, console: Console, *, as_json: bool) -> None:
    if as_json:
        console.out(json.dumps(status_json(state, redis)), highlight=False)
    else:
        console.print(tables(state, redis))


def _watch(look: _Look, console: Console, *, as_json: bool) -> None:
    stop = stop_on_signals()
    first = look()
    if as_json or not console.is_terminal:
        while not stop.is_set():
            _show(first, look.redis, console, as_json=as_json)
            stop.wait(_WATCH_S)
            first = look()
        return
    with Live(tables(first, look.redis), console=console, screen=False, auto_refresh=False) as live:
        while not stop.wait(_WATCH_S):
            live.update(_shown(look), refresh=True)


def _shown(look: _Look) -> RenderableType:
    try:
        return tables(look(), look.redis)
    except NothingRuns as reason:
        return Text(f"{reason}; looking again …")
