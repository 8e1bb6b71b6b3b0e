"""Turns changes of cameras, processes and problems into the lines that `mtmc up` prints. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from launcher.supervision import ProcessInfo
from shared.site_state.problems import SiteProblem
from shared.site_state.states import CameraState

Tone = Literal["good", "bad", "plain"]


@dataclass(frozen=True)
class News:
    """One line to print."""

    text: str
    tone: Tone = "plain"
    about: str = ""
    """Name of the process or camera; of a problem, its code and the process."""


def is_settled(camera: CameraState) -> bool:
    """Whether a camera has started or failed, so that `mtmc up` need not wait for it."""
    return camera.state not in ("starting", "waiting", "stalled")


def camera_news(
    before: Mapping[str, CameraState], now: Mapping[str, CameraState], been_live: Collection[str] = ()
) -> list[News]:
    """One line for each camera whose state changed, or that is down for a new reason.

    Cameras in `been_live` are reported as live *again*. The first state of a camera is not reported if it is `waiting`.
    """
    news = []
    for name, camera in now.items():
        old = before.get(name)
        if old is not None and old.state == camera.state and not (camera.state == "down" and old.error != camera.error):
            continue
        if old is None and camera.state == "waiting":
            continue
        text, tone = _words(camera, again=name in been_live)
        news.append(News(f"camera {name}: {text}", tone, name))
    news += [News(f"camera {name}: removed from the site", about=name) for name in before if name not in now]
    return news


def _words(camera: CameraState, *, again: bool) -> tuple[str, Tone]:
    match camera.state:
        case "live":
            return ("live again" if again else "live"), "good"
        case "down":
            return f"down ({camera.message}); retrying", "bad"
        case "frozen" | "blank" | "moving" | "moved":
            return f"{camera.state} ({camera.message})", "bad"
        case "stalled":
            others = "; the other cameras no longer wait for it" if camera.stalled else ""
            return f"stalled ({camera.message}){others}", "bad"
        case "waiting":
            return f"waiting ({camera.message})", "plain"
        case "ended":
            return "the file has ended", "plain"
        case _:
            return camera.state, "plain"


def problem_news(before: Sequence[SiteProblem], now: Sequence[SiteProblem]) -> list[News]:
    """One line for each problem of the site that began or is over."""
    news = []
    known, present = {one.key for one in before}, {one.key for one in now}
    news += [News(f"problem: {one.line}", "bad", _topic(one)) for one in now if one.key not in known]
    news += [News(f"over: {one.text}", "good", _topic(one)) for one in before if one.key not in present]
    return news


def _topic(problem: SiteProblem) -> str:
    return " ".join(filter(None, problem.key))


def process_news(
    before: Mapping[str, ProcessInfo],
    now: Mapping[str, ProcessInfo],
    last_line: Callable[[str], str] = lambda _: "",
) -> list[News]:
    """One line for each process that died or was restarted.

    `last_line` returns the end of a process's log, which is the error of one that the user has to fix.
    """
    news = []
    for name, info in now.items():
        old = before.get(name)
        if old is None:
            continue
        if info.pid and old.pid and info.pid != old.pid:
            text = f"{name} died ({_how(info)}) and was restarted (pid {old.pid}, now {info.pid})"
            news.append(News(text, "bad", name))
        elif old.pid and not info.pid:
            when = f"in {math.ceil(info.restart_in_s)} s" if info.restart_in_s else "now"
            died = f"{name} died ({_how(info)}, pid {old.pid})"
            if info.user_error and (error := last_line(name)):
                died = f"{name} stopped with an error that you have to fix: {error}"
            news.append(News(f"{died}; restarting {when}", "bad", name))
        elif info.pid and not old.pid:
            news.append(News(f"{name} was restarted (pid {info.pid})", about=name))
    return news


def _how(info: ProcessInfo) -> str:
    return "killed" if info.exit_code < 0 else f"exit code {info.exit_code}"


class RepeatLimit:
    """Limits lines about one process: the first `lines` pass, then one summary, then none until `seconds` are over."""

    def __init__(self, lines: int = 4, seconds: float = 60.0) -> None:
        self._lines, self._seconds = lines, seconds
        self._printed_at: dict[str, list[float]] = {}

    def filtered(self, news: Sequence[News], now_s: float) -> list[News]:
        """The part of `news` to print at the monotonic time `now_s`."""
        kept = []
        for item in news:
            recent = [at for at in self._printed_at.get(item.about, []) if now_s - at < self._seconds]
            if len(recent) <= self._lines:
                self._printed_at[item.about] = [*recent, now_s]
                kept.append(item)
            if len(recent) == self._lines:
                text = f"{item.about} keeps dying and is being restarted; see its log"
                kept[-1] = News(text, "bad", item.about)
        return kept
