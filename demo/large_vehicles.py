"""The solids of trucks and buses."""

from __future__ import annotations

from demo.appearance import Look
from demo.body_parts import (
    DARK,
    HEADLIGHT,
    PLASTIC,
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
from demo.solids import Solid, both_sides, box, patch, prism, side_strip


def truck(look: Look) -> list[Solid]:
    size = SIZES[look.body]
    half, wide = size.length / 2, size.width / 2
    cab_rear, radius = half - 1.75, 0.48
    chassis = Solid(1)
    for face in box((-half, half - 0.1), wide * 0.9, (0.5, 0.95)):
        chassis.paint(face, PLASTIC, "matt")
    rear = box((-half, half), wide * 0.9, (0.5, 0.95))[5]
    for u in ((0.03, 0.2), (0.8, 0.97)):
        chassis.paint(patch(rear, u, (0.2, 0.8)), REAR_LIGHT, "brake")
    wheel_discs(chassis, look, size, radius, wide * 0.96)
    cab = Solid(2)
    top = 2.45 if look.body == "box_truck" else 2.5
    left, right, between = prism(
        [
            (cab_rear, 0.55, wide * 0.96),
            (half, 0.45, wide * 0.94),
            (half, 1.35, wide * 0.94),
            (half - 0.28, top, wide * 0.88),
            (cab_rear, top, wide * 0.9),
        ]
    )
    for face in (left, right, *between):
        cab.paint(face, look.paint)
    nose, screen, roof = between[1], between[2], between[3]
    cab.paint(patch(nose, (0.2, 0.8), (0.3, 0.85)), DARK, "matt")
    for u in ((0.03, 0.18), (0.82, 0.97)):
        cab.paint(patch(nose, u, (0.15, 0.42)), HEADLIGHT, "lamp")
    cab.paint(patch(screen, (0.05, 0.95), (0.08, 0.85)), look.glass, "glass")
    if look.roof == "painted":
        cab.paint(roof, look.roof_colour)
    for y in both_sides(wide * 0.95):
        cab.paint(side_strip(y, (half - 1.15, half - 0.3), (1.4, 2.15), lean=0.06), look.glass, "glass")
    if look.stripe in ("side", "lower", "band"):
        for y in both_sides(wide * 0.965):
            cab.paint(side_strip(y, (cab_rear, half - 0.05), (0.8, 1.15)), look.stripe_colour)
    cargo = _cargo(look, size, cab_rear - 0.15)
    solids = [wheels(size, radius), chassis, cab, cargo]
    if look.roof == "beacon":
        solids += roof_things(look, cab_rear, half - 0.2, wide * 0.85, top)
    return solids


def _cargo(look: Look, size: Size, front: float) -> Solid:
    half, wide, top = size.length / 2, size.width / 2, size.height
    cargo = Solid(2)
    tall = look.body == "box_truck"
    colour = look.cargo
    faces = box((-half, front), wide, (0.95, top if tall else 2.15))
    for face in faces:
        cargo.paint(face, colour)
    left, right, _, _, roof, rear = faces
    if tall:
        for quad in (left, right):
            panel = look.sign or colour
            cargo.paint(patch(quad, (0.18, 0.82), (0.28, 0.78)), panel)
            if look.stripe in ("side", "twin", "lower"):
                cargo.paint(patch(quad, (0.0, 1.0), (0.04, 0.18)), look.stripe_colour)
            if look.stripe in ("band", "middle"):
                cargo.paint(patch(quad, (0.4, 0.58), (0.0, 1.0)), look.stripe_colour)
        cargo.paint(patch(rear, (0.06, 0.94), (0.06, 0.94)), darker(colour))
        cargo.paint(patch(rear, (0.49, 0.51), (0.06, 0.94)), DARK, "matt")
        if look.sign:
            cargo.paint(patch(rear, (0.2, 0.8), (0.45, 0.75)), look.sign)
    else:
        cargo.paint(patch(roof, (0.05, 0.95), (0.03, 0.97)), (70, 84, 96), "matt")
        for quad in (left, right):
            for u in (0.02, 0.26, 0.5, 0.74, 0.95):
                cargo.paint(patch(quad, (u, u + 0.03), (0.0, 1.0)), darker(colour))
            if look.sign:
                cargo.paint(patch(quad, (0.3, 0.7), (0.25, 0.75)), look.sign)
    return cargo


def bus(look: Look) -> list[Solid]:
    size = SIZES[look.body]
    half, wide, top = size.length / 2, size.width / 2, size.height
    radius = 0.5 if look.body == "bus" else 0.38
    low = 0.34
    body = Solid(1)
    slope = 0.16 if look.body == "bus" else 0.7
    left, right, between = prism(
        [
            (-half, low, wide),
            (half - 0.05, low, wide),
            (half, 1.15, wide),
            (half - slope, top - 0.1, wide * 0.97),
            (half - slope - 0.3, top, wide * 0.94),
            (-half + 0.1, top, wide * 0.94),
            (-half, top - 0.15, wide * 0.97),
        ]
    )
    for face in (left, right, *between):
        body.paint(face, look.paint)
    stripes_on_sides(body, look, Flank(wide), (-half + 0.05, half - 0.15), low + 0.05, 1.2)
    glass_low, glass_high = 1.25, top - 0.55
    count = 7 if look.body == "bus" else 4
    span = (size.length - 0.9 - slope) / count
    for y in both_sides(wide + 0.004):
        body.paint(
            side_strip(y, (-half + 0.25, half - slope - 0.35), (glass_low - 0.06, glass_high + 0.06), lean=0.03), DARK
        )
        for i in range(count):
            start = -half + 0.35 + i * span
            body.paint(
                side_strip(y, (start, start + span - 0.14), (glass_low, glass_high), lean=0.03), look.glass, "glass"
            )
        if look.sign is not None:
            body.paint(side_strip(y, (-half * 0.45, half * 0.35), (low + 0.2, 1.12)), look.sign)
    for x in (half - slope - 1.0, -0.4) if look.body == "bus" else (half - 1.9,):
        body.paint(side_strip(-wide - 0.006, (x - 0.5, x + 0.45), (low + 0.05, glass_high)), look.glass, "glass")
    front, screen, roof, rear = between[1], between[2], between[4], between[6]
    body.paint(patch(front, (0.25, 0.75), (0.2, 0.6)), DARK, "matt")
    for u in ((0.03, 0.16), (0.84, 0.97)):
        body.paint(patch(front, u, (0.25, 0.55)), HEADLIGHT, "lamp")
    body.paint(patch(screen, (0.04, 0.96), (0.02, 0.8)), look.glass, "glass")
    if look.body == "bus":
        body.paint(patch(screen, (0.2, 0.8), (0.84, 0.97)), (30, 150, 240), "lamp")
    if look.roof == "painted":
        body.paint(roof, look.roof_colour)
    stripe_along_top(body, look, roof)
    body.paint(patch(rear, (0.1, 0.9), (0.08, 0.4)), look.glass, "glass")
    for u in ((0.02, 0.12), (0.88, 0.98)):
        body.paint(patch(rear, u, (0.55, 0.8)), REAR_LIGHT, "brake")
    wheel_discs(body, look, size, radius, wide)
    extra = Solid(4)
    if look.roof in ("box", "rack", "beacon"):
        for start in (-half * 0.6, half * 0.15) if look.body == "bus" else (-half * 0.4,):
            for face in box((start, start + 1.8), wide * 0.6, (top, top + 0.28)):
                extra.paint(face, (190, 190, 192) if look.roof != "box" else look.roof_colour, "matt")
    return [wheels(size, radius), body] + ([extra] if extra.faces else [])
