"""The report: a self-contained HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from evaluation import tables
from evaluation.charts import TimelineChart, TradeoffChart, colour
from evaluation.confusions import worst_confusions
from evaluation.crops import cut_out
from evaluation.source_frames import frames_of
from evaluation.timeline import rows_of
from evaluation.timing import RunTiming
from evaluation.tradeoff import Point
from evaluation.verdict import Verdict
from recording.reading import Recording
from shared.errors import MtmcError
from shared.version import mtmc_version


@dataclass(frozen=True)
class ReportContent:
    """The content of a report."""

    title: str
    recording: Recording
    verdict: Verdict
    timing: RunTiming
    points: Sequence[Point]
    """Points of the trade-off chart; empty: no chart."""


def write_report(path: Path, content: ReportContent) -> None:
    """Write the report.

    Raises:
        MtmcError: the file cannot be written.
    """
    page = render(content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise MtmcError(f"{path}: cannot be written ({error.strerror}); choose another file") from None


def render(content: ReportContent) -> str:
    """Render the report as HTML."""
    recording, verdict, tick_seconds = content.recording, content.verdict, content.verdict.tick_seconds
    confusions = worst_confusions(verdict.matches)
    sources = {camera["name"]: camera["source"] for camera in recording.site["cameras"]}
    sights = [sight for confusion in confusions for sight in (confusion.usual, confusion.other)]
    crops = cut_out(sights, sources, frames_of(recording))
    first, seconds = verdict.first_tick, verdict.ticks * tick_seconds
    rows = rows_of(verdict.matches, tick_seconds)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    values: dict[str, Any] = {
        "title": content.title,
        "version": mtmc_version(),
        "seconds": seconds,
        "cameras": recording.cameras,
        "site_headings": tables.site_headings(),
        "site_rows": tables.site_rows(verdict),
        "camera_headings": tables.camera_headings(),
        "camera_rows": tables.camera_rows(verdict),
        "live_lines": tables.live_lines(verdict),
        "timing_lines": tables.timing_lines(content.timing),
        "timeline": TimelineChart.of(rows, first, tick_seconds, seconds),
        "tradeoff": TradeoffChart.of(content.points),
        "headline": _headline(verdict),
        "confusions": confusions,
        "colour": colour,
        "crop": crops.of,
        "at": lambda tick: f"{(tick - first) * tick_seconds:.1f} s",
    }
    return environment.get_template("report.html").render(values)


def _headline(verdict: Verdict) -> list[tuple[str, str, str]]:
    """The most important figures: name, value, and a reference or unit."""
    live, lines = verdict.live, []
    for name in ("idf1", "hota"):
        value, best = (None if one is None else getattr(one, name) for one in (verdict.multi_camera, verdict.bound))
        lines.append((f"{name.upper()} over all cameras", tables.score(value), f"bound {tables.score(best)}"))
    changes, first = live.gid_changes_per_1000_track_seconds, live.first_gid_seconds_p50
    return [
        *lines,
        ("gid changes", tables.NOTHING if changes is None else f"{changes:.1f}", "per 1,000 track-seconds"),
        ("first gid", tables.NOTHING if first is None else f"{first:.2f} s", "median"),
        ("without gid", tables.percent(live.without_gid_share), "of boxes after 1 s of track"),
    ]
