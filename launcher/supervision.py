"""Keeps processes running, by supervisord: its configuration, and a handle on it.

supervisord runs the programs, keeps their logs and stops them all; it starts none by itself. `Supervisor.revive` does,
because supervisord knows no growing delay for what runs a while before it fails, and forgets the exit code of what
fails at once.
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

USER_ERROR = 2
"""The exit code of a process that will fail again until somebody mends something; it is not restarted."""
SERVICES = "site"
_LOG_BYTES = 5_000_000
_STOP_SECONDS = 2
_ANSWER_SECONDS = 10.0
_LAST_WORDS = 20
_ENDED = frozenset({"EXITED", "FATAL"})


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
    """STOPPED, STARTING, RUNNING, STOPPING, EXITED, or FATAL (it cannot be started at all)."""
    pid: int
    """0 when it does not run."""
    exit_code: int
    """Of its last end; negative: a signal killed it."""
    restart_in_s: float = 0.0
    """When it does not run: how long it is left alone before it is started again."""

    @property
    def user_error(self) -> bool:
        """It ended because the user must mend something."""
        return self.state == "EXITED" and self.exit_code == USER_ERROR


def supervisord_settings(state: StateFolder, programs: Sequence[Program], log_bytes: int = _LOG_BYTES) -> str:
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
            "autorestart=false",
            "startsecs=0",
            "startretries=0",
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
        self._wanted: dict[str, Restarts] = {}
        self._exit_codes: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        _write_private(state.supervisor_settings, supervisord_settings(state, programs))

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
            with contextlib.suppress(xmlrpc.client.Fault):  # it runs already, or cannot be started and is tried again
                self._call("startProcess", self._names[name], False)

    def processes(self) -> dict[str, ProcessInfo]:
        """Name → what is known of it; empty while supervisord does not answer, or is about to end."""
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
        """Starts what has ended and whose time has come; whether there was anything."""
        due = [
            name
            for name, info in processes.items()
            if info.state in _ENDED and info.restart_in_s == 0 and not info.user_error
        ]
        with contextlib.suppress(*GONE):
            self.start([name for name in due if name in self._wanted])
        return bool(due)

    def relaunch(self) -> bool:
        """Starts supervisord again, and with it every program, if it has died; whether it had.

        Raises:
            MtmcError: it does not start.
        """
        if self._process is None or self._process.poll() is None:
            return False
        self._launch()
        self.start(list(self._wanted))
        return True

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
        self._process = subprocess.Popen(  # noqa: S603
            tether.command(command, signal.SIGTERM, os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # No file: when the disk is full it complains here that it cannot write its logs, and would die of it.
            stderr=subprocess.PIPE,
            cwd=self._state.path,
            env=self._environment,
            # Ctrl-C in a terminal reaches every process of a group; only this one is to act on it.
            start_new_session=True,
        )
        words: deque[bytes] = deque(maxlen=_LAST_WORDS)
        listener = threading.Thread(target=_listen, args=(self._process.stderr, words), daemon=True)
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
        said = b"".join(words).decode(errors="replace").split("\n", 1)[0]
        raise MtmcError(f"supervisord does not start ({said}); see {self._state.log('supervisord')}")

    def _call(self, method: str, *arguments: Any) -> Any:
        return call(self._state.supervisor_socket, method, *arguments)


def _listen(stream: IO[bytes], words: deque[bytes]) -> None:
    with stream:
        words.extend(stream)


def stop_leftover(address: Path) -> None:
    """Stops a supervisord that outlived its `mtmc up` (where the kernel cannot do that), and its programs."""
    if not address.exists():
        return
    with contextlib.suppress(*GONE, xmlrpc.client.Fault):
        call(address, "shutdown")
        deadline = time.monotonic() + _STOP_SECONDS + 3
        while address.exists() and time.monotonic() < deadline:
            call(address, "getState")
            time.sleep(0.05)
    address.unlink(missing_ok=True)


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
