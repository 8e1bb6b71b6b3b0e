"""Formats verdicts as tables for the terminal and the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from evaluation.ground_plane import PairCounts
from evaluation.live import LiveFigures
from evaluation.scores import CameraScores, SiteScores
from evaluation.timing import Durations, RunTiming
from evaluation.verdict import Verdict
from shared.terminal_tables import print_table

NOTHING = "–"
_CAMERA_COLUMNS = ("hota", "deta", "assa", "idf1", "mota", "idsw")
_SITE_COLUMNS = ("idf1", "idp", "idr", "hota", "assa")
_SUMMED = (
    "gid_changes_per_1000_track_seconds", "without_gid_share", "first_gid_seconds_p50", "purity", "completeness",
)  # fmt: skip
_NAMES = {"hota": "HOTA", "deta": "DetA", "assa": "AssA", "idf1": "IDF1", "mota": "MOTA", "idsw": "IDSW"}
_NAMES |= {"idp": "IDP", "idr": "IDR"}


def show_run(verdict: Verdict, timing: RunTiming, console: Console) -> None:
    """Print the scores of all cameras together, the scores of each camera, and the live figures."""
    print_table(console, _site_table(verdict))
    console.print()
    print_table(console, _camera_table(verdict))
    console.print()
    print_table(console, _live_table(live_lines(verdict) + timing_lines(timing)))


def show_differences(differences: Mapping[str, Any], console: Console) -> None:
    """Print the differences between a run in live mode and one in virtual mode."""
    table = _table("live mode minus virtual mode", "difference")
    for section in ("multi_camera", "bound", "live"):
        for name, value in (differences.get(section) or {}).items():
            if value is not None:
                table.add_row(f"{section}.{name}", f"{value:+.4g}")
    print_table(console, table)


def score(value: float | None) -> str:
    """Format a score with three decimals."""
    return NOTHING if value is None else f"{value:.3f}"


def site_rows(verdict: Verdict) -> list[tuple[str, list[str]]]:
    """Names and figures of the published gids and of the bound, in the order of `site_headings`."""
    rows = (("published", verdict.multi_camera), ("bound", verdict.bound))
    return [(name, _figures(scores, _SITE_COLUMNS)) for name, scores in rows]


def site_headings() -> list[str]:
    """Column headings of `site_rows`."""
    return [_NAMES[name] for name in _SITE_COLUMNS]


def camera_rows(verdict: Verdict) -> list[tuple[str, list[str], list[str]]]:
    """For each camera its name, the published figures and the figures of the bound."""
    return [
        (name, _figures(scores, _CAMERA_COLUMNS), _figures(verdict.bound_cameras[name], _CAMERA_COLUMNS))
        for name, scores in verdict.cameras.items()
    ]


def camera_headings() -> list[str]:
    """Column headings of `camera_rows`."""
    return [_NAMES[name] for name in _CAMERA_COLUMNS]


def live_lines(verdict: Verdict) -> list[tuple[str, str]]:
    """Name and value, with unit, of each live figure."""
    live = verdict.live
    changes = live.gid_changes_per_1000_track_seconds
    first = (live.first_gid_seconds_p50, live.first_gid_seconds_p90, live.first_gid_seconds_max)
    waits = NOTHING if first[0] is None else " / ".join(f"{value:.2f}" for value in first if value is not None) + " s"
    return [
        ("gid changes per 1,000 track-seconds", NOTHING if changes is None else f"{changes:.1f}"),
        ("boxes without gid after 1 s of track", percent(live.without_gid_share)),
        ("seconds until the first gid, p50 / p90 / max", waits),
        ("purity", score(live.purity)),
        ("completeness", score(live.completeness)),
        ("tracks, of these without any gid", f"{live.tracks}, {live.tracks_without_gid}"),
        ("site time", f"{verdict.ticks * verdict.tick_seconds:.1f} s, {live.track_seconds:.0f} track-seconds"),
    ]


def timing_lines(timing: RunTiming) -> list[tuple[str, str]]:
    """Name and value, with unit, of each known duration."""
    lines = []
    if timing.tick_to_gid_ms is not None:
        lines.append(("from tick to gid, p50 / p95 / max", _durations(timing.tick_to_gid_ms)))
    if timing.cycle_ms is not None:
        lines.append(("aggregator cycle, p50 / p95 / max", _durations(timing.cycle_ms)))
    if timing.run_seconds is not None:
        lines.append(("duration of the run", f"{timing.run_seconds:.1f} s"))
    return lines


def percent(value: float | None) -> str:
    """Format a share of 0 to 1 as a percentage with one decimal."""
    return NOTHING if value is None else f"{100 * value:.1f} %"


def _durations(durations: Durations) -> str:
    return f"{durations.p50:.1f} / {durations.p95:.1f} / {durations.max:.1f} ms"


def _figures(scores: CameraScores | SiteScores | None, names: tuple[str, ...]) -> list[str]:
    if scores is None:
        return [NOTHING] * len(names)
    values = [getattr(scores, name) for name in names]
    return [str(value) if isinstance(value, int) else score(value) for value in values]


def _site_table(verdict: Verdict) -> Table:
    table = _table("all cameras together", *site_headings())
    for name, figures in site_rows(verdict):
        table.add_row(name, *figures, style="dim" if name == "bound" else None)
    return table


def _camera_table(verdict: Verdict) -> Table:
    table = _table("each camera", *camera_headings(), "bound: IDF1", "IDSW")
    for name, published, bound in camera_rows(verdict):
        table.add_row(name, *published, bound[_CAMERA_COLUMNS.index("idf1")], bound[_CAMERA_COLUMNS.index("idsw")])
    return table


def _live_table(lines: list[tuple[str, str]]) -> Table:
    table = _table("live figures", "")
    for name, value in lines:
        table.add_row(name, value)
    return table


def _table(title: str, *headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(title, style="bold", header_style="bold cyan", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


class SummaryTable:
    """A table with one line per run."""

    def __init__(self, title: str) -> None:
        headings = ("IDF1", "IDP", "IDR", "HOTA", "AssA", "bound: IDF1", "HOTA", "AssA")
        live = ("changes /1,000 s", "without gid", "first gid p50", "purity", "compl.")
        self._table = _table(title, *headings, *live)
        self._verdicts: list[Verdict] = []

    def add(self, name: str, verdict: Verdict) -> None:
        """Add the line of one run."""
        self._verdicts.append(verdict)
        published = _figures(verdict.multi_camera, _SITE_COLUMNS)
        bound = _figures(verdict.bound, ("idf1", "hota", "assa"))
        live = verdict.live
        changes = live.gid_changes_per_1000_track_seconds
        first = live.first_gid_seconds_p50
        self._table.add_row(
            name,
            *published,
            *bound,
            NOTHING if changes is None else f"{changes:.1f}",
            percent(live.without_gid_share),
            NOTHING if first is None else f"{first:.2f} s",
            score(live.purity),
            score(live.completeness),
        )

    def add_mean_and_worst(self) -> None:
        """Add two lines about all runs: the mean of each figure, and the worst."""
        scores = [(verdict.multi_camera, verdict.bound, verdict.live) for verdict in self._verdicts]
        columns = [
            *(
                [getattr(published, name) if published else None for published, _, _ in scores]
                for name in _SITE_COLUMNS
            ),
            *([getattr(bound, name) if bound else None for _, bound, _ in scores] for name in ("idf1", "hota", "assa")),
            *([getattr(live, name) for _, _, live in scores] for name in _SUMMED),
        ]
        kept = [[value for value in column if value is not None] for column in columns]
        worst = [min] * 8 + [max] * 3 + [min] * 2
        self._row("mean", [sum(values) / len(values) if values else None for values in kept])
        self._row("worst", [choose(values) if values else None for choose, values in zip(worst, kept, strict=True)])

    def _row(self, name: str, figures: Sequence[float | None]) -> None:
        changes, late, first = figures[8:11]
        self._table.add_row(
            name,
            *(score(value) for value in figures[:8]),
            NOTHING if changes is None else f"{changes:.1f}",
            percent(late),
            NOTHING if first is None else f"{first:.2f} s",
            *(score(value) for value in figures[11:]),
            style="bold",
        )

    def show(self, console: Console) -> None:
        """Print the table."""
        print_table(console, self._table)


def pair_table(pairs: PairCounts, live: LiveFigures) -> Table:
    """Counts of pairs of boxes, and the live figures that need no ground truth."""
    table = _table("pairs of boxes in two cameras", "with one gid", "pairs")
    table.add_row("one person", percent(pairs.same_share), str(pairs.same))
    table.add_row("  at most possible", percent(pairs.same_bound), "")
    table.add_row("two people", percent(pairs.different_share), str(pairs.different))
    changes, first = live.gid_changes_per_1000_track_seconds, live.first_gid_seconds_p50
    table.add_row("gid changes per 1,000 track-seconds", NOTHING if changes is None else f"{changes:.1f}", "")
    table.add_row("boxes without gid after 1 s of track", percent(live.without_gid_share), "")
    table.add_row("seconds until the first gid, p50", NOTHING if first is None else f"{first:.2f}", "")
    return table
