"""One vehicle as one camera sees it: its shaded faces, its silhouette, its shadow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demo.background import Background
from demo.bodies import Mesh
from demo.body_parts import Size
from demo.geometry import NEAR_M, Floats, SceneCamera
from demo.light import SHADOW_GAIN_BGR, sensed, shaded
from demo.occlusion import Footprint, hides
from demo.scenario import Vehicle
from demo.shadows import Shadow, shadow_of

_SHIFT = 4
"""Fractional bits of OpenCV's fixed-point coordinates."""
_BRAKE_LIGHT_BGR = (40.0, 40.0, 255.0)
_LARGEST_PX = 2600
_SMALLEST_PX = 2.5
_LEAST_SHOWN = 0.02
"""If less than this of a vehicle is visible, it counts as hidden."""


@dataclass
class Sprite:
    """A vehicle in a picture. Arrays cover the part inside the picture."""

    vehicle: Vehicle
    pose: Floats
    footprint: Footprint
    """Outline on the ground."""
    roi: tuple[int, int, int, int]
    """x0, y0, x1, y1 pixels."""
    kept: npt.NDArray[np.float32]
    """`(h, w, 3)` 0..1: how much of the background remains visible."""
    added: npt.NDArray[np.float32]
    """`(h, w, 3)` BGR 0..255: what the vehicle adds."""
    mask: npt.NDArray[np.bool_]
    """`(h, w)`: its pixels that no static object hides."""
    whole_px: int
    """Pixels of the whole silhouette, including those outside the picture."""
    shadow: Shadow | None

    def paint(self, image: npt.NDArray[np.uint8]) -> None:
        x0, y0, x1, y1 = self.roi
        under = cv2.multiply(image[y0:y1, x0:x1], self.kept, dtype=cv2.CV_32F)
        image[y0:y1, x0:x1] = cv2.add(under, self.added, dtype=cv2.CV_8U)

    def claim(self, owner: npt.NDArray[np.int16], number: int) -> None:
        """Writes `number` to the vehicle's pixels; nearer vehicles overwrite it later."""
        x0, y0, x1, y1 = self.roi
        owner[y0:y1, x0:x1][self.mask] = number


def sprite_of(camera: SceneCamera, background: Background, vehicle: Vehicle, tick: int) -> Sprite | None:
    """The sprite of a vehicle; None if the vehicle is outside the picture."""
    pose = vehicle.pose(tick)
    if pose is None:
        return None
    size, mesh, projection = vehicle.size, vehicle.mesh, camera.projection
    if not _may_show(camera, pose, size):
        return None
    cosine, sine = math.cos(pose[2]), math.sin(pose[2])
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    place = np.array([pose[0], pose[1], 0.0])
    image = mesh.vertices @ (projection[:, :3] @ turn).T + (projection[:, :3] @ place + projection[:, 3])
    if image[:, 2].min() < NEAR_M:  # no camera is placed where a vehicle can drive through its image plane
        return None
    pixels = image[:, :2] / image[:, 2:]
    low, high = np.floor(pixels.min(axis=0)).astype(int) - 1, np.ceil(pixels.max(axis=0)).astype(int) + 2
    if high[0] <= 0 or high[1] <= 0 or low[0] >= camera.width or low[1] >= camera.height:
        return None
    if high[1] - low[1] - 3 < _SMALLEST_PX:
        return None
    x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
    x1, y1 = min(int(high[0]), camera.width), min(int(high[1]), camera.height)
    corners = vehicle_footprint(size, pose)
    footprint = Footprint.of(corners)
    roi = (x0, y0, x1, y1)
    shown = _shown(camera, background, footprint, roi)
    if shown is not None and float(shown.max()) < _LEAST_SHOWN:
        return None
    light = 1.0 - _shade_at(camera, background, corners) * (1.0 - SHADOW_GAIN_BGR)
    braking = bool(vehicle.braking[tick - vehicle.first_tick])
    order, colours = _faces(camera, mesh, turn, pose, background.sun, light, braking)
    patch = _painted(mesh, pixels, order, colours, roi)
    alpha = patch[..., 3] / 255.0
    mask = alpha >= 0.5
    if low[0] >= 0 and low[1] >= 0 and high[0] <= camera.width and high[1] <= camera.height:
        whole = int(np.count_nonzero(mask))
    else:
        left, top = int(low[0]), int(low[1])
        span = (left, top, min(int(high[0]), left + _LARGEST_PX), min(int(high[1]), top + _LARGEST_PX))
        whole = int(np.count_nonzero(_painted(mesh, pixels, order, colours, span)[..., 3] >= 127.5))
    added = patch[..., :3]
    if shown is not None:
        alpha, added = alpha * shown, added * shown[..., None]
        mask &= shown >= 0.5
    kept = cv2.merge([1.0 - alpha] * 3)
    shadow = shadow_of(camera, background, mesh.hull @ turn.T + place)
    return Sprite(vehicle, pose, footprint, roi, kept, np.ascontiguousarray(added), mask, whole, shadow)


def _may_show(camera: SceneCamera, pose: Floats, size: Size) -> bool:
    """Whether the bounding sphere of the vehicle intersects the picture."""
    (x, y, depth) = (camera.projection[:, :3] @ (pose[0], pose[1], size.height / 2) + camera.projection[:, 3]).tolist()
    radius = size.length * 0.62
    if depth < radius:
        return depth > -radius
    reach = camera.intrinsic[0, 0] * radius / (depth - radius)
    return bool(-reach < x / depth < camera.width + reach and -reach < y / depth < camera.height + reach)


def _shade_at(camera: SceneCamera, background: Background, corners: Floats) -> float:
    """0..1: share of the sunlight blocked at a vehicle, from five points below it; points outside count as lit."""
    middle = corners.mean(axis=0)
    places = np.ones((5, 3))
    places[:4, :2] = middle + (corners - middle) * 0.7
    places[4, :2] = middle
    shade = 0.0
    for x, y, deep in (places @ camera.ground_to_image.T).tolist():
        if deep > NEAR_M and 0 <= x / deep < camera.width - 1 and 0 <= y / deep < camera.height - 1:
            shade += float(background.shade[round(y / deep), round(x / deep)]) / 5
    return shade


def _shown(
    camera: SceneCamera, background: Background, footprint: Footprint, roi: tuple[int, int, int, int]
) -> npt.NDArray[np.float32] | None:
    x0, y0, x1, y1 = roi
    things = background.front[y0:y1, x0:x1]
    # One more entry for the index −1, where there is no object.
    before = np.zeros(len(background.footprints) + 1, bool)
    before[things] = True
    before[-1] = False
    viewer = camera.position[:2]
    for number in np.flatnonzero(before).tolist():
        before[number] = hides(background.footprints[number], footprint, viewer)
    if not before.any():
        return None
    return np.asarray(1.0 - background.front_alpha[y0:y1, x0:x1] * before[things], np.float32)


def _faces(
    camera: SceneCamera, mesh: Mesh, turn: Floats, pose: Floats, sun: Floats, light: Floats, braking: bool
) -> tuple[list[int], Floats]:
    """The visible faces in painting order, and the sensed colours of all faces."""
    eye = (camera.eye - np.array([pose[0], pose[1], 0.0])) @ turn
    to_eye = eye - mesh.anchors
    facing = (mesh.normals * to_eye).sum(axis=1) > 0
    towards = to_eye / np.linalg.norm(to_eye, axis=1)[:, None]
    colours = shaded(mesh.surfaces, mesh.normals @ turn.T, towards @ turn.T, sun) * light
    if braking:
        colours[mesh.surfaces.brakes] = _BRAKE_LIGHT_BGR
    groups = sorted(mesh.groups, key=lambda group: (group[0], -abs(group[1] - eye[0])))
    order = [face for _, _, first, end in groups for face in range(first, end) if facing[face]]
    return order, sensed(camera, colours)


def _painted(
    mesh: Mesh, pixels: Floats, order: list[int], colours: Floats, span: tuple[int, int, int, int]
) -> npt.NDArray[np.float32]:
    """`(h, w, 4)`: premultiplied BGR, and alpha 0..255, of the pixels in a span."""
    x0, y0, x1, y1 = span
    scale = 3 if max(x1 - x0, y1 - y0) < 90 else 2
    patch = np.zeros(((y1 - y0) * scale, (x1 - x0) * scale, 4), np.uint8)
    # The middle of pixel 0 is at 0 for OpenCV; in the finer patch it is at (scale − 1) / 2.
    fixed = np.rint(((pixels - (x0, y0) + 0.5) * scale - 0.5) * (1 << _SHIFT)).astype(np.int32)
    starts = mesh.starts
    bgr = colours.tolist()
    for face in order:
        blue, green, red = bgr[face]
        cv2.fillConvexPoly(patch, fixed[starts[face] : starts[face + 1]], (blue, green, red, 255), cv2.LINE_8, _SHIFT)
    return cv2.resize(patch, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA).astype(np.float32)


def vehicle_footprint(size: Size, pose: Floats) -> Floats:
    """`(4, 2)` metres: the corners of a vehicle on the ground, counter-clockwise."""
    cosine, sine = math.cos(pose[2]), math.sin(pose[2])
    half_length, half_width = size.length / 2, size.width / 2
    corners = np.array(
        [(half_length, half_width), (-half_length, half_width), (-half_length, -half_width), (half_length, -half_width)]
    )
    return corners @ np.array([[cosine, sine], [-sine, cosine]]) + pose[:2]


def painted_order(camera: SceneCamera, sprites: list[Sprite]) -> list[Sprite]:
    """Sorts from far to near: a vehicle is painted after every vehicle that it hides."""
    viewer = camera.position[:2]
    waiting = sorted(sprites, key=lambda sprite: -sprite.footprint.distance_sq(viewer))
    hidden_by = [
        {
            j
            for j, other in enumerate(waiting)
            if j != i and _meet(one, other) and hides(other.footprint, one.footprint, viewer)
        }
        for i, one in enumerate(waiting)
    ]
    left, order = list(range(len(waiting))), []
    while left:
        # Next is a vehicle that hides no remaining one; if there is a cycle, it is the farthest.
        free = next((i for i in left if not any(i in hidden_by[j] for j in left)), left[0])
        left.remove(free)
        order.append(waiting[free])
    return order


def _meet(one: Sprite, other: Sprite) -> bool:
    """Whether their areas of the picture overlap."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = one.roi, other.roi
    return ax0 < bx1 and bx0 < ax1 and ay0 < by1 and by0 < ay1
