"""Weights that are given by the name under which Ultralytics publishes them: fetched once, into a cache."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import structlog

from shared.cache_folders import user_cache
from shared.errors import ModelError
from vision.inference.backends.torch_extra import import_ultralytics, what_it_said

_log = structlog.get_logger()


def published_weights(name: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The file of the weights `name`, e.g. `yolov8s`, in the user's cache; fetched when it is not there yet.

    Raises ModelError when it can be neither found nor fetched.
    """
    path = user_cache("weights", environ) / f"{name}.pt"
    if path.is_file():
        return path
    downloads = import_ultralytics("utils.downloads")
    _log.info("fetching published weights", model=name, file=str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        downloads.attempt_download_asset(path, progress=False)
    except (OSError, MemoryError) as error:  # MemoryError is its word for a full disk
        raise ModelError(f"{name}: cannot be fetched ({what_it_said(error)}); {_advice(name, path)}") from None
    if not path.is_file():
        raise ModelError(f"{name}: is not published by this version of Ultralytics; {_advice(name, path)}")
    return path


def _advice(name: str, path: Path) -> str:
    return f"put {name}.pt at {path}, or give the path of a model"
