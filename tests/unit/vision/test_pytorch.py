"""Checkpoints, TorchScript and published names on PyTorch; `make test-torch` installs what these tests need."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from shared.errors import ModelError
from tests.unit.vision.model_files import shared
from vision.inference.backends.published import published_weights
from vision.inference.backends.pytorch import TorchModel
from vision.inference.backends.torch_extra import import_torch, import_ultralytics
from vision.inference.detection import Detections, Detector
from vision.inference.embedding import Embedder, Preprocessing
from vision.inference.selection import Thresholds

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "ultralytics", "onnx")),
    reason="the extra `torch` is not installed; `make test-torch` runs these tests in an environment that has it",
)
NAMES = {0: "person", 1: "car", 2: "bus"}
SIZE = 320
RAW_BGR = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), channel_order="bgr", scale=1.0)


def frame() -> npt.NDArray[np.uint8]:
    capture = cv2.VideoCapture(str(shared("data", "intel-samples", "car-detection.mp4")))
    try:
        capture.set(cv2.CAP_PROP_POS_FRAMES, 50)
        read, image = capture.read()
    finally:
        capture.release()
    assert read
    return np.asarray(image, np.uint8)


def network(image: npt.NDArray[np.uint8]) -> Any:
    """YOLOv8n with random weights, scaled so that it finds about a hundred boxes of every class in `image`."""
    torch, tasks = import_torch(), import_ultralytics("nn.tasks")
    torch.manual_seed(1)
    net = tasks.DetectionModel("yolov8n.yaml", nc=len(NAMES), verbose=False)
    net.names = NAMES
    pictures = torch.from_numpy(cv2.resize(image, (SIZE, SIZE))[..., ::-1].transpose(2, 0, 1)[None] / np.float32(255))
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # the statistics of this one picture
    with torch.no_grad():
        net.train()(pictures)
        head = net.eval().model[-1]
        scores = net(pictures)[0][:, 4:]
        for branch in head.cv3:
            branch[-1].weight *= 1.5 / torch.logit(scores).std()
            branch[-1].bias[:] = -3
        for branch in head.cv2:
            branch[-1].weight *= 3
    return net


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one network as `net.pt`, `net.onnx` and `net.torchscript`."""
    folder, torch, net = tmp_path_factory.mktemp("weights"), import_torch(), network(frame())
    torch.save({"model": net, "train_args": {"imgsz": SIZE}}, folder / "net.pt")
    net.model[-1].export = True
    pictures = torch.zeros(1, 3, SIZE, SIZE)
    described = {"names": NAMES, "imgsz": [SIZE, SIZE], "end2end": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        open_ = {"images": {0: "batch"}, "output": {0: "batch"}}
        onnx_file = folder / "net.onnx"
        torch.onnx.export(
            net,
            pictures,
            str(onnx_file),
            input_names=["images"],
            output_names=["output"],
            dynamic_axes=open_,
            dynamo=False,
        )
        traced = torch.jit.trace(net, pictures)
        torch.jit.save(traced, str(folder / "net.torchscript"), _extra_files={"config.txt": json.dumps(described)})
    onnx = importlib.import_module("onnx")
    model = onnx.load(onnx_file)
    onnx.helper.set_model_props(model, {key: str(value) for key, value in described.items()})
    onnx.save(model, onnx_file)
    return folder


def assert_found(wanted: Detections, among: Detections, from_score: float) -> None:
    """Assert that every object of `wanted` is in `among`, with the same class and almost the same score and box.

    Runtimes round differently, which affects the order of objects with nearly equal scores, and scores close to the
    threshold. Therefore only objects above `from_score` are checked.
    """
    sure = wanted.scores > from_score
    assert sure.sum() > 5
    for box, score, class_id in zip(wanted.boxes_xyxy[sure], wanted.scores[sure], wanted.class_ids[sure], strict=True):
        near = np.abs(among.boxes_xyxy - box).max(axis=1) < 0.5
        assert (near & (np.abs(among.scores - score) < 1e-3) & (among.class_ids == class_id)).any(), (box, score)


@pytest.mark.parametrize("name", ["net.pt", "net.torchscript"])
def test_a_network_finds_the_same_objects_as_its_onnx_export(weights: Path, name: str) -> None:
    expected = Detector.load(weights / "net.onnx", device="cpu", threads=1)
    detector = Detector.load(weights / name, device="cpu", threads=1)
    frames = [frame(), frame()[:200, :300]]
    # A limit above the number of objects, because rounding would also affect which one is the last.
    every = Thresholds(0.25, max_detections=5000)
    thresholds = [every, replace(every, class_ids=frozenset({1}))]

    for one, other in zip(expected.detect(frames, thresholds), detector.detect(frames, thresholds), strict=True):
        assert_found(one, other, from_score=0.26)
        assert_found(other, one, from_score=0.26)
    assert (detector.class_names, detector.input_size) == (("person", "car", "bus"), (SIZE, SIZE))
    assert (detector.runtime, detector.device) == ("pytorch", "cpu")
    assert ("its metadata says task detect" in detector.why) == (name == "net.pt"), "a checkpoint always has a task"
    assert detector.checksum != expected.checksum


@pytest.mark.parametrize(
    ("described", "head"),
    [
        ({"task": "pose", "kpt_shape": [2, 2], "names": {"0": "person"}}, "yolov8-pose"),
        ({"task": "obb", "names": {str(number): f"c{number}" for number in range(4)}}, "yolov8-obb"),
        ({"task": "detect", "args": {"nms": None}, "names": [f"c{number}" for number in range(5)]}, "yolov8"),
    ],
)
def test_the_head_of_torchscript_is_recognised_by_all_of_its_metadata(
    described: dict[str, object], head: str, tmp_path: Path
) -> None:
    torch = import_torch()

    class Grid(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, pictures: object) -> object:
            rows = torch.full((1, 9, 84), 0.5)
            rows[:, :2] = torch.arange(84) % 8 * 8 + 4
            rows[:, 2:4] = 20
            return rows + pictures.mean((1, 2, 3))[:, None, None] * 0  # type: ignore[attr-defined]

    files = {"config.txt": json.dumps({"imgsz": [64, 64], "end2end": False} | described)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(Grid(), torch.zeros(1, 3, 64, 64))
        torch.jit.save(traced, str(tmp_path / "net.torchscript"), _extra_files=files)

    assert Detector.load(tmp_path / "net.torchscript", device="cpu", threads=1).head == head


def test_more_pictures_than_max_batch_are_split_into_several_calls(weights: Path) -> None:
    batch = np.random.default_rng(1).random((5, 3, SIZE, SIZE), np.float32)

    (whole,) = TorchModel.load(weights / "net.pt", device="cpu").run(batch)
    (pieces,) = TorchModel.load(weights / "net.pt", device="cpu", max_batch=2).run(batch)

    assert (whole.shape, whole.dtype) == ((5, 4 + len(NAMES), 2100), np.float32)
    np.testing.assert_allclose(pieces, whole, atol=0.05)


def test_the_number_of_threads_is_as_configured(weights: Path) -> None:
    torch = import_torch()
    before = torch.get_num_threads()
    try:
        TorchModel.load(weights / "net.pt", device="cpu", threads=before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_torchscript_embeds_crops_of_the_configured_size(tmp_path: Path) -> None:
    torch = import_torch()

    class Mean(torch.nn.Module):
        def forward(self, pictures: Any) -> Any:
            return pictures.mean(dim=(2, 3))

    path = tmp_path / "mean.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Mean(), torch.zeros(1, 3, 8, 4)), str(path))
    picture = np.full((20, 20, 3), (30, 40, 0), np.uint8)
    boxes = np.array([[0, 0, 9, 9], [5, 5, 20, 20]], np.float32)

    with pytest.raises(ModelError, match="has a dynamic input size"):
        Embedder.load(path, RAW_BGR, device="cpu")
    embedder = Embedder.load(path, replace(RAW_BGR, width=4, height=8), device="cpu")

    np.testing.assert_allclose(embedder.embed([(picture, boxes)]), [[0.6, 0.8, 0]] * 2, atol=1e-6)
    assert (embedder.dimension, embedder.runtime) == (3, "pytorch")


def test_a_configured_gpu_that_does_not_exist_is_an_error_with_advice(weights: Path, tmp_path: Path) -> None:
    if import_torch().cuda.is_available():
        pytest.skip("this machine has a GPU")
    (tmp_path / "net.engine").write_bytes(b"ftrt")

    with pytest.raises(ModelError, match="cannot run on cuda: PyTorch found no NVIDIA GPU; install the NVIDIA driver"):
        TorchModel.load(weights / "net.pt", device="cuda")
    with pytest.raises(ModelError, match=r"cannot run on tensorrt: PyTorch found no NVIDIA GPU; .*\.pt or \.onnx"):
        TorchModel.load(tmp_path / "net.engine")


class Rogue:
    """Creates a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("name", ["weights.pt", "weights.pth", "weights.torchscript"])
@pytest.mark.parametrize("content", ["page", "truncated", "tensors", "rogue"])
def test_a_file_of_another_kind_is_a_one_line_error_and_never_executed(
    weights: Path, tmp_path: Path, content: str, name: str
) -> None:
    torch, path, trace = import_torch(), tmp_path / name, tmp_path / "trace"
    match content:
        case "page":
            path.write_bytes(b"<html>not found</html>")
        case "truncated":
            path.write_bytes((weights / "net.pt").read_bytes()[:100_000])
        case "tensors":
            torch.save({"weight": torch.zeros(3)}, path)
        case "rogue":
            torch.save({"model": Rogue(trace)}, path)

    with pytest.raises(ModelError, match=r"weights\.\w+: cannot run on cpu: .*; use an Ultralytics check") as caught:
        TorchModel.load(path, device="cpu")
    assert "\n" not in str(caught.value)
    assert not trace.exists()


def test_a_checkpoint_for_another_task_is_refused(tmp_path: Path) -> None:
    net = import_ultralytics("nn.tasks").SegmentationModel("yolov8n-seg.yaml", nc=2, verbose=False)
    import_torch().save({"model": net, "train_args": {"task": "segment"}}, tmp_path / "segment.pt")

    with pytest.raises(ModelError, match=r"segment\.pt: is a model for the task .segment. .*; use a detection model"):
        TorchModel.load(tmp_path / "segment.pt", device="cpu")


def test_a_published_name_that_cannot_be_downloaded_says_where_to_copy_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")  # nobody listens there
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    expected = rf"yolov8n: cannot be downloaded \(.*\); copy yolov8n\.pt to {tmp_path}/mtmc/weights/yolov8n\.pt, or"

    with pytest.raises(ModelError, match=expected) as caught:
        published_weights("yolov8n", {"XDG_CACHE_HOME": str(tmp_path)})
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.pt"))


def test_a_published_name_is_read_from_the_cache(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "mtmc" / "weights" / "yolo11n.pt"
    kept.parent.mkdir(parents=True)
    kept.symlink_to(weights / "net.pt")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert Detector.load(Path("yolo11n"), device="cpu").class_names == tuple(NAMES.values())


_ON_ITS_OWN = """
import sys
from pathlib import Path

events = []
sys.addaudithook(
    lambda event, args: events.append(event)
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.posix_spawn")
    else None
)
import cv2
cv2.setNumThreads(3)
from vision.inference.backends.pytorch import TorchModel

TorchModel.load(Path(sys.argv[1]), device="cpu", threads=1)
print(cv2.getNumThreads(), events)
"""


def test_loading_a_checkpoint_makes_no_requests_and_leaves_no_files(weights: Path, tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "tmp"
    home.mkdir(), folder.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(home),
        "TMPDIR": str(folder),
    }

    done = subprocess.run(
        [sys.executable, "-c", _ON_ITS_OWN, str(weights / "net.pt")],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["3 []"]), done.stdout + done.stderr
    assert [*home.rglob("*"), *folder.rglob("*")] == []
