"""`mtmc models benchmark`: shows what a model is and how fast it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from model_store.benchmark import CROP_SIDE, PICTURE_HEIGHT, PICTURE_WIDTH, BatchTiming


def show_benchmark(
    word: str,
    facts: Mapping[str, Any],
    timings: Sequence[BatchTiming],
    console: Console,
    *,
    threads: int,
    as_json: bool,
) -> None:
    """Shows the `facts` of the model that was given as `word`, and its timings."""
    if as_json:
        content = {"model": word, **facts, "threads": threads, "timings": list(map(asdict, timings))}
        console.out(json.dumps(content), highlight=False)
        return
    for key, value in _lines(facts):
        console.print(f"{key:<11}{value}", markup=False, soft_wrap=True)
    console.print(_table(timings))
    if facts["kind"] == "detector":
        what, noise = "picture", f"pictures of {PICTURE_WIDTH}×{PICTURE_HEIGHT} pixels of noise"
    else:
        what, noise = "crop", f"boxes of {CROP_SIDE}×{CROP_SIDE} pixels of noise"
    console.print(f"Milliseconds for one {what}, with all that a worker does to it; {noise}.", soft_wrap=True)


def _lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if facts["kind"] == "detector":
        names = facts["classes"]
        yield "detector", f"head of {facts['head']}"
        yield "classes", f"{len(names)}: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}"
    else:
        yield "embedder", f"{facts['dimension']} values"
    batch = facts["fixed_batch"]
    yield (
        "input",
        f"{facts['input_width']}×{facts['input_height']}, {'any number' if batch is None else batch} in a call",
    )
    yield "runs on", f"{facts['device']} by {facts['runtime']}"
    yield "checksum", facts["checksum"]


def _table(timings: Sequence[BatchTiming]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("batch", "calls", "min", "median", "p90", "a second"):
        table.add_column(heading, justify="right")
    for timing in timings:
        times = (f"{ms:.2f}" for ms in (timing.min_ms, timing.median_ms, timing.p90_ms))
        table.add_row(str(timing.batch), str(timing.calls), *times, f"{1000 / timing.median_ms:.1f}")
    return table
