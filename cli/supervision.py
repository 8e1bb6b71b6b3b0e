"""Keeps processes running, by supervisord: its configuration, and a handle on it.

supervisord restarts at once whatever ran for a second, tries again after 1, 2, 3, 4 s what did not, and then gives up
(FATAL); `Supervisor.revive` makes it start over, so nobody waits longer than 4 s and nothing is ever given up.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli import tether
from cli.state import StateFolder
from shared.errors import MtmcError

USER_ERROR = 2
"""The exit code of a process that will fail again until somebody mends something; it is not restarted."""
START_SECONDS = 1.0
"""A process that ends sooner did not start, and supervisord forgets its exit code."""
SERVICES = "site"
_LOG_BYTES = 5_000_000
_RETRIES = 4
_STOP_SECONDS = 2
_ANSWER_SECONDS = 10.0
_GONE = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError)


@dataclass(frozen=True)
class Program:
    """One process to keep running."""

    name: str
    command: tuple[str, ...]
    service: bool = True
    """Whether it is one of the site's services: they stop together, before the rest."""


@dataclass(frozen=True)
class ProcessInfo:
    """What supervisord says of one process."""

    name: str
    state: str
    """STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED or FATAL."""
    pid: int
    """0 when it does not run."""
    exit_code: int

    @property
    def user_error(self) -> bool:
        """It ended because the user must mend something."""
        return self.state == "EXITED" and self.exit_code == USER_ERROR


def settings(state: StateFolder, programs: Sequence[Program], log_bytes: int = _LOG_BYTES) -> str:
    """The text of a supervisord.conf, for a supervisord whose working directory is the state folder.

    No program starts by itself. It holds no secret: those go by the environment. Paths are relative where they can be,
    because supervisord expands `%` in some of them twice.
    """
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        f"logfile={state.log('supervisord').relative_to(state.path)}",
        f"logfile_maxbytes={log_bytes}",
        "logfile_backups=1",
        "pidfile=supervisord.pid",
        f"childlogdir={state.logs.relative_to(state.path)}",
        "",
        "[unix_http_server]",
        f"file={_socket_setting(state)}",
        "chmod=0600",
        "",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "",
    ]
    for program in programs:
        tied = tether.command(program.command, signal.SIGKILL)
        lines += [
            f"[program:{program.name}]",
            f"command={_escaped(shlex.join(tied))}",
            "autostart=false",
            "autorestart=unexpected",
            f"exitcodes={USER_ERROR}",
            f"startsecs={START_SECONDS:g}",
            f"startretries={_RETRIES}",
            f"stopwaitsecs={_STOP_SECONDS if program.service else 1}",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={state.log(program.name).relative_to(state.path)}",
            f"stdout_logfile_maxbytes={log_bytes}",
            "stdout_logfile_backups=2",
            # Groups stop from the highest number to the lowest: first the services, then Redis.
            "priority=1",
            "",
        ]
    services = ",".join(program.name for program in programs if program.service)
    lines += [f"[group:{SERVICES}]", f"programs={services}", "priority=2", ""]
    return "\n".join(lines)


def _socket_setting(state: StateFolder) -> str:
    near = state.supervisor_socket.is_relative_to(state.path)
    return state.supervisor_socket.name if near else _escaped(str(state.supervisor_socket))


def _escaped(text: str) -> str:
    """`text` as supervisord reads it back: it expands `%(…)s`, and ` ;` starts a comment."""
    if "\n" in text or " ;" in text:
        raise MtmcError(f"supervisord cannot run {text!r}: it takes what follows ' ;' for a comment")
    return text.replace("%", "%%")


class Supervisor:
    """A running supervisord, which dies with this process and takes all its programs along."""

    def __init__(self, state: StateFolder, programs: Sequence[Program], environment: Mapping[str, str]) -> None:
        self._state, self._environment = state, dict(environment)
        self._names = {
            program.name: f"{SERVICES}:{program.name}" if program.service else program.name for program in programs
        }
        self._wanted: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        _write_private(state.supervisor_settings, settings(state, programs))

    @contextlib.contextmanager
    def running(self) -> Iterator[Supervisor]:
        """Starts supervisord, and stops everything at the end."""
        self._launch()
        try:
            yield self
        finally:
            self.stop()

    def start(self, names: Sequence[str]) -> None:
        """Starts programs, and keeps them running from now on."""
        self._wanted += [name for name in names if name not in self._wanted]
        for name in names:
            with contextlib.suppress(xmlrpc.client.Fault):  # it runs already, or dies at once and is tried again
                self._call("startProcess", self._names[name], False)

    def processes(self) -> dict[str, ProcessInfo]:
        """Name → what is known of it; empty while supervisord does not answer."""
        try:
            answer = self._call("getAllProcessInfo")
        except _GONE:
            return {}
        found = [ProcessInfo(item["name"], item["statename"], item["pid"], item["exitstatus"]) for item in answer]
        return {info.name: info for info in found}

    def revive(self, processes: Mapping[str, ProcessInfo]) -> bool:
        """Starts again what supervisord has given up, and supervisord itself; True when it was supervisord."""
        if self._process is not None and self._process.poll() is not None:
            self._launch()
            self.start(self._wanted)
            return True
        given_up = [name for name in self._wanted if name in processes and processes[name].state == "FATAL"]
        with contextlib.suppress(*_GONE):
            self.start(given_up)
        return False

    def stop(self) -> None:
        """Stops the services, then the rest; at most 5 s."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS + 2.5)
        except subprocess.TimeoutExpired:
            self._process.kill()  # and the kernel kills its programs
            self._process.wait()
        self._process = None

    def _launch(self) -> None:
        stop_leftover(self._state.supervisor_socket)
        command = (sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(self._state.supervisor_settings))
        last_words = self._state.logs / "supervisord.err"
        with last_words.open("wb") as words:
            self._process = subprocess.Popen(  # noqa: S603
                tether.command(command, signal.SIGTERM, os.getpid()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
                cwd=self._state.path,
                env=self._environment,
                # Ctrl-C in a terminal reaches every process of a group; only this one is to act on it.
                start_new_session=True,
            )
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(*_GONE):
                self._call("getState")
                return
            time.sleep(0.05)
        self._process.kill()
        self._process.wait()
        said = last_words.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0]
        raise MtmcError(f"supervisord does not start ({said}); see {self._state.log('supervisord')}")

    def _call(self, method: str, *arguments: Any) -> Any:
        return _call(self._state.supervisor_socket, method, *arguments)


def stop_leftover(address: Path) -> None:
    """Stops a supervisord that outlived its `mtmc up` (where the kernel cannot do that), and its programs."""
    if not address.exists():
        return
    with contextlib.suppress(*_GONE, xmlrpc.client.Fault):
        _call(address, "shutdown")
        deadline = time.monotonic() + _STOP_SECONDS + 3
        while address.exists() and time.monotonic() < deadline:
            _call(address, "getState")
            time.sleep(0.05)
    address.unlink(missing_ok=True)


def _call(address: Path, method: str, *arguments: Any) -> Any:
    with xmlrpc.client.ServerProxy("http://localhost", transport=_UnixTransport(address)) as server:
        return getattr(server.supervisor, method)(*arguments)


class _UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a unix socket."""

    def __init__(self, address: Path) -> None:
        super().__init__()
        self._address = address

    def make_connection(self, _host: Any) -> http.client.HTTPConnection:
        """Replaces the TCP connection of the base class, which closes what it finds in `_connection`."""
        connection = _UnixConnection(self._address)
        self._connection = ("localhost", connection)
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, address: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_SECONDS)
        self._address = address

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._address))


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
