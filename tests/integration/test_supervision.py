"""Supervision of processes by supervisord, with small programs to keep the tests fast."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.state_folder import StateFolder
from launcher.supervision import USER_ERROR, ProcessInfo, Program, Supervisor, stop_leftover, supervisord_settings
from shared import tether
from tests.stopwatch import Stopwatch

SLEEP = (sys.executable, "-c", "import time; time.sleep(1000)")
DEAF = (sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)")


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> float:
    """Waits for `condition`; returns how many seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come true"
        time.sleep(0.02)
    return time.monotonic() - began


def alive(pid: int) -> bool:
    """Whether the process is running; a zombie is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended before the file was opened, or before it was read
        return False


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    """A prepared state folder whose name needs quoting."""
    folder = StateFolder(tmp_path / "a 100% 'odd' folder")
    folder.prepare()
    return folder


@pytest.fixture
def supervised(state: StateFolder) -> Iterator[Callable[..., Supervisor]]:
    """Starts supervisord and all of the given programs."""
    stack = contextlib.ExitStack()

    def start(**commands: tuple[str, ...]) -> Supervisor:
        programs = [Program(name, command) for name, command in commands.items()]
        supervisor = stack.enter_context(Supervisor(state, programs, dict(os.environ)).running())
        supervisor.start(list(commands))
        return supervisor

    with stack:
        yield start


def info(supervisor: Supervisor, name: str) -> ProcessInfo:
    return supervisor.processes()[name]


def pid_when_running(supervisor: Supervisor, name: str, other_than: int = 0) -> int:
    def running() -> bool:
        processes = supervisor.processes()
        supervisor.revive(processes)
        return name in processes and processes[name].state == "RUNNING" and processes[name].pid != other_than

    wait_until(running)
    return info(supervisor, name).pid


def test_a_killed_process_is_restarted_within_five_seconds(supervised: Callable[..., Supervisor]) -> None:
    supervisor = supervised(one=SLEEP, two=SLEEP)
    pid, other = pid_when_running(supervisor, "one"), pid_when_running(supervisor, "two")
    os.kill(pid, signal.SIGKILL)
    watch = Stopwatch()
    assert pid_when_running(supervisor, "one", other_than=pid)
    assert watch.within(5), watch.seconds
    assert info(supervisor, "one").exit_code < 0, "the exit code must show that it was killed"
    assert info(supervisor, "two").pid == other


@pytest.mark.parametrize("lives_s", [0, 1.2])
def test_a_process_that_keeps_failing_is_restarted_with_growing_delay(
    supervised: Callable[..., Supervisor], tmp_path: Path, lives_s: float
) -> None:
    starts = tmp_path / "starts"
    code = (
        f"import time; open({str(starts)!r}, 'a').write(f'{{time.time()}}\\n'); time.sleep({lives_s}); "
        "raise SystemExit(1)"
    )
    supervisor = supervised(broken=(sys.executable, "-c", code))

    def started(times: int) -> bool:
        supervisor.revive(supervisor.processes())
        return starts.exists() and len(starts.read_text().splitlines()) >= times

    wait_until(lambda: started(3), seconds=120)
    times = [float(line) for line in starts.read_text().splitlines()]
    waits = [after - before - lives_s for before, after in itertools.pairwise(times)]
    assert waits[0] >= 1
    assert waits[1] >= 2
    assert info(supervisor, "broken").exit_code == 1


def test_a_process_with_a_user_error_says_so_and_is_restarted_with_backoff(
    supervised: Callable[..., Supervisor], tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    code = f"open({str(starts)!r}, 'a').write('x'); raise SystemExit({USER_ERROR})"
    supervisor = supervised(wrong=(sys.executable, "-c", code))
    waits = []

    def failed() -> bool:
        seen = info(supervisor, "wrong")
        waits.append(seen.restart_in_s)
        return seen.user_error

    wait_until(failed)
    # A machine that is held up may see its end only when it is due again.
    wait_until(lambda: supervisor.revive(supervisor.processes()))
    wait_until(lambda: starts.read_text() == "xx")
    wait_until(failed)
    assert max(waits) > 0


def test_output_goes_to_a_log_for_each_process(supervised: Callable[..., Supervisor], state: StateFolder) -> None:
    code = "import sys, time; print('out', flush=True); print('err', file=sys.stderr); time.sleep(1000)"
    supervised(one=(sys.executable, "-c", code))
    wait_until(lambda: state.log("one").exists() and sorted(state.log("one").read_text().split()) == ["err", "out"])


def test_logs_are_rotated(state: StateFolder) -> None:
    code = "import time; [time.sleep(0.001) for _ in iter(int, 1) if not print('x' * 999, flush=True)]"
    programs = [Program("chatty", (sys.executable, "-c", code))]
    supervisor = Supervisor(state, programs, dict(os.environ))
    state.supervisor_settings.write_text(supervisord_settings(state, programs, log_bytes=50_000))
    with supervisor.running():
        supervisor.start(["chatty"])
        wait_until(lambda: Path(f"{state.log('chatty')}.2").exists())
    # Only now: while it is running, a file may be renamed before its size is read.
    assert sum(file.stat().st_size for file in state.logs.glob("chatty.log*")) < 4 * 50_000


def test_all_stop_within_five_seconds_even_if_they_ignore_sigterm(supervised: Callable[..., Supervisor]) -> None:
    supervisor = supervised(one=SLEEP, deaf=DEAF)
    pids = [pid_when_running(supervisor, "one"), pid_when_running(supervisor, "deaf")]
    watch = Stopwatch()
    supervisor.stop()
    assert watch.within(5), watch.seconds
    wait_until(lambda: not any(map(alive, pids)), seconds=10)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_supervisord_ends_its_programs_and_is_restarted(
    supervised: Callable[..., Supervisor], state: StateFolder
) -> None:
    supervisor = supervised(one=DEAF)
    pid = pid_when_running(supervisor, "one")
    os.kill(int((state.path / "supervisord.pid").read_text()), signal.SIGKILL)
    wait_until(lambda: not alive(pid))
    wait_until(supervisor.relaunch)
    assert pid_when_running(supervisor, "one") != pid


def test_a_leftover_supervisord_is_stopped(supervised: Callable[..., Supervisor], state: StateFolder) -> None:
    pid = pid_when_running(supervised(one=SLEEP), "one")
    stop_leftover(state.supervisor_socket)
    assert not state.supervisor_socket.exists()
    wait_until(lambda: not alive(pid))
    stop_leftover(state.supervisor_socket)


def test_the_settings_are_private_and_contain_no_secrets(state: StateFolder) -> None:
    Supervisor(state, [Program("one", SLEEP)], {"MTMC_REDIS_URL": "redis://:hunter2@box"})
    assert state.supervisor_settings.stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in state.supervisor_settings.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_tethered_program_dies_with_its_parent() -> None:
    child = tether.command(DEAF, signal.SIGKILL)
    code = f"import subprocess, time; print(subprocess.Popen({child!r}).pid, flush=True); time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            # The tether is active once the child has executed the program.
            wait_until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:2] == [b"-c"])
        finally:
            parent.kill()
        wait_until(lambda: not alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_tethered_program_does_not_start_if_its_parent_has_already_died() -> None:
    another = os.getpid() + 1
    assert subprocess.run(tether.command((sys.executable, "-c", ""), signal.SIGKILL, another)).returncode == 1
    assert subprocess.run(tether.command((sys.executable, "-c", ""), signal.SIGKILL, os.getpid())).returncode == 0
