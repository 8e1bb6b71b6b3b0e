"""Imports PyTorch and Ultralytics (the extra `torch`) on demand, with automatic installs and telemetry disabled."""

from __future__ import annotations

import importlib
import os
import re
import tempfile
from collections.abc import Mapping
from typing import Any

import cv2

from shared.errors import ModelError

_ULTRALYTICS_SETTINGS: Mapping[str, str] = {
    "YOLO_OFFLINE": "true",  # no telemetry and no online checks; explicit downloads still work
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "true",  # a checkpoint is a pickle, which could execute arbitrary code
}


def import_torch() -> Any:
    """Import the module `torch`.

    Raises:
        ModelError: it is not installed, or broken.
    """
    # Threads that spin while waiting for the next picture double the CPU time of a call (measured at ten calls a
    # second). OpenMP reads this when PyTorch loads it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return _import("torch")


def import_ultralytics(module: str) -> Any:
    """Import the `module` of Ultralytics, e.g. `nn.autobackend`.

    Raises:
        ModelError: it is not installed, or broken.
    """
    import_torch()  # first, because Ultralytics limits a PyTorch that is loaded later to one thread
    os.environ.update(_ULTRALYTICS_SETTINGS)
    opencv_threads = cv2.getNumThreads()
    try:
        # At its first import Ultralytics writes a settings file with telemetry enabled, and never reads it again.
        with tempfile.TemporaryDirectory(prefix="mtmc-ultralytics-") as folder:
            os.environ["YOLO_CONFIG_DIR"] = folder
            package = _import("ultralytics")
            package.settings.update(sync=False)
        return _import(f"ultralytics.{module}")
    finally:
        cv2.setNumThreads(opencv_threads)


def first_sentence(error: Exception) -> str:
    """The first sentence of an error of PyTorch or Ultralytics, without emoji and prefixes."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    # TorchScript prints where it failed first, and why last.
    line = lines[-1].removeprefix("RuntimeError: ") if "TorchScript interpreter" in lines[0] else lines[0]
    plain = re.sub(r"^(?:ERROR )?[^\w/.~]*", "", line)
    return re.split(r"\.(?: (?=[A-Z])|$)", plain)[0][:300]


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ModelError(
            f"a model of PyTorch or Ultralytics (.pt, .engine, a name such as yolov8s) needs {error.name}, "
            "which is not installed: `pip install 'mtmc[torch]'`"
        ) from None
    except (ImportError, OSError) as error:
        raise ModelError(f"{module} is installed but broken ({first_sentence(error)}); reinstall it") from None
