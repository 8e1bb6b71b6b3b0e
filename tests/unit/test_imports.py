"""The import rules of pyproject.toml hold, and each of them would notice when it is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
RULES = [contract["name"] for contract in SETTINGS["contracts"]]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHECK, "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_nobody_imports_what_it_must_not_know() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} kept, 0 broken" in done.stdout


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for package in SETTINGS["root_packages"]:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("*.onnx", "__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "imported", "broken"),
    [
        ("shared/keys.py", "services.clock.service", "only the command line starts a service"),
        ("shared/keys.py", "recording.rows", "each layer knows only those below it"),
        ("evaluation/scores.py", "services.aggregator.service", "only the command line starts a service"),
        ("services/clock/service.py", "services.aggregator.reader", "services never import each other"),
        ("association/core.py", "shared.keys", "the libraries know no Redis"),
        ("vision/tracking/motion.py", "redis", "the libraries know no Redis"),
        ("association/core.py", "cv2", "the association decodes no pictures"),
        ("vision/tracking/motion.py", "vision.video.source", "video, inference and tracking know nothing"),
    ],
)
def test_a_forbidden_import_is_found(copied: Path, file: str, imported: str, broken: str) -> None:
    with (copied / file).open("a") as module:
        module.write(f"\nimport {imported}\n")
    done = lint(copied)
    assert done.returncode != 0
    assert [line for line in done.stdout.splitlines() if line.startswith(broken) and line.endswith("BROKEN")]
