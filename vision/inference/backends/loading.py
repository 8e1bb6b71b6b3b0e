"""Loads a model file with the runtime for its format."""

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
    any_input: bool = False,
) -> Model:
    """Load a model from a file, or by the name under which Ultralytics publishes it.

    Args:
        model: path of an ONNX, PyTorch, TorchScript or TensorRT file, or a published name.
        device: `auto` selects the fastest device that works.
        threads: threads of one model call on the CPU (0: one per core).
        max_batch: maximum number of pictures per call, for a model with a dynamic batch.
        picture_size: `(height, width)` in pixels, for a model with a dynamic input size.
        engine_cache: folder in which ONNX Runtime's TensorRT engines are cached; None: no cache.
        any_input: as for `OnnxModel.load`.

    Raises:
        ModelError: the model cannot be loaded or downloaded, or needs an extra that is not installed.
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
        any_input=any_input,
    )
