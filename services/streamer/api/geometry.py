"""`/layout` and `/calibration`: which camera can follow which, and where the ground is in their pictures."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Annotated

import numpy as np
from pydantic import Field

from services.streamer.api.models import Model, Text
from services.streamer.api.operations import Operations
from services.streamer.api.parts import ApiParts
from shared.calibration import Calibration
from shared.camera_calibrations import calibrations_since, merged
from shared.camera_settings import read_settings
from shared.ground_view import FARTHEST_M, ground_view
from shared.layout import Layout
from shared.learned import LearnedOfSite, learned_of
from shared.lenient_reads import text_at

_TAG = "geometry"
Row = Annotated[list[float], Field(min_length=3, max_length=3)]
Place = Annotated[list[float], Field(min_length=2, max_length=2)]
Matrix3 = Annotated[list[Row], Field(min_length=3, max_length=3)]


class Transition(Model):
    """A possible step of an object from one camera to another, between separate views."""

    from_: Text = Field(alias="from")
    to: Text
    min_seconds: float | None = Field(description="null: no bound")
    max_seconds: float | None = Field(description="null: no bound")


class LearnedOverlap(Model):
    """What is known of two views that may overlap."""

    cameras: list[Text]
    source: Text = Field(description="layout, calibration, learned, or unknown: it is not known that they overlap")
    probability: float | None = Field(description="that they overlap; null: the layout or a calibration says it")
    tracks: int = Field(description="tracks that were compared")
    found: int = Field(description="those of them that were seen in both views")
    is_mapped: bool = Field(description="whether it is known which place in one picture is which in the other")


class LearnedStep(Model):
    """How long objects take from one camera to another, or back to the same one."""

    from_: Text = Field(alias="from")
    to: Text
    handovers: int = Field(description="newest handovers that the times are from")
    seconds: Row = Field(description="10 %, 50 % and 90 % quantile")


class TimeOffset(Model):
    """How late the pictures of a camera are."""

    camera: Text
    seconds: float = Field(description="below 0: early")
    deviation: float = Field(description="standard deviation of `seconds`")
    corrected: float = Field(description="what the aggregator takes from the times of its pictures, seconds")


class Learned(Model):
    """What the aggregator has learned, as of its last checkpoint."""

    tick: int
    overlaps: list[LearnedOverlap]
    steps: list[LearnedStep]
    time_offsets: list[TimeOffset]


class LayoutOfSite(Model):
    """Which camera can follow which, and how fast."""

    cameras: list[Text]
    overlaps: list[list[Text]] = Field(description="pairs of cameras whose views overlap")
    transitions: list[Transition] = Field(description="possible steps between separate views")
    unknown: list[list[Text]] = Field(
        description="pairs of cameras of which the site file says nothing: every step is possible, and whether their "
        "views overlap is learned"
    )
    learned: Learned | None = Field(description="null: nothing has been learned yet")


class CalibrationOfCamera(Model):
    """Where the ground is in the picture of a camera."""

    camera: Text
    image_to_ground: Matrix3 = Field(description="homography from pixels, without distortion, to metres; by rows")
    width: int | None = Field(description="of the pictures that it was made for, pixels; null: of any")
    height: int | None
    intrinsic: Matrix3 | None = Field(description="pixels; null: the lens does not distort")
    distortion: list[float] = Field(
        description="coefficients in OpenCV's order: k1 k2 p1 p2 [k3 [k4 k5 k6 [s1 s2 s3 s4 [τx τy]]]]"
    )
    view: list[Place] = Field(
        description=f"outline of the ground that it sees, metres, up to {FARTHEST_M:g} m from the nearest place; "
        "empty: the size of its pictures is not known yet"
    )
    view_near: Place | None = Field(description="the place that its pictures show at the bottom, metres")
    error_m: float | None = Field(description="root mean square error of its point pairs, metres; null: it has none")


class CalibrationOfSite(Model):
    """The calibrations of the site."""

    cameras: list[CalibrationOfCamera] = Field(description="cameras without a calibration are left out")
    mapped: list[list[Text]] = Field(
        description="pairs of overlapping views for which it was learned how places in the two pictures correspond"
    )
    time_offsets: list[TimeOffset] = Field(description="how late the pictures of cameras are, as learned")


def add(api: Operations, parts: ApiParts) -> None:
    """Adds the operations."""

    @api.get("/layout", "Which camera can follow which, as configured and as learned", LayoutOfSite, tag=_TAG)
    def _layout() -> LayoutOfSite:
        layout = parts.published.layout
        found = _read_learned(parts)
        return LayoutOfSite(
            cameras=list(layout.cameras),
            overlaps=_pairs(layout, layout.overlapping & ~layout.pairs_unknown),
            transitions=_transitions(layout),
            unknown=_pairs(layout, layout.pairs_unknown),
            learned=None if found is None else _learned(found),
        )

    @api.get("/calibration", "Where the ground is in the pictures", CalibrationOfSite, tag=_TAG)
    def _calibration() -> CalibrationOfSite:
        settings = read_settings(parts.client, parts.keys)
        published = {camera.name: camera for camera in parts.published.config.cameras}
        there = {name: one for name, one in parts.published.layout.calibrations.items() if name in settings}
        calibrations = merged(there, calibrations_since(published, settings))
        sizes = {camera.name: (camera.width, camera.height) for camera in parts.site.current().cameras}
        found = _read_learned(parts)
        learned = None if found is None else _learned(found)
        return CalibrationOfSite(
            cameras=[
                _calibration_of(camera, one, *sizes.get(camera, (None, None)))
                for camera, one in sorted(calibrations.items())
            ],
            mapped=[overlap.cameras for overlap in learned.overlaps if overlap.is_mapped] if learned else [],
            time_offsets=learned.time_offsets if learned else [],
        )


def _read_learned(parts: ApiParts) -> LearnedOfSite | None:
    return learned_of(text_at(parts.client, parts.keys.learned_layout))


def _learned(found: LearnedOfSite) -> Learned:
    return Learned(
        tick=found.tick,
        overlaps=[
            LearnedOverlap(
                cameras=list(one.cameras),
                source=one.source,
                probability=one.probability,
                tracks=one.tracks,
                found=one.found,
                is_mapped=one.is_mapped,
            )
            for one in found.overlaps
        ],
        steps=[
            LearnedStep(from_=one.source, to=one.target, handovers=one.handovers, seconds=list(one.seconds))
            for one in found.steps
        ],
        time_offsets=[
            TimeOffset(camera=one.camera, seconds=one.seconds, deviation=one.deviation, corrected=one.corrected)
            for one in found.time_offsets
        ],
    )


def _pairs(layout: Layout, which: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> list[list[str]]:
    return [
        [layout.cameras[i], layout.cameras[j]]
        for i, j in combinations(range(len(layout.cameras)), 2)
        if which[i, j] or which[j, i]
    ]


def _transitions(layout: Layout) -> list[Transition]:
    is_listed = layout.compatible & ~layout.pairs_unknown & ~layout.overlapping
    np.fill_diagonal(is_listed, val=False)
    return [
        Transition(
            from_=layout.cameras[i],
            to=layout.cameras[j],
            min_seconds=_finite(layout.dtmin[i, j]),
            max_seconds=_finite(layout.dtmax[i, j]),
        )
        for i, j in np.argwhere(is_listed).tolist()
    ]


def _finite(seconds: float) -> float | None:
    return float(seconds) if math.isfinite(seconds) else None


def _calibration_of(camera: str, one: Calibration, width: int | None, height: int | None) -> CalibrationOfCamera:
    view = ground_view(one, one.width or width or 0, one.height or height or 0)
    return CalibrationOfCamera(
        camera=camera,
        image_to_ground=one.image_to_ground.tolist(),
        width=one.width or None,
        height=one.height or None,
        intrinsic=None if one.intrinsic is None else one.intrinsic.tolist(),
        distortion=list(one.distortion),
        view=[] if view is None else view.outline.round(2).tolist(),
        view_near=None if view is None else view.near.round(2).tolist(),
        error_m=one.error_m,
    )
