"""The bodies of the vehicles: from a look to painted solids. x forward, y left, z up; the origin on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.appearance import Colour, Look
from demo.light import Surfaces
from demo.solids import Floats, Solid, both_sides, box, disc, patch, prism, side_strip

_DARK: Colour = (30, 30, 31)
_TYRE: Colour = (26, 26, 27)
_PLASTIC: Colour = (52, 52, 54)
_HEADLIGHT: Colour = (225, 240, 245)
_REAR_LIGHT: Colour = (22, 20, 150)
_PLATE: Colour = (205, 225, 230)


@dataclass(frozen=True)
class Size:
    """Metres."""

    length: float
    width: float
    height: float
    wheelbase: float


SIZES = {
    "hatchback": Size(3.95, 1.76, 1.48, 2.5),
    "sedan": Size(4.65, 1.82, 1.44, 2.75),
    "estate": Size(4.70, 1.82, 1.50, 2.75),
    "suv": Size(4.60, 1.90, 1.74, 2.7),
    "pickup": Size(5.25, 1.92, 1.80, 3.2),
    "van": Size(5.10, 1.98, 2.05, 3.1),
    "minibus": Size(6.40, 2.10, 2.65, 3.7),
    "box_truck": Size(7.40, 2.35, 3.25, 4.1),
    "tipper": Size(6.90, 2.40, 2.80, 3.9),
    "bus": Size(10.8, 2.52, 3.05, 5.8),
}


@dataclass(frozen=True)
class Mesh:
    """The faces of a vehicle as arrays, in `groups` that are painted one after the other."""

    vertices: Floats
    """`(v, 3)`, the vertices of all faces one after the other."""
    starts: tuple[int, ...]
    """Of face `i`: its vertices are `vertices[starts[i]:starts[i + 1]]`."""
    normals: Floats
    """`(f, 3)`."""
    anchors: Floats
    """`(f, 3)`, one point of each face."""
    surfaces: Surfaces
    groups: tuple[tuple[int, float, int, int], ...]
    """`(level, middle x, first face, end face)`."""
    hull: Floats
    """`(h, 3)`: few points whose convex hull is about the body, for its shadow."""


def size_of(look: Look) -> Size:
    size = SIZES[look.body]
    return Size(*(value * look.scale for value in (size.length, size.width, size.height, size.wheelbase)))


def mesh_of(look: Look) -> Mesh:
    """In metres, of its size."""
    solids = solids_of(look)
    points = [face.points * look.scale for solid in solids for face in solid.faces]
    faces = [face for solid in solids for face in solid.faces]
    groups, first = [], 0
    for solid in solids:
        groups.append((solid.level, solid.middle_x * look.scale, first, first + len(solid.faces)))
        first += len(solid.faces)
    vertices = np.concatenate(points)
    return Mesh(
        vertices=vertices,
        starts=tuple(np.concatenate([[0], np.cumsum([len(each) for each in points])]).tolist()),
        normals=np.stack([face.normal for face in faces]),
        anchors=np.stack([each[0] for each in points]),
        surfaces=Surfaces.of(np.array([face.colour for face in faces], np.float64), [face.material for face in faces]),
        groups=tuple(groups),
        hull=_hull(solids) * look.scale,
    )


def _hull(solids: list[Solid]) -> Floats:
    corners = []
    for solid in solids:
        points = np.concatenate([face.points for face in solid.faces])
        tops = points[points[:, 2] > points[:, 2].max() - 0.15]
        for chosen, z in ((points, points[:, 2].min()), (tops, points[:, 2].max())):
            low, high = chosen.min(axis=0), chosen.max(axis=0)
            corners += [(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1])]
    return np.array(corners, np.float64)


def solids_of(look: Look) -> list[Solid]:
    """In metres, before `look.scale`."""
    if look.body in ("box_truck", "tipper"):
        return _truck(look)
    if look.body in ("bus", "minibus"):
        return _bus(look)
    return _car(look)


def _wheels(look: Look, size: Size, radius: float, *, double: bool = False) -> Solid:
    solid = Solid(0)
    half = size.wheelbase / 2
    places = [half, -half] + ([-half + 1.25] if double else [])
    for x in places:
        for y in both_sides(size.width / 2 - 0.12):
            for face in box((x - radius * 0.62, x + radius * 0.62), 0.12, (0.0, radius * 1.6)):
                solid.paint(face + np.array([0.0, y, 0.0]), _TYRE, "matt")
    return solid


def _wheel_discs(
    solid: Solid, look: Look, size: Size, radius: float, half_width: float, *, double: bool = False
) -> None:
    half = size.wheelbase / 2
    for x in [half, -half] + ([-half + 1.25] if double else []):
        for y in both_sides(half_width + 0.005):
            solid.paint(disc(x, y, radius * 1.08, radius * 1.22), _DARK, "matt")
            solid.paint(disc(x, y, radius, radius), _TYRE, "matt")
            solid.paint(disc(x, y, radius, radius * 0.62, 10), look.wheel, "matt")
            solid.paint(disc(x, y, radius, radius * 0.2, 6), _DARK, "matt")


@dataclass(frozen=True)
class _Flank:
    """How wide a body is at a height: upright up to its shoulder, then leaning inward."""

    half_width: float
    shoulder_z: float = 99.0
    top_z: float = 100.0
    top_share: float = 1.0

    def at(self, z: float) -> float:
        share = min(max((z - self.shoulder_z) / (self.top_z - self.shoulder_z), 0.0), 1.0)
        return self.half_width * (1.0 - share * (1.0 - self.top_share))

    def strips(self, x: tuple[float, float], z: tuple[float, float], slant: float = 0.0) -> list[Floats]:
        """The same strip on the right and on the left side."""
        lean = self.at(z[0]) - self.at(z[1])
        return [side_strip(y, x, z, slant, lean) for y in both_sides(self.at(z[0]) + 0.004)]


def _stripes_on_sides(solid: Solid, look: Look, flank: _Flank, x: tuple[float, float], low: float, high: float) -> None:
    if look.lower is not None:
        for strip in flank.strips(x, (low, (low + high) / 2)):
            solid.paint(strip, look.lower)
    middle, tall = (low + high) / 2, high - low
    bands = {"side": (middle - 0.14 * tall, middle + 0.16 * tall), "lower": (low, low + 0.3 * tall)}
    if look.stripe in bands:
        for strip in flank.strips(x, bands[look.stripe]):
            solid.paint(strip, look.stripe_colour)
    elif look.stripe == "band":
        start, wide, half_way = x[0] + 0.42 * (x[1] - x[0]), 0.14 * (x[1] - x[0]), (low + high) / 2
        for strip in flank.strips((start, start + wide), (low, half_way), slant=0.1):
            solid.paint(strip, look.stripe_colour)
        for strip in flank.strips((start + 0.1, start + 0.1 + wide), (half_way, high), slant=0.1):
            solid.paint(strip, look.stripe_colour)


def _stripe_along_top(solid: Solid, look: Look, quad: Floats) -> None:
    """On a face whose first edge runs across and whose last edge runs along the vehicle."""
    if look.stripe == "middle":
        solid.paint(patch(quad, (0.33, 0.67), (0.0, 1.0)), look.stripe_colour)
    elif look.stripe == "twin":
        for u in ((0.25, 0.42), (0.58, 0.75)):
            solid.paint(patch(quad, u, (0.0, 1.0)), look.stripe_colour)


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
    """Half width of the roof, of that of the body."""


_CARS = {
    "hatchback": _CarShape(0.28, 0.66, 0.84, 0.92, 0.90, 0.70, 0.52, 0.12, 0.01, 0.80),
    "sedan": _CarShape(0.26, 0.62, 0.80, 0.90, 0.92, 0.70, 0.54, 0.30, 0.14, 0.76),
    "estate": _CarShape(0.27, 0.62, 0.80, 0.92, 0.92, 0.71, 0.55, 0.08, 0.01, 0.80),
    "suv": _CarShape(0.36, 0.86, 1.02, 1.10, 1.08, 0.72, 0.58, 0.09, 0.01, 0.84),
    "pickup": _CarShape(0.40, 0.92, 1.06, 1.12, 1.10, 0.74, 0.63, 0.42, 0.36, 0.84),
    "van": _CarShape(0.30, 0.82, 1.10, 1.18, 1.15, 0.86, 0.70, 0.02, 0.005, 0.90),
}


def _car(look: Look) -> list[Solid]:
    size, shape = SIZES[look.body], _CARS[look.body]
    half, wide = size.length / 2, size.width / 2

    def x(fraction: float) -> float:
        return -half + fraction * size.length

    radius = 0.40 if look.body in ("suv", "pickup") else 0.33
    shoulder = shape.sill + 0.36
    belt = min(shape.bonnet, shape.belt)
    flank = _Flank(wide, shoulder, max(shape.bonnet, shape.belt), 0.93)
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
    _stripes_on_sides(upper, look, flank, (x(0.03), x(0.97)), shape.sill + 0.1, belt - 0.03)
    for strip in flank.strips((x(0.03), x(0.97)), (shape.sill, shape.sill + 0.11)):
        body.paint(strip, _PLASTIC, "matt")
    for at in (shape.deck + 0.2, (shape.deck + shape.cowl) / 2 + 0.06):
        for strip in flank.strips((x(at), x(at) + 0.035), (shape.sill + 0.12, belt)):
            upper.paint(strip, _darker(look.paint))
    front_low, rear_low = between[1], between[5]
    front, bonnet, deck, rear = upper_between[1], upper_between[2], upper_between[3], upper_between[5]
    body.paint(patch(front_low, (0.0, 1.0), (0.0, 0.75)), _PLASTIC, "matt")
    upper.paint(patch(front, (0.3, 0.7), (0.1, 0.85)), _DARK, "matt")
    for u in ((0.03, 0.24), (0.76, 0.97)):
        upper.paint(patch(front, u, (0.25, 0.95)), _HEADLIGHT, "lamp")
    _stripe_along_top(upper, look, bonnet)
    if look.body == "sedan":
        _stripe_along_top(upper, look, deck)
    body.paint(patch(rear_low, (0.0, 1.0), (0.0, 1.0)), _PLASTIC, "matt")
    for u in ((0.02, 0.2), (0.8, 0.98)):
        upper.paint(patch(rear, u, (0.15, 0.75)), _REAR_LIGHT, "brake")
    upper.paint(patch(rear, (0.37, 0.63), (0.45, 0.8)), _PLATE, "matt")
    for y in both_sides(flank.at(belt) + 0.09):
        for face in box((x(shape.cowl) - 0.25, x(shape.cowl) - 0.08), 0.09, (belt + 0.02, belt + 0.17)):
            upper.paint(face + np.array([0.0, y, 0.0]), _darker(look.paint))
    _wheel_discs(upper, look, size, radius, wide)
    solids = [_wheels(look, size, radius), body, upper]
    if look.body == "pickup":
        bed = Solid(3)
        top = box((x(0.02), x(0.37)), wide * 0.925, (shape.belt - 0.05, shape.belt))
        for face in top:
            bed.paint(face, look.paint)
        bed.paint(
            patch(top[4], (0.08, 0.92), (0.04, 0.96)), look.roof_colour if look.roof == "painted" else _DARK, "matt"
        )
        solids.append(bed)
    solids.append(_cabin(look, shape, size, 3))
    return solids + _roof_things(look, x(shape.roof_rear), x(shape.roof_front), wide * shape.taper, size.height)


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
    # Corners: right is (rear low, front low, front top, rear top), left the same from its other side.
    panel_van = look.body == "van"
    for side in (right, left[::-1]):
        quad = side if side is right else side[[0, 1, 2, 3]]
        windows = [(0.60, 0.94)] if panel_van else [(0.06, 0.30), (0.33, 0.59), (0.62, 0.93)]
        if look.body in ("hatchback", "pickup"):
            windows = [(0.06, 0.46), (0.50, 0.92)]
        for u in windows:
            window = patch(quad, u, (0.14, 0.86))
            cabin.paint(window if side is right else window[::-1].copy(), look.glass, "glass")
    front, roof_face, back = between[1], between[2], between[3]
    cabin.paint(patch(front, (0.06, 0.94), (0.08, 0.93)), look.glass, "glass")
    cabin.paint(roof_face, roof_colour)
    _stripe_along_top(cabin, look, roof_face)
    if look.roof == "sunroof":
        cabin.paint(patch(roof_face, (0.2, 0.8), (0.12, 0.55)), _DARK, "glass")
    cabin.paint(patch(back, (0.1, 0.9), (0.12, 0.8)), look.glass, "glass")
    if panel_van and look.sign is not None:
        for y in both_sides(1.0):
            quad = right if y < 0 else left[::-1]
            window = patch(quad, (0.08, 0.5), (0.2, 0.85))
            cabin.paint(window if y < 0 else window[::-1].copy(), look.sign)
    return cabin


def _roof_things(look: Look, rear: float, front: float, half_width: float, top: float) -> list[Solid]:
    thing = Solid(4)
    middle, colour = (rear + front) / 2, look.roof_colour
    if look.roof == "rack":
        for at in (rear + 0.2, front - 0.25):
            for face in box((at - 0.06, at + 0.06), half_width * 0.95, (top + 0.08, top + 0.14)):
                thing.paint(face, _PLASTIC, "matt")
        for y in both_sides(half_width * 0.85):
            for face in box((rear + 0.1, front - 0.15), 0.05, (top, top + 0.12)):
                thing.paint(face + np.array([0.0, y, 0.0]), (150, 150, 152), "matt")
    elif look.roof == "box":
        for face in box((rear + 0.15, max(front - 0.3, rear + 0.8)), half_width * 0.55, (top + 0.06, top + 0.40)):
            thing.paint(face, colour)
    elif look.roof == "taxi":
        for face in box((middle - 0.14, middle + 0.14), 0.42, (top, top + 0.26)):
            thing.paint(face, (60, 225, 250), "lamp")
    elif look.roof == "beacon":
        for face in box((front - 0.45, front - 0.2), half_width * 0.8, (top, top + 0.17)):
            thing.paint(face, (10, 130, 250), "lamp")
    return [thing] if thing.faces else []


def _truck(look: Look) -> list[Solid]:
    size = SIZES[look.body]
    half, wide = size.length / 2, size.width / 2
    cab_rear, radius = half - 1.75, 0.48
    chassis = Solid(1)
    for face in box((-half, half - 0.1), wide * 0.9, (0.5, 0.95)):
        chassis.paint(face, _PLASTIC, "matt")
    for u in ((0.03, 0.2), (0.8, 0.97)):
        chassis.paint(patch(_rear(box((-half, half), wide * 0.9, (0.5, 0.95))), u, (0.2, 0.8)), _REAR_LIGHT, "brake")
    _wheel_discs(chassis, look, size, radius, wide * 0.96)
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
    cab.paint(patch(nose, (0.2, 0.8), (0.3, 0.85)), _DARK, "matt")
    for u in ((0.03, 0.18), (0.82, 0.97)):
        cab.paint(patch(nose, u, (0.15, 0.42)), _HEADLIGHT, "lamp")
    cab.paint(patch(screen, (0.05, 0.95), (0.08, 0.85)), look.glass, "glass")
    if look.roof == "painted":
        cab.paint(roof, look.roof_colour)
    for y in both_sides(wide * 0.95):
        cab.paint(side_strip(y, (half - 1.15, half - 0.3), (1.4, 2.15), lean=0.06), look.glass, "glass")
    if look.stripe in ("side", "lower", "band"):
        for y in both_sides(wide * 0.965):
            cab.paint(side_strip(y, (cab_rear, half - 0.05), (0.8, 1.15)), look.stripe_colour)
    cargo = _cargo(look, size, cab_rear - 0.15)
    solids = [_wheels(look, size, radius), chassis, cab, cargo]
    if look.roof == "beacon":
        solids += _roof_things(look, cab_rear, half - 0.2, wide * 0.85, top)
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
        cargo.paint(patch(rear, (0.06, 0.94), (0.06, 0.94)), _darker(colour))
        cargo.paint(patch(rear, (0.49, 0.51), (0.06, 0.94)), _DARK, "matt")
        if look.sign:
            cargo.paint(patch(rear, (0.2, 0.8), (0.45, 0.75)), look.sign)
    else:
        cargo.paint(patch(roof, (0.05, 0.95), (0.03, 0.97)), (70, 84, 96), "matt")
        for quad in (left, right):
            for u in (0.02, 0.26, 0.5, 0.74, 0.95):
                cargo.paint(patch(quad, (u, u + 0.03), (0.0, 1.0)), _darker(colour))
            if look.sign:
                cargo.paint(patch(quad, (0.3, 0.7), (0.25, 0.75)), look.sign)
    return cargo


def _rear(faces: list[Floats]) -> Floats:
    return faces[5]


def _bus(look: Look) -> list[Solid]:
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
    _stripes_on_sides(body, look, _Flank(wide), (-half + 0.05, half - 0.15), low + 0.05, 1.2)
    glass_low, glass_high = 1.25, top - 0.55
    count = 7 if look.body == "bus" else 4
    span = (size.length - 0.9 - slope) / count
    for y in both_sides(wide + 0.004):
        body.paint(
            side_strip(y, (-half + 0.25, half - slope - 0.35), (glass_low - 0.06, glass_high + 0.06), lean=0.03), _DARK
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
    body.paint(patch(front, (0.25, 0.75), (0.2, 0.6)), _DARK, "matt")
    for u in ((0.03, 0.16), (0.84, 0.97)):
        body.paint(patch(front, u, (0.25, 0.55)), _HEADLIGHT, "lamp")
    body.paint(patch(screen, (0.04, 0.96), (0.02, 0.8)), look.glass, "glass")
    if look.body == "bus":
        body.paint(patch(screen, (0.2, 0.8), (0.84, 0.97)), (30, 150, 240), "lamp")
    if look.roof == "painted":
        body.paint(roof, look.roof_colour)
    _stripe_along_top(body, look, roof)
    body.paint(patch(rear, (0.1, 0.9), (0.08, 0.4)), look.glass, "glass")
    for u in ((0.02, 0.12), (0.88, 0.98)):
        body.paint(patch(rear, u, (0.55, 0.8)), _REAR_LIGHT, "brake")
    _wheel_discs(body, look, size, radius, wide)
    extra = Solid(4)
    if look.roof in ("box", "rack", "beacon"):
        for start in (-half * 0.6, half * 0.15) if look.body == "bus" else (-half * 0.4,):
            for face in box((start, start + 1.8), wide * 0.6, (top, top + 0.28)):
                extra.paint(face, (190, 190, 192) if look.roof != "box" else look.roof_colour, "matt")
    return [_wheels(look, size, radius), body] + ([extra] if extra.faces else [])


def _darker(colour: Colour) -> Colour:
    blue, green, red = (int(value * 0.72) for value in colour)
    return blue, green, red
