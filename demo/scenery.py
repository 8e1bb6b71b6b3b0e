"""The static objects of the site: buildings, trees, poles, signs, lights, generated from the seed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from demo.appearance import Colour
from demo.geometry import Floats
from demo.roads import ARMS, OUTWARD, ROUNDABOUT_CENTRE, STOP_LINE_M

WALLS: tuple[Colour, ...] = (
    (110, 140, 176), (96, 112, 150), (168, 184, 196), (150, 158, 166), (136, 168, 190), (128, 128, 124),
    (120, 152, 186),
    (172, 190, 204), (88, 100, 132),
)  # fmt: skip
ROOF_COLOURS: tuple[Colour, ...] = ((84, 84, 84), (70, 74, 96), (110, 112, 114), (60, 66, 70))
LEAVES: tuple[Colour, ...] = ((48, 104, 74), (44, 92, 58), (52, 116, 96), (40, 84, 62), (56, 110, 110))
SIGNS: tuple[Colour, ...] = ((180, 96, 30), (40, 40, 190), (40, 150, 60), (30, 190, 235), (235, 235, 235))


@dataclass(frozen=True)
class Building:
    """A block on a rectangle; metres."""

    x: tuple[float, float]
    y: tuple[float, float]
    height: float
    wall: Colour
    roof: Colour
    shop: Colour | None
    """Colour of the band above the ground-floor windows."""


@dataclass(frozen=True)
class Tree:
    """A trunk and a crown of leaves, in metres. A bush is a tree whose crown reaches the ground."""

    x: float
    y: float
    height: float
    crown: float
    """Radius."""
    leaves: Colour
    seed: int
    trunk: float = 0.16

    @property
    def crown_base(self) -> float:
        return max(0.0, self.height - 2.3 * self.crown)


@dataclass(frozen=True)
class Pole:
    """A mast with something on it."""

    x: float
    y: float
    height: float
    kind: str
    """`lamp`, `sign`, `signal` or `board`."""
    heading: float
    """Direction that its panel or arm faces, in radians."""
    colour: Colour = (190, 190, 190)
    arm: str = ""
    """For a signal: the arm of the junction whose traffic it stops."""


Thing = Building | Tree | Pole


@dataclass(frozen=True)
class Scenery:
    """All static objects of the site, and the sun."""

    things: tuple[Thing, ...]
    sun: Floats
    """Unit vector towards the sun."""

    @property
    def signals(self) -> tuple[Pole, ...]:
        return tuple(thing for thing in self.things if isinstance(thing, Pole) and thing.kind == "signal")


_BLOCKS: tuple[tuple[tuple[float, float], tuple[float, float], tuple[float, float]], ...] = (
    ((27, 50), (15, 33), (7, 11)), ((55, 78), (13, 30), (5, 8)), ((15, 36), (40, 62), (7, 12)), ((13, 30), (68, 92),
    (6, 9)),
    ((-52, -27), (14, 32), (6, 11)), ((-40, -15), (40, 64), (7, 10)), ((-82, -58), (13, 34), (5, 9)),
    ((-36, -13), (72, 96), (6, 9)), ((-48, -25), (-38, -15), (7, 12)), ((-78, -53), (-36, -13), (5, 10)),
    ((48, 68), (-36, -13), (5, 8)), ((-38, -14), (-72, -46), (7, 10)), ((14, 40), (-72, -44), (6, 10)),
    ((74, 96), (-34, -14), (5, 8)), ((84, 106), (14, 34), (5, 8)), ((110, 128), (22, 42), (6, 9)),
    ((160, 186), (26, 46), (6, 10)), ((178, 204), (-40, -20), (5, 8)), ((192, 214), (16, 36), (5, 8)),
    ((126, 146), (34, 52), (5, 8)), ((-34, -16), (118, 142), (6, 10)), ((-34, -15), (148, 172), (6, 10)),
    ((14, 34), (104, 128), (6, 10)), ((15, 36), (134, 160), (5, 9)), ((14, 32), (166, 188), (6, 9)),
    ((-34, -14), (178, 200), (6, 9)), ((-60, -40), (-70, -46), (5, 8)), ((44, 64), (42, 62), (6, 9)),
    ((-110, -88), (14, 34), (5, 8)), ((-110, -84), (-36, -13), (5, 9)), ((14, 34), (-108, -80), (6, 9)),
    ((-36, -14), (-110, -80), (6, 9)), ((13, 34), (196, 220), (6, 9)), ((222, 244), (14, 34), (5, 8)),
    ((224, 246), (-36, -14), (5, 8)), ((-14, 14), (300, 320), (8, 10)), ((-150, -130), (-12, 12), (6, 9)),
)  # fmt: skip
"""x, y and the range of heights of the buildings."""

_TREES: tuple[tuple[float, float, float], ...] = (
    # Corners of the junction, between the cameras and the lanes.
    (-15.2, -8.4, 0.72), (8.6, 11.2, 0.7), (9.6, 20.0, 1.0), (-20.0, 9.4, 0.8), (-8.2, 14.8, 0.5),
    (15.8, -8.8, 0.7), (8.6, -14.6, 0.5), (23.0, 8.8, 0.8), (34.0, 9.2, 1.1), (-25.0, -9.4, 0.8), (-36.0, -9.2, 1.1),
    (23.0, -9.8, 0.7), (38.0, -9.2, 1.0), (-9.4, 29.0, 0.9), (9.2, 31.0, 0.9), (-9.0, 40.0, 1.1), (9.4, 52.0, 1.2),
    (-9.2, 55.0, 1.0), (-9.4, -31.0, 0.9), (9.2, -34.0, 0.9), (-9.0, -42.0, 1.2), (-30.0, 10.0, 1.0),
    (-46.0, 10.2, 1.1),
    (-50.0, -9.0, 1.0), (-62.0, -9.0, 1.2), (-64.0, 10.0, 1.0), (50.0, 9.0, 1.0), (52.0, -9.0, 1.1), (66.0, 9.2, 1.2),
    (70.0, -9.0, 1.0), (86.0, 9.0, 1.1), (92.0, -9.0, 1.2), (110.0, 9.6, 1.0), (112.0, -10.0, 1.1),
    # The roundabout: its island and around it.
    (150.0, 0.4, 0.8), (130.0, -8.6, 0.8), (158.5, -14.6, 0.75), (166.0, -15.5, 1.0), (167.0, 13.5, 1.0),
    (136.0, 15.0, 1.1),
    (152.0, 19.0, 1.0), (178.0, -10.0, 1.0), (182.0, 10.0, 1.1), (196.0, -10.0, 1.0), (200.0, 9.0, 1.1),
    (121.0, 10.0, 1.0),
    # The street in the north.
    (9.6, 116.0, 1.0), (9.8, 130.0, 0.9), (9.6, 146.0, 1.0), (9.8, 163.0, 1.0), (-9.4, 122.5, 0.7), (-9.6, 139.0, 0.9),
    (-9.6, 153.0, 1.0), (-9.4, 169.0, 1.1), (9.0, 180.0, 1.0), (-9.0, 188.0, 1.2), (9.2, 200.0, 1.1),
    (-9.2, 100.0, 1.0),
    (-9.4, 84.0, 1.1), (9.4, 84.0, 1.0), (9.2, 98.0, 1.1), (9.2, 70.0, 1.0), (-9.2, 70.0, 1.1),
)  # fmt: skip
"""x, y, and size."""

_BUSHES: tuple[tuple[float, float, float], ...] = (
    *((16.0, -15.5 - 2.0 * i, 0.75) for i in range(9)),
    *((18.0 + 2.0 * i, -34.2, 0.8) for i in range(13)),
    (149.0, -2.2, 0.7), (151.6, -1.6, 0.8), (152.2, 1.8, 0.7), (148.0, 1.6, 0.8), (-12.0, -12.4, 0.8),
    (-13.8, -12.2, 0.7),
    (12.0, 12.6, 0.9), (-13.0, 12.4, 0.8), (139.0, -15.4, 0.7), (158.0, -15.6, 0.8),
)  # fmt: skip
_LAMPS: tuple[tuple[float, float, float], ...] = (
    (-5.2, 19.0, 0.0), (5.2, -20.0, math.pi), (26.0, -5.2, math.pi / 2), (-26.0, -5.3, math.pi / 2),
    (5.2, 46.0, math.pi),
    (-5.2, -48.0, 0.0), (54.0, 5.2, -math.pi / 2), (-60.0, 5.3, -math.pi / 2), (140.0, 13.5, -math.pi / 2),
    (160.0, -13.3, math.pi / 2), (7.2, 121.0, math.pi), (7.4, 152.0, math.pi), (-7.6, 165.0, 0.0),
    (84.0, -5.2, math.pi / 2),
    (116.0, 5.2, -math.pi / 2), (5.2, 88.0, math.pi),
)  # fmt: skip
_SIGNS: tuple[tuple[float, float, float, str], ...] = (
    (5.0, 15.5, math.pi / 2, "sign"), (-5.0, -15.0, -math.pi / 2, "sign"), (16.0, -5.0, 0.0, "sign"),
    (-17.0, 5.2, math.pi, "sign"),
    (-12.5, -7.4, -2.4, "board"), (143.5, -12.8, -2.0, "board"), (129.0, -5.2, math.pi, "sign"),
    (171.0, 5.2, 0.0, "sign"),
    (153.2, -3.2, -math.pi / 2, "sign"), (7.4, 136.0, -math.pi / 2, "sign"), (-7.2, 131.0, math.pi / 2, "sign"),
    (12.2, -6.9, -0.8, "board"), (-5.0, 118.0, 0.6, "sign"), (8.3, 123.5, -2.4, "board"), (33.8, -12.0, 2.0, "sign"),
    (7.0, 7.6, 0.8, "sign"),
)  # fmt: skip


def scenery_of(random: np.random.Generator) -> Scenery:
    things: list[Thing] = []
    for x_range, y_range, heights in _BLOCKS:
        things.append(
            Building(
                x_range,
                y_range,
                float(random.uniform(*heights)),
                _varied(WALLS[random.integers(len(WALLS))], random),
                ROOF_COLOURS[random.integers(len(ROOF_COLOURS))],
                SIGNS[random.integers(len(SIGNS))] if random.random() < 0.5 else None,
            )
        )
    for x, y, large in _TREES:
        crown = float(random.uniform(1.5, 2.2)) * large
        height = crown * float(random.uniform(2.7, 3.2)) + 0.6
        things.append(_tree(x, y, height, crown, random))
    for x, y, large in _BUSHES:
        crown = large * float(random.uniform(0.8, 1.1))
        things.append(_tree(x, y, crown * 1.7, crown, random, trunk=0.0))
    things += [Pole(x, y, 6.4, "lamp", heading, (120, 122, 120)) for x, y, heading in _LAMPS]
    for x, y, heading, kind in _SIGNS:
        things.append(Pole(x, y, 2.9 if kind == "sign" else 2.6, kind, heading, SIGNS[random.integers(len(SIGNS))]))
    things += [_signal(arm) for arm in ARMS]
    azimuth, height = math.radians(random.uniform(195.0, 285.0)), math.radians(random.uniform(36.0, 58.0))
    sun = np.array([math.cos(azimuth) * math.cos(height), math.sin(azimuth) * math.cos(height), math.sin(height)])
    return Scenery(tuple(things), sun)


def _tree(x: float, y: float, height: float, crown: float, random: np.random.Generator, trunk: float = 0.16) -> Tree:
    leaves = _varied(LEAVES[random.integers(len(LEAVES))], random)
    shift = random.uniform(-0.4, 0.4, 2) * (trunk > 0 and abs(x - ROUNDABOUT_CENTRE[0]) > 3)
    return Tree(x + float(shift[0]), y + float(shift[1]), height, crown, leaves, int(random.integers(1 << 30)), trunk)


def _signal(arm: str) -> Pole:
    outward = np.array(OUTWARD[arm])
    right_of_inbound = np.array([-outward[1], outward[0]])
    x, y = outward * (STOP_LINE_M + 0.4) + right_of_inbound * 4.7
    return Pole(float(x), float(y), 3.6, "signal", math.atan2(outward[1], outward[0]), (40, 44, 40), arm)


def _varied(colour: Colour, random: np.random.Generator) -> Colour:
    blue, green, red = (int(np.clip(value + random.integers(-10, 11), 0, 255)) for value in colour)
    return blue, green, red
