"""Loads a model file with the runtime for its format, on the first device of its order that works."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import structlog

from shared.config_fields import is_published_detector
from shared.errors import ModelError
from vision.inference import gpus
from vision.inference.backends.gpu_trouble import torch_trouble
from vision.inference.backends.model import Model, WantedDevice
from vision.inference.backends.onnx_runtime import OnnxModel
from vision.inference.backends.published import published_weights
from vision.inference.backends.pytorch import TorchModel
from vision.inference.backends.torch_extra import import_torch
from vision.inference.backends.torch_files import SUFFIXES, is_engine

_log = structlog.get_logger()


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

    With `auto`, an ONNX file runs on the first of TensorRT, CUDA and the CPU that works, through ONNX Runtime; a
    checkpoint or TorchScript on the first of CUDA and the CPU, through PyTorch. A TensorRT engine runs only on the kind
    of GPU that it was built for: if it cannot run, the ONNX file of the same name beside it is loaded, or else the
    checkpoint (`.pt`).

    Args:
        model: path of an ONNX, PyTorch, TorchScript or TensorRT file, or a published name.
        device: `auto` selects as above; any other is used, or fails.
        threads: threads of one model call on the CPU (0: one per core).
        max_batch: maximum number of pictures per call, for a model with a dynamic batch.
        picture_size: `(height, width)` in pixels, for a model with a dynamic input size.
        engine_cache: folder in which ONNX Runtime's TensorRT engines are cached; None: no cache.
        any_input: as for `OnnxModel.load`.

    Raises:
        ModelError: the model cannot be loaded or downloaded, or needs an extra that is not installed.
    """
    path = published_weights(model.name) if is_published_detector(model) else model
    paths = [path, *_instead_of_engine(path)] if device == "auto" else [path]
    failed: ModelError | None = None
    for candidate in paths:
        try:
            if candidate.suffix.lower() in SUFFIXES:
                loaded: Model = _load_torch(candidate, device, threads, max_batch, picture_size)
            else:
                loaded = OnnxModel.load(
                    candidate,
                    device=device,
                    threads=threads,
                    max_batch=max_batch,
                    picture_size=picture_size,
                    engine_cache=engine_cache,
                    any_input=any_input,
                )
        except ModelError as error:
            if failed is None:
                failed = error
            _log.debug("model not usable", model=candidate.name, reason=str(error))
            continue
        if failed is not None:
            _log.warning("the engine cannot run here, using another file", used=candidate.name, reason=str(failed))
        return loaded
    assert failed is not None
    raise failed


def _instead_of_engine(path: Path) -> list[Path]:
    """The files that replace an engine, best first."""
    if not is_engine(path) or not path.is_file():
        return []
    return [other for suffix in (".onnx", ".pt") if (other := path.with_suffix(suffix)).is_file()]


def _load_torch(
    path: Path, device: WantedDevice, threads: int, max_batch: int, picture_size: tuple[int, int] | None
) -> Model:
    """As `TorchModel.load`, and finds out why `auto` did not choose a GPU that is present."""

    def load(on: WantedDevice) -> TorchModel:
        return TorchModel.load(path, device=on, threads=threads, max_batch=max_batch, picture_size=picture_size)

    loaded = load(device)
    if device != "auto" or loaded.device != "cpu" or not gpus.look().present:
        return loaded
    try:
        return load("cuda")
    except ModelError as error:
        failure = str(error).removeprefix(f"{path}: cannot run on cuda: ")
    return replace(loaded, gpu_trouble=torch_trouble(failure, import_torch()))
