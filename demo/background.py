"""The static parts of a camera's view: drawn once, with the objects that may hide vehicles."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

from demo.fixtures import crown_of, faces_of, footprint_of, shadow_outlines
from demo.geometry import NEAR_M, Floats, SceneCamera, clip_near
from demo.ground import ground_colours
from demo.light import SHADOW_GAIN_BGR, Surfaces, sensed, shaded
from demo.occlusion import Footprint
from demo.scenery import Building, Scenery, Thing, Tree

_SUPERSAMPLED = 2
_HORIZON_M = 600.0
_SHIFT = 4
_FARTHEST_M = 330.0
_HAZE_BGR = np.array([214.0, 206.0, 196.0], np.float32)
_HAZE_M = 420.0

Canvas = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Background:
    """The empty view of one camera."""

    picture: npt.NDArray[np.uint8]
    """`(height, width, 3)` BGR, as the sensor outputs it, without noise."""
    front: npt.NDArray[np.int16]
    """`(height, width)`: index into `footprints` of the object at a pixel; −1: ground or sky."""
    front_alpha: npt.NDArray[np.float32]
    """`(height, width)` 0..1: share of the pixel that objects cover."""
    footprints: tuple[Footprint, ...]
    """Outlines of the objects on the ground."""
    shade: npt.NDArray[np.float32]
    """`(height, width)` 0..1: share of the sunlight blocked at the ground of a pixel, ignoring objects in front."""
    sun: Floats
    """Unit vector towards the sun."""

    @cached_property
    def open_ground(self) -> npt.NDArray[np.float32]:
        """`(height, width)` 0..1/255: factor for a shadow of 0..255: zero on objects, small in the shade."""
        return np.asarray((1.0 - self.front_alpha) * (1.0 - 0.85 * self.shade) / 255.0, np.float32)


def background_of(scenery: Scenery, camera: SceneCamera) -> Background:
    """Draws the empty view. The result depends only on the arguments."""
    scale = _SUPERSAMPLED
    width, height = camera.width * scale, camera.height * scale
    canvas = _ground(camera, width, height, scale)
    shade = _shade(camera, scenery, width, height, scale)
    canvas *= 1.0 - shade[..., None] * (1.0 - SHADOW_GAIN_BGR).astype(np.float32)
    things = [thing for thing in scenery.things if _is_near(camera, thing)]
    things.sort(key=lambda thing: -_distance(camera, thing))
    owner = np.full((height, width), -1, np.int16)
    for number, thing in enumerate(things):
        _draw(camera, scenery, thing, number, canvas, owner, scale)
    picture = cv2.resize(canvas, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    alpha = cv2.resize((owner >= 0).astype(np.float32), (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    # Nearer objects have higher numbers.
    blocks = owner.reshape(camera.height, scale, camera.width, scale)
    return Background(
        np.clip(sensed(camera, picture.astype(np.float64)) + 0.5, 0, 255).astype(np.uint8),
        blocks.max(axis=(1, 3)),
        alpha,
        tuple(Footprint.of(footprint_of(thing)) for thing in things),
        cv2.resize(shade, (camera.width, camera.height), interpolation=cv2.INTER_AREA),
        scenery.sun,
    )


def _middle(thing: Thing) -> Floats:
    if isinstance(thing, Building):
        return np.array([sum(thing.x) / 2, sum(thing.y) / 2])
    return np.array([thing.x, thing.y])


def _distance(camera: SceneCamera, thing: Thing) -> float:
    """Distance to the nearest point of an object on the ground; far objects are painted first."""
    place = np.array(camera.position[:2])
    if isinstance(thing, Building):
        low, high = np.array([thing.x[0], thing.y[0]]), np.array([thing.x[1], thing.y[1]])
        return float(np.linalg.norm(place - np.clip(place, low, high)))
    return float(np.linalg.norm(place - _middle(thing)))


def _is_near(camera: SceneCamera, thing: Thing) -> bool:
    return float(np.linalg.norm(_middle(thing) - camera.position[:2])) < _FARTHEST_M


def _ground(camera: SceneCamera, width: int, height: int, scale: int) -> Canvas:
    column = np.tile(np.asarray((np.arange(width) + 0.5) / scale - 0.5, np.float32), (height, 1))
    row = np.tile(np.asarray((np.arange(height) + 0.5) / scale - 0.5, np.float32)[:, None], (1, width))
    across, along, reciprocal = (
        np.asarray(line[0] * column + line[1] * row + line[2], np.float32) for line in camera.image_to_ground.tolist()
    )
    # The homography's scale is the reciprocal of the depth.
    seen = reciprocal > 1.0 / _HORIZON_M
    depth = 1.0 / reciprocal[seen]
    flat = np.maximum(1.0, depth / camera.position[2] / 2)
    metres_per_pixel = np.asarray(depth / camera.intrinsic[0, 0] * flat, np.float32)
    colour = ground_colours(across[seen] * depth, along[seen] * depth, metres_per_pixel)
    haze = (1 - np.exp(-depth / _HAZE_M))[:, None]
    canvas = np.empty((height, width, 3), np.float32)
    canvas[seen] = colour * (1 - haze) + _HAZE_BGR * haze
    if not seen.all():
        canvas[~seen] = _sky(camera, column[~seen], row[~seen])
    return canvas


def _sky(camera: SceneCamera, column: Canvas, row: Canvas) -> Floats:
    rays = np.stack([column, row, np.ones_like(row)], axis=-1) @ np.linalg.inv(camera.intrinsic).T @ camera.rotation
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    up = np.clip(rays[..., 2], 0.0, 1.0)
    return _HAZE_BGR + (np.array([226.0, 168.0, 118.0]) - _HAZE_BGR) * np.clip(up * 2.4, 0, 1)[..., None]


def _shade(camera: SceneCamera, scenery: Scenery, width: int, height: int, scale: int) -> Canvas:
    """`(h, w)` 0..1: how much of the sunlight is blocked at the ground."""
    mask = np.zeros((height, width), np.uint8)
    for thing in scenery.things:
        if not _is_near(camera, thing):
            continue
        for outline in shadow_outlines(thing, scenery.sun):
            hull = cv2.convexHull(outline.astype(np.float32)).reshape(-1, 2)
            pixels = _ground_polygon(camera, hull, scale)
            if pixels is not None:
                cv2.fillConvexPoly(mask, pixels, 255, cv2.LINE_8, _SHIFT)
        if isinstance(thing, Tree):
            for pixels in _leaf_shadows(camera, thing, scenery.sun, scale):
                cv2.fillConvexPoly(mask, pixels, 255, cv2.LINE_8, _SHIFT)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), 1.6).astype(np.float32) / 255.0)


def _leaf_shadows(camera: SceneCamera, tree: Tree, sun: Floats, scale: int) -> npt.NDArray[np.int32]:
    """`(n, 7, 2)`: polygons in OpenCV's fixed-point coordinates on the supersampled canvas."""
    middles, _, radii, _ = crown_of(tree, 1.0)
    angles = np.linspace(0, 2 * np.pi, 7, endpoint=False)
    ring = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(7)])
    ground = np.column_stack([middles[:, :2] - middles[:, 2:] * (sun[:2] / sun[2]), np.zeros(len(middles))])
    points = ground[:, None] + ring[None] * (radii * 1.1)[:, None, None]
    pixels, depth = camera.project(points.reshape(-1, 3))
    pixels, depth = pixels.reshape(-1, 7, 2), depth.reshape(-1, 7)
    seen = (depth.min(axis=1) > NEAR_M) & (np.abs(pixels).max(axis=(1, 2)) < 4000)
    fine = ((pixels[seen] + 0.5) * scale - 0.5) * (1 << _SHIFT)
    return np.rint(fine).astype(np.int32)


def _ground_polygon(camera: SceneCamera, outline: npt.NDArray[np.floating], scale: int) -> npt.NDArray[np.int32] | None:
    points = np.column_stack([outline, np.zeros(len(outline))])
    pixels, depth = camera.project(points)
    return _polygon(camera, points, pixels, depth, scale)


def _polygon(
    camera: SceneCamera, points: Floats, pixels: Floats, depth: Floats, scale: int
) -> npt.NDArray[np.int32] | None:
    """World points `(k, 3)`, and their fixed-point coordinates on the supersampled canvas; None: out of view."""
    if depth.min() < NEAR_M:
        points = clip_near(depth, points)
        if len(points) < 3:
            return None
        pixels, _ = camera.project(points)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    if high[0] < 0 or high[1] < 0 or low[0] > camera.width or low[1] > camera.height:
        return None
    fine = ((pixels + 0.5) * scale - 0.5) * (1 << _SHIFT)
    return np.rint(np.clip(fine, -2e6, 2e6)).astype(np.int32)


def _draw(
    camera: SceneCamera,
    scenery: Scenery,
    thing: Thing,
    number: int,
    canvas: Canvas,
    owner: npt.NDArray[np.int16],
    scale: int,
) -> None:
    eye = np.array(camera.position)
    faces = faces_of(thing, eye)
    if faces:
        points = np.concatenate([face.points for face in faces])
        starts = np.concatenate([[0], np.cumsum([len(face.points) for face in faces])])
        first = points[starts[:-1]]
        normals = np.cross(points[starts[:-1] + 1] - first, points[starts[:-1] + 2] - first)
        normals /= np.linalg.norm(normals, axis=1)[:, None]
        towards = eye - first
        facing = (normals * towards).sum(axis=1) > 0
        away = np.linalg.norm(towards, axis=1)
        base = np.array([face.colour for face in faces], np.float64)
        surfaces = Surfaces.of(base, [face.material for face in faces])
        colours = shaded(surfaces, normals, towards / away[:, None], scenery.sun)
        haze = (1 - np.exp(-away / _HAZE_M))[:, None]
        bgr = (colours * (1 - haze) + _HAZE_BGR * haze).tolist()
        pixels, depth = camera.project(points)
        for i in np.flatnonzero(facing):
            part = slice(starts[i], starts[i + 1])
            polygon = _polygon(camera, points[part], pixels[part], depth[part], scale)
            if polygon is not None:
                cv2.fillConvexPoly(canvas, polygon, bgr[i], cv2.LINE_8, _SHIFT)
                cv2.fillConvexPoly(owner, polygon, number, cv2.LINE_8, _SHIFT)
    if isinstance(thing, Tree):
        _draw_crown(camera, scenery, thing, number, canvas, owner, scale)


def _fineness(camera: SceneCamera, tree: Tree) -> float:
    """Crowns near the camera need smaller leaves."""
    away = float(np.linalg.norm(np.array([tree.x, tree.y]) - camera.position[:2]))
    return float(np.clip(30.0 / max(away, 1.0), 0.6, 2.4))


def _draw_crown(
    camera: SceneCamera,
    scenery: Scenery,
    tree: Tree,
    number: int,
    canvas: Canvas,
    owner: npt.NDArray[np.int16],
    scale: int,
) -> None:
    middles, normals, radii, bright = crown_of(tree, _fineness(camera, tree))
    pixels, depth = camera.project(middles)
    size = camera.intrinsic[0, 0] * radii / np.maximum(depth, NEAR_M)
    seen = (depth > NEAR_M) & (pixels[:, 0] > -size) & (pixels[:, 0] < camera.width + size)
    seen &= (pixels[:, 1] > -size) & (pixels[:, 1] < camera.height + size)
    light = 0.50 + 0.12 * normals[:, 2] + 0.60 * np.clip(normals @ scenery.sun, 0, 1)
    colours = np.array(tree.leaves) * (light * bright)[:, None]
    haze = (1 - np.exp(-depth / _HAZE_M))[:, None]
    colours = colours * (1 - haze) + _HAZE_BGR * haze
    random = np.random.Generator(np.random.PCG64(tree.seed + 1))
    angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ring = np.column_stack([np.cos(angles), np.sin(angles) * 0.85])
    wobble = random.uniform(0.62, 1.1, (len(radii), 8))
    shapes = ring[None] * (wobble * size[:, None])[..., None] + pixels[:, None]
    fine = np.rint(((np.clip(shapes, -1e5, 1e5) + 0.5) * scale - 0.5) * (1 << _SHIFT)).astype(np.int32)
    order = np.argsort(-depth, kind="stable")
    for shape, colour in zip(fine[order][seen[order]], colours[order][seen[order]].tolist(), strict=True):
        cv2.fillConvexPoly(canvas, shape, colour, cv2.LINE_8, _SHIFT)
        cv2.fillConvexPoly(owner, shape, number, cv2.LINE_8, _SHIFT)
