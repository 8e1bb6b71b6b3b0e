"""`mtmc up` as a person runs it, for tests: real processes, the output in a file."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from cli.__main__ import main
from launcher.state_folder import LastStart, StateFolder
from tests.free_ports import free_port
from tests.stopwatch import Stopwatch

ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 120.0


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MTMC_")}


class RunningSite:
    """A running `mtmc up`, its output in a file."""

    def __init__(self, site_file: Path, *words: str) -> None:
        self.state = site_file.parent / ".mtmc" / "room"
        self.output_file = site_file.parent / f"output-{time.monotonic_ns()}.txt"
        self._site_file = site_file
        # Two sites that start at once would both choose the port 6379 for their Redis.
        if not self.state.exists():
            self.state.mkdir(parents=True)
            StateFolder(self.state).save_last_start(LastStart(redis_port=free_port()))
        with self.output_file.open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cli", "up", site_file, *words],
                cwd=ROOT,
                env=environment(),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def output(self) -> str:
        """What it has said until now."""
        return self.output_file.read_text()

    def wait_for(self, condition: Callable[[], Any], seconds: float = 60.0) -> float:
        """Seconds until `condition` held, while it runs."""
        began = time.monotonic()
        while not condition():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() - began < seconds, self.output()
            time.sleep(0.05)
        return time.monotonic() - began

    def wait_for_words(self, pattern: str, seconds: float = READY_SECONDS) -> re.Match[str]:
        """The first match in its output."""
        self.wait_for(lambda: re.search(pattern, self.output()), seconds)
        match = re.search(pattern, self.output())
        assert match is not None
        return match

    def status(self) -> dict[str, Any]:
        """`mtmc status SITE.yaml --json`, in this process, because a new one for each look would slow the site down."""
        said, code = io.StringIO(), 0
        with (
            mock.patch.dict(os.environ, environment(), clear=True),
            mock.patch.object(sys, "argv", ["mtmc", "status", str(self._site_file), "--json"]),
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        return dict(json.loads(said.getvalue())) if code == 0 else {}

    def wait_for_status(self, part: str) -> Any:
        """A part of `status()`. A Redis that does not answer for a moment has none."""
        found: list[Any] = []
        self.wait_for(lambda: found.append(self.status().get(part)) or found[-1] is not None)
        return found[-1]

    def pid(self, name: str) -> int:
        """The newest pid that the output gives for a process."""
        found = re.findall(rf"{name} +pid (\d+)|{name} died.*now (\d+)|{name} was restarted \(pid (\d+)", self.output())
        return int("".join(found[-1]))

    def wait_for_another(self, name: str, pid: int) -> Stopwatch:
        """Waits until the process has another pid than `pid`; the stopwatch began with the call."""
        watch = Stopwatch()
        self.wait_for(lambda: self.pid(name) != pid)
        return watch

    def family(self) -> list[str]:
        """The command lines of all processes of the site that are alive."""
        lines = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "cwd").resolve() == self.state:
                    lines.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return lines

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, Stopwatch]:
        """Exit code, and a stopwatch started with the signal. SIGINT goes to the whole group, as from a terminal."""
        watch = Stopwatch()
        if number == signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        return self.process.wait(60), watch
