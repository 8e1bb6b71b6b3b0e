"""The solids of cars, pickups and vans."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.appearance import Look
from demo.body_parts import (
    DARK,
    HEADLIGHT,
    PLASTIC,
    PLATE,
    REAR_LIGHT,
    SIZES,
    Flank,
    Size,
    darker,
    roof_things,
    stripe_along_top,
    stripes_on_sides,
    wheel_discs,
    wheels,
)
from demo.solids import Solid, both_sides, box, patch, prism


@dataclass(frozen=True)
class _CarShape:
    """Fractions of the length from the rear, and heights in metres."""

    sill: float
    nose: float
    bonnet: float
    belt: float
    tail: float
    cowl: float
    roof_front: float
    roof_rear: float
    deck: float
    """Where the rear window meets the body."""
    taper: float
    """Half width of the roof, relative to that of the body."""


_CARS = {
    "hatchback": _CarShape(0.28, 0.66, 0.84, 0.92, 0.90, 0.70, 0.52, 0.12, 0.01, 0.80),
    "sedan": _CarShape(0.26, 0.62, 0.80, 0.90, 0.92, 0.70, 0.54, 0.30, 0.14, 0.76),
    "estate": _CarShape(0.27, 0.62, 0.80, 0.92, 0.92, 0.71, 0.55, 0.08, 0.01, 0.80),
    "suv": _CarShape(0.36, 0.86, 1.02, 1.10, 1.08, 0.72, 0.58, 0.09, 0.01, 0.84),
    "pickup": _CarShape(0.40, 0.92, 1.06, 1.12, 1.10, 0.74, 0.63, 0.42, 0.36, 0.84),
    "van": _CarShape(0.30, 0.82, 1.10, 1.18, 1.15, 0.86, 0.70, 0.02, 0.005, 0.90),
}


def car(look: Look) -> list[Solid]:
    size, shape = SIZES[look.body], _CARS[look.body]
    half, wide = size.length / 2, size.width / 2

    def x(fraction: float) -> float:
        return -half + fraction * size.length

    radius = 0.40 if look.body in ("suv", "pickup") else 0.33
    shoulder = shape.sill + 0.36
    belt = min(shape.bonnet, shape.belt)
    flank = Flank(wide, shoulder, max(shape.bonnet, shape.belt), 0.93)
    body, upper = Solid(1), Solid(2)
    left, right, between = prism(
        [
            (x(0.015), shape.sill, wide * 0.95),
            (x(0.985), shape.sill, wide * 0.93),
            (x(1.0), shoulder - 0.04, wide * 0.95),
            (x(0.998), shoulder, wide * 0.96),
            (x(0.0), shoulder, wide * 0.98),
            (x(0.0), shape.sill + 0.2, wide * 0.96),
        ]
    )
    for face in (left, right, *between):
        body.paint(face, look.paint)
    upper_left, upper_right, upper_between = prism(
        [
            (x(0.0), shoulder, wide * 0.98),
            (x(0.998), shoulder, wide * 0.96),
            (x(0.985), shape.nose, flank.at(shape.nose) * 0.97),
            (x(shape.cowl), shape.bonnet, flank.at(shape.bonnet)),
            (x(shape.deck), shape.belt, flank.at(shape.belt)),
            (x(0.005), shape.tail, flank.at(shape.tail) * 0.98),
        ]
    )
    for face in (upper_left, upper_right, *upper_between):
        upper.paint(face, look.paint)
    stripes_on_sides(upper, look, flank, (x(0.03), x(0.97)), shape.sill + 0.1, belt - 0.03)
    for strip in flank.strips((x(0.03), x(0.97)), (shape.sill, shape.sill + 0.11)):
        body.paint(strip, PLASTIC, "matt")
    for at in (shape.deck + 0.2, (shape.deck + shape.cowl) / 2 + 0.06):
        for strip in flank.strips((x(at), x(at) + 0.035), (shape.sill + 0.12, belt)):
            upper.paint(strip, darker(look.paint))
    front_low, rear_low = between[1], between[5]
    front, bonnet, deck, rear = upper_between[1], upper_between[2], upper_between[3], upper_between[5]
    body.paint(patch(front_low, (0.0, 1.0), (0.0, 0.75)), PLASTIC, "matt")
    upper.paint(patch(front, (0.3, 0.7), (0.1, 0.85)), DARK, "matt")
    for u in ((0.03, 0.24), (0.76, 0.97)):
        upper.paint(patch(front, u, (0.25, 0.95)), HEADLIGHT, "lamp")
    stripe_along_top(upper, look, bonnet)
    if look.body == "sedan":
        stripe_along_top(upper, look, deck)
    body.paint(patch(rear_low, (0.0, 1.0), (0.0, 1.0)), PLASTIC, "matt")
    for u in ((0.02, 0.2), (0.8, 0.98)):
        upper.paint(patch(rear, u, (0.15, 0.75)), REAR_LIGHT, "brake")
    upper.paint(patch(rear, (0.37, 0.63), (0.45, 0.8)), PLATE, "matt")
    for y in both_sides(flank.at(belt) + 0.09):
        for face in box((x(shape.cowl) - 0.25, x(shape.cowl) - 0.08), 0.09, (belt + 0.02, belt + 0.17)):
            upper.paint(face + np.array([0.0, y, 0.0]), darker(look.paint))
    wheel_discs(upper, look, size, radius, wide)
    solids = [wheels(size, radius), body, upper]
    if look.body == "pickup":
        bed = Solid(3)
        top = box((x(0.02), x(0.37)), wide * 0.925, (shape.belt - 0.05, shape.belt))
        for face in top:
            bed.paint(face, look.paint)
        bed.paint(
            patch(top[4], (0.08, 0.92), (0.04, 0.96)), look.roof_colour if look.roof == "painted" else DARK, "matt"
        )
        solids.append(bed)
    solids.append(_cabin(look, shape, size, 3))
    return solids + roof_things(look, x(shape.roof_rear), x(shape.roof_front), wide * shape.taper, size.height)


def _cabin(look: Look, shape: _CarShape, size: Size, level: int) -> Solid:
    half, wide, top = size.length / 2, size.width / 2, size.height

    def x(fraction: float) -> float:
        return -half + fraction * size.length

    cabin = Solid(level)
    low = shape.belt - 0.08
    base, roof = wide * 0.92, wide * shape.taper
    left, right, between = prism(
        [
            (x(shape.deck), low, base),
            (x(shape.cowl), shape.bonnet - 0.03, base),
            (x(shape.roof_front), top, roof),
            (x(shape.roof_rear), top, roof),
        ]
    )
    roof_colour = look.roof_colour if look.roof == "painted" else look.paint
    for face in (left, right, *between):
        cabin.paint(face, look.paint)
    # Corners of both: rear bottom, front bottom, front top, rear top.
    panel_van = look.body == "van"
    for side in (right, left[::-1]):
        windows = [(0.60, 0.94)] if panel_van else [(0.06, 0.30), (0.33, 0.59), (0.62, 0.93)]
        if look.body in ("hatchback", "pickup"):
            windows = [(0.06, 0.46), (0.50, 0.92)]
        for u in windows:
            window = patch(side, u, (0.14, 0.86))
            cabin.paint(window if side is right else window[::-1].copy(), look.glass, "glass")
    front, roof_face, back = between[1], between[2], between[3]
    cabin.paint(patch(front, (0.06, 0.94), (0.08, 0.93)), look.glass, "glass")
    cabin.paint(roof_face, roof_colour)
    stripe_along_top(cabin, look, roof_face)
    if look.roof == "sunroof":
        cabin.paint(patch(roof_face, (0.2, 0.8), (0.12, 0.55)), DARK, "glass")
    cabin.paint(patch(back, (0.1, 0.9), (0.12, 0.8)), look.glass, "glass")
    if panel_van and look.sign is not None:
        for y in both_sides(1.0):
            quad = right if y < 0 else left[::-1]
            window = patch(quad, (0.08, 0.5), (0.2, 0.85))
            cabin.paint(window if y < 0 else window[::-1].copy(), look.sign)
    return cabin
