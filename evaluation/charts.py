"""Layout of the report's charts, in SVG pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from evaluation.matching import NOBODY
from evaluation.timeline import Bar, Row
from evaluation.tracks import NO_GID
from evaluation.tradeoff import Point

WIDTH_PX = 1100.0
_LABEL_PX = 96.0
_LANE_PX, _ROW_GAP_PX, _AXIS_PX = 15.0, 7.0, 22.0
_LETTER_PX = 6.0
_MOST_ROWS = 150
_GOLDEN_ANGLE = 137.508


def colour(gid: int) -> str:
    """CSS colour of a gid: consecutive gids get clearly different colours; grey means no gid."""
    return "#9aa0a6" if gid == NO_GID else f"hsl({gid * _GOLDEN_ANGLE % 360:.0f} 62% 42%)"


@dataclass(frozen=True)
class DrawnBar:
    """A drawn `Bar`: x, y and width in pixels."""

    x: float
    y: float
    width: float
    gid: int
    colour: str
    text: str
    """Label inside the bar; empty if there is no room."""
    title: str
    """Tooltip."""


@dataclass(frozen=True)
class DrawnRow:
    """A drawn `Row`, one object: y and height in pixels."""

    y: float
    height: float
    label: str
    gids: int
    """Number of different gids of the object."""
    bars: tuple[DrawnBar, ...]


@dataclass(frozen=True)
class Mark:
    """A tick mark of an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class TimelineChart:
    """One row per object, time from left to right."""

    width: float
    height: float
    label_px: float
    lane_px: float
    rows: tuple[DrawnRow, ...]
    marks: tuple[Mark, ...]
    left_out: int
    """Number of omitted objects: those with the fewest bars."""

    @classmethod
    def of(cls, rows: Sequence[Row], first_tick: int, tick_seconds: float, seconds: float) -> TimelineChart:
        """Lay out the objects with the most bars, in the given order; `seconds` is the length of the time axis."""
        by_bars = sorted(rows, key=lambda row: -sum(len(lane) for lane in row.lanes))
        kept = {id(row) for row in by_bars[:_MOST_ROWS]}
        scale = (WIDTH_PX - _LABEL_PX) / max(seconds, tick_seconds)
        drawn, y = [], _AXIS_PX
        for row in (row for row in rows if id(row) in kept):
            bars = []
            for lane, of_lane in enumerate(row.lanes):
                top = y + lane * _LANE_PX
                for bar in of_lane:
                    since, until = ((tick - first_tick) * tick_seconds for tick in (bar.first_tick, bar.last_tick + 1))
                    bars.append(_drawn(bar, top, since, until, scale))
            height = len(row.lanes) * _LANE_PX
            label = "no object" if row.identity == NOBODY else f"object {row.identity}"
            drawn.append(DrawnRow(y, height, label, len({bar.gid for bar in bars} - {NO_GID}), tuple(bars)))
            y += height + _ROW_GAP_PX
        marks = tuple(Mark(_LABEL_PX + at * scale, f"{at:g} s") for at in steps(seconds, 12))
        return cls(WIDTH_PX, y, _LABEL_PX, _LANE_PX, tuple(drawn), marks, len(rows) - len(drawn))


def _drawn(bar: Bar, y: float, since: float, until: float, scale: float) -> DrawnBar:
    x, width = _LABEL_PX + since * scale, max((until - since) * scale, 1.5)
    name = f"gid {bar.gid}" if bar.gid != NO_GID else "no gid"
    title = f"{bar.camera}, {name}, track {bar.track_id}: {since:.1f} to {until:.1f} s"
    candidates = (f"{bar.gid} · {bar.camera}", str(bar.gid)) if bar.gid != NO_GID else ()
    label = next((text for text in candidates if len(text) * _LETTER_PX + 4 <= width), "")
    return DrawnBar(x, y, width, bar.gid, colour(bar.gid), label, title)


@dataclass(frozen=True)
class DrawnPoint:
    """A drawn `Point`: x and y in pixels."""

    x: float
    y: float
    point: Point


@dataclass(frozen=True)
class TradeoffChart:
    """Seconds until the first gid on the x axis, gid changes on the y axis."""

    points: tuple[DrawnPoint, ...]
    x_marks: tuple[Mark, ...]
    y_marks: tuple[Mark, ...]
    width: float = 560.0
    height: float = 300.0
    left: float = 52.0
    bottom: float = 262.0

    @classmethod
    def of(cls, points: Sequence[Point]) -> TradeoffChart | None:
        """Lay out the points; None if there are none."""
        if not points:
            return None
        most_x = max(point.first_gid_seconds_p50 for point in points) or 1.0
        most_y = max(point.gid_changes_per_1000_track_seconds for point in points) or 1.0
        x_steps, y_steps = steps(most_x * 1.1, 6), steps(most_y * 1.15, 5)
        x_scale = (cls.width - cls.left - 16) / (most_x * 1.12)
        y_scale = (cls.bottom - 14) / (most_y * 1.17)
        drawn = tuple(
            DrawnPoint(
                cls.left + point.first_gid_seconds_p50 * x_scale,
                cls.bottom - point.gid_changes_per_1000_track_seconds * y_scale,
                point,
            )
            for point in points
        )
        x_marks = tuple(Mark(cls.left + at * x_scale, f"{at:g}") for at in x_steps)
        return cls(drawn, x_marks, tuple(Mark(cls.bottom - at * y_scale, f"{at:g}") for at in y_steps))


def steps(upto: float, most: int) -> list[float]:
    """At most `most` + 1 round numbers from 0 to `upto`, spaced by 1, 2 or 5 times a power of ten."""
    if upto <= 0:
        return [0.0]
    power = 10.0 ** math.floor(math.log10(upto / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if upto / (power * factor) <= most)
    return [round(step * i, 9) for i in range(math.floor(upto / step + 1e-9) + 1)]
