"""What changed since the last look, in sentences: for `mtmc up` to tell."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from launcher.supervision import ProcessInfo

Tone = Literal["good", "bad", "plain"]
_SETTLED = frozenset({"live", "ended", "paused", "down"})


@dataclass(frozen=True)
class News:
    """One line to tell."""

    text: str
    tone: Tone = "plain"
    about: str = ""
    """The process or camera that it is about."""


@dataclass(frozen=True)
class CameraView:
    """What Redis says of one camera."""

    state: str = ""
    """`starting live down ended paused released`; empty before any worker took it."""
    error: str = ""
    stalled: bool = False

    @property
    def settled(self) -> bool:
        """Whether it has come up or failed, so that nobody need wait for it."""
        return self.state in _SETTLED


def camera_news(
    before: Mapping[str, CameraView], now: Mapping[str, CameraView], been_live: Collection[str] = ()
) -> list[News]:
    """What became of the cameras; one line for each that changed. Those in `been_live` are live *again*."""
    news = []
    for name, view in now.items():
        old = before.get(name, CameraView())
        if view == old:
            continue
        if view.stalled and not old.stalled:
            news.append(News(f"camera {name}: stalled; the others no longer wait for it", "bad"))
        elif view.stalled or view.state == "":
            continue
        elif view.state == "live":
            if old.state != "live" or old.stalled:
                again = " again" if name in been_live else ""
                news.append(News(f"camera {name}: live{again}", "good"))
        elif view.state == "down":
            reason = f" ({view.error})" if view.error else ""
            news.append(News(f"camera {name}: down{reason}; it is tried again", "bad"))
        elif view.state == "ended":
            news.append(News(f"camera {name}: its recording has ended"))
        elif view.state != old.state:
            news.append(News(f"camera {name}: {view.state}"))
    news += [News(f"camera {name}: removed from the site") for name in before if name not in now]
    return news


def process_news(before: Mapping[str, ProcessInfo], now: Mapping[str, ProcessInfo]) -> list[News]:
    """Which processes died, and which came back."""
    news = []
    for name, info in now.items():
        old = before.get(name)
        if old is None or info.user_error:
            continue
        if info.pid and old.pid and info.pid != old.pid:
            news.append(
                News(f"{name} died ({_how(info)}) and was restarted (pid {old.pid}, now {info.pid})", "bad", name)
            )
        elif old.pid and not info.pid:
            when = f"in {math.ceil(info.restart_in_s)} s" if info.restart_in_s else "now"
            news.append(News(f"{name} died ({_how(info)}, pid {old.pid}); it is started again {when}", "bad", name))
        elif info.pid and not old.pid:
            news.append(News(f"{name} was restarted (pid {info.pid})", about=name))
    return news


def _how(info: ProcessInfo) -> str:
    return "killed" if info.exit_code < 0 else f"exit code {info.exit_code}"


class Patience:
    """Tells each of the first lines about a process, then that there are too many, then nothing for a minute."""

    def __init__(self, lines: int = 4, seconds: float = 60.0) -> None:
        self._lines, self._seconds = lines, seconds
        self._told_at: dict[str, list[float]] = {}

    def filtered(self, news: Sequence[News], now_s: float) -> list[News]:
        """What to tell at the monotonic time `now_s`."""
        told = []
        for item in news:
            recent = [at for at in self._told_at.get(item.about, []) if now_s - at < self._seconds]
            if len(recent) <= self._lines:
                self._told_at[item.about] = [*recent, now_s]
                told.append(item)
            if len(recent) == self._lines:
                text = f"{item.about} keeps dying and is started again and again; its log says why"
                told[-1] = News(text, "bad", item.about)
        return told
