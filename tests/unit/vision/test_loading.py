"""Selection of the runtime for a model, and errors if it is missing; needs neither PyTorch nor a GPU."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.config import SiteConfig
from shared.errors import ModelError
from tests.unit.vision.model_files import write_constant_model, write_mean_model
from vision.inference.backends.loading import load_model
from vision.inference.backends.published import published_weights
from vision.inference.backends.torch_files import engine_description
from vision.inference.models import Models


def engine(path: Path, described: Any, *, length: int | None = None) -> Path:
    header = json.dumps(described).encode()
    path.write_bytes((len(header) if length is None else length).to_bytes(4, "little") + header + b"ftrt" * 9)
    return path


@pytest.mark.parametrize("name", ["m.pt", "m.PT", "m.pth", "m.torchscript", "m.engine"])
def test_a_model_that_needs_pytorch_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / name).write_bytes(b"weights")

    with pytest.raises(
        ModelError, match=r"needs torch, which is not installed: `pip install 'mtmc\[torch\]'`"
    ) as caught:
        load_model(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_published_name_needs_ultralytics_only_to_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    cache = {"XDG_CACHE_HOME": str(tmp_path)}

    with pytest.raises(ModelError, match="pip install"):
        published_weights("yolov8n", cache)
    kept = tmp_path / "mtmc" / "weights" / "yolov8n.pt"
    kept.parent.mkdir(parents=True)
    kept.touch()

    assert published_weights("yolov8n", cache) == kept


@pytest.mark.parametrize("name", ["m.pt", "m.engine"])
def test_a_missing_file_is_reported_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(ModelError, match=r"m\.\w+: no such model file; download it there"):
        load_model(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "device", "expected"),
    [
        ("m.pt", "tensorrt", "runs on cuda and cpu, not on tensorrt"),
        ("m.engine", "cpu", "runs on tensorrt, not on cpu"),
        ("m.engine", "cuda", "runs on tensorrt, not on cuda"),
    ],
)
def test_a_device_that_cannot_run_the_file_is_refused(tmp_path: Path, name: str, device: Any, expected: str) -> None:
    (tmp_path / name).write_bytes(b"weights")

    with pytest.raises(ModelError, match=f"{expected}; set backend: auto"):
        load_model(tmp_path / name, device=device)


def test_the_metadata_at_the_start_of_an_engine_is_read(tmp_path: Path) -> None:
    described = {"names": {"0": "person"}, "imgsz": [384, 640], "batch": 4}

    assert engine_description(engine(tmp_path / "m.engine", described)) == described


@pytest.mark.parametrize("described", [{}, {"names": {}}, [], "text"])
def test_an_engine_without_classes_and_size_is_refused(tmp_path: Path, described: Any) -> None:
    with pytest.raises(ModelError, match=r"m\.engine: has no class names .* export it with Ultralytics"):
        engine_description(engine(tmp_path / "m.engine", described))


@pytest.mark.parametrize("length", [0, 3, 1 << 31])
def test_an_engine_of_another_exporter_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(ModelError, match="has no class names"):
        engine_description(engine(tmp_path / "m.engine", {"names": {}, "imgsz": [8, 8]}, length=length))


def test_any_other_file_is_loaded_by_onnx_runtime_and_logged(tmp_path: Path) -> None:
    detector = write_constant_model(
        tmp_path / "d.onnx", np.zeros((1, 6), np.float32), (1, 3, 64, 64), metadata={"names": "{0: 'person', 1: 'car'}"}
    )
    config = SiteConfig.model_validate(
        {
            "site": "hall",
            "detector": {"model": detector, "backend": "cpu"},
            "embedder": {"model": write_mean_model(tmp_path / "e"), "backend": "cpu"},
            "cameras": [{"name": "a", "source": "a.mp4"}],
        }
    )
    models = Models(config, threads=1)
    models.detector(config.cameras[0])

    assert (models.backend, models.device) == ("onnxruntime", "cpu")


def test_a_worker_does_not_start_with_an_embedder_that_tells_nothing_apart(tmp_path: Path) -> None:
    embedder = write_constant_model(tmp_path / "e.onnx", np.ones((1, 9), np.float32), ("batch", 3, 8, 8))
    site = SiteConfig.model_validate(
        {
            "site": "s",
            "cameras": [{"name": "a", "source": "rtsp://192.0.2.1/"}],
            "detector": {"model": tmp_path / "d.onnx"},
            "embedder": {"model": embedder, "backend": "cpu"},
        }
    )

    with pytest.raises(ModelError, match=r"e\.onnx: returns the same vector for different pictures"):
        Models(site, threads=1)
