"""An overview as tables, for people."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from shared.site_state import CameraView, Overview

_STATE_STYLES = {"live": "green", "down": "bold red", "starting": "yellow", "waiting": "yellow", "released": "yellow"}


def tables(overview: Overview) -> Group:
    """The clock in two lines, a table of workers, a table of cameras."""
    parts: list[RenderableType] = [_clock(overview)]
    workers = Table(title="workers", title_justify="left", title_style="bold")
    for heading in ("worker", "host", "pid", "labels", "device", "backend", "cameras", "fps", "seen"):
        workers.add_column(heading, overflow="fold", min_width=len(heading))
    for worker in overview.workers:
        texts = (worker.id, worker.host, worker.pid, worker.labels, worker.device, worker.backend, worker.cameras)
        workers.add_row(*map(Text, texts), Text(worker.fps), f"{worker.heartbeat_age_seconds:.1f} s")
    parts.append(workers if overview.workers else Text("no worker is alive", style="bold red"))
    cameras = Table(title="cameras", title_justify="left", title_style="bold")
    for heading in ("camera", "state", "owner"):
        cameras.add_column(heading, overflow="fold")
    for heading in ("seen tick", "lag", "fps", "tracks", "global ids"):
        cameras.add_column(heading, justify="right")
    for camera in overview.cameras:
        cameras.add_row(
            Text(camera.name),
            camera_state(camera),
            Text(camera.owner or "-"),
            _shown(camera.seen_tick),
            _shown(camera.lag_ticks),
            _shown(camera.fps),
            _shown(camera.tracks),
            str(camera.gids),
        )
    parts.append(cameras)
    return Group(*parts)


def _clock(overview: Overview) -> Text:
    text = Text.assemble(
        ("site ", ""), (overview.site, "bold"), f"  revision {overview.revision}  {overview.redis}\n",
        f"tick {overview.tick}  gate {_shown(overview.gate)}  skew {_shown(overview.skew_ticks)}",
        f"  slowest {overview.slowest or '-'}  fastest {overview.fastest or '-'}  skipped {overview.skipped_ticks}",
    )  # fmt: skip
    for role, alive in (("clock", overview.clock), ("aggregator", overview.aggregator)):
        if not alive:
            text.append(f"\nno {role} runs", style="bold red")
    if overview.stalled:
        text.append(f"\nstalled: {', '.join(overview.stalled)}", style="bold red")
    return text


def camera_state(camera: CameraView) -> Text:
    """What it does, and why when it is not well."""
    text = Text("stalled" if camera.stalled else camera.state)
    text.stylize("bold red" if camera.stalled else _STATE_STYLES.get(camera.state, ""))
    if camera.error and camera.state != "live":
        text.append(f" ({camera.error})")
    return text


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
