"""Weights published by Ultralytics: downloaded by name once, then cached."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import structlog

from shared.cache_folders import user_cache
from shared.errors import ModelError
from vision.inference.backends.torch_extra import first_sentence, import_ultralytics

_log = structlog.get_logger()


def published_weights(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Path of the weights `name`, e.g. `yolov8s`, in the user's cache; downloads them if they are not cached.

    Raises:
        ModelError: the weights are not cached and cannot be downloaded.
    """
    path = user_cache("weights", environ) / f"{name}.pt"
    if path.is_file():
        return path
    downloads = import_ultralytics("utils.downloads")
    _log.info("downloading published weights", model=name, file=str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        downloads.attempt_download_asset(path, progress=False)
    except (OSError, MemoryError) as error:  # Ultralytics raises MemoryError when the disk is full
        raise ModelError(f"{name}: cannot be downloaded ({first_sentence(error)}); {_advice(name, path)}") from None
    if not path.is_file():
        raise ModelError(f"{name}: is not published by this version of Ultralytics; {_advice(name, path)}")
    return path


def _advice(name: str, path: Path) -> str:
    return f"copy {name}.pt to {path}, or configure the path of a model"
