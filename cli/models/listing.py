"""`mtmc models list`: every known model, and whether it is on this machine."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from model_store.store import KnownModel, ModelStore
from shared.terminal_tables import print_table

_STYLES = {"here": "green", "damaged": "bold red", "partial": "yellow", "missing": ""}


def list_models(store: ModelStore, console: Console, *, as_json: bool) -> None:
    """Prints all models.

    Raises:
        MtmcError: the folder for downloaded models cannot be read.
    """
    if as_json:
        content = {"folder": str(store.folder), "models": [_described(model) for model in store.known]}
        console.out(json.dumps(content), highlight=False)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("name", "kind", "description"):
        table.add_column(heading, overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    for heading in ("licence", "downloaded"):
        table.add_column(heading, no_wrap=True)
    for model in store.known:
        entry = model.entry
        texts = (entry.name, entry.kind, entry.what, f"{entry.size_bytes / 1e6:.1f} MB", entry.licence)
        table.add_row(*map(Text, texts), _presence(model))
    print_table(console, table)
    console.print(
        f"`mtmc models pull NAME` downloads to {store.folder}. A site file can also name a detector of Ultralytics "
        "(AGPL-3.0), such as yolo11n; these need the extra 'torch'.",
        markup=False,
        soft_wrap=True,
    )


def _described(model: KnownModel) -> dict[str, Any]:
    entry = model.entry
    return {
        **entry.model_dump(mode="json", exclude={"settings"}),
        "shipped": model.is_shipped,
        "state": model.state,
        "file": str(model.path),
        "site": entry.section(model.path),
    }


def _presence(model: KnownModel) -> Text:
    state = model.state
    words = {
        "here": "shipped" if model.is_shipped else "yes",
        "damaged": "damaged",
        "partial": "partly",
        "missing": "missing" if model.is_shipped else "no",
    }
    return Text(words[state], style="bold red" if model.is_shipped and state == "missing" else _STYLES[state])
