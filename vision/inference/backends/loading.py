"""Which runtime a model file is for."""

from __future__ import annotations

from pathlib import Path

from shared.config import is_published_detector
from vision.inference.backends.model import Model, WantedDevice
from vision.inference.backends.onnx_runtime import OnnxModel
from vision.inference.backends.published import published_weights
from vision.inference.backends.pytorch import TorchModel
from vision.inference.backends.torch_files import SUFFIXES


def load_model(
    model: Path,
    *,
    device: WantedDevice = "auto",
    threads: int = 0,
    max_batch: int = 32,
    picture_size: tuple[int, int] | None = None,
    engine_cache: Path | None = None,
) -> Model:
    """The model in a file, or of the name under which Ultralytics publishes it; arguments as for `OnnxModel.load`.

    Raises ModelError when it cannot be loaded or fetched, or needs an extra that is not installed.
    """
    path = published_weights(model.name) if is_published_detector(model) else model
    if path.suffix.lower() in SUFFIXES:
        return TorchModel.load(path, device=device, threads=threads, max_batch=max_batch, picture_size=picture_size)
    return OnnxModel.load(
        path,
        device=device,
        threads=threads,
        max_batch=max_batch,
        picture_size=picture_size,
        engine_cache=engine_cache,
    )
