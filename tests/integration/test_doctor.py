"""`mtmc doctor`: its findings for a healthy site, a running one, and everything that can be wrong."""

from __future__ import annotations

import itertools
import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import structlog
import yaml

from shared.calibration import Calibration
from shared.keys import Keys
from shared.messages import TrackEntry
from shared.redis_connection import Client, connect
from site_checks.ground_grid import with_grid
from site_checks.machine import examine_machine
from tests.command_line import CommandLine, command_line
from tests.conftest import RedisProcess
from tests.free_ports import free_port
from tests.http_server import Exchange, serving_http
from tests.running_site import RunningSite
from tests.small_site import small_site
from tests.unit.vision.fake_gpus import NONE, WORKING, A, B, pretend
from tests.unit.vision.model_files import write_constant_model, write_external_model
from tests.videos import picture, write_video
from vision.inference.gpus import Gpus, GpuTrouble

THIRTY_THEN_TEN = [*(i / 30 for i in range(90)), *(3 + i / 10 for i in range(30))]
WITH_A_GAP = [*(i / 25 for i in range(50)), *(6 + i / 25 for i in range(50))]
FOUR_POINTS = [{"pixel": [x, y], "metres": [x / 10, y / 9]} for x in (0, 60) for y in (9, 40)]
SECRET = "hunter2"  # noqa: S105
Examine = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def mtmc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return command_line(monkeypatch, capsys)


@pytest.fixture
def site(tmp_path: Path) -> dict[str, Any]:
    """A valid site of one video file."""
    return small_site(tmp_path, "a")


@pytest.fixture
def examine(site: dict[str, Any], tmp_path: Path, mtmc: CommandLine) -> Examine:
    """Writes the site file and runs `mtmc doctor`: exit code and findings."""

    def run(*words: str, **environment: str) -> tuple[int, list[dict[str, Any]]]:
        path = tmp_path / "site.yaml"
        path.write_text(yaml.safe_dump(site))
        done = mtmc("doctor", path, "--json", *words, **environment)
        assert SECRET not in done.stdout + done.stderr
        content = json.loads(done.stdout)
        assert content["well"] == (done.returncode == 0)
        return done.returncode, content["findings"]

    return run


def of(findings: list[dict[str, Any]], area: str) -> list[dict[str, Any]]:
    return [finding for finding in findings if finding["area"] == area]


def test_a_healthy_site_that_is_not_running_has_no_errors(examine: Examine, tmp_path: Path) -> None:
    code, findings = examine()
    assert code == 0
    shown = {(one["area"], one["level"]) for one in findings if one["level"] != "warning"}
    assert {area for area, _ in shown} == {"machine", "site file", "redis", "disk", "models", "sources", "ports"}
    assert "mtmc up` starts its own" in of(findings, "redis")[0]["what"]
    assert of(findings, "sources")[0]["what"].endswith("a.avi, 64×48 at 10 fps, 2 s")
    assert any("detector detector.onnx: head yolov8, input 32×32, 1 class, on cpu" in one["what"] for one in findings)
    assert not (tmp_path / ".mtmc").exists(), "doctor must not change anything"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[8, 8, 20, 24, 0.9, 0]], ("ok", "10 boxes in 10 pictures of a")),
        ([[8, 8, 20, 24, 0.05, 0]], ("warning", "finds nothing in 10 pictures of a")),
        ([[0, 0, 32, 32, 0.9, 0], [1, 1, 32, 31, 0.8, 0]], ("warning", "20 of 20 boxes in 10 pictures cover most of")),
        ([[8, 8, 9, 9, 0.9, 0], [4, 4, 5, 5, 0.8, 0]], ("warning", "20 of 20 boxes in 10 pictures are smaller than 4")),
        ([[8, 8, 20, 24, 0.9, 0]] * 260, ("warning", "finds 250 boxes or more in 10 of 10 pictures of a")),
    ],
)
def test_a_detector_is_tried_on_ten_pictures_of_the_cameras(
    examine: Examine, tmp_path: Path, rows: list[list[float]], expected: tuple[str, str]
) -> None:
    names = {"names": "{0: 'person', 1: 'car', 2: 'bus'}"}
    write_constant_model(tmp_path / "detector.onnx", np.array(rows, np.float32), (1, 3, 32, 32), metadata=names)

    code, findings = examine()

    (found,) = of(findings, "detections")
    assert (code, found["level"]) == (0, expected[0])
    assert f"detector detector.onnx, head end2end: {expected[1]}" in found["what"]
    assert (found["do"] is None) == (expected[0] == "ok")


def test_a_chosen_head_that_the_outputs_contradict_is_a_warning(
    site: dict[str, Any], examine: Examine, tmp_path: Path
) -> None:
    rows = np.array([[8, 8, 20, 24, 0.5, 0], [8, 8, 20, 24, 0.9, 0]], np.float32)
    names = {"names": "{0: 'person', 1: 'car', 2: 'bus'}"}
    write_constant_model(tmp_path / "detector.onnx", rows, (1, 3, 32, 32), metadata=names)
    site["detector"]["head"] = "end2end"

    code, findings = examine()

    (found,) = [one for one in of(findings, "models") if "detector.head" in one["what"]]
    assert (code, found["level"]) == (0, "warning")
    assert found["what"] == "detector detector.onnx: detector.head is end2end, but its scores would not descend"
    assert found["do"].startswith("leave out detector.head; or look at what it finds: mtmc models try")


def test_pictures_of_a_live_camera_are_tried_too(site: dict[str, Any], examine: Examine) -> None:
    def stream(exchange: Exchange) -> None:
        exchange.begin("multipart/x-mixed-replace; boundary=b")
        _, jpeg = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))
        while exchange.wait(0.05):
            exchange.send(b"--b\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg.tobytes() + b"\r\n")

    with serving_http(stream) as url:
        site["cameras"] = [{"name": "gate", "source": f"{url}/video", "freeze_seconds": 0}]
        _, findings = examine()
    (found,) = of(findings, "detections")
    assert "finds nothing in 10 pictures of gate" in found["what"]


def test_it_restores_the_logging_of_its_process(examine: Examine) -> None:
    before = structlog.get_config()
    examine()
    assert structlog.get_config() == before


def test_the_text_shows_areas_signs_advice_and_a_summary(
    site: dict[str, Any], examine: Examine, mtmc: CommandLine, tmp_path: Path
) -> None:
    site["cameras"].append({"name": "b", "source": f"rtsp://me:{SECRET}@127.0.0.1:{free_port()}/b"})
    examine()
    done = mtmc("doctor", tmp_path / "site.yaml")
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert "sources" in lines
    assert any(line.startswith("  ✗ b: rtsp://127.0.0.1:") for line in lines)
    assert any(line.startswith("    → check the port") for line in lines)
    assert lines[-1].startswith("1 error")
    assert done.stderr == ""


def garbage(site: dict[str, Any], folder: Path) -> None:
    (folder / "a.avi").write_text("no video")


def no_model(site: dict[str, Any], folder: Path) -> None:
    (folder / "detector.onnx").write_text("no model")


def unknown_class(site: dict[str, Any], folder: Path) -> None:
    site["detector"]["classes"] = ["persn"]


def cut_weights(site: dict[str, Any], folder: Path) -> None:
    part = write_external_model(folder / "embedder.onnx")
    part.write_bytes(part.read_bytes()[:-1])


def same_vector(site: dict[str, Any], folder: Path) -> None:
    write_constant_model(folder / "embedder.onnx", np.ones((1, 9), np.float32), ("batch", 3, 32, 32))


def unknown_key(site: dict[str, Any], folder: Path) -> None:
    site["detector"]["klasses"] = ["person"]


def no_device(site: dict[str, Any], folder: Path) -> None:
    site["cameras"].append({"name": "roof", "source": "/dev/video77"})


def missing_file(site: dict[str, Any], folder: Path) -> None:
    site["cameras"].append({"name": "b", "source": "b.avi"})


def black_mask(site: dict[str, Any], folder: Path) -> None:
    cv2.imwrite(str(folder / "black.png"), np.zeros((48, 64), np.uint8))
    site["cameras"][0]["mask"] = "black.png"


@pytest.mark.parametrize(
    ("spoil", "area", "what"),
    [
        (garbage, "sources", "a.avi is not a video"),
        (no_model, "site file", "is not an ONNX model"),
        (cut_weights, "site file", "embedder.onnx.data with its weights is cut off: it has 47 bytes"),
        (same_vector, "models", "returns the same vector for different pictures"),
        (unknown_class, "site file", "unknown class 'persn'"),
        (unknown_key, "site file", "detector.klasses: there is no such setting"),
        (no_device, "sources", "there is no device /dev/video77"),
        (missing_file, "site file", "there is no file at"),
        (black_mask, "site file", "cameras.0.mask"),
    ],
)
def test_errors_are_reported_with_what_to_do_and_the_other_checks_still_run(
    spoil: Callable[[dict[str, Any], Path], None],
    area: str,
    what: str,
    site: dict[str, Any],
    examine: Examine,
    tmp_path: Path,
) -> None:
    spoil(site, tmp_path)
    code, findings = examine()
    assert code == 2
    wrong = [one for one in of(findings, area) if one["level"] == "error"]
    assert any(what in one["what"] and one["do"] for one in wrong)
    assert of(findings, "machine")
    assert of(findings, "redis")


def test_a_missing_device_of_a_camera_with_labels_is_not_an_error(site: dict[str, Any], examine: Examine) -> None:
    site["cameras"].append({"name": "roof", "source": "/dev/video77", "labels": ["roof"]})
    code, findings = examine()
    assert code == 0
    assert "hosts of workers labelled roof must have it" in of(findings, "sources")[1]["what"]


@pytest.mark.parametrize(
    ("name", "options", "level", "says"),
    [
        ("vfr.mp4", {"times": THIRTY_THEN_TEN}, "ok", "at 10 to 30 fps"),
        ("gap.mp4", {"times": WITH_A_GAP}, "warning", "a gap of 4.0 s at 2.0 s"),
        ("interlaced.mp4", {"options": {"x264-params": "tff=1:interlaced=1"}}, "ok", "interlaced"),
        ("turned.mp4", {"rotation": 90}, "ok", "rotated by 90°"),
        ("fast.mp4", {"times": [i / 480 for i in range(480)], "rate": 480}, "ok", "at 480 fps"),
        ("raw.h264", {"container": "h264"}, "warning", "has no time stamps"),
    ],
)
def test_what_is_special_about_a_file_is_said(
    site: dict[str, Any],
    examine: Examine,
    tmp_path: Path,
    name: str,
    options: dict[str, Any],
    level: str,
    says: str,
) -> None:
    times = options.pop("times", [i / 25 for i in range(50)])
    site["cameras"] = [{"name": "a", "source": str(write_video(tmp_path / name, times, **options))}]
    (found,) = of(examine()[1], "sources")
    assert (found["level"], says in found["what"]) == (level, True), found


@pytest.mark.parametrize(
    ("pictures", "level", "says"),
    [("moving", "ok", "per second"), ("still", "warning", "nothing moved for 3 s"), ("black", "error", "is all black")],
)
def test_a_stream_is_watched_before_it_is_called_good(
    site: dict[str, Any], examine: Examine, pictures: str, level: str, says: str
) -> None:
    def answer(exchange: Exchange) -> None:
        exchange.begin("multipart/x-mixed-replace; boundary=b")
        for number in itertools.count():
            image = picture(number if pictures == "moving" else 5) * (pictures != "black")
            exchange.send(b"--b\r\n\r\n" + cv2.imencode(".jpg", image)[1].tobytes() + b"\r\n")
            if not exchange.wait(0.1):
                return

    with serving_http(answer) as address:
        site["cameras"] = [{"name": "a", "source": f"{address}/x"}]
        (found,) = of(examine()[1], "sources")
    assert (found["level"], says in found["what"]) == (level, True), found


WIDE_LENS = {"K": [[30, 0, 32], [0, 30, 24], [0, 0, 1]], "D": [-0.2, 0, 0, 0]}
"""By its coefficients, it shows nothing in the corners of a picture of 64×48."""


@pytest.mark.parametrize(
    ("content", "level", "what"),
    [
        ("[[0.01, 0, -0.3], [0, -0.02, 1], [0, 0, 1]]", "ok", r"^a: gate.json; grid of 0.1 m in .*grids/a.jpg$"),
        ("[[1, 2], [3, 4]]", "error", "^a: the calibration .*gate.json has 4 numbers for the homography, not 3×3$"),
        ("Homography matrix: 2e5 0 -9.5e6;0 -2e5 3.8e6;0 0 1", "ok", r"grid of 5 m in .*a.jpg$"),
        (json.dumps({"points": FOUR_POINTS}), "ok", "its point pairs fit within 0.00 m"),
        (
            json.dumps({"points": FOUR_POINTS, "resolution": {"width": 64, "height": 64}}),
            "warning",
            "it was made for 64×64, and the camera sends 64×48$",
        ),
        (
            "[[10, 0, -300], [0, -20, 1000], [0, 0, 1]]",
            "warning",
            r"^a: gate.json; grid of 100 m in .*a.jpg; the lower edge of the picture would be 630 m wide$",
        ),
        ("[[0.0035, 0, -0.1], [0, -0.004, 0.2], [0, 0, 1]]", "ok", r"a.jpg$"),  # a table
        (json.dumps(WIDE_LENS | {"H": [[0.1, 0, -3], [0, -0.1, 6], [0, 0, 1]]}), "ok", r"a.jpg$"),
        (None, "error", "gate.json cannot be read"),
    ],
)
def test_a_calibration_is_checked_and_drawn(
    site: dict[str, Any], examine: Examine, tmp_path: Path, content: str | None, level: str, what: str
) -> None:
    site["cameras"][0]["calibration"] = "gate.json"
    if content is not None:
        (tmp_path / "gate.json").write_text(content)
    _, findings = examine("--picture", str(tmp_path / "grids"))
    (found,) = of(findings, "calibrations")
    assert found["level"] == level
    assert re.search(what, found["what"])
    drawn = cv2.imread(str(tmp_path / "grids" / "a.jpg"))
    assert (drawn is not None) == (level != "error")


def test_large_coordinates_are_written_out_on_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(cv2, "putText", lambda _image, text, *_: written.append(text))
    matrix = np.array([[0.02, 0, 500_000], [0, -0.02, 5_400_000], [0, 0, 1]])
    with_grid(np.zeros((480, 640, 3), np.uint8), Calibration(matrix))
    assert "500004, 5399994" in written


def test_a_camera_that_shows_the_ground_as_in_a_mirror_is_named(
    site: dict[str, Any], examine: Examine, tmp_path: Path
) -> None:
    (camera,) = site["cameras"]
    site["cameras"] = [{**camera, "name": name, "calibration": f"{name}.json"} for name in "abc"]
    swapped = [{"pixel": one["pixel"], "metres": one["metres"][::-1]} for one in FOUR_POINTS]
    for name, points in {"a": FOUR_POINTS, "b": swapped, "c": FOUR_POINTS}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"points": points}))
    *each, last = of(examine()[1], "calibrations")
    assert [found["level"] for found in each] == ["ok"] * 3
    assert (last["level"], last["what"]) == ("warning", "b: the ground is mirrored, compared with that of a, c")
    assert "exchange x and y" in last["do"]


def test_a_calibration_that_the_mode_does_not_use_is_said(
    site: dict[str, Any], examine: Examine, tmp_path: Path
) -> None:
    site["cameras"][0]["calibration"] = "gate.json"
    (tmp_path / "gate.json").write_text(json.dumps({"points": FOUR_POINTS}))
    site["association"] = {"min_similarity": 0.6}
    _, found = of(examine()[1], "calibrations")
    assert (found["level"], "uses no calibration" in found["what"]) == ("warning", True)


def test_without_a_calibration_there_is_nothing_to_draw(examine: Examine, tmp_path: Path) -> None:
    assert of(examine("--picture", str(tmp_path / "grids"))[1], "calibrations")[0]["level"] == "warning"
    assert not of(examine()[1], "calibrations")


def test_a_port_in_use_is_an_error(site: dict[str, Any], examine: Examine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        site["streamer"] = {"port": taken.getsockname()[1]}
        code, findings = examine()
    assert code == 2
    assert "is in use by another program" in of(findings, "ports")[0]["what"]


def test_a_clock_that_is_too_fast_for_the_detector_is_a_warning(site: dict[str, Any], examine: Examine) -> None:
    site["clock"] = {"target_fps": 120}
    site["cameras"] = [{"name": f"c{i}", "source": "a.avi", "time_scale": 20} for i in range(400)]
    code, findings = examine()
    assert code == 0
    (rate,) = [one for one in of(findings, "models") if "ticks/s need 48000" in one["what"]]
    assert (rate["level"], rate["do"].split(",")[0]) == ("warning", "lower clock.target_fps")


def test_a_gpu_that_is_present_but_not_used_is_a_warning_unless_the_cpu_is_configured(
    site: dict[str, Any], examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, Gpus(present=True, trouble=GpuTrouble("it is unplugged", "plug it in")))
    _, findings = examine()
    warnings = [(found["what"], found["do"]) for found in findings if "it is unplugged" in found["what"]][1:]
    assert warnings == [
        (
            "networks run on the CPU although there is an NVIDIA GPU: it is unplugged",
            "plug it in; or set detector.backend and embedder.backend to cpu",
        )
    ]
    for network in ("detector", "embedder"):
        site[network]["backend"] = "cpu"
    _, findings = examine()
    assert [found["level"] for found in findings if "GPU" in found["what"]] == ["ok"]
    site["detector"]["backend"] = "cuda"
    _, findings = examine()
    (refused,) = [found for found in findings if found["level"] == "error"]
    assert refused["what"].endswith("detector.onnx: cannot run on cuda: it is unplugged")
    assert refused["do"] == "plug it in, or set backend: auto"


@pytest.mark.parametrize(
    ("found", "what"),
    [
        (NONE, "no NVIDIA GPU; models run on the CPU"),
        (Gpus(hidden=True), "CUDA_VISIBLE_DEVICES hides every GPU; models run on the CPU"),
        (WORKING, f"NVIDIA GPU: {A.name} ({A.uuid}), {B.name} ({B.uuid}); its driver supports CUDA 99.0"),
    ],
)
def test_the_gpus_of_this_machine_are_listed(monkeypatch: pytest.MonkeyPatch, found: Gpus, what: str) -> None:
    pretend(monkeypatch, found)
    assert what in {finding.what for finding in examine_machine(2)}


def test_little_memory_is_a_warning() -> None:
    levels = {finding.what: finding.level.value for finding in examine_machine(2, memory_bytes=2**29)}
    assert levels["only 0.5 GiB of memory available"] == "warning"
    assert "warning" not in {finding.level.value for finding in examine_machine(2, memory_bytes=2**33)}


@pytest.mark.parametrize(
    ("settings", "level", "what"),
    [
        ({"appendonly": "no"}, "warning", "AOF persistence is off"),
        ({"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"}, "error", "evicts keys"),
        ({"maxmemory": "1kb"}, "error", "it refuses writes: "),
        ({"requirepass": SECRET}, "error", "requires a password"),
    ],
)
def test_an_unusable_or_unsafe_redis_is_found(
    settings: dict[str, str], level: str, what: str, examine: Examine, redis_process: RedisProcess
) -> None:
    client = connect(redis_process.url)
    for name, value in settings.items():
        client.config_set(name, value)
    client.close()
    code, findings = examine("--redis", redis_process.url)
    found = [one for one in of(findings, "redis") if what in one["what"]]
    assert [one["level"] for one in found] == [level]
    assert found[0]["do"] or "refuses writes" in what
    assert code == (2 if level == "error" else 0)


@pytest.mark.parametrize("rules", [["~other:*"], ["~*", "-hget", "-get"]])
def test_a_missing_permission_is_one_error(examine: Examine, redis_process: RedisProcess, rules: list[str]) -> None:
    client = connect(redis_process.url)
    client.execute_command("ACL", "SETUSER", "mtmc", "on", f">{SECRET}", "+@all", *rules)
    client.close()
    _, findings = examine("--redis", redis_process.url.replace("//", f"//mtmc:{SECRET}@"))
    (found,) = [one for one in findings if one["level"] == "error"]
    assert found["area"] == "redis"
    assert "the user mtmc may not " in found["what"]
    assert found["do"].startswith("grant it: redis-cli ACL SETUSER mtmc ")


def test_a_missing_redis_and_a_server_that_is_not_redis_are_errors(examine: Examine) -> None:
    code, findings = examine("--redis", f"redis://:{SECRET}@127.0.0.1:{free_port()}")
    assert code == 2
    assert "Redis does not answer at redis://***@127.0.0.1" in of(findings, "redis")[0]["what"]
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(10)
        code, findings = examine("--redis", f"redis://127.0.0.1:{other.getsockname()[1]}")
    assert code == 2
    assert of(findings, "redis")[0]["level"] == "error"


def test_a_worker_whose_clock_is_wrong_is_named(examine: Examine, redis_client: Client, redis_url: str) -> None:
    keys = Keys("hall")
    now_ms = redis_client.time()[0] * 1000
    for worker, offset_ms in (("w1", 4), ("w2", -93_500)):
        redis_client.zadd(keys.workers, {worker: now_ms})
        redis_client.hset(keys.worker(worker), mapping={"host": f"host-{worker}", "clock_offset_ms": offset_ms})
    _, findings = examine("--redis", redis_url)
    (wrong,) = of(findings, "clocks")
    assert wrong["level"] == "warning"
    assert wrong["what"].startswith("the clock of worker w2 on host-w2 is -93.5 s off Redis time")


def test_a_running_site_is_checked_from_its_file_and_from_redis(
    start: Callable[..., RunningSite], tmp_path: Path, mtmc: CommandLine, redis_url: str
) -> None:
    site = small_site(tmp_path, "ab") | {"site": "room", "clock": {"target_fps": 2}, "redis": {"url": redis_url}}
    site["cameras"].append({"name": "gone", "source": f"http://127.0.0.1:{free_port()}/gone.mjpg"})
    path = tmp_path / "site.yaml"
    path.write_text(yaml.safe_dump(site | {"layout": {"overlaps": [["a", "b"]]}}))
    running = start(path)
    running.wait_for(lambda: running.status().get("aggregator") and running.status().get("workers"))
    running.wait_for(lambda: [one["state"] for one in running.status().get("cameras", ())] == ["live", "live", "down"])

    def areas(*words: str | Path) -> dict[str, list[dict[str, Any]]]:
        findings = json.loads(mtmc("doctor", *words, "--redis", redis_url, "--json").stdout)["findings"]
        return {area: of(findings, area) for area in ("sources", "running site")}

    for words in ((path,), ("--site", "room")):
        found = areas(*words)
        for _ in range(10):  # Right after the machine was held up, nobody has sent a heartbeat for too long.
            if found["running site"][0]["what"].startswith("clock, aggregator and 1 worker are running; tick "):
                break
            found = areas(*words)
        assert found["running site"][0]["what"].startswith("clock, aggregator and 1 worker are running; tick ")
        assert [one["level"] for one in found["sources"]] == ["ok", "ok", "error"]
        assert "a.avi is live on worker " in found["sources"][0]["what"]
        # A busy machine may also skip ticks, which is another warning.
        (down,) = [one for one in found["running site"] if "is down" in one["what"]]
        assert (down["level"], down["what"].split(":")[0]) == ("warning", "gone is down")
        assert "error" not in [one["level"] for one in found["running site"]]

    changed = yaml.safe_load(path.read_text())
    changed["association"] = {"min_similarity": 0.7}
    path.write_text(yaml.safe_dump(changed))
    assert "the published revision 1 differs from" in areas(path)["running site"][0]["what"]

    client, keys = connect(redis_url), Keys("room")
    (worker,) = client.zrange(keys.workers, 0, -1)
    newest = client.xrevrange(keys.tracks("a"), count=1)[0][1]
    embedder = TrackEntry.decode(newest).batch.embedder
    assert embedder
    assert client.hget(keys.worker(worker.decode()), "embedder") == embedder.encode(), "status compares the workers'"

    sure = {"deviation": 0.03, "corrected": 0.0}
    offsets = [{"camera": "a", "seconds": 0.15, **sure}, {"camera": "b", "seconds": -0.15, **sure}]
    seen = {"source": "layout", "probability": None, "tracks": 0, "found": 0, "is_mapped": True}
    layout = {"tick": 1, "steps": [], "time_offsets": offsets, "overlaps": [{"cameras": ["a", "b"], **seen}]}
    connect(redis_url).set(Keys("room").learned_layout, json.dumps(layout))
    connect(redis_url).xadd(Keys("room").dead_letters, {"stream": "x", "entry": "1-0", "reason": "garbage"})
    found = areas(path)["running site"]
    (late,) = [one for one in found if "pictures of a " in one["what"]]
    assert "are 0.3 s too late" in late["what"]
    assert not any("pictures of b " in one["what"] for one in found), "a is late, and b is not early"
    assert "lower the delay of the camera" in late["do"]
    assert any("1 entries could not be decoded" in one["what"] for one in found)
