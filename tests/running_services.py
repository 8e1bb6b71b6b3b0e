"""`mtmc run` as its own process, for a site whose models and recordings do not exist."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
Run = Callable[..., "subprocess.Popen[str]"]


def write_hall_site(folder: Path) -> Path:
    """Writes the site file of a site "hall" and returns its path.

    Its files do not exist: clock, aggregator and streamer do not need them.
    """
    (folder / "site.yaml").write_text(
        "site: hall\n"
        "detector: {model: d.onnx}\n"
        "embedder: {model: e.onnx}\n"
        "cameras: [{name: a, source: a.mp4}]\n"
        "streamer: {port: 0}\n"
    )  # fmt: skip
    return folder / "site.yaml"


@contextmanager
def services_running(log_file: Path) -> Iterator[Run]:
    """Yields a function that starts `mtmc run …`, its log in `log_file`; terminates all processes at the end.

    Keywords are environment variables. Variables of `mtmc` itself are not inherited.
    """
    started = []

    def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MTMC_")}
        with log_file.open("a") as log:
            command = [sys.executable, "-m", "cli", "run", *arguments]
            process = subprocess.Popen(command, cwd=ROOT, env={**clean, **environment}, stderr=log, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        # A test may have stopped it.
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(30)
