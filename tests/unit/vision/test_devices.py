"""The order of runtimes and devices, with each of them made to fail; a GPU that is not used says why."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from structlog.testing import capture_logs

from shared.config import SiteConfig
from shared.errors import ModelError
from tests.unit.vision.fake_gpus import NONE, WORKING, pretend, runtime
from tests.unit.vision.model_files import write_constant_model, write_mean_model
from vision.inference.backends import gpu_trouble, loading
from vision.inference.backends.loading import load_model
from vision.inference.backends.onnx_runtime import OnnxModel
from vision.inference.gpus import Gpus, GpuTrouble
from vision.inference.models import Models

BROKEN = Gpus(present=True, trouble=GpuTrouble("it is unplugged", "plug it in"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_mean_model(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("fails", "runs_on", "tried"),
    [
        ((), "tensorrt", {"cpu": 1, "tensorrt": 1}),
        (("tensorrt",), "cuda", {"cpu": 1, "tensorrt": 1, "cuda": 1}),
        (("tensorrt", "cuda"), "cpu", {"cpu": 1, "tensorrt": 1, "cuda": 1}),
    ],
)
@pytest.mark.parametrize("how", ["fails", "drops", "leaves_to_cpu"])
def test_a_network_runs_on_the_first_of_tensorrt_cuda_and_cpu_that_works(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: tuple[str, ...],
    runs_on: str,
    tried: dict[str, int],
    how: str,
) -> None:
    pretend(monkeypatch, WORKING)
    counts = runtime(monkeypatch, **{how: fails})

    loaded = load_model(model)

    assert (loaded.device, loaded.runtime) == (runs_on, "onnxruntime")
    assert counts == tried
    assert (loaded.gpu_trouble is None) == (runs_on != "cpu")


@pytest.mark.parametrize("device", ["tensorrt", "cuda"])
@pytest.mark.parametrize("how", ["fails", "drops", "leaves_to_cpu"])
def test_a_device_that_was_asked_for_fails_instead_of_falling_back(
    model: Path, monkeypatch: pytest.MonkeyPatch, device: Any, how: str
) -> None:
    pretend(monkeypatch, WORKING)
    counts = runtime(monkeypatch, **{how: [device]})

    with pytest.raises(ModelError, match=f"m.onnx: cannot run on {device}: .*; .*, or set backend: auto"):
        load_model(model, device=device)
    assert counts == {"cpu": 1, device: 1}, "the CPU only tells whether the file is one"


def test_a_model_whose_work_is_left_to_the_cpu_does_not_count_as_on_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, WORKING)
    monkeypatch.setattr(gpu_trouble, "_missing_library", lambda _: None)
    runtime(monkeypatch, leaves_to_cpu=["cuda"])
    with pytest.raises(ModelError, match=r"gave none of the model's \d+ nodes to CUDAExecutionProvider"):
        OnnxModel.load(write_mean_model(tmp_path / "m.onnx"), device="cuda")


@pytest.mark.parametrize(
    ("on_cpu", "refused", "warned"), [(["Conv"] * 3, True, 0), (["Conv"], False, 1), (["Shape", "Gather"], False, 0)]
)
def test_a_part_on_the_cpu_is_refused_warned_of_or_normal(
    model: Path, monkeypatch: pytest.MonkeyPatch, on_cpu: list[str], refused: bool, warned: int
) -> None:
    pretend(monkeypatch, WORKING)
    monkeypatch.setattr(gpu_trouble, "_missing_library", lambda _: None)
    runtime(monkeypatch)
    operators = {"CUDA": ["Conv", "Conv", "Relu"], "CPU": on_cpu}
    nodes = {where: [SimpleNamespace(op_type=kind) for kind in kinds] for where, kinds in operators.items()}
    parts = [
        SimpleNamespace(ep_name=f"{where}ExecutionProvider", get_nodes=lambda found=found: found)
        for where, found in nodes.items()
    ]
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info", lambda _: parts)
    with capture_logs() as logs:
        if refused:
            with pytest.raises(ModelError, match="left 3 of its 5 convolutions"):
                OnnxModel.load(model, device="cuda")
        else:
            assert OnnxModel.load(model, device="cuda").device == "cuda"
    assert sum("a part of it runs on the CPU" in entry["event"] for entry in logs) == warned


@pytest.mark.parametrize("backend", ["auto", "cpu"])
@pytest.mark.parametrize("found", [NONE, Gpus(hidden=True)])
def test_a_machine_without_a_gpu_warns_of_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, found: Gpus
) -> None:
    pretend(monkeypatch, found)
    with capture_logs() as logs:
        models = load_site(tmp_path, backend)
    assert models.gpu_trouble is None
    assert [entry for entry in logs if entry["log_level"] not in ("info", "debug")] == []


def test_a_gpu_that_is_present_but_not_used_is_a_warning_with_reason_and_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, BROKEN)
    with capture_logs() as logs:
        models = load_site(tmp_path, "auto")
    assert (models.device, models.gpu_trouble) == ("cpu", BROKEN.trouble)
    assert models.placements == [
        ("detector", "cpu", "onnxruntime", BROKEN.trouble),
        ("embedder", "cpu", "onnxruntime", BROKEN.trouble),
    ]
    warnings = [entry for entry in logs if entry["log_level"] == "warning"]
    assert [(entry["reason"], entry["advice"]) for entry in warnings] == [
        ("it is unplugged", "plug it in; or set backend: cpu")
    ] * 2
    assert load_site(tmp_path, "cpu").gpu_trouble is None, "as configured"


def test_a_device_that_was_asked_for_names_the_trouble_of_the_machine(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for found, reason in (
        (BROKEN, "it is unplugged; plug it in"),
        (NONE, "this machine has no NVIDIA GPU; use one that has"),
        (Gpus(hidden=True), "CUDA_VISIBLE_DEVICES hides every GPU; unset it, or name a GPU there"),
    ):
        pretend(monkeypatch, found)
        with pytest.raises(ModelError, match=f"cannot run on cuda: {reason}, or set backend: auto"):
            load_model(model, device="cuda")


def test_a_build_without_cuda_names_the_build_that_has_it(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, WORKING)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ModelError, match=r"built without CUDA; install the GPU build: .*pip install 'mtmc\[cuda\]'"):
        load_model(model, device="cuda")


def test_an_old_driver_names_the_version_that_is_needed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, replace(WORKING, cuda=(12, 4)))
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    runtime(monkeypatch, fails=["cuda", "tensorrt"])
    trouble = load_model(model).gpu_trouble
    assert trouble is not None
    assert trouble.reason.startswith("the NVIDIA driver supports CUDA 12.4, but ONNX Runtime ")
    assert trouble.reason.endswith(" needs CUDA 13")
    assert trouble.advice == "update the NVIDIA driver of the host to version 580 or newer"


@pytest.mark.parametrize(
    ("missing", "device", "reason", "advice"),
    [
        ("libcudart.so.13", "cuda", "libcudart.so.13 is missing: .* needs CUDA 13 and cuDNN 9", r"mtmc\[cuda\]"),
        ("libcudnn.so.9", "cuda", "libcudnn.so.9 is missing: .* needs CUDA 13 and cuDNN 9", r"mtmc\[cuda\]"),
        (
            "libnvinfer.so.10",
            "tensorrt",
            "needs CUDA 13 and cuDNN 9, and TensorRT 10",
            "install TensorRT 10 for CUDA 13",
        ),
    ],
)
def test_a_missing_library_is_named_with_what_brings_it(
    model: Path, monkeypatch: pytest.MonkeyPatch, missing: str, device: Any, reason: str, advice: str
) -> None:
    pretend(monkeypatch, WORKING)
    runtime(monkeypatch, drops=[device])
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0", raising=False)
    requirements = ["numpy>=1", 'nvidia-cudnn-cu13~=9.0; extra == "cudnn"']
    monkeypatch.setattr(gpu_trouble.metadata, "requires", lambda _: requirements)

    def opened(library: str, mode: int) -> None:
        if "providers_shared" not in library:
            raise OSError(f"{missing}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(ctypes, "CDLL", opened)
    with pytest.raises(ModelError, match=f"cannot run on {device}: .*{reason}; .*{advice}"):
        load_model(model, device=device)


def test_the_libraries_that_this_onnx_runtime_lacks_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine without CUDA, with the real build for GPUs."""
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime has no CUDA")
    missing = gpu_trouble._missing_library("cuda")
    if missing is None:
        pytest.skip("this machine has CUDA")
    assert missing["name"] in ("cublasLt", "cublas", "cudart", "curand", "cuda", "cudnn")


class FakeTorch:
    """Loads on some devices only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, works_on: str, built_for: str | None = "99.0") -> None:
        self.tried: list[tuple[str, str]] = []
        module = SimpleNamespace(version=SimpleNamespace(cuda=built_for), __version__="9.9")
        monkeypatch.setattr(loading, "import_torch", lambda: module)
        self._works_on = works_on
        monkeypatch.setattr(loading.TorchModel, "load", self.load)

    def load(self, path: Path, *, device: str, **_: Any) -> Any:
        self.tried.append((path.name, device))
        possible = ["tensorrt"] if path.suffix == ".engine" else ["cuda", "cpu"]
        for candidate in possible if device == "auto" else [device]:
            if candidate in self._works_on.split():
                onnx = OnnxModel.load(write_mean_model(path.with_name("hidden")), device="cpu")
                return replace(onnx, path=path, runtime="pytorch", device=candidate)
        raise ModelError(f"{path}: cannot run on {device}: no torch today; do something")


def test_an_engine_is_replaced_by_the_onnx_file_beside_it_and_that_by_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, NONE)
    engine = tmp_path / "m.engine"
    for path in (engine, tmp_path / "m.pt"):
        path.write_bytes(b"weights")
    write_mean_model(tmp_path / "m.onnx")

    def used() -> tuple[str, str]:
        loaded = load_model(engine)
        return loaded.path.name, loaded.device

    FakeTorch(monkeypatch, "tensorrt cuda cpu")
    assert used() == ("m.engine", "tensorrt")
    torch = FakeTorch(monkeypatch, "cuda cpu")
    with capture_logs() as logs:
        assert used() == ("m.onnx", "cpu")
    assert [entry["used"] for entry in logs if entry["log_level"] == "warning"] == ["m.onnx"]
    assert torch.tried == [("m.engine", "auto")]
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    assert used() == ("m.pt", "cuda")
    FakeTorch(monkeypatch, "cpu")
    assert used() == ("m.pt", "cpu")
    FakeTorch(monkeypatch, "")
    with pytest.raises(ModelError, match=r"m\.engine: cannot run on auto: no torch today"):
        load_model(engine)
    with pytest.raises(ModelError, match=r"m\.engine: cannot run on tensorrt"):
        load_model(engine, device="tensorrt")


def test_only_an_engine_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, NONE)
    FakeTorch(monkeypatch, "cuda cpu")
    (tmp_path / "m.pt").write_bytes(b"weights")
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"m\.onnx"):
        load_model(tmp_path / "m.onnx")
    (tmp_path / "m.pt").unlink()
    with pytest.raises(ModelError, match=r"m\.engine: .*no torch today"):
        load_model(tmp_path / "m.engine")


@pytest.mark.parametrize(
    ("found", "built_for", "reason"),
    [
        (WORKING, "99.0", "no torch today; do something"),
        (WORKING, None, "the installed PyTorch 9.9 is built without CUDA"),
        (replace(WORKING, cuda=(11, 8)), "12.8", "the NVIDIA driver supports CUDA 11.8, but PyTorch 9.9 needs CUDA 12"),
        (BROKEN, "99.0", "it is unplugged"),
        (NONE, None, None),
    ],
)
def test_a_checkpoint_on_the_cpu_says_why_it_is_not_on_the_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Gpus, built_for: str | None, reason: str | None
) -> None:
    pretend(monkeypatch, found)
    FakeTorch(monkeypatch, "cpu", built_for)
    (tmp_path / "m.pt").write_bytes(b"weights")
    trouble = load_model(tmp_path / "m.pt").gpu_trouble
    assert (trouble.reason if trouble else None) == reason


def load_site(folder: Path, backend: str) -> Models:
    """The models of a small site."""
    names = {"names": "{0: 'person', 1: 'car'}"}
    detector = write_constant_model(folder / "d.onnx", np.zeros((1, 6), np.float32), (1, 3, 64, 64), metadata=names)
    config = SiteConfig.model_validate(
        {
            "site": "hall",
            "detector": {"model": detector, "backend": backend},
            "embedder": {"model": write_mean_model(folder / "e.onnx"), "backend": backend},
            "cameras": [{"name": "a", "source": "a.mp4"}],
        }
    )
    models = Models(config, threads=1)
    models.detector(config.cameras[0])
    return models
