"""Opens checkpoints, TorchScript files and engines, and reads the metadata that each contains."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from shared.errors import ModelError
from vision.inference.backends.torch_extra import import_torch, import_ultralytics

SUFFIXES = frozenset({".pt", ".pth", ".torchscript", ".engine"})
_KEPT = ("imgsz", "end2end", "task", "kpt_shape", "args", "description", "author")
"""Of the metadata, beside `names`, what heads are recognised by."""
_DESCRIPTION = "config.txt"
"""The file that Ultralytics adds to a TorchScript archive, with class names and input size."""


@dataclass(frozen=True)
class Opened:
    """An opened network on its device."""

    network: Callable[[Any], Any]
    metadata: Mapping[str, str]
    """`names`, and what else the exporter stored for the recognition of the head, as Python writes it."""
    input_shape: tuple[int | None, ...] = (None, 3, None, None)
    max_batch: int = sys.maxsize


def open_network(path: Path, device: Literal["cpu", "cuda:0"], *, half: bool = False) -> Opened:
    """Open the network in the file `path`; `half`: in half precision, which an engine ignores.

    Raises:
        ModelError: the model is not a detector. Errors of PyTorch and Ultralytics are passed on.
    """
    if is_engine(path):
        return _engine(path, device)
    return _torchscript(path, device, half=half) if _is_torchscript(path) else _checkpoint(path, device, half=half)


def is_engine(path: Path) -> bool:
    """Whether the file name is that of a TensorRT engine."""
    return path.suffix.lower() == ".engine"


def _is_torchscript(path: Path) -> bool:
    if path.suffix.lower() != ".pt" or not zipfile.is_zipfile(path):
        return path.suffix.lower() != ".pt"
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _torchscript(path: Path, device: str, *, half: bool) -> Opened:
    torch, extra = import_torch(), {_DESCRIPTION: ""}
    network = torch.jit.load(str(path), map_location=device, _extra_files=extra).eval()
    if half:
        network = network.half()
    if device != "cpu":
        network = network.to(memory_format=torch.channels_last)
    return Opened(network, _metadata(json.loads(extra[_DESCRIPTION] or "{}")))


def _checkpoint(path: Path, device: str, *, half: bool) -> Opened:
    network = _ultralytics(path, device, half=half)
    task = getattr(network.model, "task", "detect")
    if task != "detect" or network.channels != 3:
        raise ModelError(
            f"{path}: is a model for the task '{task}' with {network.channels} input channels; "
            "use a detection model for colour pictures"
        )
    stride = int(network.stride)
    trained = network.model.args["imgsz"]
    sides = trained if isinstance(trained, (list, tuple)) else [trained, trained]
    described = {
        "names": network.names,
        "imgsz": [-(-int(side) // stride) * stride for side in sides],
        "end2end": network.end2end,
        "task": task,
        "author": "Ultralytics",
    }
    return Opened(network, _metadata(described))


def _engine(path: Path, device: str) -> Opened:
    described = engine_description(path)
    network = _ultralytics(path, device)
    batch = None if network.dynamic else network.batch
    return Opened(network, _metadata(described), (batch, 3, None, None), network.batch)


def engine_description(path: Path) -> dict[str, Any]:
    """The metadata that Ultralytics stores at the start of an engine: a 4-byte length and a JSON document.

    Raises:
        ModelError: the file does not start with it.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(4), "little")
        try:
            described = json.loads(file.read(length) if 0 < length < 1 << 20 else b"")
        except ValueError:
            described = None
    if not isinstance(described, dict) or not {"names", "imgsz"} <= described.keys():
        raise ModelError(
            f"{path}: has no class names or input size; "
            "export it with Ultralytics: `yolo export model=WEIGHTS.pt format=engine`"
        )
    return described


def _ultralytics(path: Path, device: str, *, half: bool = False) -> Any:
    autobackend = import_ultralytics("nn.autobackend")
    return autobackend.AutoBackend(str(path), device=import_torch().device(device), fp16=half, verbose=False)


def _metadata(described: Mapping[str, Any]) -> dict[str, str]:
    metadata = {key: str(described[key]) for key in _KEPT if described.get(key) is not None}
    if "names" in described:  # JSON turns the numeric keys into strings
        names = described["names"]
        listed = names.items() if isinstance(names, dict) else enumerate(names)
        metadata["names"] = repr({int(number): str(name) for number, name in listed})
    return metadata
