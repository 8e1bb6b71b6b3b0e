"""The six cameras of the site."""

from __future__ import annotations

from demo.geometry import Camera

CAMERA_NAMES = ("crossing-southwest", "crossing-northwest", "crossing-northeast", "crossing-southeast", "roundabout", "north-street")


def site_cameras() -> tuple[Camera, ...]:
    """Four with overlapping views of the junction, then the roundabout in the east and the street in the north."""
    return (
        Camera("crossing-southwest", (-21.0, -19.0, 8.0), (1.0, 0.5, 0.0), 66.0, noise_sigma=2.0),
        Camera(
            "crossing-northwest", (-17.0, 22.0, 6.2), (1.0, -1.0, 0.0), 70.0,
            exposure=0.82, white_balance_bgr=(1.10, 1.0, 0.93), noise_sigma=3.2,
        ),
        Camera(
            "crossing-northeast", (24.0, 16.0, 10.5), (0.0, 0.0, 0.0), 58.0,
            exposure=1.14, white_balance_bgr=(0.92, 1.0, 1.08), noise_sigma=2.4,
        ),
        Camera(
            "crossing-southeast", (15.0, -24.0, 5.2), (-1.0, 3.0, 0.5), 72.0,
            exposure=0.95, white_balance_bgr=(1.0, 1.02, 0.97), gamma=1.12, noise_sigma=4.0,
        ),
        Camera(
            "roundabout", (136.0, -24.0, 7.0), (151.0, 0.0, 0.0), 70.0,
            exposure=1.05, white_balance_bgr=(1.06, 1.0, 0.98), noise_sigma=2.8,
        ),
        Camera(
            "north-street", (-10.0, 112.0, 5.5), (2.0, 134.0, 0.5), 68.0,
            exposure=0.9, white_balance_bgr=(0.95, 1.0, 1.06), gamma=0.94, noise_sigma=3.0,
        ),
    )  # fmt: skip
