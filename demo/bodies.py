"""The bodies of the vehicles: from a look to painted solids. x forward, y left, z up; the origin on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.appearance import Look
from demo.cars import car
from demo.large_vehicles import bus, truck
from demo.light import Surfaces
from demo.solids import Floats, Solid


@dataclass(frozen=True)
class Mesh:
    """The faces of a vehicle as arrays, in `groups` that are painted in order."""

    vertices: Floats
    """`(v, 3)`, the concatenated vertices of all faces."""
    starts: tuple[int, ...]
    """The vertices of face `i` are `vertices[starts[i]:starts[i + 1]]`."""
    normals: Floats
    """`(f, 3)`."""
    anchors: Floats
    """`(f, 3)`, one point of each face."""
    surfaces: Surfaces
    groups: tuple[tuple[int, float, int, int], ...]
    """`(level, centre x, first face, end face)`."""
    hull: Floats
    """`(h, 3)`: a few points whose convex hull approximates the body, for its shadow."""


def mesh_of(look: Look) -> Mesh:
    """Returns the mesh of a look, in metres, scaled to its size."""
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
    """Size in metres, before `look.scale`."""
    if look.body in ("box_truck", "tipper"):
        return truck(look)
    if look.body in ("bus", "minibus"):
        return bus(look)
    return car(look)
