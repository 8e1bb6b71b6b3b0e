"""ONNX models on ONNX Runtime, on the fastest device that works."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnxruntime
import structlog
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from shared.errors import ModelError
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

    input_name: str
    input_dtype: type[np.floating[Any]]
    output_shapes: tuple[tuple[int | None, ...], ...]
    _session: Any = field(repr=False)

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

        Raises:
            ModelError: the file is missing, is not an ONNX file, does not take pictures, or cannot run on `device`.
        """
        checksum = checksum_of(path)
        # The CPU supports every operator, so if it cannot open the model, the file is at fault and not the device.
        try:
            on_cpu = cls._of(_open_session(path, threads, [_PROVIDERS["cpu"]]), path, checksum, "cpu", max_batch)
            blank = on_cpu.blank(picture_size)
        except _RUNTIME_ERRORS as error:
            raise ModelError(f"{path}: cannot load the model: {cls.reason(error)}; {_ADVICE['cpu']}") from None
        for candidate in _BEST_FIRST if device == "auto" else (device,):
            try:
                model = on_cpu
                if candidate != "cpu":
                    engines = _engine_folder(engine_cache, checksum) if candidate == "tensorrt" else None
                    providers = _gpu_providers(candidate, on_cpu, blank.shape, engines)
                    session = _open_session(path, threads, providers)
                    model = cls._of(session, path, checksum, candidate, max_batch)
                if warm_up:
                    with _quiet():
                        model._run_piece(blank)
            except _RUNTIME_ERRORS as error:
                if device == "auto" and candidate != "cpu":
                    log.debug("device not usable", model=path.name, device=candidate, reason=cls.reason(error))
                    continue
                raise ModelError(
                    f"{path}: cannot run on {candidate}: {cls.reason(error)}; {_ADVICE[candidate]}"
                ) from None
            if candidate == "tensorrt" and engine_cache is not None and engines is None:
                log.warning(
                    "the TensorRT engine cache is not writable, so the engine is built at every start, which takes "
                    "minutes; make the folder writable, or set MTMC_ENGINE_CACHE to one that is",
                    model=path.name,
                    folder=str(engine_cache),
                )
            break
        return model

    @classmethod
    def _of(cls, session: Any, path: Path, checksum: str, device: Device, max_batch: int) -> OnnxModel:
        inputs = session.get_inputs()
        shape = _shape(inputs[0].shape) if inputs else ()
        if len(inputs) != 1 or len(shape) != 4 or shape[1] not in (None, 3) or inputs[0].type not in _DTYPES:
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
            input_name=inputs[0].name,
            input_dtype=_DTYPES[inputs[0].type],
            output_shapes=tuple(_shape(node.shape) for node in session.get_outputs()),
            _session=session,
        )

    def _call(self, batch: npt.NDArray[np.floating[Any]]) -> list[Any]:
        return list(self._session.run(None, {self.input_name: np.ascontiguousarray(batch, self.input_dtype)}))

    @staticmethod
    def reason(error: Exception) -> str:
        # Remove the error code and the source location that precede the sentence.
        text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", Model.reason(error))
        return re.sub(r"^/\S+\.(?:cc|h):\d+ .*?\) (?=[A-Z\[])", "", text)


_ADVICE: Mapping[Device, str] = {
    "tensorrt": "install TensorRT and a driver compatible with this onnxruntime-gpu, or set backend: auto",
    "cuda": "install the NVIDIA driver and `pip install 'onnxruntime-gpu[cuda,cudnn]'`, or set backend: auto",
    "cpu": "export it again with an opset that this onnxruntime supports",
}


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
    try:
        with _quiet():
            if wanted != _PROVIDERS["cpu"] and hasattr(onnxruntime, "preload_dlls"):  # finds CUDA in pip's packages
                onnxruntime.preload_dlls()
            session = onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    except (ort_errors.InvalidProtobuf, ort_errors.InvalidGraph, ort_errors.NoModel):
        raise ModelError(
            f"{path}: is not an ONNX model; export the weights to ONNX, or download the file again"
        ) from None
    if wanted not in session.get_providers():  # ONNX Runtime drops an unusable provider without an error
        raise RuntimeError("the device's libraries or driver are missing on this machine")
    return session


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


def _shape(dimensions: list[int | str | None]) -> tuple[int | None, ...]:
    return tuple(side if isinstance(side, int) and side > 0 else None for side in dimensions)
