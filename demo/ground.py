"""The colour of the ground at any place: asphalt with its markings, kerbs, pavements, grass."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from demo.parking import CAR_PARK, KERB_STRIPS
from demo.roads import (
    ARM_LENGTH_M,
    HALF_ROAD_M,
    ISLAND_RADIUS_M,
    ROUNDABOUT_CENTRE,
    ROUNDABOUT_OUTER_M,
    STOP_LINE_M,
)

Floats = npt.NDArray[np.float32]

_ROW = 1024
_CORNER_M = 6.5
_PAVEMENT_M = 2.8
_KERB_M = 0.22
_GRASS = np.array([58, 112, 92], np.float32)
_ASPHALT = np.array([104, 102, 100], np.float32)
_KERB = np.array([172, 176, 178], np.float32)
_PAVING = np.array([150, 160, 166], np.float32)
_PAINT = np.array([214, 218, 218], np.float32)
_EARTH = np.array([86, 116, 138], np.float32)


def ground_colours(x: Floats, y: Floats, metres_per_pixel: Floats) -> Floats:
    """`(n, 3)` float32 BGR of the sunlit ground at `(n,)` points; detail finer than a pixel fades out."""
    road = road_distance(x, y)
    radius = np.hypot(x - ROUNDABOUT_CENTRE[0], y - ROUNDABOUT_CENTRE[1])
    island, kerbstone = radius < ISLAND_RADIUS_M, radius < ISLAND_RADIUS_M + _KERB_M * 1.6
    asphalt = (road < 0.0) & ~kerbstone
    kerb = (kerbstone & ~island) | ((road >= 0.0) & (road < _KERB_M))
    paving = (road >= _KERB_M) & (road < _PAVEMENT_M)
    colour = np.empty((len(x), 3), np.float32)
    for where, painted in (
        (asphalt, _asphalt),
        (kerb, _kerb),
        (paving, _paving),
        (~(asphalt | kerb | paving), _grass),
    ):
        if where.any():
            colour[where] = painted(x[where], y[where], metres_per_pixel[where])
    return colour


def road_distance(x: Floats, y: Floats) -> Floats:
    """Distance to the nearest carriageway in metres; negative on it."""
    across, along = np.abs(x) - HALF_ROAD_M, np.abs(y) - HALF_ROAD_M
    corner = _CORNER_M - np.hypot(_CORNER_M - across, _CORNER_M - along)
    in_corner = (across > 0) & (along > 0) & (across < _CORNER_M) & (along < _CORNER_M)
    distance = np.where(in_corner, corner, np.minimum(across, along))
    beyond = np.maximum(y - ARM_LENGTH_M["north"] - 60.0, x - ARM_LENGTH_M["east"] - 60.0)
    distance = np.maximum(distance, beyond)
    circle = np.hypot(x - ROUNDABOUT_CENTRE[0], y - ROUNDABOUT_CENTRE[1]) - ROUNDABOUT_OUTER_M
    distance = np.minimum(distance, circle)
    for left, bottom, right, top in _asphalt_rectangles():
        distance = np.minimum(distance, np.maximum.reduce([left - x, x - right, bottom - y, y - top]))
    return np.asarray(distance, np.float32)


@lru_cache(maxsize=1)
def _asphalt_rectangles() -> tuple[tuple[float, float, float, float], ...]:
    """Left, bottom, right, top of the car park, its drive, bays and strips."""
    strips = [
        (x - w / 2, y, x + w / 2, y + h) if h > w else (x, y - h / 2, x + w, y + h / 2) for x, y, w, h in KERB_STRIPS
    ]
    left, right, bottom, top = CAR_PARK
    return (
        (left, bottom, right, top),
        (27.0, top - 1.0, 33.0, 0.0),
        (3.0, 125.0, 6.6, 159.0),
        (-55.0, 3.0, -25.0, 6.6),
        *strips,
    )


def _fine_grain(x: Floats, y: Floats, metres_per_pixel: Floats) -> Floats:
    return _noise(x, y, 0.9, 1) * np.clip(1.2 - metres_per_pixel * 2.5, 0.0, 1.0)


def _grass(x: Floats, y: Floats, metres_per_pixel: Floats) -> Floats:
    grain = _fine_grain(x, y, metres_per_pixel)
    patches, wide = _noise(x, y, 9.0, 2), _noise(x, y, 40.0, 3)
    blades = _noise(x, y, 0.35, 4) * np.clip(1.2 - metres_per_pixel * 6.0, 0.0, 1.0)
    tone = (1.0 + 0.10 * patches + 0.12 * wide + 0.10 * grain + 0.16 * blades)[:, None]
    dry = np.clip(wide * 0.6 + patches * 0.4 - 0.35, 0.0, 0.8)[:, None]
    return tone * (_GRASS * (1 - dry) + _EARTH * dry)


def _kerb(x: Floats, y: Floats, metres_per_pixel: Floats) -> Floats:
    return _KERB + 6.0 * _fine_grain(x, y, metres_per_pixel)[:, None]


def _paving(x: Floats, y: Floats, metres_per_pixel: Floats) -> Floats:
    fine = np.clip(0.9 - metres_per_pixel * 2.5, 0.0, 1.0)
    joint = (np.mod(x, 0.8) < 0.05) | (np.mod(y, 0.8) < 0.05)
    tone = 8.0 * _noise(x, y, 9.0, 2) + 7.0 * _fine_grain(x, y, metres_per_pixel) - 20.0 * joint * fine
    return _PAVING + tone[:, None]


def _asphalt(x: Floats, y: Floats, metres_per_pixel: Floats) -> Floats:
    grain = _fine_grain(x, y, metres_per_pixel)
    tone = 1.0 + 0.05 * _noise(x, y, 9.0, 2) + 0.06 * _noise(x, y, 40.0, 3) + 0.07 * grain
    # Tyres polish the lanes, and oil drips along their centres.
    for across, along in ((x, y), (y, x)):
        in_lane = np.abs(np.abs(across) - 1.85)
        on_arm = (np.abs(across) < HALF_ROAD_M) & (np.abs(along) > HALF_ROAD_M)
        worn = 0.05 * np.exp(-(((in_lane - 0.8) / 0.3) ** 2)) - 0.06 * np.exp(-((in_lane / 0.35) ** 2))
        tone = tone + np.where(on_arm, worn, np.float32(0.0))
    cracks = (np.abs(_noise(x, y, 16.0, 7)) < 0.012) & (grain > -0.5)
    colour = _ASPHALT * (tone - 0.10 * cracks)[:, None]
    return colour + _markings(x, y, grain)[:, None] * (_PAINT - colour)


def _markings(x: Floats, y: Floats, grain: Floats) -> Floats:
    """0..1: how much road paint is there."""
    paint = np.zeros(np.shape(x), bool)
    east_end = ROUNDABOUT_CENTRE[0] - 22.0
    for across, along, both in ((y, x, True), (x, y, False)):
        far = np.abs(along)
        arm = far > STOP_LINE_M + 0.2
        if both:
            arm &= ~((along > east_end) & (along < ROUNDABOUT_CENTRE[0] + 22.0))
        dashed = (np.mod(far, 6.0) < 3.0) | (far < STOP_LINE_M + 16.0)
        paint |= arm & (np.abs(across) < 0.07) & dashed
        edge = np.abs(np.abs(across) - (HALF_ROAD_M - 0.28)) < 0.06
        paint |= arm & edge & (far > 13.0)
        # Right-hand traffic: incoming vehicles drive on this side of the centre line.
        inbound = (across * np.sign(along) > 0) if both else (across * np.sign(along) < 0)
        paint |= inbound & (np.abs(far - STOP_LINE_M - 0.1) < 0.22) & (np.abs(across) < HALF_ROAD_M - 0.3)
        zebra = (far > 6.6) & (far < 9.6) & (np.abs(across) < HALF_ROAD_M - 0.2) & (np.mod(across + 20.0, 1.0) < 0.5)
        paint |= zebra
    radius = np.hypot(x - ROUNDABOUT_CENTRE[0], y - ROUNDABOUT_CENTRE[1])
    paint |= (np.abs(radius - ROUNDABOUT_OUTER_M + 0.4) < 0.07) & (np.abs(y) > 5.5)
    for side in (-1.0, 1.0):
        entry = (x - ROUNDABOUT_CENTRE[0]) * side
        paint |= (np.abs(entry - 12.6) < 0.18) & (y * side > 0.0) & (np.abs(y) < 5.5) & (np.mod(y, 0.8) < 0.45)
    paint |= _parking_lines(x, y)
    worn = np.clip(0.86 + 0.35 * grain, 0.0, 1.0)
    return np.where(paint, worn, 0.0)


def _parking_lines(x: Floats, y: Floats) -> npt.NDArray[np.bool_]:
    left, right, bottom, top = CAR_PARK
    inside = (x > left) & (x < right) & (y > bottom) & (y < top)
    rows = ((y < bottom + 5.8) & (y > bottom + 0.6)) | ((y > top - 5.8) & (y < top - 0.6))
    lines = inside & rows & (np.abs(np.mod(x - 18.4 + 1.6, 3.2) - 1.6) < 0.06) & (x > 18.2) & (x < 41.0)
    lines &= ~((x > 27.0) & (x < 33.0) & (y > top - 5.8))
    strip = (x > -6.1) & (x < -3.7) & (y > 117.0) & (y < 161.0)
    lines |= strip & (np.abs(np.mod(y - 117.5 + 3.5, 7.0) - 3.5) < 0.06)
    lines |= (np.abs(x - 3.78) < 0.07) & (y > 125.0) & (y < 159.0) & (np.mod(y, 1.6) < 0.8)
    return lines | ((np.abs(y - 3.78) < 0.07) & (x < -25.0) & (x > -55.0) & (np.mod(x, 1.6) < 0.8))


def _noise(x: Floats, y: Floats, size_m: float, which: int) -> Floats:
    """`(n,)` smooth noise, about −1 to 1, with patches of `size_m`."""
    scale = np.float32(4.0 / size_m)
    rows = -(-len(x) // _ROW)  # OpenCV's maps have fewer than 32768 columns
    maps = np.zeros((2, rows * _ROW), np.float32)
    maps[0, : len(x)], maps[1, : len(x)] = np.mod(x * scale, 512), np.mod(y * scale, 512)
    map_x, map_y = maps.reshape(2, rows, _ROW)
    noise = cv2.remap(_tile(which), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(noise.reshape(-1)[: len(x)], np.float32)


@lru_cache(maxsize=16)
def _tile(which: int) -> Floats:
    random = np.random.Generator(np.random.PCG64(1000 + which))
    white = random.standard_normal((512, 512)).astype(np.float32)
    total = np.zeros_like(white)
    for sigma, weight in ((1.2, 0.5), (2.5, 0.8), (5.0, 1.0)):
        padded = cv2.copyMakeBorder(white, 32, 32, 32, 32, cv2.BORDER_WRAP)
        smooth = cv2.GaussianBlur(padded, (0, 0), sigma)[32:-32, 32:-32]
        total += weight * smooth / smooth.std()
    return (total / total.std() / 2).astype(np.float32)
