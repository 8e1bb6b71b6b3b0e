"""Places of parked vehicles: along the roads, and on a car park."""

from __future__ import annotations

import math

CAR_PARK = (17.0, 43.0, -33.0, -15.0)
"""x from, x to, y from, y to, in metres."""
KERB_STRIPS = (
    (-4.9, 117.0, 2.4, 44.0),
    (24.0, 4.95, 30.0, 2.4),
)
"""x and y of the centre (of the western or southern end), width, height."""
PARKING_SPOTS: tuple[tuple[float, float, float], ...] = (
    *((20.0 + 3.2 * i, -29.5, math.pi / 2) for i in range(7)),
    *((20.0 + 3.2 * i, -18.5, -math.pi / 2) for i in range(7)),
    *((-4.9, 121.0 + 7.0 * i, -math.pi / 2) for i in range(5)),
)
"""x, y in metres, heading in radians."""
