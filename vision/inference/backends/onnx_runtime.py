"""ONNX models on ONNX Runtime, on the fastest device that works."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnxruntime
import structlog
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from shared.errors import ModelError
from vision.inference.backends.external_data import external_parts
from vision.inference.backends.gpu_trouble import onnx_trouble, unused_gpu
from vision.inference.backends.model import Device, Model, WantedDevice, checksum_of
from vision.inference.backends.quiet import quiet

log = structlog.get_logger()

_BEST_FIRST: tuple[Device, ...] = ("tensorrt", "cuda", "cpu")
_PROVIDERS: Mapping[Device, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
_DTYPES: Mapping[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_BYTES: Mapping[str, type[np.uint8]] = {"tensor(uint8)": np.uint8}
_SIZES = "orig_target_sizes"
"""The second input of RT-DETR and its relatives: `[batch, 2]`, width and height of each picture."""
_SIZE_DTYPES: Mapping[str, Any] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, **_DTYPES}
_COSTLY = ("Conv", "Gemm", "MatMul")
"""Parts of the names of the operators that do most of a network's work."""
# ONNX Runtime's exceptions have no common base class.
_RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    ort_errors.EngineError,
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    MemoryError,
    RuntimeError,
    ValueError,
)
_SEVERITY_WARNING, _SEVERITY_FATAL = 2, 4


@dataclass(frozen=True, eq=False)
class OnnxModel(Model):
    """A model in an ONNX Runtime session."""

    input_dtype: type[np.floating[Any] | np.uint8]
    output_shapes: tuple[tuple[int | None, ...], ...]
    _session: Any = field(repr=False)
    _pictures: Any = field(repr=False)
    """ONNX Runtime's description of the input for pictures."""
    _size_dtype: Any
    """Of the input for the sizes of the pictures; None if there is none."""

    _errors: ClassVar[tuple[type[Exception], ...]] = _RUNTIME_ERRORS

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        device: WantedDevice = "auto",
        threads: int = 0,
        max_batch: int = 32,
        picture_size: tuple[int, int] | None = None,
        engine_cache: Path | None = None,
        warm_up: bool = True,
        any_input: bool = False,
    ) -> OnnxModel:
        """Load the model in `path`.

        Args:
            path: an ONNX file.
            device: `auto` selects the first of TensorRT, CUDA and CPU that works.
            threads: threads of one model call on the CPU (0: one per core).
            max_batch: maximum number of pictures per call, for a model with a dynamic batch.
            picture_size: `(height, width)` in pixels, for a model with a dynamic input size.
            engine_cache: folder in which TensorRT engines are cached, because building one takes minutes. If it is not
                writable, they are built at every load.
            warm_up: run the model once on a blank picture. This makes the first real call fast and proves that a GPU
                works; without it, a GPU counts as working once ONNX Runtime accepts it.
            any_input: also accept bytes, channels last, a single picture without a batch, an input for the sizes of the
                pictures, and outputs without one row per picture.

        Raises:
            ModelError: the file or a part of it is missing, it is not an ONNX file, does not take pictures, or cannot
                run on `device`.
        """
        checksum = onnx_checksum(path)
        # The CPU supports every operator, so if it cannot open the model, the file is at fault and not the device.
        try:
            session = _open_session(path, threads, [_PROVIDERS["cpu"]])
            on_cpu = cls._of(session, path, checksum, "cpu", max_batch, any_input)
            blank = on_cpu.blank(picture_size)
        except _RUNTIME_ERRORS as error:
            raise ModelError(f"{path}: cannot load the model: {cls.reason(error)}; {_CPU_ADVICE}") from None
        failures: dict[Device, str] = {}
        for candidate in _BEST_FIRST if device == "auto" else (device,):
            try:
                model = on_cpu
                if candidate != "cpu":
                    engines = _engine_folder(engine_cache, checksum) if candidate == "tensorrt" else None
                    providers = _gpu_providers(candidate, on_cpu, blank.shape, engines)
                    session = _open_session(path, threads, providers)
                    model = cls._of(session, path, checksum, candidate, max_batch, any_input)
                if warm_up:
                    with _quiet():
                        outputs = model._run_piece(blank)
                    if not any_input:
                        model._require_rows(outputs, len(blank))
            except _RUNTIME_ERRORS as error:
                if candidate == "cpu":
                    raise ModelError(f"{path}: {_cpu_failure(on_cpu, blank.shape, cls.reason(error))}") from None
                failures[candidate] = cls.reason(error)
                if device == "auto":
                    log.debug("device not usable", model=path.name, device=candidate, reason=failures[candidate])
                    continue
                trouble = onnx_trouble(candidate, failures[candidate])
                raise ModelError(
                    f"{path}: cannot run on {candidate}: {trouble.reason}; {trouble.advice}, or set backend: auto"
                ) from None
            if candidate == "tensorrt" and engine_cache is not None and engines is None:
                log.warning(
                    "the TensorRT engine cache is not writable, so the engine is built at every start, which takes "
                    "minutes; make the folder writable, or set MTMC_ENGINE_CACHE to one that is",
                    model=path.name,
                    folder=str(engine_cache),
                )
            break
        if candidate == "cpu" and "cuda" in failures:
            return replace(model, gpu_trouble=unused_gpu("cuda", failures["cuda"]))
        return model

    @classmethod
    def _of(cls, session: Any, path: Path, checksum: str, device: Device, max_batch: int, any_input: bool) -> OnnxModel:
        inputs = session.get_inputs()
        dtypes: Mapping[str, Any] = {**_DTYPES, **_BYTES} if any_input else _DTYPES
        pictures = [node for node in inputs if not (any_input and node.name == _SIZES)]
        shape = _pictures_shape(pictures[0].shape, any_input) if len(pictures) == 1 else None
        if shape is None or pictures[0].type not in dtypes:
            found = ", ".join(f"{node.type} {node.shape}" for node in inputs) or "nothing"
            raise ModelError(
                f"{path}: the model's input is {found}, but must be a single float tensor [batch, 3, height, width]; "
                "export the model for RGB pictures with channels first"
            )
        return cls(
            path=path,
            checksum=checksum,
            runtime="onnxruntime",
            device=device,
            metadata=dict(session.get_modelmeta().custom_metadata_map),
            input_shape=shape,
            max_batch=max_batch,
            input_dtype=dtypes[pictures[0].type],
            output_shapes=tuple(_shape(node.shape) for node in session.get_outputs()),
            _session=session,
            _pictures=pictures[0],
            _size_dtype=next((_SIZE_DTYPES.get(node.type, np.int64) for node in inputs if node.name == _SIZES), None),
        )

    @property
    def input_name(self) -> str:
        """See `Model.input_name`."""
        return str(self._pictures.name)

    @property
    def output_names(self) -> tuple[str, ...]:
        """See `Model.output_names`."""
        return tuple(node.name for node in self._session.get_outputs())

    @property
    def takes_bytes(self) -> bool:
        """See `Model.takes_bytes`."""
        return self.input_dtype is np.uint8

    @property
    def takes_sizes(self) -> bool:
        """See `Model.takes_sizes`."""
        return self._size_dtype is not None

    @property
    def channels_last(self) -> bool:
        """See `Model.channels_last`."""
        return _is_channels_last(_shape(self._pictures.shape))

    def _call(self, batch: npt.NDArray[np.floating[Any]]) -> list[Any]:
        pictures = batch.transpose(0, 2, 3, 1) if self.channels_last else batch
        if len(self._pictures.shape) == 3:
            pictures = pictures[0]
        if self.takes_bytes:
            pictures = pictures.round()
        fed: dict[str, Any] = {self.input_name: np.ascontiguousarray(pictures, self.input_dtype)}
        if self.takes_sizes:
            fed[_SIZES] = np.full((len(batch), 2), batch.shape[:1:-1], self._size_dtype)
        return list(self._session.run(None, fed))

    @staticmethod
    def reason(error: Exception) -> str:
        # Remove the error code and the source location that precede the sentence.
        text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", Model.reason(error))
        return re.sub(r"^/\S+\.(?:cc|h):\d+ .*?\) (?=[A-Z\[])", "", text)


def onnx_checksum(path: Path) -> str:
    """The checksum of an ONNX model: that of its file, or of the file and all parts that it names.

    Raises:
        ModelError: the file or a part is missing or cannot be read, or a part is cut off or outside of its folder.
    """
    return checksum_of(path, [part.path for part in external_parts(path)])


_CPU_ADVICE = "export it again with an opset that this onnxruntime supports"


def _cpu_failure(model: OnnxModel, tried: tuple[int, ...], reason: str) -> str:
    """Why the model does not run, and what to do: its input may be open, but not for every size."""
    if None not in model.input_shape[2:]:
        return f"cannot run on cpu: {reason}; {_CPU_ADVICE}"
    return (
        f"cannot run on pictures of {tried[2]}×{tried[3]} pixels (height × width): {reason}; set detector.size (for an "
        "embedder its width and height) to a size that it takes, usually a multiple of 32, or export it with a fixed "
        "size"
    )


def _open_session(path: Path, threads: int, providers: list[Any]) -> Any:
    """A session that runs on the first of `providers`; raises one of `_RUNTIME_ERRORS` if that is impossible."""
    wanted = providers[0][0] if isinstance(providers[0], tuple) else providers[0]
    if wanted not in onnxruntime.get_available_providers():
        raise RuntimeError("this build of ONNX Runtime does not support the device")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _SEVERITY_FATAL  # relevant problems are raised as errors
    # Threads that spin while waiting for the next picture use five times the CPU time of the work itself (measured at
    # 15 calls a second), and other processes share the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # ONNX Runtime plans the memory of each batch size that it sees, and keeps it. Ours differ from call to call: a
    # worker grew by another 10 MiB now and then, and needed 35 MiB more with the demo's models, at the same speed.
    options.enable_mem_pattern = wanted != _PROVIDERS["cpu"]
    if wanted != _PROVIDERS["cpu"]:
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    try:
        with _quiet():
            if wanted != _PROVIDERS["cpu"] and hasattr(onnxruntime, "preload_dlls"):  # finds CUDA in pip's packages
                onnxruntime.preload_dlls()
            session = onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    except (ort_errors.InvalidProtobuf, ort_errors.NoModel) as error:
        raise ModelError(
            f"{path}: is not an ONNX model ({OnnxModel.reason(error)}); export the weights to ONNX, or download the "
            "file again"
        ) from None
    if wanted not in session.get_providers():  # ONNX Runtime drops an unusable provider without an error
        raise RuntimeError("ONNX Runtime cannot load what it needs for the device")
    if wanted != _PROVIDERS["cpu"]:
        _require_gpu_nodes(session, wanted, path)
    return session


def _require_gpu_nodes(session: Any, wanted: str, path: Path) -> None:
    """Raise RuntimeError if the model's work is not done by the provider `wanted`, but by the CPU.

    ONNX Runtime gives a node to the CPU without an error if the provider lacks its operator or type.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):  # an older ONNX Runtime does not tell
        return
    parts = session.get_provider_graph_assignment_info()
    nodes = [(part.ep_name, node.op_type) for part in parts for node in part.get_nodes()]
    if nodes and all(provider != wanted for provider, _ in nodes):
        raise RuntimeError(f"ONNX Runtime gave none of the model's {len(nodes)} nodes to {wanted}")
    costly = [provider for provider, operator in nodes if any(word in operator for word in _COSTLY)]
    on_cpu = costly.count(_PROVIDERS["cpu"])
    if 2 * on_cpu > len(costly):
        raise RuntimeError(
            f"{wanted} lacks the operators of the model: ONNX Runtime left {on_cpu} of its {len(costly)} convolutions "
            "and matrix products to the CPU; use the model in single or half precision"
        )
    if on_cpu:
        log.warning(
            "the GPU lacks some operators of the model, so a part of it runs on the CPU",
            model=path.name,
            provider=wanted,
            convolutions_and_products=len(costly),
            on_cpu=on_cpu,
        )


def _engine_folder(engine_cache: Path | None, checksum: str) -> Path | None:
    """The folder for the engines of one model; None if there is no writable cache.

    ONNX Runtime names an engine after the model's file and inputs, not after its weights. If all models shared a
    folder, new weights under an old name would run with the old engine.
    """
    if engine_cache is None:
        return None
    folder = engine_cache / checksum
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder if os.access(folder, os.W_OK) else None


def _gpu_providers(device: Device, model: OnnxModel, blank_shape: tuple[int, ...], engines: Path | None) -> list[Any]:
    # The default, an exhaustive search, would stall for a second at every new number of crops.
    cuda = (_PROVIDERS["cuda"], {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"})
    if device == "cuda":
        return [cuda, _PROVIDERS["cpu"]]
    options: dict[str, str] = {}
    if engines is not None:
        options |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(engines)}
        options |= {"trt_timing_cache_enable": "True", "trt_timing_cache_path": str(engines)}
    if None in model.input_shape:
        # Dynamic dimensions need bounds in advance, or every new number of pictures would build a new engine.
        for bound, count in (("min", 1), ("opt", max(1, model.max_batch // 4)), ("max", model.max_batch)):
            shape = "x".join(str(side) for side in (model.batch_size or count, *blank_shape[1:]))
            options[f"trt_profile_{bound}_shapes"] = f"{model.input_name}:{shape}"
    return [(_PROVIDERS["tensorrt"], options), cuda, _PROVIDERS["cpu"]]


def _quiet() -> contextlib.AbstractContextManager[None]:
    """Suppress the messages that ONNX Runtime prints about missing GPU libraries on machines without a GPU."""
    severity = onnxruntime.set_default_logger_severity
    return quiet(lambda: severity(_SEVERITY_FATAL), lambda: severity(_SEVERITY_WARNING))


def _pictures_shape(dimensions: list[int | str | None], any_input: bool) -> tuple[int | None, ...] | None:
    """`(batch, 3, height, width)` of an input for pictures; None if it is not one."""
    shape = _shape(dimensions)
    if any_input and len(shape) == 3 and shape[0] == 3:
        return (1, *shape)
    if any_input and _is_channels_last(shape):
        return (shape[0], 3, shape[1], shape[2])
    return shape if len(shape) == 4 and shape[1] in (None, 3) else None


def _is_channels_last(shape: tuple[int | None, ...]) -> bool:
    return len(shape) == 4 and shape[3] == 3 and shape[1] != 3


def _shape(dimensions: list[int | str | None]) -> tuple[int | None, ...]:
    return tuple(side if isinstance(side, int) and side > 0 else None for side in dimensions)
