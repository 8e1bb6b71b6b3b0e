"""The floor plan of a site: a picture that the page draws under its map. The hash `floor_plan`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shared.jpeg_size import jpeg_size
from shared.keys import Keys
from shared.lenient_reads import fields_at
from shared.lenient_values import decimal
from shared.redis_connection import Client

BYTES_MOST = 3 * 1024 * 1024
SIDE_MOST = 8192
"""Pixels."""


@dataclass(frozen=True)
class FloorPlan:
    """A picture of the ground, seen from above, its upper edge towards positive y."""

    x: float
    """Of its lower left corner on the ground, metres; likewise `y`."""
    y: float
    width_m: float
    """How wide it is on the ground, metres, above 0."""
    size: tuple[int, int]
    """Width and height, pixels."""
    jpeg: bytes

    @property
    def height_m(self) -> float:
        """How high it is on the ground, metres: a pixel is as high as wide."""
        return self.width_m * self.size[1] / self.size[0]


def read_floor_plan(client: Client, keys: Keys) -> FloorPlan | None:
    """The floor plan; None if there is none, or it cannot be read.

    Raises:
        RedisError: Redis is unreachable.
    """
    found = fields_at(client, keys.floor_plan, ["x", "y", "width_m", "jpeg"])
    jpeg = found[3] or b""
    numbers = [decimal((text or b"").decode(errors="replace")) for text in found[:3]]
    size = jpeg_size(jpeg)
    x, y, width_m = (math.nan if number is None else number for number in numbers)
    if size is None or not all(map(math.isfinite, (x, y, width_m))) or width_m <= 0:
        return None
    return FloorPlan(x, y, width_m, size, jpeg)


def write_floor_plan(client: Client, keys: Keys, plan: FloorPlan) -> None:
    """Replaces the floor plan.

    Raises:
        RedisError: Redis is unreachable.
    """
    fields = {"x": plan.x, "y": plan.y, "width_m": plan.width_m, "jpeg": plan.jpeg}
    with client.pipeline(transaction=True) as pipe:
        pipe.delete(keys.floor_plan)  # also if it is of another type
        pipe.hset(keys.floor_plan, mapping=fields)
        pipe.execute()


def delete_floor_plan(client: Client, keys: Keys) -> bool:
    """Deletes the floor plan; whether there was one.

    Raises:
        RedisError: Redis is unreachable.
    """
    return bool(client.delete(keys.floor_plan))
