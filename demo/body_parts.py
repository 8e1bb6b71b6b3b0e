"""Parts that all kinds of vehicles share: sizes, colours, wheels, stripes, objects on the roof."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.appearance import Colour, Look
from demo.solids import Floats, Solid, both_sides, box, disc, patch, side_strip

DARK: Colour = (30, 30, 31)
TYRE: Colour = (26, 26, 27)
PLASTIC: Colour = (52, 52, 54)
HEADLIGHT: Colour = (225, 240, 245)
REAR_LIGHT: Colour = (22, 20, 150)
PLATE: Colour = (205, 225, 230)


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


def size_of(look: Look) -> Size:
    size = SIZES[look.body]
    return Size(*(value * look.scale for value in (size.length, size.width, size.height, size.wheelbase)))


def wheels(size: Size, radius: float) -> Solid:
    solid = Solid(0)
    for x in (size.wheelbase / 2, -size.wheelbase / 2):
        for y in both_sides(size.width / 2 - 0.12):
            for face in box((x - radius * 0.62, x + radius * 0.62), 0.12, (0.0, radius * 1.6)):
                solid.paint(face + np.array([0.0, y, 0.0]), TYRE, "matt")
    return solid


def wheel_discs(solid: Solid, look: Look, size: Size, radius: float, half_width: float) -> None:
    for x in (size.wheelbase / 2, -size.wheelbase / 2):
        for y in both_sides(half_width + 0.005):
            solid.paint(disc(x, y, radius * 1.08, radius * 1.22), DARK, "matt")
            solid.paint(disc(x, y, radius, radius), TYRE, "matt")
            solid.paint(disc(x, y, radius, radius * 0.62, 10), look.wheel, "matt")
            solid.paint(disc(x, y, radius, radius * 0.2, 6), DARK, "matt")


@dataclass(frozen=True)
class Flank:
    """The width of a body at a height: vertical up to its shoulder, then leaning inward."""

    half_width: float
    shoulder_z: float = 99.0
    top_z: float = 100.0
    top_share: float = 1.0

    def at(self, z: float) -> float:
        share = min(max((z - self.shoulder_z) / (self.top_z - self.shoulder_z), 0.0), 1.0)
        return self.half_width * (1.0 - share * (1.0 - self.top_share))

    def strips(self, x: tuple[float, float], z: tuple[float, float], slant: float = 0.0) -> list[Floats]:
        """The same strip on both sides."""
        lean = self.at(z[0]) - self.at(z[1])
        return [side_strip(y, x, z, slant, lean) for y in both_sides(self.at(z[0]) + 0.004)]


def stripes_on_sides(solid: Solid, look: Look, flank: Flank, x: tuple[float, float], low: float, high: float) -> None:
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


def stripe_along_top(solid: Solid, look: Look, quad: Floats) -> None:
    """Paints the stripe on a face whose first edge runs across the vehicle, and whose last edge runs along it."""
    if look.stripe == "middle":
        solid.paint(patch(quad, (0.33, 0.67), (0.0, 1.0)), look.stripe_colour)
    elif look.stripe == "twin":
        for u in ((0.25, 0.42), (0.58, 0.75)):
            solid.paint(patch(quad, u, (0.0, 1.0)), look.stripe_colour)


def roof_things(look: Look, rear: float, front: float, half_width: float, top: float) -> list[Solid]:
    thing = Solid(4)
    middle, colour = (rear + front) / 2, look.roof_colour
    if look.roof == "rack":
        for at in (rear + 0.2, front - 0.25):
            for face in box((at - 0.06, at + 0.06), half_width * 0.95, (top + 0.08, top + 0.14)):
                thing.paint(face, PLASTIC, "matt")
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


def darker(colour: Colour) -> Colour:
    blue, green, red = (int(value * 0.72) for value in colour)
    return blue, green, red
