"""Why a runtime does not use the GPU that is present, and what mends it."""

from __future__ import annotations

import contextlib
import ctypes
import re
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import onnxruntime

from vision.inference import gpus
from vision.inference.gpus import Gpus, GpuTrouble

_OLDEST_DRIVER = {12: 525, 13: 580}
"""Major version of CUDA → the oldest Linux driver that supports it, from the release notes of CUDA."""
_LIBRARY = re.compile(r"(?P<file>lib(?P<name>\w+)\.so\.?(?P<major>\d*)\S*): cannot open shared object file")
_CHECK_IT = "check with `nvidia-smi` that the GPU works and has free memory"


def onnx_trouble(device: Literal["tensorrt", "cuda"], failure: str, found: Gpus | None = None) -> GpuTrouble:
    """Why ONNX Runtime does not use the GPU; `failure`: what it said itself. `found`: as `look` returned it."""
    found = found or gpus.look()
    provider = {"tensorrt": "TensorrtExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
    version, cuda = onnxruntime.__version__, _cuda_of_onnx_runtime()
    return (
        _of_machine(found)
        or _of_build(device, provider, version)
        or _of_driver(found, f"ONNX Runtime {version}", cuda)
        or _of_libraries(device, version, cuda)
        or GpuTrouble(failure, _CHECK_IT)
    )


def torch_trouble(failure: str, torch: Any) -> GpuTrouble:
    """Why PyTorch does not use the GPU; `failure`: what it said itself. `torch`: the module."""
    found, built_for, name = gpus.look(), torch.version.cuda, f"PyTorch {torch.__version__}"
    if (trouble := _of_machine(found)) is not None:
        return trouble
    if built_for is None:
        return GpuTrouble(
            f"the installed {name} is built without CUDA",
            "install the build for CUDA: `pip install --force-reinstall torch` as https://pytorch.org/get-started says",
        )
    return _of_driver(found, name, int(built_for.split(".")[0])) or GpuTrouble(failure, _CHECK_IT)


def unused_gpu(device: Literal["tensorrt", "cuda"], failure: str) -> GpuTrouble | None:
    """As `onnx_trouble`; None if no GPU is present, which is no trouble."""
    found = gpus.look()
    return onnx_trouble(device, failure, found) if found.present else None


def _of_machine(found: Gpus) -> GpuTrouble | None:
    if found.hidden:
        return GpuTrouble("CUDA_VISIBLE_DEVICES hides every GPU", "unset it, or name a GPU there")
    if not found.present:
        return GpuTrouble("this machine has no NVIDIA GPU", "use one that has")
    return found.trouble


def _of_build(device: str, provider: str, version: str) -> GpuTrouble | None:
    if provider in onnxruntime.get_available_providers():
        return None
    named = {"tensorrt": "TensorRT", "cuda": "CUDA"}[device]
    return GpuTrouble(
        f"the installed ONNX Runtime {version} is built without {named}",
        "install the GPU build: `pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'mtmc[cuda]'`",
    )


def _of_driver(found: Gpus, runtime: str, cuda: int | None) -> GpuTrouble | None:
    if cuda is None or found.cuda is None or found.cuda[0] >= cuda:
        return None
    newer = f" to version {_OLDEST_DRIVER[cuda]} or newer" if cuda in _OLDEST_DRIVER else ""
    return GpuTrouble(
        f"the NVIDIA driver supports CUDA {found.cuda[0]}.{found.cuda[1]}, but {runtime} needs CUDA {cuda}",
        f"update the NVIDIA driver of the host{newer}",
    )


def _of_libraries(device: Literal["tensorrt", "cuda"], version: str, cuda: int | None) -> GpuTrouble | None:
    """The first library that is missing; ONNX Runtime itself names it only on standard error."""
    missing = _missing_library(device)
    if missing is None:
        return None
    cudnn = _cudnn_of_onnx_runtime()
    needs = f"ONNX Runtime {version} needs CUDA {cuda or ''}".rstrip() + (f" and cuDNN {cudnn}" if cudnn else "")
    if missing["name"] in ("nvinfer", "nvinfer_plugin", "nvonnxparser"):
        return GpuTrouble(
            f"{missing['file']} is missing: {needs}, and TensorRT {missing['major']}",
            f"install TensorRT {missing['major']} for CUDA {cuda}, and add the folder of its libraries to "
            "LD_LIBRARY_PATH",
        )
    return GpuTrouble(
        f"{missing['file']} is missing: {needs}",
        "install them with `pip install 'mtmc[cuda]'` (the image of deploy/docker-compose.gpu.yml has them)",
    )


def _missing_library(device: Literal["tensorrt", "cuda"]) -> re.Match[str] | None:
    folder = Path(onnxruntime.__file__).parent / "capi"
    cudnn = _cudnn_of_onnx_runtime()
    wanted = [folder / "libonnxruntime_providers_shared.so", folder / f"libonnxruntime_providers_{device}.so"]
    # The provider opens cuDNN only when it needs it.
    for library in [*map(str, wanted), *([f"libcudnn.so.{cudnn}"] if cudnn else [])]:
        try:
            ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            if (missing := _LIBRARY.search(str(error))) is not None:
                return missing
    return None


def _cuda_of_onnx_runtime() -> int | None:
    """The major version of CUDA that this ONNX Runtime was built for; None: not known."""
    version = str(getattr(onnxruntime, "cuda_version", "")).split(".")[0]
    return int(version) if version.isdecimal() else None


def _cudnn_of_onnx_runtime() -> str | None:
    """The major version of cuDNN that this ONNX Runtime asks pip for; None: not known."""
    with contextlib.suppress(metadata.PackageNotFoundError):
        for requirement in metadata.requires("onnxruntime-gpu") or ():
            if (found := re.match(r"nvidia-cudnn-cu\d+\s*\(?[~=<>]=?\s*(\d+)", requirement)) is not None:
                return found[1]
    return None
