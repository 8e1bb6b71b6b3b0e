"""`shared` < `services` < `recording` < `evaluation` < `cli`: none imports what follows; services never each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECK = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CHECK, "--no-cache", "--config", str(ROOT / "pyproject.toml")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_nobody_imports_what_it_must_not_know() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout


def test_a_forbidden_import_would_be_found(tmp_path: Path) -> None:
    for package in ("cli", "demo", "evaluation", "recording", "services", "shared"):
        for source in (ROOT / package).rglob("*.py"):
            copy = tmp_path / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    with (tmp_path / "shared" / "keys.py").open("a") as keys:
        keys.write("\nimport services.clock.service\n")
    with (tmp_path / "services" / "clock" / "service.py").open("a") as clock:
        clock.write("\nimport services.aggregator.reader\n")
    with (tmp_path / "demo" / "site.py").open("a") as site:
        site.write("\nimport services.clock.service\n")
    done = lint(tmp_path)
    assert done.returncode != 0
    assert "0 kept, 3 broken" in done.stdout
