"""Keeps processes running with supervisord: writes its configuration and controls it.

supervisord runs the programs, rotates their logs and stops them. `Supervisor.revive` does the restarting, because
supervisord has no backoff for programs that run a while before they fail, and it forgets the exit code of programs that
fail at once.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from launcher.restarts import Restarts
from launcher.state_folder import StateFolder
from launcher.supervisord_client import GONE, call
from shared import tether
from shared.errors import MtmcError
from shared.private_file import write_private

USER_ERROR = 2
"""The exit code of a process that would fail again until the user fixes something."""
SERVICES = "site"
_LOG_BYTES = 5_000_000
_STOP_SECONDS = 2
_ANSWER_SECONDS = 10.0
_LAST_LINES = 20
_ENDED = frozenset({"EXITED", "FATAL"})


@dataclass(frozen=True)
class Program:
    """One process to keep running."""

    name: str
    command: tuple[str, ...]
    service: bool = True
    """Whether it is one of the site's services. They stop together, before the other programs."""


@dataclass(frozen=True)
class ProcessInfo:
    """The state of one process, from supervisord."""

    name: str
    state: str
    """STOPPED, STARTING, RUNNING, STOPPING, EXITED, or FATAL (it could not be started)."""
    pid: int
    """0 if it is not running."""
    exit_code: int
    """The last exit code; negative if a signal killed it."""
    restart_in_s: float = 0.0
    """Seconds until it is restarted, if it is not running."""

    @property
    def user_error(self) -> bool:
        """Whether it exited because of something that the user has to fix."""
        return self.state == "EXITED" and self.exit_code == USER_ERROR


def supervisord_settings(state: StateFolder, programs: Sequence[Program], log_bytes: int = _LOG_BYTES) -> str:
    """The text of supervisord.conf, for a supervisord whose working directory is the state folder.

    Autostart is off for every program. The file contains no secrets; those are passed in the environment. Paths are
    relative where possible, because supervisord expands `%` twice in some of them.
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
            "autorestart=false",
            "startsecs=0",
            "startretries=0",
            f"stopwaitsecs={_STOP_SECONDS if program.service else 1}",
            "killasgroup=true",
            "redirect_stderr=true",
            f"stdout_logfile={state.log(program.name).relative_to(state.path)}",
            f"stdout_logfile_maxbytes={log_bytes}",
            "stdout_logfile_backups=2",
            # Groups stop from the highest priority number to the lowest: the services first, then Redis.
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
    """`text` escaped for supervisord.conf, which expands `%(…)s` and in which ` ;` starts a comment."""
    if "\n" in text or " ;" in text:
        raise MtmcError(
            f"supervisord cannot run {text!r}: a path must not contain a newline or ' ;', which starts a comment; "
            "rename it"
        )
    return text.replace("%", "%%")


class Supervisor:
    """A running supervisord. It and all its programs die with this process."""

    def __init__(self, state: StateFolder, programs: Sequence[Program], environment: Mapping[str, str]) -> None:
        self._state, self._environment = state, dict(environment)
        self._names = {
            program.name: f"{SERVICES}:{program.name}" if program.service else program.name for program in programs
        }
        self._wanted: dict[str, Restarts] = {}
        self._exit_codes: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        write_private(state.supervisor_settings, supervisord_settings(state, programs))

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
        for name in names:
            self._wanted.setdefault(name, Restarts()).note_start(time.monotonic())
            with contextlib.suppress(xmlrpc.client.Fault):  # already running, or it failed to start and is retried
                self._call("startProcess", self._names[name], False)

    def processes(self) -> dict[str, ProcessInfo]:
        """Name → state of the process; empty while supervisord does not answer or is shutting down."""
        try:
            answer = self._call("getAllProcessInfo")
        except (*GONE, xmlrpc.client.Fault):
            return {}
        return {item["name"]: self._info(item["name"], item["statename"], item) for item in answer}

    def _info(self, name: str, state: str, item: Mapping[str, Any]) -> ProcessInfo:
        restarts = self._wanted.get(name)
        if state not in _ENDED or restarts is None:
            return ProcessInfo(name, state, item["pid"], self._exit_codes.get(name, 0))
        self._exit_codes[name] = item["exitstatus"]
        return ProcessInfo(name, state, 0, item["exitstatus"], restarts.wait_s(time.monotonic()))

    def revive(self, processes: Mapping[str, ProcessInfo]) -> bool:
        """Restarts each process that has ended and whose backoff is over; returns whether there was any."""
        due = [name for name, info in processes.items() if info.state in _ENDED and info.restart_in_s == 0]
        with contextlib.suppress(*GONE):
            self.start([name for name in due if name in self._wanted])
        return bool(due)

    def relaunch(self) -> bool:
        """Restarts supervisord and every program if it has died; returns whether it had.

        Raises:
            MtmcError: supervisord did not start.
        """
        if self._process is None or self._process.poll() is None:
            return False
        self._launch()
        self.start(list(self._wanted))
        return True

    def stop(self) -> None:
        """Stops the services, then the other programs; takes at most 5 s."""
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
        self._process = subprocess.Popen(  # noqa: S603
            tether.command(command, signal.SIGTERM, os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # Not a file: on a full disk supervisord reports here that it cannot write its logs, and would crash.
            stderr=subprocess.PIPE,
            cwd=self._state.path,
            env=self._environment,
            # A terminal sends Ctrl-C to every process of its group; only this process must handle it.
            start_new_session=True,
        )
        lines: deque[bytes] = deque(maxlen=_LAST_LINES)
        listener = threading.Thread(target=_listen, args=(self._process.stderr, lines), daemon=True)
        listener.start()
        deadline = time.monotonic() + _ANSWER_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with contextlib.suppress(*GONE):
                self._call("getState")
                return
            time.sleep(0.05)
        self._process.kill()
        self._process.wait()
        listener.join(_ANSWER_SECONDS)
        reason = b"".join(lines).decode(errors="replace").split("\n", 1)[0]
        raise MtmcError(f"supervisord did not start ({reason}); see {self._state.log('supervisord')}")

    def _call(self, method: str, *arguments: Any) -> Any:
        return call(self._state.supervisor_socket, method, *arguments)


def _listen(stream: IO[bytes], lines: deque[bytes]) -> None:
    with stream:
        lines.extend(stream)


def stop_leftover(address: Path) -> None:
    """Stops a supervisord and its programs that still run although their `mtmc up` died.

    This happens where the kernel cannot end child processes together with their parent.
    """
    if not address.exists():
        return
    with contextlib.suppress(*GONE, xmlrpc.client.Fault):
        call(address, "shutdown")
        deadline = time.monotonic() + _STOP_SECONDS + 3
        while address.exists() and time.monotonic() < deadline:
            call(address, "getState")
            time.sleep(0.05)
    address.unlink(missing_ok=True)
