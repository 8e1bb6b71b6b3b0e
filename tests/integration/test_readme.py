"""Every command in the README is run: here, or by the test or CI step that this file names.

So is every line of README and docs that opens Redis.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import http.server
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from model_store.store import ModelStore
from shared.config import SiteConfig
from tests.command_line import command_line
from tests.running_site import ROOT, RunningSite, environment
from tests.small_site import small_site

README = (ROOT / "README.md").read_text(encoding="utf-8")

SITE_FILE = "my-site/site.yaml"
PULL = "mtmc models pull yolox_s vehicle-reid-0001 --to my-site"
PULL_FOR_PEOPLE = "mtmc models pull yolox_s person_reid_youtu --to my-site"
ACTIVATE = "source .venv/bin/activate"
UP = f"mtmc up {SITE_FILE}"

BEFORE_UP = ("mtmc models list", f"mtmc doctor {SITE_FILE}")
WHILE_UP = {
    f"mtmc status {SITE_FILE} --watch": f"mtmc status {SITE_FILE}",
    f"mtmc inspect keys {SITE_FILE}": f"mtmc inspect keys {SITE_FILE}",
    f"mtmc inspect tracks {SITE_FILE} gate": f"mtmc inspect tracks {SITE_FILE} gate",
    f"mtmc tokens add {SITE_FILE} --role viewer": f"mtmc tokens add {SITE_FILE} --role viewer",
    f"mtmc record {SITE_FILE} --seconds 60 -o monday": f"mtmc record {SITE_FILE} --seconds 2 -o monday",
}
"""Command in the README → command to run, without what takes long or does not end."""
AFTER_UP = ("mtmc replay monday --set association.min_track_frames=5 -o again",)
REDIS_CLI = f"mtmc redis-cli {SITE_FILE} "
REDIS_COMMANDS = (
    f"{REDIS_CLI}HGETALL 'mtmc:{{entrance}}:gids:gate'",
    f"{REDIS_CLI}HGETALL 'mtmc:{{entrance}}:clock:skew'",
    f"{REDIS_CLI}HGETALL 'mtmc:{{entrance}}:camera:gate'",
    f"{REDIS_CLI}XREVRANGE 'mtmc:{{entrance}}:sightings:7' + - COUNT 5",
    f"{REDIS_CLI}XREVRANGE 'mtmc:{{entrance}}:events' + - COUNT 5",
)
RUN_HERE = {PULL, PULL_FOR_PEOPLE, ACTIVATE, UP, *BEFORE_UP, *WHILE_UP, *AFTER_UP, *REDIS_COMMANDS}
ON_THIS_SITE = {"site.yaml": SITE_FILE, "{room}": "{entrance}", "cam0": "gate"}
"""Site file, site and camera in the examples of docs/ → those of the README."""
FILLED = (":clock:skew", ":camera:gate", ":tracks:gate")
"""The ends of the keys that exist as soon as the site runs."""


@dataclass(frozen=True)
class Place:
    """A file, or one function in it, that contains `words` and matches `pattern`."""

    path: str
    function: str | None = None
    words: tuple[str, ...] = ()
    pattern: str = ""

    def missing(self) -> list[str]:
        """What is not there: the file, the function, or some of the words."""
        path = ROOT / self.path
        if not path.is_file():
            return [self.path]
        source = path.read_text(encoding="utf-8")
        if self.function is not None:
            bodies = [
                ast.get_source_segment(source, node) or ""
                for node in ast.walk(ast.parse(source))
                if isinstance(node, ast.FunctionDef) and node.name == self.function
            ]
            if not bodies:
                return [f"{self.path}::{self.function}"]
            source = bodies[0]
        missing = [word for word in self.words if word not in source]
        if not re.search(self.pattern, source):
            missing.append(self.pattern)
        return [f"{word!r} in {self.path}::{self.function or ''}" for word in missing]


def ci_step(target: str) -> Place:
    """The step of CI that runs `make TARGET`."""
    return Place(".ci/run", pattern=rf"\bparts\+?=.*(?<![\w-]){target}(?![\w-])")


COMPOSE = "tests/compose/test_compose.py"
COMPOSE_PARTS = "tests/compose/conftest.py"
UP_BUILD_WAIT = Place(COMPOSE_PARTS, "site", ("docker-compose.yml", '"up", "--build", "--wait"'))
OTHER_HOST = "test_a_worker_of_another_project_joins_over_the_network"
IN_COMPOSE = "docker compose -f deploy/docker-compose.yml"

RUN_ELSEWHERE: dict[str, tuple[Place, ...]] = {
    "make demo": (
        Place("Makefile", None, ("demo: $(VENV)/.installed", "$(BIN)/mtmc demo")),
        Place(
            "tests/browser/test_demo.py",
            "test_two_cameras_of_the_demo_are_live_and_vehicles_bear_one_gid_in_both",
            ('"cli", "demo"',),
        ),
    ),
    "make install": (ci_step("install"),),
    "make test": (ci_step("test"),),
    "make test-page": (ci_step("test-page"),),
    "make check": (ci_step("check"),),
    "make bench": (ci_step("bench"),),
    "pip install --no-deps trackeval==1.3.0": (
        Place("Makefile", pattern=r"install --no-deps (trackeval==1.3.0|-r requirements/evaluate.txt)"),
        Place("evaluation/scores.py", None, ('"trackeval==1.3.0"',)),
    ),
    "mtmc evaluate --demo --seed 7 --report report.html": (
        Place(
            "tests/evaluation/test_floors.py",
            "test_the_demo_keeps_its_identities_and_its_recording_gives_the_same_figures",
            ('"--demo", "--seed"',),
        ),
        Place(
            "tests/integration/test_evaluate_recording.py",
            "test_it_prints_tables_and_writes_a_self_contained_report",
            ('"--report", report',),
        ),
    ),
    f"mtmc explain {SITE_FILE} 7": (
        Place("tests/integration/test_explain.py", "test_each_track_and_change_is_explained", ('explain("7")',)),
        Place("tests/integration/test_explain.py", "explain", ('mtmc("explain"',)),
    ),
    f"mtmc identities merge {SITE_FILE} 7 3": (
        Place(
            "tests/integration/test_identities_command.py",
            "test_identities_are_listed_shown_and_corrected",
            ('identities("merge", "2", "1"',),
        ),
        Place("tests/integration/test_identities_command.py", "identities", ('mtmc("identities"',)),
    ),
    f"{IN_COMPOSE} up --build --wait": (
        UP_BUILD_WAIT,
        Place(COMPOSE, "test_without_a_site_the_demo_runs", ('"up", "--wait"',)),
    ),
    f"{IN_COMPOSE} up --wait --scale camera_worker=3": (
        Place(
            COMPOSE,
            "test_three_workers_share_the_cameras_and_two_take_over_from_a_killed_one",
            ('"up", "--wait", "--scale", "camera_worker=3"',),
        ),
    ),
    f"{IN_COMPOSE} exec clock mtmc status /site/site.yaml": (
        Place(COMPOSE, OTHER_HOST, ('"exec"', '"mtmc", "status", "/site/site.yaml"')),
    ),
    f"{IN_COMPOSE} exec redis redis-cli HGETALL 'mtmc:{{entrance}}:clock:skew'": (
        Place(COMPOSE_PARTS, "redis", ('"exec"', '"redis", "redis-cli"')),
    ),
    f"{IN_COMPOSE} down": (Place(COMPOSE_PARTS, "down", ('"down"',)),),
    f"{IN_COMPOSE} -f deploy/docker-compose.hosts.yml up --build --wait": (
        UP_BUILD_WAIT,
        Place(COMPOSE, OTHER_HOST, ('"docker-compose.yml", "docker-compose.hosts.yml"', "MTMC_REDIS_BIND")),
    ),
    "docker compose -f deploy/docker-compose.worker.yml up --build --wait": (
        Place(COMPOSE, OTHER_HOST, ('"docker-compose.worker.yml"', 'guest.run("up", "--wait"')),
    ),
}


def console_lines() -> list[str]:
    blocks = re.findall(r"^ *```console\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    return [line.strip() for block in blocks for line in block.splitlines()]


def commands() -> set[str]:
    """Every command of the console blocks, without its comment and without `export`."""
    lines = (re.sub(r"\s+#.*", "", line.removeprefix("$ ")) for line in console_lines())
    return {line for line in lines if not line.startswith("export ")}


def redis_commands_of_the_docs() -> list[str]:
    """Every command in docs/ that runs redis-cli, for the site of the README."""
    found = []
    for path in sorted((ROOT / "docs").rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        for line in re.findall(r"^\$ (.*redis-cli.*)$|`([^`\n]*redis-cli [^`\n]*)`", text, re.MULTILINE):
            command = re.sub(r"\s+#.*", "", "".join(line))
            for there, here in ON_THIS_SITE.items():
                command = command.replace(there, here)
            found.append(command)
    return found


def exported() -> dict[str, str]:
    """Every variable that a console block exports."""
    lines = (line for line in console_lines() if line.startswith("$ export "))
    assignments = [item for line in lines for item in shlex.split(line, comments=True)[2:]]
    return dict(item.split("=", 1) for item in assignments)


def site_of_the_readme() -> dict[str, Any]:
    """The site for vehicles."""
    block, _ = re.findall(r"^ *```yaml\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    return dict(yaml.safe_load(block))


def site_for_people() -> dict[str, Any]:
    """The same site with the sections for people."""
    _, block = re.findall(r"^ *```yaml\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    return site_of_the_readme() | yaml.safe_load(block)


def test_every_command_is_run_here_or_by_a_named_test_or_ci_step() -> None:
    assert all(line.startswith("$ ") for line in console_lines())
    covered = RUN_HERE | set(RUN_ELSEWHERE)
    assert commands() - covered == set(), "run these here, or name the test that runs them in RUN_ELSEWHERE"
    assert covered - commands() == set(), "the README no longer has these commands"


@pytest.mark.parametrize("command", RUN_ELSEWHERE)
def test_the_named_test_or_ci_step_exists_and_runs_the_command(command: str) -> None:
    assert [missing for place in RUN_ELSEWHERE[command] for missing in place.missing()] == []


def test_every_exported_variable_is_used() -> None:
    used = README.replace("export ", "") + "".join(path.read_text() for path in (ROOT / "deploy").glob("*.yml"))
    assert len(exported()) > 5
    assert [name for name in exported() if f"${{{name}" not in used] == []


def test_the_environment_is_activated_as_written() -> None:
    activate = Path(sys.prefix) / "bin" / "activate"
    if not activate.exists():
        pytest.skip(f"{sys.prefix} is not a virtual environment")
    command = shlex.join(["source", str(activate)]) + " && command -v mtmc"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, str(activate.with_name("mtmc")))


@pytest.fixture
def published_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The list of models, in which every download comes from a server on this machine."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "published"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    content = yaml.safe_load((ROOT / "models" / "models.yaml").read_text(encoding="utf-8"))
    for entry in content["models"]:
        if "url" in entry:
            file = folder / f"{entry['name']}.onnx"
            file.write_bytes(entry["name"].encode() * 1000)
            entry["url"] = f"http://127.0.0.1:{server.server_address[1]}/{file.name}"
            entry["size_bytes"] = file.stat().st_size
            entry["checksum"] = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    manifest = tmp_path / "models.yaml"
    manifest.write_text(yaml.safe_dump(content))
    yield manifest
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("pull", "site_of", "embedder"),
    [
        (PULL, site_of_the_readme, "vehicle-reid-0001.onnx"),
        (PULL_FOR_PEOPLE, site_for_people, "person_reid_youtu.onnx"),
    ],
)
def test_pull_prints_the_lines_that_the_site_file_of_the_readme_has(
    pull: str,
    site_of: Callable[[], dict[str, Any]],
    embedder: str,
    published_models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cli.models.commands._store", lambda folder: ModelStore(folder, published_models))
    done = command_line(monkeypatch, capsys)(*shlex.split(pull)[1:])
    assert done.returncode == 0, done.stderr
    printed, site = yaml.safe_load(done.stdout), site_of()
    SiteConfig.model_validate(site)
    assert printed["embedder"] == site["embedder"]
    assert printed["detector"]["model"] == site["detector"]["model"]
    assert set(site["detector"]["classes"]) <= set(printed["detector"]["classes"])
    assert sorted(path.name for path in (tmp_path / "my-site").iterdir()) == [embedder, "yolox_s.onnx"]


def run_in(folder: Path, command: str) -> str:
    """Runs a command of the README in `folder`; returns what it prints."""
    program, *words = shlex.split(command)
    assert program == "mtmc"
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words],
        cwd=folder,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        errors="replace",  # redis-cli prints the arrays of tracks
        timeout=120,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.timeout(300)
def test_the_commands_for_cameras_of_your_own_work(start: Callable[..., RunningSite], tmp_path: Path) -> None:
    site = site_of_the_readme()
    SiteConfig.model_validate(site)
    site_file = tmp_path / SITE_FILE
    site_file.parent.mkdir()
    small = small_site(site_file.parent, "".join("ab"[: len(site["cameras"])]))
    for camera, file in zip(site["cameras"], small["cameras"], strict=True):
        camera |= {"source": file["source"], "loop": True}
    site |= {name: small[name] for name in ("detector", "embedder", "streamer")}
    site_file.write_text(yaml.safe_dump(site))

    for command in BEFORE_UP:
        run_in(tmp_path, command)
    assert shlex.split(UP)[1:] == ["up", SITE_FILE]
    up = start(site_file)
    up.wait_for_words(r"http://127\.0\.0\.1:\d+/")
    printed = up.wait_for_words(r"(mtmc redis-cli .*)  state of the clock in Redis").group(1)
    up.wait_for(lambda: up.status().get("aggregator"))
    up.wait_for(lambda: all(camera["seen_tick"] for camera in up.status().get("cameras", [{"seen_tick": None}])))
    for command in WHILE_UP.values():
        assert run_in(tmp_path, command)
    in_docs = redis_commands_of_the_docs()
    assert len(in_docs) >= 5
    for command in (*REDIS_COMMANDS, *in_docs, printed):
        answer = run_in(tmp_path, command)
        assert not re.match(r"\(error\)|ERR|NOAUTH|WRONG", answer), f"{command}: {answer}"
        assert answer.strip() or not shlex.split(command)[-1].endswith(FILLED), f"{command}: no answer"
    assert up.end()[0] == 0
    for command in AFTER_UP:
        assert run_in(tmp_path, command)
    assert (tmp_path / "again" / "recording.json").is_file()
