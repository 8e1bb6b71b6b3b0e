"""PyTorch models with their pictures prepared and their boxes selected on the device: a GPU where there is one.

Needs PyTorch, but neither Ultralytics nor the internet. `make test-torch` runs it on the CPU,
`benchmarks/gpu_check/run` on a GPU.
"""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.gpu_check.clips import pictures
from benchmarks.gpu_check.networks import CROP_HEIGHT, CROP_WIDTH, boxes_per_picture, write_networks
from shared.errors import InferenceFailed
from vision.inference import torch_suppression
from vision.inference.backends.pytorch import TorchModel
from vision.inference.backends.torch_extra import import_torch
from vision.inference.detection import Detections, Detector
from vision.inference.detector_heads.ultralytics import UltralyticsHead
from vision.inference.embedding import Embedder, Preprocessing
from vision.inference.letterbox import letterbox
from vision.inference.selection import Thresholds, select
from vision.inference.torch_suppression import TooManyCandidates, select_on_device

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="the extra `torch` is not installed; `make test-torch` runs these tests in an environment that has it",
)
SIZE = 160
CLASSES = 5
HEAD = UltralyticsHead(SIZE, SIZE, tuple(f"class {number}" for number in range(CLASSES)))


def devices() -> list[str]:
    if importlib.util.find_spec("torch") is None:
        return ["cpu"]
    return ["cpu", "cuda"] if import_torch().cuda.is_available() else ["cpu"]


@pytest.fixture(params=devices())
def device(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def frames() -> list[npt.NDArray[np.uint8]]:
    return [*pictures(1, 3, 320, 180), *pictures(2, 2, 240, 320)]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory, frames: list[npt.NDArray[np.uint8]]) -> tuple[Path, Path]:
    return write_networks(tmp_path_factory.mktemp("networks"), frames, size=SIZE, width=8)


def outputs(seed: int, pictures_: int, boxes: int) -> npt.NDArray[np.float32]:
    """`(pictures_, 4 + CLASSES, boxes)`: clusters of boxes that overlap, with many equal scores."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(20, 140, (pictures_, 2, max(1, boxes // 8))).astype(np.float32)
    centres = centres[:, :, rng.integers(0, centres.shape[2], boxes)] + rng.normal(0, 3, (pictures_, 2, boxes))
    sizes = rng.uniform(0, 40, (pictures_, 2, boxes))
    scores = np.round(rng.random((pictures_, CLASSES, boxes)) ** 3, 2)
    return np.concatenate([centres, sizes, scores], axis=1).astype(np.float32)


def on(device: str, array: npt.NDArray[np.float32]) -> tuple[Any, Any]:
    dense = HEAD.dense([import_torch().from_numpy(array).to(device)])
    assert dense is not None
    return dense


@pytest.mark.parametrize("seed", range(8))
def test_the_device_selects_the_boxes_that_the_host_selects(device: str, seed: int) -> None:
    array = outputs(seed, 4, 300)
    thresholds = [
        Thresholds(0.25, 0.5),
        Thresholds(0.6, 0.7, class_ids=frozenset({1, 3})),
        Thresholds(0.1, 0.3, max_detections=7),
        Thresholds(2.0),
    ]
    for found, row, wanted in zip(select_on_device(*on(device, array), thresholds), array, thresholds, strict=True):
        expected = select(HEAD, [row], wanted)
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.class_ids, expected.class_ids)
        np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=1e-4)


def test_many_pictures_are_compared_in_parts(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    array, thresholds = outputs(1, 6, 200), [Thresholds(0.3)] * 6
    whole = select_on_device(*on(device, array), thresholds)
    monkeypatch.setattr(torch_suppression, "_PAIRS", 1)
    for one, other in zip(whole, select_on_device(*on(device, array), thresholds), strict=True):
        np.testing.assert_array_equal(one.boxes_xyxy, other.boxes_xyxy)


def test_a_picture_with_too_many_boxes_is_left_to_the_host(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_suppression, "MOST_CANDIDATES", 10)
    with pytest.raises(TooManyCandidates):
        select_on_device(*on(device, outputs(1, 1, 100)), [Thresholds(0.01)])


def host_detections(
    model: TorchModel, frames: list[npt.NDArray[np.uint8]], thresholds: list[Thresholds], names: tuple[str, ...]
) -> list[Detections]:
    """Prepared and selected with NumPy, one picture at a time."""
    head, found = UltralyticsHead(SIZE, SIZE, names), []
    for frame, wanted in zip(frames, thresholds, strict=True):
        batch = np.empty((1, 3, SIZE, SIZE), np.float32)
        placement = letterbox(frame, UltralyticsHead.pictures, batch[0])
        one = select(head, [output[0] for output in model.run(batch)], wanted)
        found.append(Detections(placement.to_frame(one.boxes_xyxy), one.scores, one.class_ids))
    return found


def assert_alike(found: Detections, expected: Detections, pixels: float, score: float) -> None:
    """Each sure box of one is in the other."""
    for one, other in ((found, expected), (expected, found)):
        for box, confidence, class_id in zip(one.boxes_xyxy, one.scores, one.class_ids, strict=True):
            if confidence < 0.15 or np.abs(one.scores - confidence).min() > score:
                continue
            near = np.abs(other.boxes_xyxy - box).max(axis=1) < pixels
            assert (near & (np.abs(other.scores - confidence) < score) & (other.class_ids == class_id)).any()


def test_a_detector_finds_what_the_host_finds(
    networks: tuple[Path, Path], frames: list[npt.NDArray[np.uint8]], device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector.load(networks[0], device=device)
    thresholds = [Thresholds(0.1), replace(Thresholds(0.1), class_ids=frozenset({2})), *[Thresholds(0.1)] * 3]
    expected = host_detections(TorchModel.load(networks[0], device="cpu"), frames, thresholds, detector.class_names)
    assert detector.head == "yolov8"
    assert 4 < boxes_per_picture(detector, frames).mean() < 16
    pixels, score = (0.05, 1e-3) if device == "cpu" else (4.0, 0.05)  # half precision is half a pixel of the input
    for found, wanted in zip(detector.detect(frames, thresholds), expected, strict=True):
        assert_alike(found, wanted, pixels, score)
    monkeypatch.setattr(torch_suppression, "MOST_CANDIDATES", 1)
    for found, wanted in zip(detector.detect(frames, thresholds), expected, strict=True):
        assert_alike(found, wanted, pixels, score)


def test_a_call_that_fails_is_repeated_with_fewer_pictures(
    networks: tuple[Path, Path], frames: list[npt.NDArray[np.uint8]], device: Any
) -> None:
    detector = Detector.load(networks[0], device=device)
    expected = detector.detect(frames, [Thresholds()] * len(frames))
    model, calls = detector._model, []
    assert isinstance(model, TorchModel)
    network = model._network

    def short_of_memory(batch: Any) -> Any:
        calls.append(len(batch))
        if len(batch) > most:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return network(batch)

    object.__setattr__(model, "_network", short_of_memory)
    most = 2
    for one, other in zip(expected, detector.detect(frames, [Thresholds()] * len(frames)), strict=True):
        assert_alike(one, other, 0.5, 0.01)
    assert calls == [5, 2, 2, 1]
    most = 0
    with pytest.raises(InferenceFailed, match=r"1 picture \(3, 160, 160\) failed on .*: CUDA out of memory"):
        detector.detect(frames, [Thresholds()] * len(frames))


def test_an_embedder_gives_the_vectors_of_the_host(
    networks: tuple[Path, Path], frames: list[npt.NDArray[np.uint8]], device: Any
) -> None:
    preprocessing = Preprocessing(
        CROP_WIDTH, CROP_HEIGHT, mean=(123.0, 116.0, 103.0), std=(58.0, 57.0, 57.5), scale=1.0
    )
    embedder = Embedder.load(networks[1], preprocessing, device=device, max_batch=2)
    boxes = np.array([[10, 10, 60, 90], [-40, -40, -1, -1], [100, 20, 180, 170], [3.5, 3.5, 40, 40]], np.float32)
    crops = [(frames[0], boxes), (frames[4], boxes[:1])]
    vectors = embedder.embed(crops)
    reference = Embedder.load(networks[1], preprocessing, device="cpu")
    reference._torch = None  # by NumPy
    expected = reference.embed(crops)
    assert not vectors[1].any()
    assert ((vectors * expected).sum(axis=1)[[0, 2, 3, 4]] > (0.99999 if device == "cpu" else 0.999)).all()
    assert not embedder.embed([(frames[0], boxes[1:2])]).any()
    assert embedder.embed([]).shape == (0, 512)


def test_an_error_of_torchscript_says_why(tmp_path: Path) -> None:
    torch = import_torch()

    class Fails(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, batch: Any) -> Any:
            return torch.matmul(batch.mean(dim=(2, 3)), torch.ones(3, 2)) if batch.shape[2] == 8 else batch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Fails(), torch.zeros(2, 3, 8, 4)), str(tmp_path / "fails.torchscript"))
    model = TorchModel.load(tmp_path / "fails.torchscript", device="cpu", picture_size=(8, 4))
    with pytest.raises(InferenceFailed, match="failed on cpu: mat1 and mat2 shapes cannot be multiplied"):
        model.run(np.zeros((1, 4, 8, 4), np.float32))


def test_half_precision_is_used_on_a_gpu_unless_it_overflows(networks: tuple[Path, Path], tmp_path: Path) -> None:
    torch = import_torch()
    if not torch.cuda.is_available():
        pytest.skip("this machine has no GPU")

    class Large(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, batch: Any) -> Any:
            return ((batch.mean(dim=(2, 3)) + 1) * 60000 + 60000) / 60000

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Large(), torch.zeros(2, 3, 8, 4)), str(tmp_path / "large.torchscript"))
    assert TorchModel.load(networks[0], device="cuda").half
    assert not TorchModel.load(tmp_path / "large.torchscript", device="cuda", picture_size=(8, 4)).half
