"""One ONNX file on ONNX Runtime, on the best device that really works."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime
import structlog
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from shared.errors import ModelError

log = structlog.get_logger()

Device = Literal["tensorrt", "cuda", "cpu"]

_BEST_FIRST: tuple[Device, ...] = ("tensorrt", "cuda", "cpu")
_PROVIDERS: Mapping[Device, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
_DTYPES: Mapping[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
# ONNX Runtime derives none of its errors from a class of its own.
_RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    ort_errors.EngineError,
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
    RuntimeError,
    ValueError,
)
_SEVERITY_WARNING, _SEVERITY_FATAL = 2, 4


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A loaded model whose only input is a batch of pictures, `[batch, 3, height, width]`."""

    path: Path
    checksum: str
    """First 16 hex digits of the file's SHA-256: what tells two embedders apart."""
    device: Device
    metadata: Mapping[str, str]
    input_name: str
    input_shape: tuple[int | None, ...]
    """None where the model leaves a dimension open."""
    input_dtype: type[np.floating[Any]]
    output_shapes: tuple[tuple[int | None, ...], ...]
    max_batch: int
    """Pictures per call at most, for a model with an open batch; bounds its memory."""
    _session: Any = field(repr=False)

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        device: Literal["auto", "tensorrt", "cuda", "cpu"] = "auto",
        threads: int = 0,
        max_batch: int = 32,
        picture_size: tuple[int, int] | None = None,
        engine_cache: Path | None = None,
        warm_up: bool = True,
    ) -> OnnxModel:
        """The model in `path`, on `device`; `auto` takes TensorRT, CUDA or the CPU, the first that runs it.

        `threads` are those of one model call on the CPU (0: one per core). `picture_size` is `(height, width)` for
        a model that leaves its own open. `engine_cache` keeps TensorRT's engines, which take minutes to build.
        `warm_up` runs one blank picture: it makes the first real call fast and proves that a GPU works; without it
        a GPU counts as working once ONNX Runtime accepts it.

        Raises ModelError when the file is missing, no ONNX file or takes no pictures, or `device` cannot run it.
        """
        checksum = _checksum(path)
        # The CPU knows every operator, so what it cannot open is the file's fault and not a device's.
        try:
            on_cpu = cls._of(_open_session(path, threads, [_PROVIDERS["cpu"]]), path, checksum, "cpu", max_batch)
            blank = on_cpu.blank(picture_size)
        except _RUNTIME_ERRORS as error:
            raise ModelError(f"{path}: cannot be opened: {_first_line(error)}; {_ADVICE['cpu']}") from None
        for candidate in _BEST_FIRST if device == "auto" else (device,):
            try:
                model = on_cpu
                if candidate != "cpu":
                    providers = _gpu_providers(candidate, on_cpu, blank.shape, engine_cache)
                    session = _open_session(path, threads, providers)
                    model = cls._of(session, path, checksum, candidate, max_batch)
                if warm_up:
                    with _silence():
                        model._run_piece(blank)
            except _RUNTIME_ERRORS as error:
                if device == "auto" and candidate != "cpu":
                    log.debug("device not usable", model=path.name, device=candidate, reason=_first_line(error))
                    continue
                raise ModelError(
                    f"{path}: cannot run on {candidate}: {_first_line(error)}; {_ADVICE[candidate]}"
                ) from None
            break
        return model

    @classmethod
    def _of(cls, session: Any, path: Path, checksum: str, device: Device, max_batch: int) -> OnnxModel:
        inputs = session.get_inputs()
        shape = _shape(inputs[0].shape) if inputs else ()
        if len(inputs) != 1 or len(shape) != 4 or shape[1] not in (None, 3) or inputs[0].type not in _DTYPES:
            found = ", ".join(f"{node.type} {node.shape}" for node in inputs) or "nothing"
            raise ModelError(
                f"{path}: takes {found}, but only one float input [batch, 3, height, width] of pictures is understood; "
                "export the model for single pictures with channels first"
            )
        return cls(
            path=path,
            checksum=checksum,
            device=device,
            metadata=dict(session.get_modelmeta().custom_metadata_map),
            input_name=inputs[0].name,
            input_shape=shape,
            input_dtype=_DTYPES[inputs[0].type],
            output_shapes=tuple(_shape(node.shape) for node in session.get_outputs()),
            max_batch=max_batch,
            _session=session,
        )

    @property
    def batch_size(self) -> int | None:
        """Pictures per call that the model insists on; None when any number will do."""
        return self.input_shape[0]

    def picture_size(self, default: tuple[int, int] | None = None) -> tuple[int, int]:
        """`(height, width)` of the input: fixed in the graph, else `default`, else `imgsz` of the metadata.

        Raises ModelError when none of them says it.
        """
        _, _, height, width = self.input_shape
        if height is not None and width is not None:
            return height, width
        if default is None and "imgsz" in self.metadata:
            with contextlib.suppress(ValueError, SyntaxError, TypeError):
                stated = ast.literal_eval(self.metadata["imgsz"])
                sides = [int(side) for side in (stated if isinstance(stated, (list, tuple)) else [stated])]
                default = (sides[0], sides[-1]) if sides and min(sides) > 0 else None
        if default is None:
            raise ModelError(
                f"{self.path}: leaves the size of its pictures open and its metadata names no imgsz; "
                "export it with a fixed size, or give the size"
            )
        return height or default[0], width or default[1]

    def blank(self, picture_size: tuple[int, int] | None = None) -> npt.NDArray[np.float32]:
        """A black picture in the smallest batch the model takes, `(batch, 3, height, width)` float32."""
        return np.zeros((self.batch_size or 1, 3, *self.picture_size(picture_size)), np.float32)

    def run(self, batch: npt.NDArray[np.floating[Any]]) -> list[npt.NDArray[Any]]:
        """Every output for `batch` `(n, 3, height, width)`, n ≥ 1; half precision comes back as float32.

        A model with a fixed batch is called once per `batch_size` pictures, the last call padded; an open one once
        per `max_batch` pictures. Raises ModelError when the device fails, for one out of memory.
        """
        if not len(batch):
            raise ValueError("an empty batch has no outputs")
        size = self.batch_size or self.max_batch
        try:
            pieces = [self._run_piece(batch[start : start + size]) for start in range(0, len(batch), size)]
        except _RUNTIME_ERRORS as error:
            raise ModelError(
                f"{self.path}: {len(batch)} pictures {batch.shape[1:]} failed on {self.device}: {_first_line(error)}"
            ) from error
        if len(pieces) == 1:
            return pieces[0]
        return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def _run_piece(self, piece: npt.NDArray[np.floating[Any]]) -> list[npt.NDArray[Any]]:
        count = len(piece)
        missing = (self.batch_size or count) - count
        fed = np.ascontiguousarray(piece, self.input_dtype)
        if missing:
            fed = np.concatenate([fed, np.zeros((missing, *fed.shape[1:]), fed.dtype)])
        outputs = []
        for output in self._session.run(None, {self.input_name: fed}):
            if getattr(output, "shape", ())[:1] != (len(fed),):
                raise ModelError(f"{self.path}: has an output without one row per picture; export it for batches")
            outputs.append(output[:count].astype(np.float32) if output.dtype == np.float16 else output[:count])
        return outputs


_ADVICE: Mapping[Device, str] = {
    "tensorrt": "install TensorRT and a driver that fit this onnxruntime-gpu, or set device: auto",
    "cuda": "install the NVIDIA driver and `pip install 'onnxruntime-gpu[cuda,cudnn]'`, or set device: auto",
    "cpu": "export it again with an opset that this onnxruntime knows",
}


def _checksum(path: Path) -> str:
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such model file; download it there, or correct the path") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); give the path of a readable ONNX file") from None
    return digest.hexdigest()[:16]


def _open_session(path: Path, threads: int, providers: list[Any]) -> Any:
    """A session whose first provider is that of `providers`; raises one of the runtime's errors otherwise."""
    wanted = providers[0][0] if isinstance(providers[0], tuple) else providers[0]
    if wanted not in onnxruntime.get_available_providers():
        raise RuntimeError("this build of ONNX Runtime does not know the device")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _SEVERITY_FATAL  # what matters comes back as an error
    # Threads that spin while they wait for the next picture cost five times the processor time of the work itself
    # (measured at 15 calls a second), and other processes share the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        with _silence():
            if wanted != _PROVIDERS["cpu"] and hasattr(onnxruntime, "preload_dlls"):  # finds CUDA in pip's packages
                onnxruntime.preload_dlls()
            session = onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
    except (ort_errors.InvalidProtobuf, ort_errors.InvalidGraph, ort_errors.NoModel):
        raise ModelError(
            f"{path}: is not an ONNX model; export the weights to ONNX, or download the file again"
        ) from None
    if wanted not in session.get_providers():  # listed by the build, left out without an error
        raise RuntimeError("its libraries or its driver are missing on this machine")
    return session


def _gpu_providers(
    device: Device, model: OnnxModel, blank_shape: tuple[int, ...], engine_cache: Path | None
) -> list[Any]:
    # The exhaustive search is the default, and would stall for a second at every new number of crops.
    cuda = (_PROVIDERS["cuda"], {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"})
    if device == "cuda":
        return [cuda, _PROVIDERS["cpu"]]
    options: dict[str, str] = {}
    if engine_cache is not None:
        engine_cache.mkdir(parents=True, exist_ok=True)
        options |= {"trt_engine_cache_enable": "True", "trt_engine_cache_path": str(engine_cache)}
        options |= {"trt_timing_cache_enable": "True", "trt_timing_cache_path": str(engine_cache)}
    if None in model.input_shape:
        # Open dimensions need their bounds beforehand, or every new number of pictures would build a new engine.
        for bound, count in (("min", 1), ("opt", max(1, model.max_batch // 4)), ("max", model.max_batch)):
            shape = "x".join(str(side) for side in (model.batch_size or count, *blank_shape[1:]))
            options[f"trt_profile_{bound}_shapes"] = f"{model.input_name}:{shape}"
    return [(_PROVIDERS["tensorrt"], options), cuda, _PROVIDERS["cpu"]]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps ONNX Runtime from telling a machine without a GPU, on stderr and stdout, all that a GPU would need."""
    onnxruntime.set_default_logger_severity(_SEVERITY_FATAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        onnxruntime.set_default_logger_severity(_SEVERITY_WARNING)


def _shape(dimensions: list[int | str | None]) -> tuple[int | None, ...]:
    return tuple(side if isinstance(side, int) and side > 0 else None for side in dimensions)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # What stands before the sentence are places in the runtime's own sources.
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", lines[0])
    return re.sub(r"^/\S+\.(?:cc|h):\d+ .*?\) (?=[A-Z\[])", "", text)[:300]
