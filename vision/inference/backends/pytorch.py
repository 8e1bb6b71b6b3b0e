"""PyTorch models on a GPU or the CPU, and TensorRT engines, which run through PyTorch as well."""

from __future__ import annotations

import importlib.util
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import structlog

from shared.errors import ModelError
from vision.inference.backends.model import Device, Model, WantedDevice, checksum_of
from vision.inference.backends.quiet import quiet
from vision.inference.backends.torch_extra import first_sentence, import_torch
from vision.inference.backends.torch_files import is_engine, open_network

_log = structlog.get_logger()

_CALL_ERRORS: tuple[type[Exception], ...] = (RuntimeError, ValueError, AssertionError)
# PyTorch and Ultralytics raise any of these for a file that they cannot use.
_LOAD_ERRORS: tuple[type[Exception], ...] = (
    *_CALL_ERRORS,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    TypeError,
    pickle.UnpicklingError,
)
_ADVICE: Mapping[Device, str] = {
    "tensorrt": "an engine needs the GPU and TensorRT version it was built for; use the original .pt or .onnx file",
    "cuda": "install the NVIDIA driver and a PyTorch built for CUDA, or set backend: auto",
    "cpu": "use an Ultralytics checkpoint, TorchScript, or an ONNX export",
}


@dataclass(frozen=True, eq=False)
class TorchModel(Model):
    """A network whose inputs and outputs are PyTorch tensors."""

    half: bool
    """Whether it computes in half precision."""
    _network: Callable[[Any], Any] = field(repr=False)

    _errors: ClassVar[tuple[type[Exception], ...]] = _CALL_ERRORS

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        device: WantedDevice = "auto",
        threads: int = 0,
        max_batch: int = 32,
        picture_size: tuple[int, int] | None = None,
    ) -> TorchModel:
        """Load the model in `path`. An engine requires TensorRT; others run on CUDA in half precision, or on the CPU.

        Args:
            path: a checkpoint, TorchScript or TensorRT engine.
            device: `auto` selects the first GPU if it works, else the CPU.
            threads: threads of one model call on the CPU, for all models of the process (0: PyTorch's default).
            max_batch: maximum number of pictures per call, for a model with a dynamic batch.
            picture_size: `(height, width)` in pixels, for a model that does not contain its size.

        Raises:
            ModelError: the file is missing or of another kind, cannot run on `device`, or the extra is not installed.
        """
        checksum = checksum_of(path)
        possible: tuple[Device, ...] = ("tensorrt",) if is_engine(path) else ("cuda", "cpu")
        if device != "auto" and device not in possible:
            raise ModelError(
                f"{path}: runs on {' and '.join(possible)}, not on {device}; set backend: auto, or export it again"
            )
        torch = import_torch()
        if threads:
            torch.set_num_threads(threads)
        for candidate in possible if device == "auto" else (device,):
            try:
                with quiet():
                    _require(candidate)
                    model = cls._open(path, checksum, candidate, max_batch, picture_size)
            except _LOAD_ERRORS as error:
                if device == "auto" and candidate != possible[-1]:
                    _log.debug("device not usable", model=path.name, device=candidate, reason=cls.reason(error))
                    continue
                reason = cls.reason(error).removeprefix(f"{path} ")
                raise ModelError(f"{path}: cannot run on {candidate}: {reason}; {_ADVICE[candidate]}") from None
            break
        return model

    @classmethod
    def _open(
        cls, path: Path, checksum: str, device: Device, max_batch: int, picture_size: tuple[int, int] | None
    ) -> TorchModel:
        """The model on `device`: on a GPU in half precision, unless its outputs are not finite then."""
        for half in (True, False) if device == "cuda" else (False,):
            opened = open_network(path, "cpu" if device == "cpu" else "cuda:0", half=half)
            model = cls(
                path=path,
                checksum=checksum,
                runtime="tensorrt" if device == "tensorrt" else "pytorch",
                device=device,
                metadata=opened.metadata,
                input_shape=opened.input_shape,
                max_batch=min(max_batch, opened.max_batch),
                half=half,
                _network=opened.network,
            )
            blank = model.blank(picture_size)
            # Makes the first real call fast and proves that a GPU works.
            try:
                outputs = model._run_piece(blank)
            except _CALL_ERRORS as error:
                if not half:
                    raise
                _log.info("runs in full precision", model=path.name, reason=cls.reason(error))
                continue
            model._require_rows(outputs, len(blank))
            if not half or all(np.isfinite(output).all() for output in outputs):
                break
            _log.info("runs in full precision", model=path.name, reason="its outputs in half precision are not finite")
        return model

    @property
    def torch_device(self) -> str:
        """The device's name in PyTorch."""
        return "cpu" if self.device == "cpu" else "cuda:0"

    @property
    def dtype(self) -> Any:
        """PyTorch's type of the input."""
        torch = import_torch()
        return torch.float16 if self.half else torch.float32

    def tensors(self, pictures: Any) -> list[Any]:
        """The outputs for `pictures`, `(n, 3, height, width)` of `dtype` on `torch_device`; they stay there."""
        torch = import_torch()
        # TorchScript would compile again, for seconds, for batch sizes that it has not seen.
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            output = self._network(pictures)
        # A checkpoint also outputs values that only training needs.
        return [output] if torch.is_tensor(output) else [item for item in output if torch.is_tensor(item)]

    def _call(self, batch: npt.NDArray[np.floating[Any]]) -> list[Any]:
        torch = import_torch()
        pictures = torch.from_numpy(np.ascontiguousarray(batch, np.float32)).to(self.torch_device, self.dtype)
        return [item.cpu().numpy() for item in self.tensors(pictures)]

    @staticmethod
    def reason(error: Exception) -> str:
        return first_sentence(error)


def _require(device: Device) -> None:
    """Raise RuntimeError if this machine has no such `device`."""
    if device != "cpu" and not import_torch().cuda.is_available():
        raise RuntimeError("PyTorch found no NVIDIA GPU")
    if device == "tensorrt" and importlib.util.find_spec("tensorrt") is None:
        raise RuntimeError("the package tensorrt is not installed")
