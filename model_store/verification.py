"""`mtmc models verify`: whether model files hold what their publishers, or mtmc, put into them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from model_store.store import KnownModel, ModelStore
from shared.errors import MtmcError

_DAMAGED = 1


@dataclass(frozen=True)
class Finding:
    """What came of one file."""

    name: str
    file: str
    fault: str | None
    """None: it is sound."""


def verify(words: Sequence[str], store: ModelStore, console: Console, *, as_json: bool) -> int:
    """Checks the files of models, or files named like theirs; without `words` all that should be here.

    Returns the exit code: 1 when one is damaged or missing.

    Raises:
        MtmcError: a word is neither a known name nor a file with the name of one, or a file cannot be read.
    """
    findings = [_finding(model, path) for model, path in _chosen(words, store)]
    if as_json:
        console.out(json.dumps({"files": [asdict(finding) for finding in findings]}), highlight=False)
    for finding in () if as_json else findings:
        style = "bold red" if finding.fault else ""
        text = f"{finding.file}: {finding.fault or 'sound'}"
        console.print(text, style=style, markup=False, soft_wrap=True)
    if not findings and not as_json:
        console.print(f"no model is in {store.folder} yet; `mtmc models pull NAME` fetches one", soft_wrap=True)
    return _DAMAGED if any(finding.fault for finding in findings) else 0


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


def _finding(model: KnownModel, path: Path) -> Finding:
    fault = model.fault_of(path) if path.is_file() else "there is no such file"
    if fault is not None and path == model.path:
        mend = "install mtmc again" if model.is_shipped else f"`mtmc models pull {model.entry.name}` fetches it"
        fault = f"{fault}; {mend}"
    return Finding(model.entry.name, str(path), fault)
