"""The state of a site, in lines that can be read in a narrow terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from cli.console import counted
from cli.row_list import Parts, Row, marked, row_list
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
    """The clock, the health of each part, problems and notices, the workers, and the cameras.

    `redis` is the address to show.
    """
    parts: list[RenderableType] = [*_clock(state, redis), _strip(state)]
    parts += [marked("!", problem.line, "bold red") for problem in state.problems]
    parts += [marked("·", notice, "yellow") for notice in state.notices]
    if state.workers:
        parts += [Text(), _workers(state)]
    parts += [marked("!", f"{one.problem}: {one.advice}", "bold red") for one in state.other_embedders]
    return Group(*parts, Text(), _cameras(state))


def _workers(state: SiteState) -> Group:
    rows = []
    for worker in state.workers:
        device = f"{worker.device} ({worker.gpu})" if worker.gpu else worker.device
        heartbeat = f"{worker.heartbeat_age_seconds:.1f} s ago"
        texts = (worker.id, worker.host, worker.pid, device, worker.backend, worker.fps, heartbeat)
        notes = [f"labels {worker.labels}"] if worker.labels else []
        notes.append(f"cameras {worker.cameras}" if worker.cameras else "no cameras")
        rows.append(Row([Text(text) for text in texts], [Text(note) for note in notes]))
    return row_list("workers", ("worker", "host", "pid", "device", "backend", "fps", "heartbeat"), rows, {"pid", "fps"})


def _cameras(state: SiteState) -> Group:
    numbers = "seen", "lag", "fps", "tracks", "ids"
    rows = []
    for camera in state.cameras:
        style = _state_style(camera)
        figures = (camera.seen_tick, camera.lag_ticks, camera.fps, camera.live_tracks, camera.gids)
        cells = [
            Text(camera.name),
            Text(camera.state, style),
            Text(camera.owner or "-"),
            *(Text(_shown(one)) for one in figures),
        ]
        rows.append(Row(cells, [Text(reason, style) for reason in _reasons(camera)]))
    return row_list("cameras", ("camera", "state", "owner", *numbers), rows, numbers)


def _clock(state: SiteState, redis: str) -> list[RenderableType]:
    health, boxes, lag = state.health, state.health.boxes, state.health.cycle_lag_ticks
    lines = [
        Parts([Text.assemble("site ", (state.site, "bold")), Text(f"revision {state.revision}"), Text(redis)]),
        _parts(
            f"tick {state.tick}",
            f"gate {_shown(state.gate)}",
            f"skew {_shown(state.skew_ticks)}",
            f"slowest {state.slowest or '-'}",
            f"fastest {state.fastest or '-'}",
            f"skipped {state.skipped_ticks}",
        ),
        _parts(
            f"last tick {_ago(health.tick_age_s)}",
            "aggregator -" if lag is None else f"aggregator {counted(lag, 'tick')} behind the cameras",
            f"boxes {boxes.shown}, without global id {boxes.without_gid} ({_percent(boxes.share_without_gid)})",
        ),
    ]
    stalled = [Text(f"stalled: {', '.join(state.stalled)}", style="bold red")] if state.stalled else []
    return [*lines, *stalled]


def _parts(*texts: str) -> Parts:
    return Parts([Text(text) for text in texts])


def _strip(state: SiteState) -> Parts:
    return Parts(
        [Text.assemble(("● ", _LEVEL_STYLES[part.level]), f"{part.part} {part.value}") for part in health_strip(state)]
    )


def _ago(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s ago"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def camera_state(camera: CameraState) -> Text:
    """The state of a camera, with the reason unless it only repeats the state."""
    text = Text(camera.state, style=_state_style(camera))
    for reason in _reasons(camera):
        text.append(f" ({reason})")
    return text


def _state_style(camera: CameraState) -> str:
    return "bold red" if camera.warning else _STATE_STYLES.get(camera.state, "")


def _reasons(camera: CameraState) -> list[str]:
    is_told = camera.state not in ("live", "ended", "paused") and camera.message != camera.state
    return [*([camera.message] if is_told else []), *([camera.warning] if camera.warning else [])]


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
