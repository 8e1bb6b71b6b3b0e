"""Whether model files hold what their publishers, or mtmc, put into them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from model_store.store import KnownModel, ModelStore
from shared.errors import MtmcError


@dataclass(frozen=True)
class VerifiedFile:
    """One file that was compared with the manifest."""

    name: str
    file: str
    fault: str | None
    """None: it is sound."""


def verify_files(words: Sequence[str], store: ModelStore) -> list[VerifiedFile]:
    """Checks the files of models, or files named like theirs; without `words` all that should be here.

    Raises:
        MtmcError: a word is neither a known name nor a file with the name of one, or a file cannot be read.
    """
    return [_verified(model, path) for model, path in _chosen(words, store)]


def _chosen(words: Sequence[str], store: ModelStore) -> list[tuple[KnownModel, Path]]:
    if not words:
        return [(model, model.path) for model in store.known if model.is_shipped or model.path.is_file()]
    chosen = []
    for word in words:
        model, path = store.found(word)
        if model is None:
            raise MtmcError(
                f"{path}: no known model has a file of this name, so there is nothing to compare it with; "
                "see `mtmc models list`"
            )
        chosen.append((model, path))
    return chosen


def _verified(model: KnownModel, path: Path) -> VerifiedFile:
    fault = model.fault_of(path) if path.is_file() else "there is no such file"
    if fault is not None and path == model.path:
        remedy = "install mtmc again" if model.is_shipped else f"`mtmc models pull {model.entry.name}` fetches it"
        fault = f"{fault}; {remedy}"
    return VerifiedFile(model.entry.name, str(path), fault)
