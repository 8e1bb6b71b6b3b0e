"""`mtmc status`: shows the state of a running site."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType

from cli.console import table_console
from cli.options import MaybeSiteFile, RedisUrl, SiteName, StateOption

if TYPE_CHECKING:
    from launcher.running_site import RunningSite
    from shared.site_state.states import SiteState

_INTERVAL_S = 1.0
_CONFIRM_S = 0.5


def status(
    site_file: MaybeSiteFile = None,
    site: SiteName = None,
    redis_url: RedisUrl = None,
    state: StateOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every second, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; with --watch, one object per line.")] = False,
) -> None:
    """Show clock, workers, cameras and processes of a running site.

    The fields of --json are stable; null means unknown:
      site, redis, revision, running, tick, gate, skew_ticks, slowest,
      fastest, stalled, skipped_ticks, clock, aggregator, tick_age_seconds,
      cycle_lag_ticks (ticks that all cameras have handled since the last
      cycle of the aggregator), boxes (shown now), boxes_without_gid, well
      problems: code, about (id of a service, a host, or empty), text,
      advice, seconds; well is true if there are none; docs/operations.md
      explains each code
      health: part (tick, skew, cameras, workers, aggregator, services,
      redis), level (good, doubtful, bad), value, text, advice
      notices: what happened within the last day and is over, as text
      workers: id, host, pid, labels, device, backend, embedder (checksum),
      cameras, fps, heartbeat_age_seconds, gpu (UUID and name), gpu_problem
      (why it runs on the CPU although its host has a GPU), gpu_advice
      cameras: name, state (live, starting, waiting, stalled, frozen,
      blank, moving, moved, down, ended or paused), message, warning (a
      problem of the site that concerns it), stalled, owner, error,
      seen_tick, lag_ticks, fps, tracks, gids
      services: id, role, host, pid, metrics_url, ready, problem,
      not_ready_seconds, starting, uptime_seconds, heartbeat_age_seconds

    Exit code 1: the site is not running. With problems it is 0.

    Example:  mtmc status site.yaml --watch
    """
    from launcher.running_site import running_site
    from launcher.site_access import SiteChoice

    console = table_console()
    with running_site(SiteChoice(site_file, site, redis_url, state), os.environ) as running:
        if watch:
            _watch(running, console, as_json=as_json)
        else:
            _show(_confirmed(running), running, console, as_json=as_json)


def _confirmed(running: RunningSite) -> SiteState:
    """The state, with the problems that two readings found: a moment of a takeover is none."""
    import time

    first = running.read()
    if not first.problems:
        return first
    time.sleep(_CONFIRM_S)
    state = running.read()
    keys = {problem.key for problem in first.problems}
    return state.with_problems(tuple(problem for problem in state.problems if problem.key in keys))


def _show(state: SiteState, running: RunningSite, console: Console, *, as_json: bool) -> None:
    import json

    from cli.status_json import status_json

    if as_json:
        console.out(json.dumps(status_json(state, running.redis)), highlight=False)
    else:
        console.print(_tables(state, running))


def _tables(state: SiteState, running: RunningSite) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from cli.services_table import services_table
    from cli.status_tables import tables

    return Group(tables(state, running.redis), Text(), services_table(state.health.services))


def _watch(running: RunningSite, console: Console, *, as_json: bool) -> None:
    import time

    from rich.live import Live
    from rich.text import Text

    from launcher.running_site import SiteNotRunning
    from shared.service import stop_on_signals
    from shared.site_state.problems import ProblemWatch

    problems = ProblemWatch()

    def read() -> SiteState:
        state = running.read()
        return state.with_problems(problems.settled(state.problems, time.monotonic()))

    def newest() -> RenderableType:
        try:
            return _tables(read(), running)
        except SiteNotRunning as reason:
            return Text(f"{reason}; retrying …")

    stop = stop_on_signals()
    state = read()
    if as_json or not console.is_terminal:
        while not stop.is_set():
            _show(state, running, console, as_json=as_json)
            stop.wait(_INTERVAL_S)
            state = read()
        return
    with Live(_tables(state, running), console=console, screen=False, auto_refresh=False) as live:
        while not stop.wait(_INTERVAL_S):
            live.update(newest(), refresh=True)
