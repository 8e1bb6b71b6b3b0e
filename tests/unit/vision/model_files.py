"""Model files for tests: tiny ONNX graphs written byte by byte, and real weights if available."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

Dimensions = Sequence[int | str]
FLOAT, FLOAT16 = 1, 10  # numbers of onnx.proto's TensorProto.DataType


def shared(*parts: str) -> Path:
    """A file of the shared material; skips the test if it is missing."""
    root = Path(os.environ.get("MTMC_SHARED") or Path(__file__).parents[3] / ".." / "shared")
    path = root.joinpath(*parts).resolve()
    if not path.exists():
        pytest.skip(f"{path} is not on this machine (MTMC_SHARED says where the shared material lies)")
    return path


def write_mean_model(
    path: Path,
    picture: Dimensions = ("batch", 3, 8, 4),
    *,
    half: bool = False,
    over_batch: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A model that outputs the mean of every channel, `[batch, 3]`; with `over_batch` one row for all pictures."""
    axes = [0, 2, 3] if over_batch else [2, 3]
    kind = FLOAT16 if half else FLOAT
    nodes = [
        _node("Cast", ["images"], ["wide"], _attribute("to", FLOAT)),
        _node("ReduceMean", ["wide"], ["mean"], _attribute("axes", axes), _attribute("keepdims", int(over_batch))),
        *([_node("Reshape", ["mean", "flat"], ["row"])] if over_batch else [_node("Identity", ["mean"], ["row"])]),
        _node("Cast", ["row"], ["output"], _attribute("to", kind)),
    ]
    flat = _tensor("flat", np.array([1, 3], np.int64), 7)
    rows: Dimensions = (1, 3) if over_batch else (picture[0], 3)
    return _write(path, nodes, ("images", picture), ("output", rows), [flat], kind, metadata or {})


def write_constant_model(
    path: Path,
    output: npt.NDArray[np.float32],
    picture: Dimensions,
    *,
    brightness: npt.NDArray[np.float32] | None = None,
    output_shape: Dimensions | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A model that outputs `output` `(R, C)` for every picture, plus `brightness` `(R, C)` times the picture's mean."""
    weight = np.zeros_like(output) if brightness is None else brightness
    nodes = [
        _node("ReduceMean", ["images"], ["grey"], _attribute("axes", [1]), _attribute("keepdims", 0)),
        _node("ReduceMean", ["grey"], ["mean"], _attribute("axes", [1, 2]), _attribute("keepdims", 1)),
        _node("Mul", ["mean", "brightness"], ["glow"]),
        _node("Add", ["glow", "constant"], ["output"]),
    ]
    tensors = [_tensor("constant", output[None], FLOAT), _tensor("brightness", weight[None], FLOAT)]
    rows = output_shape or (picture[0], *output.shape)
    return _write(path, nodes, ("images", picture), ("output", rows), tensors, FLOAT, metadata or {})


def write_external_model(path: Path, weights: npt.NDArray[np.float32] | None = None) -> Path:
    """A model `[batch, 3, 8, 4]` → the means of the channels times `weights` `(3, 4)`; returns the file of these."""
    values = np.eye(3, 4, dtype=np.float32) if weights is None else weights
    part = path.with_name(f"{path.name}.data")
    part.write_bytes(values.tobytes())
    nodes = [
        _node("ReduceMean", ["images"], ["mean"], _attribute("axes", [2, 3]), _attribute("keepdims", 0)),
        _node("MatMul", ["mean", "weights"], ["output"]),
    ]
    entries = {"location": part.name, "offset": "0", "length": str(values.nbytes)}
    tensor = _number(1, 3) + _number(1, 4) + _number(2, FLOAT) + _field(8, b"weights") + _number(14, 1)
    for key, value in entries.items():
        tensor += _field(13, _field(1, key.encode()) + _field(2, value.encode()))
    _write(path, nodes, ("images", ("batch", 3, 8, 4)), ("output", ("batch", 4)), [tensor], FLOAT, {})
    return part


def _write(
    path: Path,
    nodes: list[bytes],
    picture: tuple[str, Dimensions],
    output: tuple[str, Dimensions],
    tensors: list[bytes],
    kind: int,
    metadata: Mapping[str, str],
) -> Path:
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, b"graph")
    graph += b"".join(_field(5, tensor) for tensor in tensors)
    graph += _field(11, _value(*picture, kind)) + _field(12, _value(*output, kind))
    model = _number(1, 8) + _field(7, graph) + _field(8, _field(1, b"") + _number(2, 13))
    for key, value in metadata.items():
        model += _field(14, _field(1, key.encode()) + _field(2, value.encode()))
    path.write_bytes(model)
    return path


def _node(operator: str, inputs: list[str], outputs: list[str], *attributes: bytes) -> bytes:
    names = b"".join(_field(1, name.encode()) for name in inputs) + b"".join(_field(2, n.encode()) for n in outputs)
    return names + _field(4, operator.encode()) + b"".join(_field(5, attribute) for attribute in attributes)


def _attribute(name: str, value: int | list[int]) -> bytes:
    if isinstance(value, int):
        return _field(1, name.encode()) + _number(3, value) + _number(20, 2)
    return _field(1, name.encode()) + b"".join(_number(8, item) for item in value) + _number(20, 7)


def _tensor(name: str, values: npt.NDArray[np.generic], kind: int) -> bytes:
    dimensions = b"".join(_number(1, side) for side in values.shape)
    return dimensions + _number(2, kind) + _field(8, name.encode()) + _field(9, values.tobytes())


def _value(name: str, dimensions: Dimensions, kind: int) -> bytes:
    shape = b"".join(
        _field(1, _number(1, side) if isinstance(side, int) else _field(2, side.encode())) for side in dimensions
    )
    return _field(1, name.encode()) + _field(2, _field(1, _number(1, kind) + _field(2, shape)))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
