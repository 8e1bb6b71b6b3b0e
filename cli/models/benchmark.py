"""`mtmc models benchmark`: prints what a model is and how fast it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from model_store.benchmark import CROP_SIDE, PICTURE_HEIGHT, PICTURE_WIDTH, BatchTiming
from shared.terminal_tables import print_table


def show_benchmark(
    word: str,
    facts: Mapping[str, Any],
    timings: Sequence[BatchTiming],
    console: Console,
    *,
    threads: int,
    as_json: bool,
) -> None:
    """Prints the `facts` about the model given as `word` on the command line, and its timings."""
    if as_json:
        content = {"model": word, **facts, "threads": threads, "timings": list(map(asdict, timings))}
        console.out(json.dumps(content), highlight=False)
        return
    for key, value in _lines(facts):
        console.print(f"{key:<11}{value}", markup=False, soft_wrap=True)
    print_table(console, _table(timings))
    if facts["kind"] == "detector":
        what, noise = "picture", f"{PICTURE_WIDTH}×{PICTURE_HEIGHT} noise"
    else:
        what, noise = "crop", f"{CROP_SIDE}×{CROP_SIDE} boxes of noise"
    console.print(
        f"Times are milliseconds per {what}, including pre- and post-processing. Input: {noise}.", soft_wrap=True
    )


def _lines(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if facts["kind"] == "detector":
        names = facts["classes"]
        yield "detector", f"{facts['head']} head"
        yield "classes", f"{len(names)}: {', '.join(names[:10])}{', …' if len(names) > 10 else ''}"
    else:
        yield "embedder", f"{facts['dimension']} dimensions"
    batch = facts["fixed_batch"]
    yield (
        "input",
        f"{facts['input_width']}×{facts['input_height']}, batch size {'any' if batch is None else batch}",
    )
    yield "runs on", f"{facts['device']} ({facts['runtime']})"
    if facts["gpu_problem"] is not None:
        yield "not on GPU", f"{facts['gpu_problem']} (mtmc doctor says what to do)"
    yield "checksum", facts["checksum"]


def _table(timings: Sequence[BatchTiming]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("batch", "calls", "min", "median", "p90", "per second"):
        table.add_column(heading, justify="right")
    for timing in timings:
        times = (f"{ms:.2f}" for ms in (timing.min_ms, timing.median_ms, timing.p90_ms))
        table.add_row(str(timing.batch), str(timing.calls), *times, f"{1000 / timing.median_ms:.1f}")
    return table
