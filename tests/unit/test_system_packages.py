"""`tools/install-system-packages`, with package managers that only write down what they were asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "install-system-packages"


class Machine:
    """A PATH with nothing but what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls"
        for name in ("id", "cat", "tee", "chmod", "rm"):
            self.add(name, f'exec {shutil.which(name)} "$@"')
        self.add("id", "echo 0")

    def add(self, name: str, does: str = "exit 0") -> None:
        program = self.folder / name
        program.write_text(f"#!/bin/sh\n{does}\n")
        program.chmod(0o755)

    def add_package_manager(self, name: str) -> None:
        self.add(name, f'echo "{name} $*" >> {self.calls}')

    def install(self, *packages: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.folder), "PYTHON": "/bin/false"}
        return subprocess.run(["/bin/sh", SCRIPT, *packages], env=environment, capture_output=True, text=True)

    def asked_for(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_server_on_the_path_needs_nothing(machine: Machine) -> None:
    machine.add("redis-server")
    machine.add_package_manager("brew")
    assert machine.install("redis-server").returncode == 0
    assert machine.asked_for() == []


def test_homebrew_installs_redis(machine: Machine) -> None:
    machine.add_package_manager("brew")
    assert machine.install("redis-server").returncode == 0
    assert machine.asked_for() == ["brew install --quiet redis"]


def test_without_a_package_manager_the_error_names_what_to_install(machine: Machine) -> None:
    done = machine.install("redis-server")
    assert done.returncode == 1
    assert done.stderr.startswith("missing: redis-server; install")


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("env"), reason="writes the policy file of the machine")
def test_apt_installs_only_what_was_asked_for(machine: Machine) -> None:
    policy = Path("/usr/sbin/policy-rc.d")
    if not policy.exists():
        pytest.skip("the script would write the policy file of this machine")
    machine.add_package_manager("apt-get")
    machine.add("env", 'shift; exec "$@"')
    assert machine.install("redis-server").returncode == 0
    assert machine.asked_for() == [
        "apt-get -qq update",
        "apt-get -qq install -y --no-install-recommends redis-server",
    ]
