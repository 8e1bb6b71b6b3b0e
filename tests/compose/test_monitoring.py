"""The files of `deploy/monitoring`, read by Prometheus' own checker; `make test-compose` installs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.unit.test_monitoring import MONITORING, dashboard_queries

if shutil.which("promtool") is None and not os.environ.get("CI"):
    pytest.skip("promtool is not installed (Debian's package prometheus)", allow_module_level=True)


def promtool(*words: str) -> None:
    done = subprocess.run(["promtool", *words], cwd=MONITORING, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_valid() -> None:
    promtool("check", "config", "prometheus.yml")


def test_the_alerts_are_raised_by_faults_and_by_nothing_else() -> None:
    promtool("test", "rules", "alerts_test.yml")


def test_the_queries_of_the_dashboard_can_be_parsed(tmp_path: Path) -> None:
    queries = dict.fromkeys(dashboard_queries())
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "rules.yml"))
