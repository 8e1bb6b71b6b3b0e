"""The terminal output of `mtmc up`: processes, cameras starting, the URL of the page, and then only changes."""

from __future__ import annotations

import math
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.news import News, RepeatLimit, camera_news, is_settled, problem_news, process_news
from launcher.address import RedisAddress
from launcher.state_folder import StateFolder
from launcher.supervision import ProcessInfo, Supervisor
from shared.config import SiteConfig
from shared.errors import redact
from shared.keys import Keys
from shared.redis_connection import RETRYABLE, Client, refusal
from shared.site_copy import SiteCopy
from shared.site_state.problems import STARTUP_S, ProblemWatch, SiteProblem
from shared.site_state.reading import StateReader
from shared.site_state.states import CameraState

_POLL_S = 0.25
_STARTUP_TIMEOUT_S = 60.0
"""Longest wait for the cameras before the page's URL is printed: loading models and building engines takes time."""
_LAST_LINES = 15
_STYLES = {"good": "green", "bad": "bold red", "plain": ""}


class Foreground:
    """Follows a started site and prints what changes.

    `site_words`: the words with which other commands find the site.
    """

    def __init__(
        self,
        console: Console,
        site: SiteConfig,
        address: RedisAddress,
        state: StateFolder,
        supervisor: Supervisor,
        client: Client,
        reader: StateReader,
        site_copy: SiteCopy,
        port: int,
        site_words: Sequence[str],
    ) -> None:
        self._console, self._site, self._address, self._state = console, site, address, state
        self._supervisor, self._client, self._reader, self._port = supervisor, client, reader, port
        self._site_words, self._keys = list(site_words), Keys(site.site)
        self._site_copy = site_copy
        self.needs_login = False
        """Whether the page needs a login."""
        self._cameras: dict[str, CameraState] = {}
        self._problem_watch = ProblemWatch()
        self._problems: tuple[SiteProblem, ...] = ()
        self._problems_from_s = time.monotonic() + STARTUP_S
        """Before this time nothing is wrong yet, because the processes are starting."""
        self._processes: dict[str, ProcessInfo] = {}
        self._repeats = RepeatLimit()
        self._been_live: set[str] = set()
        self._redis_gone = False
        self._refusal: str | None = None

    def follow(self, names: Sequence[str], stop: threading.Event) -> int:
        """Runs until `stop` is set, or a process exits with a user error while the site starts; returns the exit code.

        Once the site runs, such a process is restarted with backoff like any other, and the rest goes on.
        """
        self._processes = self._supervisor.processes()
        self._print_processes(names)
        deadline = time.monotonic() + _STARTUP_TIMEOUT_S
        with self._waiting() as waiting:
            while not stop.is_set():
                if (failed := self._look(starting=True)) is not None:
                    return self._give_up(failed)
                pending = self._pending()
                if (self._cameras and not pending and self._page_answers()) or time.monotonic() > deadline:
                    break
                waiting(f"loading models, opening cameras: {self._live()} of {len(self._cameras)} live")
                stop.wait(_POLL_S)
        if not stop.is_set():
            self._print_addresses()
        self._problems_from_s = -math.inf
        while not stop.wait(_POLL_S):
            self._look()
        return 0

    def _look(self, *, starting: bool = False) -> str | None:
        """Prints what changed; while the site starts, returns the name of a process that exited with a user error."""
        relaunched = self._supervisor.relaunch()
        if relaunched:
            self._print(News("supervisord died; restarted it and every process", "bad"))
        processes = self._supervisor.processes()
        failed = next((name for name, info in processes.items() if info.user_error), None) if starting else None
        if failed is None and self._supervisor.revive(processes):
            processes = self._supervisor.processes()
        if processes:
            if not relaunched:
                news = process_news(self._processes, processes, self._last_line)
                for item in self._repeats.filtered(news, time.monotonic()):
                    self._print(item)
            self._processes = processes
        try:
            self._restore_site()
            state = self._reader.read()
            cameras = {camera.name: camera for camera in state.cameras}
            redis_info = self._client.info()
        except RETRYABLE as error:
            if not self._redis_gone:
                self._print(News(f"Redis does not answer ({redact(str(error))}); retrying", "bad"))
            self._redis_gone = True
            self._problem_watch.interrupted()
            self._problems = ()  # Unknown now; those that remain are printed again.
        else:
            if self._redis_gone:
                self._print(News("Redis answers again", "good"))
            self._redis_gone = False
            self._print_refusal(redis_info)
            for item in camera_news(self._cameras, cameras, self._been_live):
                self._print(item)
            self._been_live |= {name for name, camera in cameras.items() if camera.state == "live"}
            self._cameras = cameras
            self._print_problems(state.problems)
        return failed

    def _restore_site(self) -> None:
        """Publishes the site again if Redis lost it, and says so."""
        restored = self._site_copy.look_if_due()
        if restored is not None:
            self._print(News(f"Redis had lost data, or it was damaged; wrote again: {restored}", "bad"))

    def _print_problems(self, found: Sequence[SiteProblem]) -> None:
        now_s = time.monotonic()
        settled = self._problem_watch.settled(found, now_s)
        problems = tuple(one for one in settled if one.code != "redis_refuses")  # printed already, with the folder
        if now_s < self._problems_from_s:
            return
        for item in problem_news(self._problems, problems):
            self._print(item)
        self._problems = problems

    def _print_refusal(self, redis_info: dict[str, Any]) -> None:
        reason = refusal(redis_info)
        if reason and not self._refusal:
            folder = f" (its folder: {shown_path(self._state.redis)})" if self._address.embedded else ""
            self._print(News(f"Redis refuses writes, so the site waits: {reason}{folder}", "bad"))
        elif self._refusal and not reason:
            self._print(News("Redis accepts writes again", "good"))
        self._refusal = reason

    def _live(self) -> int:
        return sum(camera.state == "live" for camera in self._cameras.values())

    def _pending(self) -> list[str]:
        return [name for name, camera in self._cameras.items() if not is_settled(camera)]

    def _print_processes(self, names: Sequence[str]) -> None:
        """A table on a terminal; elsewhere one line per process, so that long paths are not wrapped."""
        pids = {name: info.pid for name, info in self._processes.items()}
        rows = [(name, pids.get(name, 0), shown_path(self._state.log(name))) for name in names]
        if not self._console.is_terminal:
            for name, pid, log in rows:
                self._console.print(Text(f"{name:16} pid {pid:<8} log {log}"), soft_wrap=True)
            return
        table = Table(title=f"site {self._site.site}", title_justify="left", title_style="bold")
        for heading in ("process", "pid", "log"):
            table.add_column(heading, overflow="fold")
        for name, pid, log in rows:
            table.add_row(name, str(pid), Text(log))
        self._console.print(table)

    def _print_addresses(self) -> None:
        pending = self._pending()
        if pending:
            self._print(News(f"still waiting for {', '.join(pending)}; see the logs of the camera workers", "bad"))
        if not self._page_answers():
            self._print(News("the page does not answer yet; see the log of the streamer", "bad"))
        self._console.print()
        self._console.print(f"[bold]http://{self._page_host()}:{self._port}/[/bold]  live view of the cameras")
        if self.needs_login:
            add = shlex.join(["mtmc", "tokens", "add", *self._site_words])
            self._console.print(Text(f"{add}  makes a token, with which you log in to the page"), soft_wrap=True)
        clock = shlex.join(["mtmc", "redis-cli", *self._site_words, "HGETALL", self._keys.skew])
        self._console.print(Text(f"{clock}  state of the clock in Redis"), soft_wrap=True)
        status = shlex.join(["mtmc", "status", *self._site_words])
        self._console.print(Text(f"{status}  overview of the site"), soft_wrap=True)
        self._console.print("Ctrl-C stops the site")
        self._console.print()

    def _page_host(self) -> str:
        host = self._site.streamer.host
        return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104

    def _page_answers(self) -> bool:
        try:
            socket.create_connection((self._page_host().strip("[]"), self._port), timeout=1).close()
        except OSError:
            return False
        return True

    def _last_lines(self, name: str) -> list[str]:
        log = self._state.log(name)
        try:
            return log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()[-_LAST_LINES:]
        except OSError:
            return []

    def _last_line(self, name: str) -> str:
        return redact("".join(self._last_lines(name)[-1:])).removeprefix("mtmc: ")

    def _give_up(self, name: str) -> int:
        log = self._state.log(name)
        self._print(News(f"{name} stopped with an error that you have to fix; end of {shown_path(log)}:", "bad"))
        for line in self._last_lines(name):
            self._console.print(Text(f"  {line}"), soft_wrap=True)
        return 2

    def _print(self, news: News) -> None:
        line = Text(f"{time.strftime('%H:%M:%S')}  ").append(news.text, style=_STYLES[news.tone])
        self._console.print(line, soft_wrap=True)

    @contextmanager
    def _waiting(self) -> Iterator[Callable[[str], None]]:
        """A spinner with a status text on a terminal; nothing elsewhere."""
        if not self._console.is_terminal:
            yield lambda _: None
            return
        with self._console.status("starting …") as status:
            yield status.update


def shown_path(path: Path) -> str:
    """`path` relative to the working directory if it lies below it, else unchanged."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
