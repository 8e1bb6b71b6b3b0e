"""How commands read configurations of `run_live_mtmc.py`."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import legacy_config.conversion
from cli.console import print_note
from launcher.programs import site_programs, visible_gpu
from launcher.site_file import as_written, load_site
from legacy_config.keys import CAMERA_IGNORED, IGNORED
from shared.config import SiteConfig
from shared.errors import ConfigError, MtmcError, Problem
from shared.site_layout import site_layout

SECRET = "hunter2"  # noqa: S105
ROOT = Path(__file__).resolve().parents[3]
LAYOUT = "compatibility\n0 1\n1 0\ndtmin\n0 -5\n-5 0\ndtmax\n0 9\n9 0\n"
LIVE: dict[str, Any] = {
    "OUTPUT_DIR": "output/live",
    "SYSTEM": {"GPU_IDS": [0]},
    "MOT": {
        "DETECTOR": "models/yolo.onnx",
        "TRACKER": "bytetrack_iou",
        "TRACKED_CLASSES": [2, 5, 7],
        "MIN_FRAMES": 1,
        "REID_MODEL_OPTS": "models/opts.yaml",
        "REID_MODEL_CKPT": "models/net_19.pth",
        "REID_ONNX": "models/reid.onnx",
        "REID_BATCHSIZE": 16,
    },
    "MTMC": {"CAMERA_LAYOUT": "config/layout.txt", "LINKAGE": "single", "MIN_SIM": 0.55},
    "EXPRESS": {
        "CAMERAS": [
            {"video": "a.mp4", "name": "gate", "tracked_classes": [0], "calibration": "nowhere.txt"},
            {"video": f"rtsp://me:{SECRET}@box/1"},
        ]
    },
    "LIVE": {
        "TARGET_FPS": 8,
        "MJPEG_PORT": 8169,
        "LOOP_VIDEO": False,
        "MAX_SKEW_TICKS": 2,
        "STALL_SECONDS": 10.0,
        "MIN_TRACK_FRAMES": 4,
        "CLUSTER_INTERVAL": 5.0,
        "SLEEP_ON_EMPTY": 0.02,
    },
}
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration into a checkout of `run_live_mtmc.py`, with each `SECTION__KEY=value` (None: omitted)."""
    folder = tmp_path / "repo"
    for name in ("models/yolo.onnx", "models/reid.onnx", "a.mp4", "config/layout.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(LAYOUT if name.endswith("txt") else "")

    def write(at: str = "config/examples/live_gate.yaml", **changes: Any) -> Path:
        live = copy.deepcopy(LIVE)
        for name, value in changes.items():
            *section, key = name.split("__")
            target = live.setdefault(section[0], {}) if section else live
            target[key] = value
            if value is None:
                del target[key]
        (folder / at).parent.mkdir(parents=True, exist_ok=True)
        (folder / at).write_text(yaml.safe_dump(live), encoding="utf-8")
        return folder / at

    return write


def problems_of(path: Path, environment: dict[str, str] | None = None, root: Path | None = None) -> list[str]:
    """Each problem, without the path of the checkout."""
    with pytest.raises(ConfigError) as caught:
        load_site(path, environment or {}, root=root)
    return [str(problem).replace(f"{path.parents[2]}/", "") for problem in caught.value.problems]


def test_a_configuration_is_converted_to_a_site(write: Write) -> None:
    file = write()
    folder = file.parents[2]
    expected = {
        "site": "live_gate",
        "cameras": [
            {
                "name": "gate",
                "source": str(folder / "a.mp4"),
                "loop": False,
                "detector": {"classes": [0]},
            },
            {"name": "cam_1", "source": f"rtsp://me:{SECRET}@box/1"},
        ],
        "detector": {"model": folder / "models" / "yolo.onnx", "classes": [2, 5, 7]},
        "embedder": {"model": folder / "models" / "reid.onnx", "width": 128, "height": 256},
        "tracker": {"min_hits": 1},
        "association": {
            "min_similarity": 0.55,
            "linkage": "single",
            "min_track_frames": 4,
            "cluster_interval_seconds": 5,
        },
        "clock": {"target_fps": 8, "max_skew_ticks": 2, "stall_seconds": 10},
        "layout": {"file": folder / "config" / "layout.txt"},
        "streamer": {"host": "127.0.0.1", "port": 8169},
        "worker": {"gpus": [0]},
    }
    assert load_site(file, {}) == SiteConfig.model_validate(expected)


def test_missing_keys_have_the_defaults_of_run_live_mtmc(write: Write) -> None:
    site = load_site(write(LIVE={}, MTMC={}, SYSTEM={}, MOT__TRACKED_CLASSES=None, MOT__MIN_FRAMES=None), {})
    assert (site.clock.target_fps, site.clock.max_skew_ticks, site.clock.stall_seconds) == (15, 1, 5)
    assert (site.association.min_track_frames, site.association.cluster_interval_seconds) == (3, 0.5)
    assert (site.association.min_similarity, site.association.linkage) == (0.5, "average")
    assert (site.streamer.port, site.cameras[0].loop, site.cameras[1].loop) == (8080, True, False)
    assert site.detector.classes == (1, 2, 3, 5, 7)
    assert (site.layout, site.worker.gpus) == (None, ())
    assert site.tracker == type(site.tracker)()


def test_options_of_its_tracker_come_from_the_environment_because_it_had_no_keys_for_them(write: Write) -> None:
    environment = {"MTMC__TRACKER__TRACK_CONF_THRESH": "0.6", "MTMC__TRACKER__TRACK_MATCH_THRESH": "0.7"}
    tracker = load_site(write(), environment).tracker
    assert (tracker.high_score, tracker.match_iou, tracker.min_hits) == (0.6, 0.3, 1)
    assert problems_of(write(), {"MTMC__TRACKER__TRACK_CONF_THRESH": "2"}) == [
        "MTMC__TRACKER__TRACK_CONF_THRESH: tracker.track_conf_thresh = 2: Input should be less than or equal to 1"
    ]


def test_a_configuration_of_run_live_mtmc_keeps_its_association(write: Write) -> None:
    """Its linkage and minimum of similarity mean what they meant there."""
    assert load_site(write(), {}).association.mode == "reference"


def test_ignored_keys_are_named_in_one_warning(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {name.replace(".", "__"): "anything" for name in IGNORED}
    camera = {"video": "a.mp4", **dict.fromkeys(CAMERA_IGNORED, "anything")}
    load_site(write(**changes, EXPRESS__CAMERAS=[camera, camera], MOT__TRACKER="deepsort"), {}, note=print_note)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "ignored keys" in line]
    named = line.partition("ignored keys: ")[2].removesuffix(" (see docs/from-run-live-mtmc.md)").split(", ")
    others = {"MOT.REID_MODEL_OPTS", "MOT.REID_MODEL_CKPT", "MOT.TRACKER"}
    assert sorted(named) == sorted({*IGNORED, *others, *(f"EXPRESS.CAMERAS.*.{name}" for name in CAMERA_IGNORED)})


def test_without_a_note_function_nothing_is_printed(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    load_site(write(), {})
    assert capsys.readouterr().err == ""


def test_a_note_says_how_to_reach_the_page_from_other_machines(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    load_site(write(), {}, note=print_note)
    assert "the page listens on 127.0.0.1 only; set MTMC__STREAMER__HOST=0.0.0.0" in capsys.readouterr().err
    site = load_site(write(), {"MTMC__STREAMER__HOST": "0.0.0.0"}, note=print_note)
    assert site.streamer.host == "0.0.0.0"
    assert "listens" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"LIVE__FPS": 8}, "LIVE.FPS: run_live_mtmc.py has no such key; did you mean LIVE.TARGET_FPS?"),
        ({"LIVE__MAX_SKEW": 1}, "LIVE.MAX_SKEW: run_live_mtmc.py has no such key; did you mean LIVE.MAX_SKEW_TICKS?"),
        ({"LIVE__LINKAGE": "x"}, "LIVE.LINKAGE: run_live_mtmc.py has no such key; did you mean MTMC.LINKAGE?"),
        ({"LIVE__target_fps": 8}, "LIVE.target_fps: run_live_mtmc.py has no such key; did you mean LIVE.TARGET_FPS?"),
        ({"OUTPUTDIR": "x"}, "OUTPUTDIR: run_live_mtmc.py has no such key; did you mean OUTPUT_DIR?"),
        ({"LIFE": {}}, "LIFE: run_live_mtmc.py has no such key; did you mean LIVE?"),
        ({"MTMC__XYZ": 1}, "MTMC.XYZ: run_live_mtmc.py has no such key; known are MTMC.CAMERA_LAYOUT, MTMC.LINKAGE, "),
        ({"EXPRESS__CAMERAS": [{"vidio": 1, "video": "a.mp4"}]}, "EXPRESS.CAMERAS.0.vidio: a camera has no such key;"),
        ({"EXPRESS__CAMERAS": [{"name": "a"}]}, "EXPRESS.CAMERAS.0.video: is required: "),
        ({"EXPRESS__CAMERAS": ["a.mp4"]}, "EXPRESS.CAMERAS.0 = a.mp4: must be a mapping with at least the key 'video'"),
        ({"EXPRESS__CAMERAS": []}, "EXPRESS.CAMERAS: is required: a list of cameras"),
        ({"EXPRESS__CAMERAS": {"a": 1}}, "EXPRESS.CAMERAS: must be a list of cameras"),
        ({"EXPRESS": None}, "EXPRESS.CAMERAS: is required: a list of cameras"),
        ({"LIVE": 8}, "LIVE = 8: must be a mapping of keys"),
        ({"LIVE__TARGET_FPS": "fast"}, "LIVE.TARGET_FPS = fast: must be a number"),
        ({"LIVE__TARGET_FPS": True}, "LIVE.TARGET_FPS = True: must be a number"),
        ({"LIVE__TARGET_FPS": 500}, "LIVE.TARGET_FPS = 500: Input should be less than or equal to 120"),
        ({"LIVE__MJPEG_PORT": 80.5}, "LIVE.MJPEG_PORT = 80.5: must be a whole number"),
        ({"LIVE__MJPEG_PORT": 99999}, "LIVE.MJPEG_PORT = 99999: Input should be less than or equal to 65535"),
        ({"LIVE__LOOP_VIDEO": "yes"}, "LIVE.LOOP_VIDEO = yes: must be true or false"),
        ({"LIVE__CLUSTER_INTERVAL": -1}, "LIVE.CLUSTER_INTERVAL = -1: Input should be greater than 0"),
        ({"LIVE__MIN_TRACK_FRAMES": -1}, "LIVE.MIN_TRACK_FRAMES = -1: Input should be greater than or equal to 1"),
        ({"MTMC__LINKAGE": "ward"}, "MTMC.LINKAGE = ward: Input should be 'average', 'single', 'complete' or"),
        ({"MTMC__MIN_SIM": 2}, "MTMC.MIN_SIM = 2: Input should be less than or equal to 1"),
        ({"MOT__TRACKER": "sort"}, "MOT.TRACKER = sort: unknown tracker; use one of bytetrack_iou, deepsort"),
        ({"MOT__TRACKED_CLASSES": ["car"]}, "MOT.TRACKED_CLASSES: must be a list of class numbers"),
        ({"MOT__DETECTOR": 5}, "MOT.DETECTOR = 5: must be text; put it in quotes"),
        ({"MOT__DETECTOR": None}, "MOT.DETECTOR: is required: the path of a detector"),
        ({"SYSTEM__GPU_IDS": 0}, "SYSTEM.GPU_IDS = 0: must be a list of GPU numbers, such as [0]; [] for the CPU"),
        (
            {"MOT__DETECTOR": "yolov5x6"},
            "MOT.DETECTOR = yolov5x6: there is no file at config/examples/yolov5x6 or yolo",
        ),
        ({"MTMC__CAMERA_LAYOUT": "a.mp4"}, "MTMC.CAMERA_LAYOUT: "),
        (
            {"EXPRESS__CAMERAS": [{"video": "a.mp4", "name": "a"}, {"video": "a.mp4", "name": "a"}]},
            "EXPRESS.CAMERAS: camera names must be unique; used more than once: a",
        ),
    ],
)
def test_a_problem_names_the_key_as_written_in_the_file(write: Write, changes: dict[str, Any], expected: str) -> None:
    (problem,) = problems_of(write(**changes))
    assert problem.startswith(f"config/examples/live_gate.yaml: {expected}")


def test_every_problem_is_reported_at_once(write: Write) -> None:
    changes: dict[str, Any] = {"LIVE__FPS": 8, "LIVE__TARGET_FPS": "x", "MTMC__MIN_SIM": 7, "MOT__REID_ONNX": "no.onnx"}
    problems = problems_of(write(**changes), {"MTMC__CLOCK__MODE": "slow"})
    assert [problem.split(": ")[1].split(" = ")[0] for problem in problems] == [
        "LIVE.FPS",
        "LIVE.TARGET_FPS",
        "MOT.REID_ONNX",
        "clock.mode",
        "MTMC.MIN_SIM",
    ]
    assert problems[3].startswith("MTMC__CLOCK__MODE: clock.mode = slow")


@pytest.mark.parametrize("video", [f"rtsp:/me:{SECRET}@box/1", f"x/{SECRET}:{SECRET}@box", [f"rtsp://me:{SECRET}@b"]])
def test_no_error_shows_a_password(write: Write, video: Any) -> None:
    problems = problems_of(write(EXPRESS__CAMERAS=[{"video": video}]))
    assert problems
    assert SECRET not in " ".join(problems)


def test_values_are_read_as_run_live_mtmc_reads_them(write: Write) -> None:
    site = load_site(
        write(
            MOT__DETECTION_MASK="None",
            MOT__REID_TRT="",
            MOT__TRACKED_CLASSES="[2, 3]",
            SYSTEM__GPU_IDS="(0, 1)",
            LIVE__TARGET_FPS="8",
            LIVE__MIN_TRACK_FRAMES=0,
            LIVE__CLUSTER_INTERVAL=0,
        ),
        {},
    )
    assert site.cameras[0].mask is None
    assert (site.detector.classes, site.worker.gpus, site.clock.target_fps) == ((2, 3), (0, 1), 8)
    assert site.association.min_track_frames == 1
    assert round(site.association.cluster_interval_seconds * 120) == 0, "revised at every tick"


@pytest.mark.parametrize("at", ["live.yaml", "config/live.yaml", "config/a/b/live.yaml"])
def test_paths_start_from_the_folder_of_the_file_or_the_parent_of_the_config_folder(write: Write, at: str) -> None:
    assert load_site(write(at), {}).detector.model.name == "yolo.onnx"


def test_paths_start_from_the_root_that_is_given(write: Write, tmp_path: Path) -> None:
    file = write("config/live.yaml")
    elsewhere = tmp_path / "live.yaml"
    elsewhere.write_text(file.read_text())
    assert load_site(elsewhere, {}, root=tmp_path / "repo").detector.model == tmp_path / "repo" / "models/yolo.onnx"
    elsewhere.write_text(write("config/live.yaml", SYSTEM__ROOT_DIR="repo").read_text())
    assert load_site(elsewhere, {}).detector.model == tmp_path / "repo" / "models" / "yolo.onnx"
    with pytest.raises(ConfigError, match=r"SYSTEM.ROOT_DIR = gone: folder not found; give another with --root"):
        load_site(write(SYSTEM__ROOT_DIR="gone"), {})


def test_a_missing_file_is_reported_with_every_path_that_was_tried(write: Write, tmp_path: Path) -> None:
    missing = write(EXPRESS__CAMERAS=[{"video": "gone.mp4"}])
    (problem,) = problems_of(missing)
    assert (
        "EXPRESS.CAMERAS.0.video = gone.mp4: there is no file at config/examples/gone.mp4 or gone.mp4; give the folder"
        in problem
    )
    (problem,) = [one for one in problems_of(missing, root=tmp_path) if "video" in one]
    assert problem.endswith(f"there is no file at {tmp_path}/gone.mp4; correct the path or --root")
    (problem,) = problems_of(write(MOT__DETECTION_MASK="/gone.png"))
    assert problem.endswith("MOT.DETECTION_MASK = /gone.png: there is no file at /gone.png")


def test_a_command_that_needs_no_files_does_not_check_them(write: Write) -> None:
    changes = {"MOT__DETECTOR": "gone.onnx", "MTMC__CAMERA_LAYOUT": "gone.txt", "MOT__REID_ONNX": "gone.onnx"}
    site = load_site(write(**changes, EXPRESS__CAMERAS=[{"video": "gone.mp4"}]), {}, check_files=False)
    assert site.detector.model.name == "gone.onnx"


def test_a_root_is_only_for_files_of_run_live_mtmc(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("site: hall\n")
    with pytest.raises(MtmcError, match=r"--root is only for files of run_live_mtmc.py"):
        load_site(tmp_path / "site.yaml", {}, root=tmp_path)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("yolov8s", "yolov8s"),
        ("yolo11n.pt", "yolo11n"),
        ("models/car", "models/car.pt"),
        ("models/car.pt", "models/car.pt"),
        ("models/car.engine", "models/car.engine"),
    ],
)
def test_a_detector_is_a_file_or_the_name_of_published_weights(
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    written: str,
    expected: str,
) -> None:
    file = write(MOT__DETECTOR=written)
    for name in ("car.pt", "car.engine"):
        (file.parents[2] / "models" / name).touch()
    monkeypatch.setattr(legacy_config.conversion, "can_run_torch", lambda: False)
    model = load_site(file, {}, note=print_note).detector.model
    assert str(model).removeprefix(f"{file.parents[2]}/") == expected
    assert f"MOT.DETECTOR = {written} needs PyTorch" in capsys.readouterr().err
    monkeypatch.setattr(legacy_config.conversion, "can_run_torch", lambda: True)
    load_site(file, {}, note=print_note)
    assert "PyTorch" not in capsys.readouterr().err


def test_the_embedder_is_an_onnx_file_or_the_error_says_how_to_export_one(write: Write) -> None:
    export = (
        "mtmc cannot load its checkpoint, so export it in the folder of run_live_mtmc.py: python3 "
        "reid/onnx_exporter.py --opts models/opts.yaml --checkpoint models/net_19.pth --output models/model.onnx"
    )
    (problem,) = problems_of(write(MOT__REID_ONNX=None))
    assert problem.endswith(f"MOT.REID_ONNX: is required: the path of the embedder; {export}")
    (problem,) = problems_of(write(MOT__REID_ONNX="gone.onnx"))
    assert "MOT.REID_ONNX = gone.onnx: there is no file at " in problem
    assert problem.endswith(export)
    (problem,) = problems_of(write(MOT__REID_ONNX=None, MOT__REID_TRT="models/reid.engine"))
    assert problem.endswith("MOT.REID_ONNX: is required: the file that the engine of MOT.REID_TRT was built from")
    nothing = write(MOT__REID_ONNX=None, MOT__REID_MODEL_OPTS=None, MOT__REID_MODEL_CKPT=None)
    (problem,) = problems_of(nothing)
    assert problem.endswith("MOT.REID_ONNX: is required: the path of the embedder")


def test_settings_of_a_camera_override_those_for_all_cameras(write: Write) -> None:
    file = write(
        MOT__DETECTION_MASK="all.png",
        EXPRESS__CAMERAS=[
            {"video": "a.mp4", "detection_mask": "own.png", "detector": "models/own.onnx", "tracked_classes": [1]},
            {"video": "a.mp4", "detector": "models/yolo.onnx"},
        ],
    )
    for name in ("all.png", "own.png", "models/own.onnx"):
        (file.parents[2] / name).touch()
    first, second = load_site(file, {}).cameras
    assert (first.mask and first.mask.name, second.mask and second.mask.name) == ("own.png", "all.png")
    assert first.detector is not None
    assert (first.detector.model and first.detector.model.name, first.detector.classes) == ("own.onnx", (1,))
    assert second.detector is None, "it is the site's"


def test_detectors_of_all_cameras_are_enough(write: Write) -> None:
    cameras = [{"video": "a.mp4", "detector": "models/yolo.onnx"}]
    site = load_site(write(MOT__DETECTOR=None, MTMC={}, EXPRESS__CAMERAS=cameras), {})
    assert site.detector.model.name == "yolo.onnx"


def test_a_layout_for_more_cameras_is_cut_to_the_first_ones(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    file = write()
    three = "fps\n8 8 8\noffset\n1 2 3\ncompatibility\n" + "1 1 1\n" * 3
    three += "dtmin\n" + "0 2 3\n" * 3 + "dtmax\n" + "9 8 7\n" * 3
    (file.parents[2] / "config" / "layout.txt").write_text(three)
    layout = site_layout(load_site(file, {}, note=print_note))
    assert layout.cameras == ("gate", "cam_1")
    assert (layout.dtmin[0, 1], layout.dtmax[0, 1]) == (2, 8)
    assert layout.offset is not None
    assert layout.offset.tolist() == [1, 2]
    assert "note: MTMC.CAMERA_LAYOUT has 3 cameras; only the first 2 are used" in capsys.readouterr().err
    (problem,) = problems_of(write(EXPRESS__CAMERAS=[{"video": "a.mp4"}] * 4))
    assert "MTMC.CAMERA_LAYOUT: " in problem
    assert "3 numbers in 'fps', but the site has 4 cameras" in problem


def test_a_name_that_is_not_valid_in_a_url_is_changed_with_a_note(
    write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    cameras = [{"video": "a.mp4", "name": "Tor 3 / Süd"}, {"video": "a.mp4", "name": 7}]
    site = load_site(write(EXPRESS__CAMERAS=cameras), {}, note=print_note)
    assert site.camera_names == ("Tor_3_S_d", "7")
    assert "note: camera 'Tor 3 / Süd' is renamed to Tor_3_S_d, also in URLs" in capsys.readouterr().err


def test_no_gpu_means_the_cpu(write: Write) -> None:
    site = load_site(write(SYSTEM__GPU_IDS=[]), {})
    assert (site.detector.backend, site.embedder.backend, site.worker.gpus) == ("cpu", "cpu", ())


def workers_of(site: SiteConfig, workers: int | None, environment: dict[str, str] | None = None) -> Iterator[str]:
    """The CUDA_VISIBLE_DEVICES of each worker."""
    for program in site_programs(site, 8080, environment or {}, workers=workers):
        if program.name.startswith("camera-worker"):
            yield next((word for word in program.command if word.startswith("CUDA_VISIBLE_DEVICES=")), "all")


def test_up_runs_a_worker_for_each_gpu_that_sees_only_that_one(write: Write) -> None:
    three = load_site(write(SYSTEM__GPU_IDS=[0, 2, 3]), {})
    assert list(workers_of(three, None)) == ["CUDA_VISIBLE_DEVICES=0", "CUDA_VISIBLE_DEVICES=2"], "it has two cameras"
    assert list(workers_of(three, 4)) == [f"CUDA_VISIBLE_DEVICES={number}" for number in (0, 2, 3, 0)]
    assert list(workers_of(load_site(write(SYSTEM={}), {}), None)) == ["all"]


@pytest.mark.parametrize(
    ("ours", "expected"), [(None, "1"), ("4,5", "5"), ("GPU-a, GPU-b", "GPU-b"), ("4", ""), ("", "")]
)
def test_a_gpu_is_one_of_those_that_this_process_sees(ours: str | None, expected: str) -> None:
    assert visible_gpu(1, {} if ours is None else {"CUDA_VISIBLE_DEVICES": ours}) == expected


def test_problems_found_later_also_name_the_keys_of_the_file(write: Write) -> None:
    file = write()
    found = [
        Problem(str(file), "cameras.0.source", "", "x"),
        Problem(str(file), "detector.classes.1", "", "x"),
        Problem("MTMC__DETECTOR__CLASSES", "detector.classes", "", "x"),
    ]
    keys = [problem.key for problem in as_written(file, found)]
    assert keys == ["EXPRESS.CAMERAS.0.video", "MOT.TRACKED_CLASSES.1", "detector.classes"]


@pytest.mark.parametrize("package", ["cli", "site_checks", "launcher"])
def test_every_command_accepts_such_files(package: str) -> None:
    readers = {"read_site_file", "site_from"}
    for module in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "shared.config_file":
                found = readers.intersection(name.name for name in node.names)
                assert not found or module.name == "site_file.py", f"{module} must use launcher.site_file.load_site"


def test_a_calibration_is_mapped_if_it_exists_and_never_stops_the_reference_mode(write: Write) -> None:
    path = write(MOT__CALIBRATION="config/ground.txt")
    assert all(camera.calibration is None for camera in load_site(path, {}).cameras), "nothing used it before"
    ground = path.parents[2] / "config" / "ground.txt"
    ground.write_text("nonsense")
    site = load_site(path, {})
    assert [camera.calibration for camera in site.cameras] == [None, ground], "its own nowhere.txt is missing"
    assert site_layout(site).calibrations == {}
