"""`docker compose up` as the README says it, on a real engine. The tests share one running site, in this order."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.compose.conftest import DEPLOY, VERSION, Project, open_to_all, wait_for
from tests.free_ports import free_port
from tests.stopwatch import Stopwatch

CAMERAS = [f"cam{i}" for i in range(4)]
SITE = ("docker-compose.yml",)
HOSTS = (*SITE, "docker-compose.hosts.yml")
WORKER = ("docker-compose.worker.yml",)


def is_spread_over(site: Project, workers: int) -> bool:
    """Whether all cameras are live, shared by so many workers."""
    owners = site.owners(state="live")
    return len(owners) == len(CAMERAS) and len(set(owners.values())) == workers


def wait_for_another_picture(site: Project, camera: str) -> None:
    first = site.page(f"/{camera}.jpg")
    wait_for(lambda: site.page(f"/{camera}.jpg") not in (b"", first), 60)


def published_gids(site: Project) -> set[int]:
    shown = json.loads(site.page("/api/v1/tracks"))["cameras"]
    return {track["gid"] for camera in shown for track in camera["tracks"] if track["gid"]}


def test_pictures_and_global_ids_are_there(site: Project) -> None:
    assert b"<html" in site.page("/")
    for camera in CAMERAS:
        wait_for_another_picture(site, camera)
        assert site.page(f"/{camera}.jpg").startswith(b"\xff\xd8")
    wait_for(lambda: published_gids(site), 60)


def test_variables_reach_the_site_file(site: Project) -> None:
    published = json.loads(site.redis("GET", "mtmc:{room}:config"))["site"]
    assert published["clock"]["target_fps"] == 5
    assert published["cameras"][0]["source"] == "/site/cam0.mp4"
    again = site.run("exec", "-T", "clock", "mtmc", "config", "publish", "/site/site.yaml")
    assert "published site room, revision 1, in Redis" in again, "the same content must not become a new revision"


def test_every_container_is_as_tight_as_it_can_be(site: Project) -> None:
    containers = site.containers()
    assert len(containers) == 7
    assert {one["State"]["Health"]["Status"] for one in site.services()} == {"healthy"}
    for one in containers:
        assert one["HostConfig"]["ReadonlyRootfs"], one["Name"]
        assert one["HostConfig"]["CapDrop"] == ["ALL"], one["Name"]
        assert all(not mount["RW"] for mount in one["Mounts"] if mount["Destination"] == "/site"), one["Name"]
        if "redis" not in one["Name"]:
            assert one["Config"]["User"] == "10001"
            assert not one["HostConfig"]["CapAdd"]
    listening = [
        port for one in containers for ports in one["NetworkSettings"]["Ports"].values() for port in ports or []
    ]
    assert listening == [{"HostIp": "127.0.0.1", "HostPort": site.environment["MTMC_PORT"]}]


def test_every_service_can_be_scraped_from_within_the_network(site: Project) -> None:
    wait_for(lambda: all(one["ready"] for one in services_of(site)), 60)
    services = services_of(site)
    assert [one["role"] for one in services] == ["aggregator", "camera-worker", "clock", "streamer"]
    fetch = "import sys, urllib.request as r; [print(r.urlopen(url).read().decode()) for url in sys.argv[1:]]"
    urls = [one["metrics_url"] for one in services]
    assert all(url.endswith(":9090/metrics") for url in urls)
    text = site.run("exec", "-T", "clock", "python3", "-c", fetch, *urls)
    for one in services:
        assert f'mtmc_service_info{{service="{one["role"]}",site="room",' in text
    assert re.search(r"^mtmc_camera_worker_cameras 4.0$", text, re.MULTILINE)
    assert 'pass"word' not in text


def test_a_page_published_elsewhere_needs_a_token(site: Project) -> None:
    published = Project(site.name, site.files, {**site.environment, "MTMC_ADDRESS": "0.0.0.0"})
    try:
        published.run("up", "--wait", "--no-deps", "streamer")
        page = f"http://127.0.0.1:{site.environment['MTMC_PORT']}/api/v1/site"
        assert requests.get(page, timeout=5).status_code == 401
        said = site.run("exec", "-T", "clock", "mtmc", "tokens", "add", "/site/site.yaml")
        token = re.search(r"^mtmc_\w+$", said, re.MULTILINE)
        assert token, said
        assert requests.get(page, auth=("any", token[0]), timeout=5).status_code == 200
        assert token[0] not in published.run("logs", "streamer")
    finally:
        site.run("up", "--wait", "--no-deps", "streamer")
    assert b"<html" in site.page("/"), "published on this host only, it needs no login"


def services_of(site: Project) -> list[dict[str, Any]]:
    """As `mtmc status` shows them in a container."""
    shown = site.run("exec", "-T", "aggregator", "mtmc", "status", "/site/site.yaml", "--json")
    return list(json.loads(shown)["services"])


def test_the_password_stands_on_no_command_line_and_in_no_log(site: Project) -> None:
    assert "NOAUTH" in site.run("exec", "-T", "-e", "REDISCLI_AUTH=", "redis", "redis-cli", "ping")
    assert site.redis("ping") == "PONG"
    assert "pass" not in site.run("top")
    assert 'pass"word' not in site.run("logs")


def test_nothing_is_started_again_because_redis_is(site: Project) -> None:
    tick = int(site.redis("GET", "mtmc:{room}:clock:tick"))
    site.run("restart", "redis", "redis-pictures")
    wait_for(lambda: len(site.owners()) == len(CAMERAS), 60)
    assert int(site.redis("GET", "mtmc:{room}:clock:tick")) >= tick, "Redis kept its log"
    wait_for(lambda: int(site.redis("GET", "mtmc:{room}:clock:tick")) > tick, 60)
    wait_for_another_picture(site, "cam0")
    assert [one["RestartCount"] for one in site.services()] == [0] * 6


def test_three_workers_share_the_cameras_and_two_take_over_from_a_killed_one(site: Project) -> None:
    site.run("up", "--wait", "--scale", "camera_worker=3")
    wait_for(lambda: is_spread_over(site, 3), 60)
    lost = site.owners()["cam0"]

    watch = Stopwatch()
    subprocess.run(["docker", "kill", "--signal", "KILL", lost], check=True, capture_output=True)
    wait_for(lambda: len(site.owners()) == len(CAMERAS) and lost not in site.owners().values(), 60)
    assert watch.within(5), watch.seconds
    wait_for(lambda: is_spread_over(site, 2), 60)


def test_a_worker_of_another_project_joins_over_the_network(site: Project, site_folder: Path, tmp_path: Path) -> None:
    bridge = subprocess.run(
        ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    redis, pictures = str(free_port()), str(free_port())
    opened = Project(
        site.name,
        ("docker-compose.yml", "docker-compose.hosts.yml"),
        {**site.environment, "MTMC_REDIS_BIND": bridge, "MTMC_REDIS_PORT": redis, "MTMC_PICTURES_PORT": pictures},
    )
    opened.run("up", "--wait", "--scale", "camera_worker=1")
    guest = Project(
        f"{site.name}-guest",
        ("docker-compose.worker.yml",),
        {
            "MTMC_REDIS_URL": f"redis://{bridge}:{redis}/0",
            "MTMC_FRAMES_URL": f"redis://{bridge}:{pictures}/0",
            "MTMC_REDIS_PASSWORD": site.environment["MTMC_REDIS_PASSWORD"],
            "MTMC_SITE": "room",
            "MTMC_SITE_FOLDER": str(open_to_all(Path(shutil.copytree(site_folder, tmp_path / "copy")))),
        },
    )
    try:
        guest.run("up", "--wait")
        (worker,) = guest.containers()
        wait_for(lambda: is_spread_over(site, 2), 60)
        own = [camera for camera, owner in site.owners().items() if worker["Id"].startswith(owner)]
        assert len(own) == 2
        wait_for_another_picture(site, own[0])
    finally:
        guest.down()
    assert guest.leftovers() == []
    wait_for(lambda: is_spread_over(site, 1), 60)
    shown = site.run("exec", "-T", "aggregator", "mtmc", "status", "/site/site.yaml", "--json")
    assert [worker["cameras"] for worker in json.loads(shown)["workers"]] == [" ".join(CAMERAS)]


def test_all_stop_in_good_order_and_soon_and_down_leaves_nothing(site: Project) -> None:
    watch = Stopwatch()
    site.run("stop")
    assert watch.within(10), watch.seconds
    assert {one["State"]["ExitCode"] for one in site.containers()} == {0}
    assert len(site.leftovers()) == 7 + 2
    site.down()
    assert site.leftovers() == []


def test_without_a_site_the_demo_runs(image: None) -> None:
    project = Project(f"mtmc-demo-{os.getpid()}", SITE, {"MTMC_PORT": str(free_port())})
    try:
        project.run("up", "--wait", seconds=200)
        wait_for(lambda: len(project.owners(state="live")) == 6, 60)
        wait_for(lambda: published_gids(project), 60)
        rendered = project.run("exec", "-T", "clock", "stat", "--format=%y", "/site/site.yaml")
        project.run("up", "--wait", "--force-recreate")
        assert project.run("exec", "-T", "clock", "stat", "--format=%y", "/site/site.yaml") == rendered
    finally:
        project.down()
    assert project.leftovers() == []


def test_a_wrong_site_file_stops_the_start_and_the_log_says_why(image: None, site_folder: Path, tmp_path: Path) -> None:
    wrong = yaml.safe_load((site_folder / "site.yaml").read_text())
    wrong["detector"]["klasses"] = ["person"]
    (tmp_path / "site.yaml").write_text(yaml.safe_dump(wrong))
    environment = {"MTMC_SITE_FOLDER": str(open_to_all(tmp_path)), "MTMC_ENV_FILE": str(site_folder / "variables")}
    project = Project(f"mtmc-wrong-{os.getpid()}", ("docker-compose.yml",), environment)
    try:
        assert "clock-1 is unhealthy" in project.run("up", "--wait", code=1)
        assert "mtmc: /site/site.yaml: detector.klasses: there is no such setting" in project.run("logs", "clock")
        assert project.redis("ping") == "PONG", "as a site without a password does it"
    finally:
        project.down()


def test_a_site_file_that_the_containers_user_may_not_read_is_told(
    image: None, site_folder: Path, tmp_path: Path
) -> None:
    closed = tmp_path / "site.yaml"
    shutil.copy(site_folder / "site.yaml", closed)
    closed.chmod(0o600)
    mounted = ["--volume", f"{open_to_all(tmp_path)}:/site:ro", f"mtmc:{VERSION}", "run", "clock", "/site/site.yaml"]
    done = subprocess.run(["docker", "run", "--rm", *mounted], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("mtmc: /site/site.yaml: cannot be read (Permission denied)")


@pytest.mark.parametrize(
    ("files", "needed"),
    [
        (HOSTS, ["MTMC_REDIS_PASSWORD", "MTMC_REDIS_BIND"]),
        (WORKER, [f"MTMC_{name}" for name in ("REDIS_URL", "FRAMES_URL", "REDIS_PASSWORD", "SITE", "SITE_FOLDER")]),
    ],
)
def test_what_must_be_named_is_asked_for_by_its_name(engine: None, files: tuple[str, ...], needed: list[str]) -> None:
    for missing in needed:
        known = {name: "/some" for name in needed if name != missing}
        told = Project("mtmc-nothing", files, known).run("config", code=15)
        assert f"required variable {missing} is missing a value: " in told
        assert len(told.splitlines()) == 1


@pytest.mark.parametrize("base", [SITE, WORKER])
def test_the_override_reserves_gpus_and_brings_cuda(engine: None, base: tuple[str, ...]) -> None:
    names = ("REDIS_URL", "FRAMES_URL", "REDIS_PASSWORD", "SITE", "SITE_FOLDER")
    project = Project("mtmc-gpu", (*base, "docker-compose.gpu.yml"), {f"MTMC_{name}": "/some" for name in names})
    worker = json.loads(project.run("config", "--format", "json"))["services"]["camera_worker"]
    devices = worker["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"capabilities": ["gpu"], "device_ids": ["0"], "driver": "nvidia"}]
    assert worker["build"]["args"]["EXTRAS"] == "cuda"
    assert worker["image"].endswith("-cuda")
    assert worker["command"][:2] == ["run", "camera-worker"]
    volumes = {volume["target"]: volume for volume in worker["volumes"]}
    assert (volumes["/engines"]["type"], volumes["/engines"]["source"]) == ("volume", "engines")
    assert volumes.keys() == {"/site", "/engines"}
    assert worker["environment"]["MTMC_ENGINE_CACHE"] == "/engines"
    assert worker["environment"]["MTMC_METRICS_PORT"], "the overlay leaves the other settings"


def test_every_file_says_at_its_top_what_it_is_for() -> None:
    for file in DEPLOY.glob("docker-compose*.yml"):
        assert file.read_text().startswith("# "), file.name
