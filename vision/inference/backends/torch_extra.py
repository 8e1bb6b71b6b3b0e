"""PyTorch and Ultralytics, the extra `torch`: imported when a model needs them, and kept from acting by themselves."""

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
    "YOLO_OFFLINE": "true",  # no statistics, no look-ups; a download that is asked for works all the same
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "true",  # a checkpoint is a pickle, and could run anything
}


def import_torch() -> Any:
    """The module `torch`.

    Raises ModelError when it is not installed.
    """
    # Threads that spin while they wait for the next picture double the processor time of a call (measured at ten
    # calls a second). OpenMP reads this when PyTorch loads it.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return _import("torch")


def import_ultralytics(module: str) -> Any:
    """The `module` of Ultralytics, e.g. `nn.autobackend`.

    Raises ModelError when it is not installed.
    """
    import_torch()  # first, because Ultralytics sets the threads of a PyTorch that is loaded after it to one
    os.environ.update(_ULTRALYTICS_SETTINGS)
    opencv_threads = cv2.getNumThreads()
    try:
        # It writes settings, with statistics switched on, when it is imported first, and never reads them again.
        with tempfile.TemporaryDirectory(prefix="mtmc-ultralytics-") as folder:
            os.environ["YOLO_CONFIG_DIR"] = folder
            package = _import("ultralytics")
            package.settings.update(sync=False)
        return _import(f"ultralytics.{module}")
    finally:
        cv2.setNumThreads(opencv_threads)


def what_it_said(error: Exception) -> str:
    """The first sentence of an error of PyTorch or Ultralytics, without its ornaments."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
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
        raise ModelError(f"{module} is installed, but broken ({what_it_said(error)}); install it anew") from None
