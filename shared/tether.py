"""Runs a program that dies with its parent process: `python -I -S tether.py SIGNAL PARENT PROGRAM ARGUMENT…`.

The kernel sends SIGNAL to the program when its parent dies, even if the parent was killed with SIGKILL. Only Linux has
this (`man 2 prctl`, PR_SET_PDEATHSIG); elsewhere the program just runs. The program replaces this process, so it keeps
the pid that the supervisor knows.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def command(program: tuple[str, ...], death_signal: signal.Signals, parent: int | None = None) -> tuple[str, ...]:
    """The command line that runs `program` tied to its parent: process `parent`, or the one that runs the command."""
    return (sys.executable, "-I", "-S", __file__, death_signal.name, str(parent or 0), *program)


def main(arguments: list[str]) -> None:
    """Ties this process to its parent and becomes the program."""
    name, parent, *program = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.Signals[name].value, 0, 0, 0)
        # If the parent died before the call above, no signal will come. Orphans are adopted by process 1, which in a
        # container may also be the real parent.
        if os.getppid() != int(parent) and (int(parent) or os.getppid() == 1):
            sys.exit(1)
    os.execvp(program[0], program)  # noqa: S606 (no shell is wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
