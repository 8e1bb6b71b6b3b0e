"""`mtmc models verify`: checks model files and prints the result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console

from model_store.store import ModelStore
from model_store.verification import verify_files


def verify_models(words: Sequence[str], store: ModelStore, console: Console, *, as_json: bool) -> int:
    """Verifies files and prints the result; returns exit code 1 if one is damaged or missing, else 0.

    Raises:
        MtmcError: as `verify_files`.
    """
    files = verify_files(words, store)
    if as_json:
        console.out(json.dumps({"files": [asdict(file) for file in files]}), highlight=False)
    for file in () if as_json else files:
        style = "bold red" if file.fault else ""
        console.print(f"{file.file}: {file.fault or 'ok'}", style=style, markup=False, soft_wrap=True)
    if not files and not as_json:
        console.print(f"no models in {store.folder}; download one: mtmc models pull NAME", soft_wrap=True)
    return 1 if any(file.fault for file in files) else 0
