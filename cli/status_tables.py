"""The state of a site as tables."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.site_state.health_strip import Level, health_strip
from shared.site_state.states import CameraState, SiteState, State

_STATE_STYLES: dict[State, str] = {
    "live": "green",
    "starting": "yellow",
    "waiting": "yellow",
    "stalled": "bold red",
    "frozen": "bold red",
    "blank": "bold red",
    "moving": "yellow",
    "moved": "yellow",
    "down": "bold red",
}

_LEVEL_STYLES: dict[Level, str] = {"good": "green", "doubtful": "yellow", "bad": "bold red", "unknown": "dim"}


def tables(state: SiteState, redis: str) -> Group:
    """The clock, the health of each part, problems and notices, a table of workers, and one of cameras.

    `redis` is the address to show.
    """
    parts: list[RenderableType] = [_clock(state, redis), _strip(state)]
    parts += [Text(problem.line, style="bold red") for problem in state.problems]
    parts += [Text(notice, style="yellow") for notice in state.notices]
    workers = Table(title="workers", title_justify="left", title_style="bold")
    for heading in ("worker", "host", "pid", "labels", "device", "backend", "cameras", "fps", "heartbeat"):
        workers.add_column(heading, overflow="fold", min_width=len(heading))
    for worker in state.workers:
        device = f"{worker.device} ({worker.gpu})" if worker.gpu else worker.device
        texts = (worker.id, worker.host, worker.pid, worker.labels, device, worker.backend, worker.cameras)
        workers.add_row(*map(Text, texts), Text(worker.fps), f"{worker.heartbeat_age_seconds:.1f} s ago")
    if state.workers:
        parts.append(workers)
    parts += [Text(f"{one.problem}: {one.advice}", style="bold red") for one in state.other_embedders]
    cameras = Table(title="cameras", title_justify="left", title_style="bold")
    for heading in ("camera", "state", "owner"):
        cameras.add_column(heading, overflow="fold")
    for heading in ("seen tick", "lag", "fps", "tracks", "global ids"):
        cameras.add_column(heading, justify="right")
    for camera in state.cameras:
        cameras.add_row(
            Text(camera.name),
            camera_state(camera),
            Text(camera.owner or "-"),
            _shown(camera.seen_tick),
            _shown(camera.lag_ticks),
            _shown(camera.fps),
            _shown(camera.live_tracks),
            str(camera.gids),
        )
    parts.append(cameras)
    return Group(*parts)


def _clock(state: SiteState, redis: str) -> Text:
    health, boxes = state.health, state.health.boxes
    text = Text.assemble(
        ("site ", ""), (state.site, "bold"), f"  revision {state.revision}  {redis}\n",
        f"tick {state.tick}  gate {_shown(state.gate)}  skew {_shown(state.skew_ticks)}",
        f"  slowest {state.slowest or '-'}  fastest {state.fastest or '-'}  skipped {state.skipped_ticks}\n",
        f"last tick {_ago(health.tick_age_s)}  aggregator {_shown(health.cycle_lag_ticks)} ticks behind the cameras",
        f"  boxes {boxes.shown}, without global id {boxes.without_gid} ({_percent(boxes.share_without_gid)})",
    )  # fmt: skip
    if state.stalled:
        text.append(f"\nstalled: {', '.join(state.stalled)}", style="bold red")
    return text


def _strip(state: SiteState) -> Text:
    text = Text()
    for part in health_strip(state):
        text.append("● ", style=_LEVEL_STYLES[part.level]).append(f"{part.part} {part.value}  ")
    text.rstrip()
    return text


def _ago(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s ago"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def camera_state(camera: CameraState) -> Text:
    """The state of a camera, with the reason unless it only repeats the state."""
    text = Text(camera.state, style="bold red" if camera.warning else _STATE_STYLES.get(camera.state, ""))
    if camera.state not in ("live", "ended", "paused") and camera.message != camera.state:
        text.append(f" ({camera.message})")
    if camera.warning:
        text.append(f" ({camera.warning})")
    return text


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
