"""A worker keeps TensorRT's engines where the environment says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from shared.redis_connection import Client
from tests.small_site import small_site

ROOT = Path(__file__).resolve().parents[2]
PRETENDS = """
import json, os
from tests.unit.vision.fake_tensorrt import install

def note(options):
    with open(os.environ["ASKED"], "a") as file:
        file.write(json.dumps(options) + chr(10))

install(setattr, note)
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"MTMC_ENGINE_CACHE": "TMP/engines", "XDG_CACHE_HOME": "TMP/cache"}, "engines"),
        ({"XDG_CACHE_HOME": "TMP/cache"}, "cache/mtmc/engines"),
    ],
)
def test_a_worker_keeps_engines_where_the_environment_says(
    tmp_path: Path, redis_client: Client, redis_url: str, variables: dict[str, str], expected: str
) -> None:
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(small_site(tmp_path, "a")))
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "sitecustomize.py").write_text(PRETENDS)
    asked = tmp_path / "asked"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MTMC_")},
        **{name: value.replace("TMP", str(tmp_path)) for name, value in variables.items()},
        "PYTHONPATH": f"{tmp_path / 'python'}{os.pathsep}{ROOT}",
        "ASKED": str(asked),
    }
    command = [sys.executable, "-m", "cli", "run", "camera-worker", tmp_path / "site.yaml", "--redis", redis_url]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while not asked.exists() or len(asked.read_text().splitlines()) < 2:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.02)
    finally:
        process.terminate()
        process.wait(30)
    folders = {Path(json.loads(line)["trt_engine_cache_path"]).parent for line in asked.read_text().splitlines()}
    assert folders == {tmp_path / expected}
