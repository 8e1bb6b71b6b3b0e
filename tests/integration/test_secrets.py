"""A `${file:}` secret anywhere in the source of a camera is shown by no command, log, error, page or recording."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
import yaml

from launcher.state_folder import StateFolder
from shared.keys import Keys
from shared.redis_connection import connect
from tests.command_line import command_line
from tests.free_ports import free_port
from tests.running_site import RunningSite
from tests.small_site import small_site

KEYS = Keys("room")
SECRETS = {name: f"S3CRET-{name} é" if name == "token" else f"S3CRET-{name}" for name in ("folder", "token", "path")}
MARK = "S3CRET"


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    """Cameras: a plays, b and c do not answer, d is no video."""
    site = small_site(tmp_path, "a") | {"site": "room"}
    folder = tmp_path / SECRETS["folder"]
    folder.mkdir()
    (tmp_path / "a.avi").rename(folder / "a.avi")
    (folder / "d.avi").write_text("no video")
    (tmp_path / "folder").write_text(f"{SECRETS['folder']}\n")
    (tmp_path / "token").write_text(SECRETS["token"].replace(" é", "%20%C3%A9"))
    (tmp_path / "address").write_text(f"http://me:{MARK}-pw@127.0.0.1:{free_port()}/{SECRETS['path']}/snap?x=1\n")
    site["cameras"] = [
        {"name": "a", "source": "${file:folder}/a.avi", "loop": True},
        {"name": "b", "source": f"rtsp://me:{MARK}-pw@127.0.0.1:{free_port()}/${{file:token}}/main"},
        {"name": "c", "source": "${file:address}", "ffmpeg_options": {"referer": "http://box/${file:token}"}},
        {"name": "d", "source": "${file:folder}/d.avi", "loop": True},
    ]
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    return path


def without_d(site_file: Path) -> Path:
    site = yaml.safe_load(site_file.read_text())
    del site["cameras"][3]
    other = site_file.with_name("without-d.yaml")
    other.write_text(yaml.safe_dump(site))
    return other


def test_it_is_in_no_output_of_a_running_site(
    start: Callable[..., RunningSite],
    site_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mtmc = command_line(monkeypatch, capsys)
    up = start(site_file, "--log-level", "DEBUG")
    page = up.wait_for_words(r"(http://127\.0\.0\.1:\d+)/  live view").group(1)

    def states() -> dict[str, str]:
        return {camera["name"]: camera["state"] for camera in up.status().get("cameras", [])}

    up.wait_for(lambda: states() == {"a": "live", "b": "down", "c": "down", "d": "down"})
    said = {}
    for words in (
        ["cameras", "list", site_file],
        ["cameras", "list", site_file, "--json"],
        ["cameras", "add", site_file, "e", f"rtsp://127.0.0.1:{free_port()}/${{file:{tmp_path}/token}}/e"],
        ["cameras", "add", site_file, "f", f"{tmp_path}/${{file:{tmp_path}/folder}}/a.avi", "--loop"],
        ["cameras", "add", site_file, "g", f"{tmp_path}/${{file:{tmp_path}/folder}}/none.avi", "--loop"],
        ["cameras", "add", site_file, "h", f"rtsp:/127.0.0.1/${{file:{tmp_path}/token}}/h"],
        ["cameras", "list", site_file],
        ["config", "show", site_file],
        ["config", "show", site_file, "--json"],
        ["config", "show", site_file, "--defaults"],
        ["config", "check", site_file],
        ["config", "check", without_d(site_file)],
        ["doctor", site_file],
        ["doctor", site_file, "--json"],
        ["status", site_file],
        ["status", site_file, "--json"],
        ["inspect", "tracks", site_file, "a"],
        ["record", site_file, "--seconds", "1", "-o", tmp_path / "recording"],
    ):
        done = mtmc(*words)
        said[" ".join(map(str, words))] = (done.returncode, done.stdout + done.stderr)
    state = StateFolder(up.state)
    password, url = state.redis_password() or "", f"redis://127.0.0.1:{state.last_start().redis_port}"
    client = connect(url, password)
    up.wait_for(lambda: client.hget(KEYS.camera("f"), "state") == b"live")
    for camera in "abcdef":
        said[f"hash of {camera}"] = (0, repr(client.hgetall(KEYS.camera(camera))))
    published = mtmc("config", "show", "--site", "room", MTMC_REDIS_URL=url, MTMC_REDIS_PASSWORD=password)
    said["config show --site"] = (published.returncode, published.stdout + published.stderr)
    client.close()
    for path in ("/", "/metrics", "/api/v1/cameras", "/api/v1/site", "/api/v1/tracks"):
        said[path] = (0, requests.get(page + path, timeout=60).text)
    assert up.end()[0] == 0
    said["output"] = (0, up.output())
    for log in up.state.joinpath("logs").iterdir():
        said[log.name] = (0, log.read_text())
    for file in (tmp_path / "recording").rglob("*.json"):
        said[file.name] = (0, file.read_text())

    assert [name for name, (_, text) in said.items() if MARK in text] == []
    failed = {name.split()[-1] if "add" in name else name for name, (code, _) in said.items() if code}
    assert "rtsp://***@127.0.0.1" in said[f"config show {site_file}"][1]
    assert re.search(r"source: .*/\*\*\*/a\.avi", said[f"config show {site_file}"][1])
    assert re.search(r"rtsp://\*\*\*@127\.0\.0\.1:\d+/\*\*\*/main", said[f"cameras list {site_file} --json"][1])
    assert re.search(r"\*\*\*/d\.avi", said["hash of d"][1]), "the error names the file as far as it may"
    assert "there is no file at" in said[next(name for name in said if "none.avi" in name)][1]
    assert len(said) > 30
    assert len(failed) <= 6, said
