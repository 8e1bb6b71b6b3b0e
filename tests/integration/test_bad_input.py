"""User errors: one line says what is wrong and what to do, the exit code is 2, and nothing is started."""

from __future__ import annotations

import random
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from shared.redis_connection import connect
from tests.command_line import CommandLine, command_line
from tests.conftest import RedisProcess
from tests.free_ports import free_port
from tests.running_site import RunningSite
from tests.small_site import small_site
from tests.unit.vision.model_files import write_constant_model, write_external_model

SECRET = "hunter2"  # noqa: S105


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[CommandLine]:
    """`mtmc` in this process; restores the signal handlers that `mtmc up` replaces."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield command_line(monkeypatch, capsys)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def site(tmp_path: Path) -> dict[str, Any]:
    """A valid site of two video files."""
    return small_site(tmp_path, "ab")


Site = dict[str, Any]
Spoil = Callable[[Site, Path], None]


def missing_video(site: Site, folder: Path) -> None:
    (folder / "b.avi").unlink()


def missing_model(site: Site, folder: Path) -> None:
    (folder / "embedder.onnx").unlink()


def unreadable_model(site: Site, folder: Path) -> None:
    (folder / "detector.onnx").write_bytes(b"\x08\x07 no model")


def model_of_an_unknown_head(site: Site, folder: Path) -> None:
    write_constant_model(folder / "detector.onnx", np.zeros((3, 7, 9), np.float32), ("batch", 3, 32, 32))


def embedder_without_vectors_as_output(site: Site, folder: Path) -> None:
    write_constant_model(folder / "embedder.onnx", np.zeros((3, 7, 9), np.float32), ("batch", 3, 32, 32))


def embedder_without_its_weights(site: Site, folder: Path) -> None:
    write_external_model(folder / "embedder.onnx").unlink()


def embedder_of_zeros(site: Site, folder: Path) -> None:
    write_constant_model(folder / "embedder.onnx", np.zeros((1, 9), np.float32), ("batch", 3, 32, 32))


def unknown_key(site: Site, folder: Path) -> None:
    site["clock"] = {"target_fsp": 10}


def value_out_of_bounds(site: Site, folder: Path) -> None:
    site["clock"] = {"target_fps": 0}


def unknown_class(site: Site, folder: Path) -> None:
    site["detector"]["classes"] = ["persn"]


def two_cameras_of_one_name(site: Site, folder: Path) -> None:
    site["cameras"][1]["name"] = "a"


def layout_for_three_cameras(site: Site, folder: Path) -> None:
    (folder / "layout.txt").write_text("fps\n5 5 5\ncompatibility\n0 1 1\n1 0 1\n1 1 0\n")
    site["layout"] = {"file": "layout.txt"}


def layout_of_a_camera_that_is_not_there(site: Site, folder: Path) -> None:
    site["layout"] = {"overlaps": [["a", "yard"]]}


def empty_mask(site: Site, folder: Path) -> None:
    cv2.imwrite(str(folder / "mask.png"), np.zeros((48, 64), np.uint8))
    site["cameras"][0]["mask"] = "mask.png"


def mask_that_is_no_picture(site: Site, folder: Path) -> None:
    (folder / "mask.png").write_text("no picture")
    site["cameras"][0]["mask"] = "mask.png"


def unset_variable(site: Site, folder: Path) -> None:
    site["cameras"][0]["source"] = "rtsp://me:${NOT_SET}@box/1"


@pytest.mark.parametrize(
    ("spoil", "key", "says"),
    [
        (
            missing_video,
            "cameras.1.source",
            "there is no file at .*; use the path of a video file, an rtsp:// or http:// URL",
        ),
        (missing_model, "embedder.model", "there is no file at .*; use an absolute path, or one relative to"),
        (
            unreadable_model,
            "detector.model",
            r"is not an ONNX model \(.*parsing failed.*\); export the weights to ONNX",
        ),
        (model_of_an_unknown_head, "detector.model", "unknown kind of detector: .*; supported are Ultralytics"),
        (embedder_without_its_weights, "embedder.model", r"embedder\.onnx\.data with its weights is missing; copy"),
        (embedder_of_zeros, "embedder.model", "returns only zeros, .*; compare embedder.mean"),
        (embedder_without_vectors_as_output, "embedder.model", "must have a single output, with one vector per crop"),
        (unknown_key, "clock.target_fsp", "there is no such setting; see `mtmc config schema`"),
        (value_out_of_bounds, "clock.target_fps = 0", "greater than 0"),
        (unknown_class, "detector.classes", "unknown class 'persn'.*person"),
        (two_cameras_of_one_name, "cameras", "camera names must be unique; used more than once: a"),
        (layout_for_three_cameras, "layout.file", "line 2: 3 numbers in 'fps', but the site has 2 cameras; write one"),
        (layout_of_a_camera_that_is_not_there, "layout.overlaps.0.1 = yard", "no such camera; the site has a, b"),
        (empty_mask, "cameras.0.mask", "is entirely black, so .*; paint the areas to watch white"),
        (mask_that_is_no_picture, "cameras.0.mask", "is not an image"),
        (unset_variable, "cameras.0.source", "the environment variable NOT_SET is not set; set it"),
    ],
)
def test_a_wrong_site_file_is_reported_in_one_line_with_the_key_and_what_to_do(
    spoil: Spoil, key: str, says: str, site: Site, tmp_path: Path, mtmc: CommandLine
) -> None:
    spoil(site, tmp_path)
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    done = mtmc("up", path)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"mtmc: {path}: {key}")
    assert re.search(says, line), line
    assert done.stdout == ""
    assert not (tmp_path / ".mtmc" / "hall" / "supervisord.conf").exists(), "something was started"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.yaml", None, "there is no such file"),
        ("site.yaml", "", "contains no settings; it must be a mapping with at least site, detector"),
        ("site.yaml", "site: [", "is not valid YAML"),
        ("site.yaml", "just words", "contains no settings; it must be a mapping"),
    ],
)
def test_a_file_that_is_not_a_site_file_is_reported(
    name: str, content: str | None, says: str, tmp_path: Path, mtmc: CommandLine
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    done = mtmc("up", path)
    assert done.returncode == 2
    assert re.search(says, done.stderr), done.stderr
    assert all(line.startswith("mtmc: ") for line in done.stderr.splitlines())


class OldRedis:
    """A proxy in front of a real Redis that makes it report version 5, and changes nothing else."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave the thread waiting
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with source, sink:
            try:
                while data := source.recv(1 << 16):
                    sink.sendall(re.sub(rb"redis_version:\d", b"redis_version:5", data))
            except OSError:
                return


@pytest.mark.parametrize(
    ("settings", "url", "says"),
    [
        ({}, "redis://127.0.0.1:{free}", "Redis does not answer at .*refused.*; start it, or correct the address"),
        ({"requirepass": SECRET}, "redis://127.0.0.1:{port}", "requires a password; set MTMC_REDIS_PASSWORD"),
        (
            {"requirepass": SECRET},
            "redis://:wrong@127.0.0.1:{port}",
            "refused the password .*; set MTMC_REDIS_PASSWORD",
        ),
        (
            {"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"},
            "redis://127.0.0.1:{port}",
            "evicts keys .*; run: redis-cli CONFIG SET maxmemory-policy noeviction",
        ),
        ({}, "redis://127.0.0.1:{old}", r"is version 5\.[\d.]+; upgrade it to 6.2 or newer"),
        ({}, "http://127.0.0.1:{port}", "is not a Redis URL .*; use redis://HOST:PORT"),
    ],
)
def test_an_unusable_redis_is_reported_in_one_line_with_what_to_do(
    settings: dict[str, str],
    url: str,
    says: str,
    site: Site,
    tmp_path: Path,
    mtmc: CommandLine,
    redis_process: RedisProcess,
) -> None:
    port = int(redis_process.url.rsplit(":", 1)[1].split("/")[0])
    old = OldRedis(("127.0.0.1", port))
    client = connect(redis_process.url)
    for name, value in settings.items():
        client.config_set(name, value)
    client.close()
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    done = mtmc("up", path, "--redis", url.format(free=free_port(), port=port, old=old.port))
    old.close()
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert re.search(f"^mtmc: .*{says}", line), line
    assert SECRET not in line
    assert "wrong@" not in line


def test_a_port_in_use_is_reported_with_what_to_do(site: Site, tmp_path: Path, mtmc: CommandLine) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = mtmc("up", path, "--port", port)
    assert done.returncode == 2
    line = f"mtmc: port {port} is in use by another program; choose one with --port (0 picks a free port)"
    assert done.stderr.splitlines() == [line]


def test_one_bad_camera_is_reported_and_does_not_disturb_the_others(
    start: Callable[..., RunningSite], four_cameras_site: Callable[..., Path], shared_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "garbage.mp4").write_bytes(random.Random(1).randbytes(10_000))  # others may look like a video
    good = {"name": "cam0", "source": str(shared_data / "data" / "ufes-four-cameras" / "cam0.mp4"), "loop": True}
    bad = {"name": "bad", "source": "garbage.mp4"}
    path = four_cameras_site(
        tmp_path, cameras=[good, bad], layout={"overlaps": [["cam0", "bad"]]}, clock={"target_fps": 5}
    )
    site = start(path)
    site.wait_for_words(r"camera cam0: live")
    site.wait_for_words(r"camera bad: down \(.*garbage\.mp4 is not a video")
    tick = site.wait_for_status("tick")
    site.wait_for(lambda: (site.wait_for_status("cameras")[1]["seen_tick"] or 0) > tick + 5)
    assert "Traceback" not in site.output()
    assert site.end()[0] == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of the given size in MiB; unmounts it after the test."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(mebibytes: int) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "none", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"a file system can only be mounted by root ({done.stderr.strip()})")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True)


def test_a_full_disk_is_reported_before_anything_starts(
    site: Site, tmp_path: Path, mtmc: CommandLine, small_disk: Callable[[int], Path]
) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    state = small_disk(4) / "state"
    done = mtmc("up", path, "--state", state)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"mtmc: not enough disk space for the state folder {state} (only ")
    assert line.endswith("; free some, or give another folder with --state")


def test_while_the_disk_is_full_the_site_waits_and_then_goes_on(
    start: Callable[..., RunningSite],
    four_cameras_site: Callable[..., Path],
    shared_data: Path,
    tmp_path: Path,
    small_disk: Callable[[int], Path],
) -> None:
    camera = {"name": "cam0", "source": str(shared_data / "data" / "ufes-four-cameras" / "cam0.mp4"), "loop": True}
    path = four_cameras_site(tmp_path, cameras=[camera], layout={"overlaps": [["cam0"]]}, clock={"target_fps": 5})
    disk = small_disk(24)
    site = start(path, "--state", disk / "state")
    site.wait_for_words(r"http://127\.0\.0\.1:\d+/")
    room = shutil.disk_usage(disk).total
    with pytest.raises(OSError, match="No space left"):
        (disk / "ballast").write_bytes(bytes(room))
    site.wait_for_words("Redis refuses writes, so the site waits: ")
    (disk / "ballast").unlink()
    site.wait_for_words("Redis accepts writes again")
    assert site.process.poll() is None
    assert "Traceback" not in site.output()
    code, watch = site.end(signal.SIGINT)
    assert (code, watch.within(5)) == (0, True)
