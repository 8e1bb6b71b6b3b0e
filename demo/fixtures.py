"""Geometry of the static objects: flat faces in world coordinates, crowns of leaves, shadows, footprints."""

from __future__ import annotations

import math

import numpy as np

from demo.appearance import Colour
from demo.geometry import Floats
from demo.scenery import Building, Pole, Thing, Tree
from demo.solids import Face, box, disc, patch

_BARK: Colour = (58, 74, 92)
_GLASS: Colour = (92, 80, 66)
_FRAME: Colour = (176, 180, 184)
_STEEL: Colour = (124, 126, 126)


def faces_of(thing: Thing, eye: Floats) -> list[Face]:
    """Faces in painting order, without leaves; some may face away from `eye` `(3,)`."""
    if isinstance(thing, Building):
        return _building(thing, eye)
    if isinstance(thing, Tree):
        return _trunk(thing)
    return _pole(thing)


def footprint_of(thing: Thing) -> Floats:
    """`(4, 2)`: corners on the ground, counter-clockwise."""
    if isinstance(thing, Building):
        (x0, x1), (y0, y1) = thing.x, thing.y
        return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    half = max(thing.trunk, 0.15) if isinstance(thing, Tree) else 0.15
    if isinstance(thing, Tree) and thing.trunk == 0.0:
        half = thing.crown * 0.6
    square = np.array([(-half, -half), (half, -half), (half, half), (-half, half)])
    return square + np.array([thing.x, thing.y])


def crown_of(tree: Tree, fineness: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Clumps of leaves: centres `(n, 3)`, outward unit vectors `(n, 3)`, radii `(n,)`, brightness factors `(n,)`.

    With `fineness` 2, clumps are half as large and four times as many. The shape of the crown stays the same.
    """
    random = np.random.Generator(np.random.PCG64(tree.seed))
    half_height = (tree.height - tree.crown_base) / 2
    lobes = random.normal(size=(9, 3)) * (0.42, 0.42, 0.40)
    count = int((200 + 200 * tree.crown) * fineness**2)
    outward = random.normal(size=(count, 3))
    outward /= np.linalg.norm(outward, axis=1)[:, None]
    lobe = lobes[random.integers(len(lobes), size=count)]
    place = lobe + outward * random.uniform(0.25, 0.58, count)[:, None]
    place /= np.maximum(1.0, np.linalg.norm(place, axis=1) / 1.02)[:, None]
    middles = place * (tree.crown, tree.crown, half_height) + (tree.x, tree.y, tree.crown_base + half_height)
    middles[:, 2] = np.maximum(middles[:, 2], 0.1)
    normal = outward * 0.7 + place
    normal /= np.linalg.norm(normal, axis=1)[:, None]
    radii = random.uniform(0.10, 0.21, count) * tree.crown / fineness
    return middles, normal, radii, random.uniform(0.82, 1.16, count)


def _building(building: Building, eye: Floats) -> list[Face]:
    (x0, x1), (y0, y1), height = building.x, building.y, building.height
    bottom_left, bottom_right = np.array([x0, y0, 0.0]), np.array([x1, y0, 0.0])
    top_right, top_left = np.array([x1, y1, 0.0]), np.array([x0, y1, 0.0])
    up = np.array([0.0, 0.0, height])
    faces: list[Face] = []
    for start, end in (
        (bottom_left, bottom_right),
        (bottom_right, top_right),
        (top_right, top_left),
        (top_left, bottom_left),
    ):
        along = end - start
        if along[1] * (eye[0] - start[0]) - along[0] * (eye[1] - start[1]) > 0:
            faces += _wall(np.stack([start, end, end + up, start + up]), building)
    corners = np.stack([bottom_left, bottom_right, top_right, top_left])
    faces.append(Face(corners + up, building.roof, "matt"))
    return faces


def _wall(quad: Floats, building: Building) -> list[Face]:
    width, height = float(np.linalg.norm(quad[1] - quad[0])), building.height
    faces = [Face(quad, building.wall, "matt"), Face(patch(quad, (0, 1), (0, 0.5 / height)), (96, 98, 100), "matt")]
    floors = max(1, int((height - 0.8) / 3.0))
    columns = max(2, int(width / 2.8))
    for floor in range(floors):
        low, high = 0.9 + 3.0 * floor, 2.4 + 3.0 * floor
        shop = floor == 0 and building.shop is not None
        for column in range(columns):
            left, right = (column + (0.1 if shop else 0.24)) / columns, (column + (0.9 if shop else 0.76)) / columns
            frame = 0.1 / width
            faces.append(
                Face(
                    patch(quad, (left - frame, right + frame), ((low - 0.1) / height, (high + 0.1) / height)),
                    _FRAME,
                    "matt",
                )
            )
            faces.append(Face(patch(quad, (left, right), (low / height, high / height)), _GLASS, "glass"))
        if shop and building.shop is not None:
            faces.append(Face(patch(quad, (0.04, 0.96), (2.62 / height, 3.15 / height)), building.shop, "matt"))
    faces.append(Face(patch(quad, (0, 1), (1 - 0.35 / height, 1)), _FRAME, "matt"))
    return faces


def _column(x: float, y: float, z: tuple[float, float], radius: float, colour: Colour, sides: int = 6) -> list[Face]:
    angles = np.linspace(0.0, 2 * np.pi, sides, endpoint=False)
    ring = np.column_stack([np.cos(angles), np.sin(angles)]) * radius + (x, y)
    faces = []
    for i in range(sides):
        a, b = ring[i], ring[(i + 1) % sides]
        faces.append(Face(np.array([(*a, z[0]), (*b, z[0]), (*b, z[1]), (*a, z[1])]), colour, "matt"))
    return faces


def _trunk(tree: Tree) -> list[Face]:
    if tree.trunk == 0.0:
        return []
    return _column(tree.x, tree.y, (0.0, tree.crown_base + tree.crown * 0.8), tree.trunk, _BARK)


def _turned(points: Floats, pole: Pole) -> Floats:
    cosine, sine = math.cos(pole.heading), math.sin(pole.heading)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return points @ turn.T + (pole.x, pole.y, 0.0)


def _pole(pole: Pole) -> list[Face]:
    thick = {"lamp": 0.09, "signal": 0.08, "sign": 0.05, "board": 0.06}[pole.kind]
    if pole.kind == "board":
        faces = [face for y in (-0.85, 0.85) for face in _board_post(pole, y)]
        panel = box((-0.05, 0.05), 1.2, (0.95, pole.height))
        faces += [Face(_turned(side, pole), (150, 152, 152), "matt") for side in panel]
        front = panel[3]
        faces.append(Face(_turned(patch(front, (0.04, 0.96), (0.05, 0.95)), pole), pole.colour, "matt"))
        faces.append(Face(_turned(patch(front, (0.15, 0.85), (0.55, 0.75)), pole), (235, 235, 235), "matt"))
        return faces
    faces = _column(pole.x, pole.y, (0.0, pole.height), thick, _STEEL)
    if pole.kind == "lamp":
        for side in box((0.0, 1.9), 0.06, (pole.height - 0.1, pole.height)):
            faces.append(Face(_turned(side, pole), _STEEL, "matt"))
        for side in box((1.5, 2.3), 0.14, (pole.height - 0.14, pole.height + 0.02)):
            faces.append(Face(_turned(side, pole), (206, 212, 214), "matt"))
    elif pole.kind == "sign":
        high = pole.height - 0.45
        ring = disc(0.0, -0.06, high, 0.46, 14)
        front = np.column_stack([-ring[:, 1], ring[:, 0], ring[:, 2]])
        back = front[::-1] * (-1.0, 1.0, 1.0)
        faces.append(Face(_turned(back, pole), (150, 152, 152), "matt"))
        faces.append(Face(_turned(front, pole), pole.colour, "matt"))
        inner = (front - (0.0, 0.0, high)) * (1.0, 0.62, 0.62) + (0.0, 0.0, high)
        faces.append(Face(_turned(inner, pole), (238, 238, 238), "matt"))
    else:
        for side in box((0.04, 0.28), 0.19, (pole.height - 1.05, pole.height)):
            faces.append(Face(_turned(side, pole), pole.colour, "matt"))
    return faces


def _board_post(pole: Pole, y: float) -> list[Face]:
    x, y, _ = _turned(np.array([[0.0, y, 0.0]]), pole)[0]
    return _column(float(x), float(y), (0.0, 1.2), 0.06, _STEEL)


def lamps_of(signal: Pole) -> Floats:
    """`(3, 3)`: the centres of the red, the yellow and the green lamp."""
    heights = [signal.height - 0.2, signal.height - 0.52, signal.height - 0.84]
    return _turned(np.array([(0.29, 0.0, z) for z in heights]), signal)


def shadow_outlines(thing: Thing, sun: Floats) -> list[Floats]:
    """Convex outlines `(k, 2)` of an object's shadow on the ground, without those of crowns."""

    def thrown(points: Floats) -> Floats:
        return points[:, :2] - points[:, 2:] * (sun[:2] / sun[2])

    if isinstance(thing, Building):
        base = footprint_of(thing)
        tops = np.column_stack([base, np.full(4, thing.height)])
        return [np.concatenate([base, thrown(tops)])]
    if isinstance(thing, Tree):
        if thing.trunk == 0.0:
            return []
        high = thing.crown_base + thing.crown
    else:
        high = thing.height
    base = footprint_of(thing) * 0.6 + np.array([thing.x, thing.y]) * 0.4
    outlines = [np.concatenate([base, thrown(np.column_stack([base, np.full(4, high)]))])]
    if isinstance(thing, Pole) and thing.kind == "board":
        panel = np.array([(0.0, y, z) for y in (-1.2, 1.2) for z in (0.95, thing.height)])
        outlines.append(thrown(_turned(panel, thing)))
    return outlines
