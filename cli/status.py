"""`mtmc status`: a site at a glance."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from redis.exceptions import AuthenticationError, ResponseError
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from cli.overview_tables import tables
from cli.services_table import services_table
from launcher.address import find_redis, site_name
from launcher.site_file import running_site
from shared.errors import RedisUnusable, redact
from shared.keys import Keys
from shared.redis_connection import RETRYABLE, Client, check
from shared.service import stop_on_signals
from shared.service_list import ServiceInfo, read_services
from shared.site_state import Overview, read_overview

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


@dataclass(frozen=True)
class Look:
    """What was found at one moment."""

    overview: Overview
    services: tuple[ServiceInfo, ...]

    def as_json(self) -> str:
        """One line."""
        return json.dumps({**asdict(self.overview), "services": [asdict(service) for service in self.services]})

    def as_tables(self) -> Group:
        """For people."""
        return Group(tables(self.overview), services_table(self.services))


class NothingRuns(Exception):
    """No process of the site is alive; the message says where was looked."""


def status(options: StatusOptions, environment: Mapping[str, str], console: Console) -> int:
    """Shows the site once, or until a signal comes; the exit code (1: nothing runs).

    Raises:
        MtmcError: the user must mend something.
    """
    site = running_site(options.site_file, environment)
    name = site_name(site, options.site)
    address = find_redis(options.redis_url, site, options.site_file, options.state, environment)
    shown_url = redact(address.url)
    client = address.connect()

    def look() -> Look:
        try:
            check(client, address.url)
            overview = read_overview(client, Keys(name), shown_url)
            services = read_services(client, Keys(name))
        except RETRYABLE as error:
            raise NothingRuns(f"Redis at {shown_url} does not answer ({redact(str(error))})") from None
        except RedisUnusable:
            if _answers(client):
                raise
            start = f"mtmc up {options.site_file}" if options.site_file else "mtmc up SITE.yaml"
            raise NothingRuns(
                f"nothing runs for site {name}: no Redis answers at {shown_url}; start it: {start}"
            ) from None
        if overview is None:
            raise NothingRuns(f"nothing runs for site {name}: nobody has published it in Redis at {shown_url}")
        if not overview.running:
            raise NothingRuns(
                f"nothing runs for site {name} now: no clock and no worker at {shown_url} (its last tick was "
                f"{overview.tick})"
            )
        return Look(overview, services)

    try:
        if options.watch:
            _watch(look, console, as_json=options.json)
        else:
            _show(look(), console, as_json=options.json)
    except NothingRuns as reason:
        Console(stderr=True, highlight=False).print(f"mtmc: {reason}", markup=False, soft_wrap=True)
        return 1
    finally:
        client.close()
    return 0


def _answers(client: Client) -> bool:
    """Whether a server is there at all (and merely not fit for use)."""
    try:
        client.ping()
    except RETRYABLE as error:
        return isinstance(error, AuthenticationError)
    except ResponseError:
        return True
    return True


def _show(found: Look, console: Console, *, as_json: bool) -> None:
    if as_json:
        console.out(found.as_json(), highlight=False)
    else:
        console.print(found.as_tables())


def _watch(look: Callable[[], Look], console: Console, *, as_json: bool) -> None:
    stop = stop_on_signals()
    first = look()
    if as_json or not console.is_terminal:
        while not stop.is_set():
            _show(first, console, as_json=as_json)
            stop.wait(_WATCH_S)
            first = look()
        return
    with Live(first.as_tables(), console=console, screen=False, auto_refresh=False) as live:
        while not stop.wait(_WATCH_S):
            live.update(_shown(look), refresh=True)


def _shown(look: Callable[[], Look]) -> RenderableType:
    try:
        return look().as_tables()
    except NothingRuns as reason:
        return Text(f"{reason}; looking again …")
