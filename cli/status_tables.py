"""The state of a site as tables."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

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


def tables(state: SiteState, redis: str) -> Group:
    """Two lines about the clock, a table of workers, and a table of cameras. `redis` is the address to show."""
    parts: list[RenderableType] = [_clock(state, redis)]
    workers = Table(title="workers", title_justify="left", title_style="bold")
    for heading in ("worker", "host", "pid", "labels", "device", "backend", "cameras", "fps", "heartbeat"):
        workers.add_column(heading, overflow="fold", min_width=len(heading))
    for worker in state.workers:
        texts = (worker.id, worker.host, worker.pid, worker.labels, worker.device, worker.backend, worker.cameras)
        workers.add_row(*map(Text, texts), Text(worker.fps), f"{worker.heartbeat_age_seconds:.1f} s ago")
    parts.append(workers if state.workers else Text("no worker is running", style="bold red"))
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
    text = Text.assemble(
        ("site ", ""), (state.site, "bold"), f"  revision {state.revision}  {redis}\n",
        f"tick {state.tick}  gate {_shown(state.gate)}  skew {_shown(state.skew_ticks)}",
        f"  slowest {state.slowest or '-'}  fastest {state.fastest or '-'}  skipped {state.skipped_ticks}",
    )  # fmt: skip
    for role, alive in (("clock", state.clock), ("aggregator", state.aggregator)):
        if not alive:
            text.append(f"\nno {role} is running", style="bold red")
    if state.stalled:
        text.append(f"\nstalled: {', '.join(state.stalled)}", style="bold red")
    return text


def camera_state(camera: CameraState) -> Text:
    """The state of a camera, with the reason unless it only repeats the state."""
    text = Text(camera.state, style=_STATE_STYLES.get(camera.state, ""))
    if camera.state not in ("live", "ended", "paused") and camera.message != camera.state:
        text.append(f" ({camera.message})")
    return text


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
