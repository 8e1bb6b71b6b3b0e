"""`docker compose up` as the README says it, on a real engine. The tests share one running site, in this order."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.compose.conftest import DEPLOY, Project, fetch, wait_for

pytestmark = pytest.mark.timeout(300)


def page(site: Project, path: str) -> bytes:
    return fetch(f"http://127.0.0.1:{site.environment['MTMC_PORT']}{path}")


def owners(site: Project) -> dict[str, str | None]:
    """Camera → worker, of the cameras that are live."""
    return {
        camera["name"]: camera["owner"]
        for camera in site.status()["cameras"]
        if camera["state"] in ("live", "starting")
    }


def spread_over(site: Project, workers: int) -> bool:
    owned = owners(site)
    return len(owned) == 4 and len(set(owned.values())) == workers


def test_pictures_and_global_ids_are_there(site: Project) -> None:
    assert b"<html" in page(site, "/")
    for camera in range(4):
        first = page(site, f"/cam{camera}.jpg")
        assert first.startswith(b"\xff\xd8")
        wait_for(lambda: page(site, f"/cam{camera}.jpg") != first, 15)  # noqa: B023

    def gids() -> set[int]:
        shown = json.loads(page(site, "/api/v1/tracks"))["cameras"]
        return {track["gid"] for camera in shown for track in camera["tracks"] if track["gid"]}

    wait_for(gids, 30)


def test_every_container_is_as_tight_as_it_can_be(site: Project) -> None:
    containers = site.run("ps", "-q").split()
    inspected: list[dict[str, Any]] = json.loads(
        subprocess.run(["docker", "inspect", *containers], capture_output=True, text=True, check=True).stdout
    )
    assert len(inspected) == 6
    for one in inspected:
        assert one["HostConfig"]["ReadonlyRootfs"], one["Name"]
        assert one["HostConfig"]["CapDrop"] == ["ALL"], one["Name"]
        assert one["State"]["Health"]["Status"] == "healthy", one["Name"]
        if "redis" not in one["Name"]:
            assert one["Config"]["User"] == "mtmc"
    listening = [
        port for one in inspected for ports in one["NetworkSettings"]["Ports"].values() for port in ports or []
    ]
    assert {port["HostIp"] for port in listening} == {"127.0.0.1"}
    assert [int(port["HostPort"]) for port in listening] == [int(site.environment["MTMC_PORT"])]


def test_the_password_stands_on_no_command_line_and_in_no_log(site: Project) -> None:
    assert "NOAUTH" in site.run("exec", "-T", "redis", "redis-cli", "get", "x")
    assert site.redis("ping") == "PONG"
    assert "pass" not in site.run("top")
    assert 'pass"word' not in site.run("logs")


def test_three_workers_share_the_cameras_and_two_take_over_from_a_killed_one(site: Project) -> None:
    site.run("up", "--wait", "--scale", "camera_worker=3")
    wait_for(lambda: spread_over(site, 3), 30)
    owned = owners(site)
    hosts = {worker["id"]: worker["host"] for worker in site.status()["workers"]}
    lost = owned["cam0"]
    assert lost is not None
    orphans = [camera for camera, owner in owned.items() if owner == lost]

    subprocess.run(["docker", "kill", "--signal", "KILL", hosts[lost]], check=True, capture_output=True)
    killed = time.monotonic()

    def taken_over() -> bool:
        now = [site.redis("HGET", f"mtmc:{{room}}:camera:{camera}", "owner") for camera in orphans]
        return all(owner not in ("", lost) for owner in now)

    wait_for(taken_over, 5)
    assert time.monotonic() - killed < 5
    wait_for(lambda: spread_over(site, 2), 30)


def test_a_worker_of_another_project_joins_over_the_network(site: Project, site_folder: Path, tmp_path: Path) -> None:
    gateway = subprocess.run(
        ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    ids_before = site.redis("GET", "mtmc:{room}:clock:tick")
    opened = Project(
        site.name,
        ("docker-compose.yml", "docker-compose.hosts.yml"),
        {**site.environment, "MTMC_REDIS_BIND": gateway, "MTMC_REDIS_PORT": "16379", "MTMC_PICTURES_PORT": "16380"},
    )
    opened.run("up", "--wait", "--scale", "camera_worker=1")
    assert int(site.redis("GET", "mtmc:{room}:clock:tick")) >= int(ids_before), "Redis kept its log"

    elsewhere = tmp_path / "copy"
    shutil.copytree(site_folder, elsewhere)
    for path in [elsewhere, *elsewhere.parents][:4]:
        path.chmod(0o755)
    guest = Project(
        f"{site.name}-guest",
        ("docker-compose.worker.yml",),
        {
            "MTMC_REDIS_URL": f"redis://{gateway}:16379/0",
            "MTMC_FRAMES_URL": f"redis://{gateway}:16380/0",
            "MTMC_REDIS_PASSWORD": site.environment["MTMC_REDIS_PASSWORD"],
            "MTMC_SITE": "room",
            "MTMC_SITE_FOLDER": str(elsewhere),
        },
    )
    try:
        guest.run("up", "--wait")
        host = guest.run("exec", "-T", "camera_worker", "hostname").strip()
        wait_for(lambda: spread_over(site, 2), 30)
        assert sum(bool(owner and owner.startswith(host)) for owner in owners(site).values()) == 2
        picture = page(site, "/cam3.jpg")
        wait_for(lambda: page(site, "/cam3.jpg") != picture, 15)
    finally:
        guest.down()
    assert guest.leftovers() == []
    wait_for(lambda: spread_over(site, 1), 30)


def test_down_leaves_nothing(site: Project) -> None:
    assert len(site.leftovers()) > 0
    began = time.monotonic()
    site.down()
    assert time.monotonic() - began < 30
    assert site.leftovers() == []


def test_a_wrong_site_file_stops_the_start_and_the_log_says_why(image: None, site_folder: Path, tmp_path: Path) -> None:
    wrong = yaml.safe_load((site_folder / "site.yaml").read_text())
    wrong["detector"]["klasses"] = ["person"]
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(wrong))
    for path in [tmp_path, *tmp_path.parents][:3]:
        path.chmod(0o755)
    project = Project(f"mtmc-wrong-{os.getpid()}", ("docker-compose.yml",), {"MTMC_SITE_FOLDER": str(tmp_path)})
    try:
        assert "mtmc-wrong" in project.run("up", "--wait", code=1)
        assert "mtmc: /site/site.yaml: detector.klasses: there is no such setting" in project.run("logs", "clock")
    finally:
        project.down()


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (("docker-compose.yml",), "MTMC_SITE_FOLDER"),
        (("docker-compose.yml", "docker-compose.hosts.yml"), "MTMC_REDIS_PASSWORD"),
        (("docker-compose.worker.yml",), "MTMC_REDIS_URL"),
    ],
)
def test_what_must_be_named_is_asked_for_by_its_name(
    engine: None, files: tuple[str, ...], name: str, site_folder: Path
) -> None:
    known = {} if name == "MTMC_SITE_FOLDER" else {"MTMC_SITE_FOLDER": str(site_folder)}
    assert name in Project("mtmc-nothing", files, known).run("config", code=15)


@pytest.mark.parametrize("base", ["docker-compose.yml", "docker-compose.worker.yml"])
def test_the_override_reserves_gpus_and_brings_cuda(engine: None, base: str) -> None:
    needed = dict.fromkeys(("REDIS_URL", "FRAMES_URL", "REDIS_PASSWORD", "SITE", "SITE_FOLDER"), "/x")
    project = Project(
        "mtmc-gpu", (base, "docker-compose.gpu.yml"), {f"MTMC_{key}": value for key, value in needed.items()}
    )
    worker = json.loads(project.run("config", "--format", "json"))["services"]["camera_worker"]
    devices = worker["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"capabilities": ["gpu"], "count": 1, "driver": "nvidia"}]
    assert worker["build"]["args"]["EXTRAS"] == "cuda"
    assert worker["image"].endswith("-cuda")
    assert worker["command"][:2] == ["run", "camera-worker"]


def test_every_file_says_at_its_top_what_it_is_for() -> None:
    for file in DEPLOY.glob("docker-compose*.yml"):
        assert file.read_text().startswith("# "), file.name
