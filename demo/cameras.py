"""The six cameras of the site."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from demo.geometry import SceneCamera


def site_cameras(random: np.random.Generator) -> tuple[SceneCamera, ...]:
    """Four with overlapping views of the junction, then the roundabout in the east and the street in the north.

    Position, exposure and colour of each camera vary a little with the seed.
    """
    return tuple(_mounted(camera, random) for camera in _planned())


def _mounted(camera: SceneCamera, random: np.random.Generator) -> SceneCamera:
    position = np.array(camera.position) + random.uniform(-0.6, 0.6, 3)
    target = np.array(camera.target) + random.uniform(-0.8, 0.8, 3) * (1, 1, 0)
    gains = np.array(camera.white_balance_bgr) * random.uniform(0.97, 1.03, 3)
    return replace(
        camera,
        position=tuple(position.tolist()),
        target=tuple(target.tolist()),
        fov_deg=camera.fov_deg + float(random.uniform(-2.0, 2.0)),
        exposure=camera.exposure * float(random.uniform(0.93, 1.07)),
        white_balance_bgr=tuple(gains.tolist()),
    )


def _planned() -> tuple[SceneCamera, ...]:
    return (
        SceneCamera("crossing-southwest", (-17.5, -15.5, 7.8), (0.5, 0.0, 0.0), 62.0, noise_sigma=2.0),
        SceneCamera(
            "crossing-northwest", (-16.0, 20.5, 6.6), (-0.5, 0.5, 0.0), 64.0,
            exposure=0.82, white_balance_bgr=(1.10, 1.0, 0.93), noise_sigma=3.2,
        ),
        SceneCamera(
            "crossing-northeast", (22.0, 14.5, 9.8), (0.5, -0.5, 0.0), 58.0,
            exposure=1.14, white_balance_bgr=(0.92, 1.0, 1.08), noise_sigma=2.4,
        ),
        SceneCamera(
            "crossing-southeast", (14.0, -21.5, 5.8), (-0.5, 1.5, 0.0), 65.0,
            exposure=0.95, white_balance_bgr=(1.0, 1.02, 0.97), gamma=1.12, noise_sigma=4.0,
        ),
        SceneCamera(
            "roundabout", (137.0, -23.0, 7.4), (150.5, -0.5, 0.0), 64.0,
            exposure=1.05, white_balance_bgr=(1.06, 1.0, 0.98), noise_sigma=2.8,
        ),
        SceneCamera(
            "north-street", (-10.0, 110.5, 6.2), (2.2, 130.0, 0.0), 62.0,
            exposure=0.9, white_balance_bgr=(0.95, 1.0, 1.06), gamma=0.94, noise_sigma=3.0,
        ),
    )  # fmt: skip
