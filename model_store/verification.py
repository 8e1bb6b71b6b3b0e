"""Verifies model files against the size and checksum in the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.store import KnownModel, ModelStore
from shared.errors import MtmcError


@dataclass(frozen=True)
class VerifiedFile:
    """The result for one file."""

    name: str
    file: str
    fault: str | None
    """What is wrong; None if the file is intact."""


def verify_files(words: Sequence[str], store: ModelStore) -> list[VerifiedFile]:
    """Verifies the files of models, or files with the name of a model's file; without `words`, all local ones.

    Raises:
        MtmcError: a word is neither a known model nor a file with the name of one, or a file cannot be read.
    """
    return [_verified(model, path) for model, path in _chosen(words, store)]


def _chosen(words: Sequence[str], store: ModelStore) -> list[tuple[KnownModel, Path]]:
    if not words:
        return [(model, model.path) for model in store.known if model.is_shipped or model.path.is_file()]
    chosen = []
    for word in words:
        model, path = store.found(word)
        if model is None:
            raise MtmcError(f"{path}: no known model has a file of this name; see `mtmc models list`")
        chosen.append((model, path))
    return chosen


def _verified(model: KnownModel, path: Path) -> VerifiedFile:
    fault = model.fault_of(path) if path.is_file() else "file not found"
    if fault is not None and path == model.path:
        remedy = "reinstall mtmc" if model.is_shipped else f"run: mtmc models pull {model.entry.name}"
        fault = f"{fault}; {remedy}"
    return VerifiedFile(model.entry.name, str(path), fault)
