"""The check of a GPU, with small numbers, on the CPU where there is none: `make test-torch`."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="the extra `torch` is not installed; `make test-torch` runs these tests in an environment that has it",
)
def test_the_check_measures_networks_and_a_running_worker(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks.gpu_check.measure", "--small", "--json", str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(file.read_text())
    assert [(one["what"], one["batch"]) for one in figures["rates"]] == [
        (what, batch) for what in ("detector", "embedder") for batch in (1, 4)
    ]
    assert all(one["whole"] > 0 and one["bare"] > 0 for one in figures["rates"])
    assert [one["cameras"] for one in figures["loads"]] == [1, 2]
    assert all(one["handled"] > 0 and one["p95_ms"] >= one["p50_ms"] > 0 for one in figures["loads"])
    assert all(one["boxes"] > 0 and one["crops"] > 0 and one["cpu_cores"] > 0 for one in figures["loads"])
    assert "| detector | 4 |" in done.stdout
