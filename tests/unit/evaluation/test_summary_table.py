"""The lines about all runs of a summary."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from rich.console import Console

from evaluation.tables import SummaryTable


def verdict(idf1: float, changes: float, late: float) -> Any:
    scores = SimpleNamespace(idf1=idf1, idp=idf1, idr=idf1, hota=idf1, assa=idf1)
    live = SimpleNamespace(
        gid_changes_per_1000_track_seconds=changes, without_gid_share=late, first_gid_seconds_p50=0.4, purity=idf1,
        completeness=idf1,
    )  # fmt: skip
    return SimpleNamespace(multi_camera=scores, bound=scores, live=live)


def test_the_worst_is_the_lowest_score_and_the_most_changes() -> None:
    table, console = SummaryTable("demo"), Console(width=300, record=True)
    table.add("seed 1", verdict(0.9, 4.0, 0.01))
    table.add("seed 2", verdict(0.7, 8.0, 0.03))
    table.add_mean_and_worst()
    table.show(console)
    lines = {line.split("  ")[0]: line.split() for line in console.export_text().splitlines()}
    assert lines["mean"][1:10] == [*["0.800"] * 8, "6.0"]
    assert lines["worst"][1:10] == [*["0.700"] * 8, "8.0"]
    assert "2.0 %" in " ".join(lines["mean"])
    assert "3.0 %" in " ".join(lines["worst"])
