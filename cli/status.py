"""`mtmc status`: a site at a glance."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType

from cli.options import MaybeSiteFile, RedisUrl, SiteName, StateOption

if TYPE_CHECKING:
    from shared.site_state import Overview

_INTERVAL_S = 1.0


def status(
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every second, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines; with --watch one object a line.")] = False,
) -> None:
    """Show clock, workers and cameras of a site at a glance.

    The fields of --json are stable: site, redis, revision, running, tick, gate, skew_ticks, slowest, fastest, stalled,
    skipped_ticks, clock, aggregator, workers (id, host, pid, labels, device, backend, cameras, fps,
    heartbeat_age_seconds) and cameras (name, state, stalled, owner, error, seen_tick, lag_ticks, fps, tracks, gids);
    null is what is not known.

    Exit code 1: nothing runs.

    Example:  mtmc status site.yaml --watch
    """
    from launcher.site_access import SiteChoice
    from launcher.site_overview import overview_reader

    console = Console(highlight=False)
    with overview_reader(SiteChoice(site_file, site, redis_url, state), os.environ) as read:
        if watch:
            _watch(read, console, as_json=as_json)
        else:
            _show(read(), console, as_json=as_json)


def _show(overview: Overview, console: Console, *, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from cli.overview_tables import tables

    if as_json:
        console.out(json.dumps(asdict(overview)), highlight=False)
    else:
        console.print(tables(overview))


def _watch(read: Callable[[], Overview], console: Console, *, as_json: bool) -> None:
    from rich.live import Live
    from rich.text import Text

    from cli.overview_tables import tables
    from launcher.site_overview import NothingRuns
    from shared.service import stop_on_signals

    def newest() -> RenderableType:
        try:
            return tables(read())
        except NothingRuns as reason:
            return Text(f"{reason}; looking again …")

    stop = stop_on_signals()
    overview = read()
    if as_json or not console.is_terminal:
        while not stop.is_set():
            _show(overview, console, as_json=as_json)
            stop.wait(_INTERVAL_S)
            overview = read()
        return
    with Live(tables(overview), console=console, screen=False, auto_refresh=False) as live:
        while not stop.wait(_INTERVAL_S):
            live.update(newest(), refresh=True)
