"""A real RTSP server for tests: GStreamer's, in a process of its own that can be killed, frozen and restarted.

Runs under the system's Python, because GStreamer's bindings come from the distribution.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SYSTEM_PYTHON = "/usr/bin/python3"
_SCRIPT = Path(__file__).parent / "gstreamer_rtsp_server.py"


def is_available() -> bool:
    """Whether GStreamer's RTSP server is installed."""
    if not Path(SYSTEM_PYTHON).exists():
        return False
    check = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    return subprocess.run([SYSTEM_PYTHON, "-c", check], capture_output=True, check=False).returncode == 0


class RtspServer:
    """A running server with the paths `/cam`, `/mjpeg`, `/still`, `/black`, `/sound` and `/udp`."""

    def __init__(self, port: int = 0, size: tuple[int, int] = (320, 240), login: tuple[str, str] = ("", "")) -> None:
        command = [SYSTEM_PYTHON, "-W", "ignore", str(_SCRIPT), str(port), *map(str, size), *login]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the RTSP server did not start"
        self.port = int(line)

    def url(self, path: str, login: str = "") -> str:
        return f"rtsp://{login}{'@' if login else ''}127.0.0.1:{self.port}{path}"

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def serving_rtsp(
    port: int = 0, size: tuple[int, int] = (320, 240), login: tuple[str, str] = ("", "")
) -> Iterator[RtspServer]:
    server = RtspServer(port, size, login)
    try:
        yield server
    finally:
        server.kill()
