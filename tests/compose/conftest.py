"""A real Docker engine, the image built once, and sites that are run with the project's own Compose files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.free_ports import free_port

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
VERSION = f"test-{os.getpid()}"


def _answers() -> bool:
    """Whether there is an engine, and Compose for it."""
    if shutil.which("docker") is None:
        return False
    return all(
        subprocess.run(["docker", *words], capture_output=True).returncode == 0
        for words in (["info"], ["compose", "version"])
    )


@pytest.fixture(scope="session")
def engine(shared_data: Path) -> Iterator[None]:
    """An engine with Compose: one that answers, or one that is started for these tests and ended after them."""
    if _answers():
        yield
        return
    starter = shared_data / "tools" / "docker-engine"
    if not starter.exists() or os.getuid() != 0:
        pytest.skip("no Docker engine answers, and none can be started here")
    started = subprocess.run([starter], capture_output=True, text=True, timeout=300)
    if started.returncode:
        pytest.skip(f"no Docker engine answers, and none could be started: {started.stderr[-300:]}")
    yield
    pid = Path(os.environ.get("DOCKER_DIR", "/var/tmp/docker-engine")) / "dockerd.pid"  # noqa: S108
    with contextlib.suppress(OSError, ValueError):
        os.kill(int(pid.read_text()), signal.SIGTERM)
        wait_for(lambda: not pid.exists(), 30)


class Project:
    """One Compose project; every command must succeed unless it is told otherwise."""

    def __init__(self, name: str, files: tuple[str, ...], environment: Mapping[str, str]) -> None:
        self.name, self.files, self.environment = name, files, dict(environment)

    def run(self, *words: str, code: int | None = 0, seconds: float = 100) -> str:
        """The output of `docker compose …`, both streams."""
        files = [word for file in self.files for word in ("-f", str(DEPLOY / file))]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("MTMC_")}
        done = subprocess.run(
            ["docker", "compose", "-p", self.name, *files, *words],
            env={**clean, "MTMC_VERSION": VERSION, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
        if code is not None and done.returncode != code:
            raise AssertionError(f"{words} gave {done.returncode}: {done.stdout}\n{self.logs()}")
        return done.stdout

    def logs(self) -> str:
        """The last lines of every container."""
        shown = subprocess.run(
            ["docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={self.name}"],
            capture_output=True,
            text=True,
        )
        tails = [
            subprocess.run(["docker", "logs", "--tail", "15", one], capture_output=True, text=True)
            for one in shown.stdout.split()
        ]
        return "\n".join(tail.stdout + tail.stderr for tail in tails)

    def page(self, path: str) -> bytes:
        """What a browser on this host gets; empty when there is no answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.environment['MTMC_PORT']}{path}", timeout=5) as answer:
                return bytes(answer.read())
        except OSError:
            return b""

    def owners(self, state: str = "") -> dict[str, str]:
        """Camera → container of its worker; only of cameras in that `state`, if one is named."""
        shown = json.loads(self.page("/api/v1/cameras") or '{"cameras": []}')["cameras"]
        return {
            one["name"]: one["owner"].split("-")[0] for one in shown if one["owner"] and state in ("", one["state"])
        }

    def containers(self) -> list[dict[str, Any]]:
        """What `docker inspect` tells of each container."""
        inspected = subprocess.run(
            ["docker", "inspect", *self.run("ps", "--all", "--quiet").split()], capture_output=True, check=True
        )
        return list(json.loads(inspected.stdout))

    def services(self) -> list[dict[str, Any]]:
        """The containers without the one that renders the demo, which has ended."""
        return [one for one in self.containers() if one["Config"]["Labels"]["com.docker.compose.service"] != "demo"]

    def redis(self, *words: str) -> str:
        """What redis-cli answers."""
        return self.run("exec", "-T", "redis", "redis-cli", *words).strip()

    def down(self) -> None:
        """Everything gone, volumes too."""
        self.run("down", "--volumes", "--timeout", "5")

    def leftovers(self) -> list[str]:
        """Containers, volumes and networks that still bear the project's name."""
        label = f"label=com.docker.compose.project={self.name}"
        found = []
        for words in (("ps", "-a"), ("volume", "ls"), ("network", "ls")):
            listed = subprocess.run(["docker", *words, "-q", "--filter", label], capture_output=True, text=True)
            found += listed.stdout.split()
        return found


def wait_for(condition: Callable[[], Any], seconds: float) -> float:
    """Seconds until it held."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"it did not come true within {seconds:g} s"
        time.sleep(0.1)
    return time.monotonic() - began


@pytest.fixture(scope="session")
def site_folder(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site's folder as people have it: site.yaml, models and recordings, named by relative paths."""
    folder = tmp_path_factory.mktemp("site")
    weights, recordings = shared_data / "weights", shared_data / "data" / "ufes-four-cameras"
    cameras = [f"cam{i}" for i in range(4)]
    for source in [weights / "yolox_nano.onnx", weights / "osnet_x0_25_msmt17.onnx"]:
        shutil.copy(source, folder)
    for camera in cameras:
        shutil.copy(recordings / f"{camera}.mp4", folder)
    site = {
        "site": "room",
        "clock": {"target_fps": 9},
        "detector": {"model": "yolox_nano.onnx", "classes": ["person"]},
        "embedder": {"model": "osnet_x0_25_msmt17.onnx"},
        # At half their speed, so that a frame is decoded for each tick only, and three workers find room on two cores.
        "cameras": [
            {"name": name, "source": f"${{RECORDINGS}}/{name}.mp4", "loop": True, "time_scale": 0.5} for name in cameras
        ],
        "layout": {"overlaps": [cameras]},
    }
    (folder / "site.yaml").write_text(yaml.safe_dump(site))
    (folder / "variables").write_text("RECORDINGS='.'\nMTMC__CLOCK__TARGET_FPS=5\n")
    return open_to_all(folder)


def open_to_all(folder: Path) -> Path:
    """Lets the containers' user, who is none of this machine's, read the folder."""
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def image(engine: None) -> Iterator[None]:
    """The project's image, built as the Compose file says."""
    Project("mtmc-build", ("docker-compose.yml",), {}).run("build", seconds=280)
    yield
    subprocess.run(["docker", "rmi", "--force", f"mtmc:{VERSION}"], capture_output=True)


@pytest.fixture(scope="module")
def site(image: None, site_folder: Path) -> Iterator[Project]:
    """A running site of four cameras."""
    project = Project(
        f"mtmc-test-{os.getpid()}",
        ("docker-compose.yml",),
        {
            "MTMC_SITE_FOLDER": str(site_folder),
            "MTMC_ENV_FILE": str(site_folder / "variables"),
            "MTMC_PORT": str(free_port()),
            "MTMC_REDIS_PASSWORD": 'pass"word with \\ signs',
        },
    )
    try:
        project.run("up", "--build", "--wait", seconds=200)
        yield project
    finally:
        project.down()
