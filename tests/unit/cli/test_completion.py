"""Completion in a real bash: commands, site files, sites, and cameras where Redis answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from shared.config import SiteConfig
from shared.keys import Keys
from shared.redis_connection import Client
from shared.site import publish_site
from tests.free_ports import free_port
from tests.running_site import ROOT, environment
from tests.stopwatch import Stopwatch

SITE = {
    "site": "hall",
    "detector": {"model": "/d.onnx"},
    "embedder": {"model": "/e.onnx"},
    "cameras": [{"name": name, "source": "rtsp://nowhere"} for name in ("gate", "garden", "yard")],
}
# What bash does at a Tab: it sets these variables, and calls the function with the command, the word and the previous
# word.
_TAB = """
source "$1"; shift
[[ "$(complete -p mtmc)" == *"-F _mtmc_completion"* ]] || exit 9
COMP_WORDS=(mtmc "$@"); COMP_CWORD=$#
_mtmc_completion mtmc "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""

Tab = Callable[..., list[str]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the program `mtmc` and its completion script for bash."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "mtmc").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m cli "$@"\n')
    (folder / "mtmc").chmod(0o755)
    # Under a bash of its own, which is what typer looks for among its parents.
    command = ["bash", "-c", f"'{folder}/mtmc' --show-completion; exit $?"]
    script = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stdout
    (folder / "completion.sh").write_text(script)
    return folder


@pytest.fixture
def tab(program: Path, tmp_path: Path) -> Tab:
    """The completions of the last word, in an empty folder."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    place = tmp_path / "place"
    place.mkdir()

    def offered(*words: str, **extra: str) -> list[str]:
        given = {**environment(), "PATH": f"{program}{os.pathsep}{os.environ['PATH']}", **extra}
        command = [bash, "-c", _TAB, "bash", program / "completion.sh", *words]
        done = subprocess.run(command, cwd=place, env=given, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return offered


def test_commands_options_and_choices(tab: Tab) -> None:
    assert {"up", "cameras", "inspect", "config", "status"} <= set(tab(""))
    assert tab("cameras", "re") == ["resume", "remove"]
    assert tab("run", "camera") == ["camera-worker"]
    assert "--json" in tab("inspect", "keys", "--")


def test_site_files_then_their_cameras(tab: Tab, redis_client: Client, redis_url: str, tmp_path: Path) -> None:
    publish_site(redis_client, SiteConfig.model_validate(SITE))
    site = {**SITE, "redis": {"url": redis_url}}
    (tmp_path / "place" / "site.yaml").write_text(yaml.safe_dump(site))
    (tmp_path / "place" / "sites").mkdir()
    (tmp_path / "place" / "notes.txt").touch()
    assert tab("cameras", "pause", "") == ["site.yaml", "sites/"]
    assert tab("cameras", "pause", "site.yaml", "ga") == ["garden", "gate"]
    assert tab("cameras", "pause", "site.yaml", "garden", "ga") == ["gate"]
    assert tab("inspect", "tracks", "site.yaml", "") == ["garden", "gate", "yard"]
    for gid in (7, 12, 70):
        redis_client.hset(Keys("hall").identity(gid), "gid", gid)
    assert tab("identities", "merge", "") == ["site.yaml", "sites/"]
    assert tab("identities", "merge", "site.yaml", "7", "") == ["12", "70"]
    assert tab("identities", "name", "site.yaml", "7") == ["7", "70"]


def test_a_site_file_is_only_the_first_word_of_redis_cli(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "place" / "site.yaml").touch()
    assert tab("redis") == ["redis-cli"]
    assert tab("redis-cli", "") == ["site.yaml"]
    assert tab("redis-cli", "site.yaml", "HGETALL", "") == []
    assert tab("redis-cli", "--p") == ["--pictures"]


def test_sites_and_cameras_without_a_file(tab: Tab, redis_client: Client, redis_url: str) -> None:
    publish_site(redis_client, SiteConfig.model_validate(SITE))
    assert tab("status", "--redis", redis_url, "--site", "") == ["hall"]
    assert tab("cameras", "remove", "--site", "hall", "y", MTMC_REDIS_URL=redis_url) == ["yard"]
    assert tab("cameras", "remove", "y", MTMC_REDIS_URL=redis_url, MTMC_SITE="hall") == ["yard"]


def test_models_and_files_of_models(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "place" / "own.onnx").touch()
    (tmp_path / "place" / "notes.txt").touch()
    assert tab("models", "pull", "yolox_nano", "yolox_") == [f"yolox_{size}" for size in ("tiny", "s", "m", "l", "x")]
    assert {"own.onnx", "vehicle-reid-0001"} <= set(offered := tab("models", "benchmark", ""))
    assert "notes.txt" not in offered


def test_without_redis_completion_offers_nothing_and_prints_no_error(tab: Tab) -> None:
    assert tab("cameras", "pause", "none.yaml", "") == []
    # The second address is reserved for documentation: connections to it are not even refused.
    limit_s = 3.0
    for address in (f"127.0.0.1:{free_port()}", "192.0.2.1:6379"):
        watch = Stopwatch()
        assert tab("cameras", "pause", "--site", "hall", "--redis", f"redis://{address}", "") == []
        limit_s += watch.seconds if address.startswith("127") else 0.0
    assert watch.within(limit_s), "a person waits"
