"""Pictures and truth of one camera, tick by tick."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from demo.background import Background, background_of
from demo.geometry import SceneCamera
from demo.scenario import Scenario, Vehicle
from demo.signals import signals_in_view
from demo.sprites import Sprite, painted_order, sprite_of
from demo.truth import MIN_VISIBLE_PX, Truth

_NOISE_TILES = 4
_NOISE_MARGIN_PX = 64


class Renderer:
    """Pictures and truth of one camera. Ticks are independent, and can be rendered in any order."""

    def __init__(self, scenario: Scenario, camera: SceneCamera, background: Background | None = None) -> None:
        """`background`: drawn by an earlier renderer of the same camera; None: draw it now."""
        self.scenario, self.camera = scenario, camera
        self.background = background or background_of(scenario.scenery, camera)
        self._noise = _noise_tiles(camera)
        self._signals = signals_in_view(scenario.scenery, camera, self.background)
        self._drawn: tuple[int, list[Sprite]] | None = None
        self._standing: dict[int, tuple[tuple[float, ...], Sprite | None]] = {}

    def picture(self, tick: int) -> npt.NDArray[np.uint8]:
        """`(height, width, 3)` BGR at a tick."""
        image = self.background.picture.copy()
        for signal in self._signals:
            signal.light_up(image, self.scenario.light(signal.arm, tick))
        sprites = self._sprites(tick)
        for sprite in sprites:
            if sprite.shadow is not None:
                sprite.shadow.cast(image)
        for sprite in sprites:
            sprite.paint(image)
        return self._with_noise(image, tick)

    def truth(self, tick: int) -> Truth:
        """The ground truth at a tick."""
        owner = np.zeros((self.camera.height, self.camera.width), np.int16)
        sprites = self._sprites(tick)
        for number, sprite in enumerate(sprites, start=1):
            sprite.claim(owner, number)
        found = []
        for number, sprite in enumerate(sprites, start=1):
            x0, y0, x1, y1 = sprite.roi
            mine = owner[y0:y1, x0:x1] == number
            count = int(np.count_nonzero(mine))
            if count < MIN_VISIBLE_PX:
                continue
            columns, rows = np.flatnonzero(mine.any(axis=0)), np.flatnonzero(mine.any(axis=1))
            box = (x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1)
            found.append((sprite, box, min(1.0, count / max(sprite.whole_px, 1))))
        found.sort(key=lambda each: each[0].vehicle.id)
        return Truth(
            np.array([sprite.vehicle.id for sprite, _, _ in found], np.int64),
            np.array([box for _, box, _ in found], np.float32).reshape(-1, 4),
            np.array([sprite.vehicle.look.class_id for sprite, _, _ in found], np.int16),
            np.array([share for _, _, share in found], np.float32),
            np.array([sprite.pose[:2] for sprite, _, _ in found], np.float32).reshape(-1, 2),
        )

    def _sprites(self, tick: int) -> list[Sprite]:
        """The sprites of a tick, from far to near."""
        if self._drawn is None or self._drawn[0] != tick:
            if not 0 <= tick < self.scenario.ticks:
                raise IndexError(f"tick {tick} is not one of the {self.scenario.ticks} of the scenario")
            found = (self._sprite(vehicle, tick) for vehicle in self.scenario.present(tick))
            sprites = [sprite for sprite in found if sprite is not None]
            self._drawn = (tick, painted_order(self.camera, sprites))
        return self._drawn[1]

    def _sprite(self, vehicle: Vehicle, tick: int) -> Sprite | None:
        """Drawn again only if the vehicle has moved since."""
        state = (*vehicle.poses[tick - vehicle.first_tick].tolist(), float(vehicle.braking[tick - vehicle.first_tick]))
        known = self._standing.get(vehicle.id)
        if known is None or known[0] != state:
            known = (state, sprite_of(self.camera, self.background, vehicle, tick))
            self._standing[vehicle.id] = known
        return known[1]

    def _with_noise(self, image: npt.NDArray[np.uint8], tick: int) -> npt.NDArray[np.uint8]:
        turn = (tick * 7919 + 13) & 0x7FFFFFFF
        brighter, darker = self._noise
        dx, dy = (turn // _NOISE_TILES * 31) % _NOISE_MARGIN_PX, (turn // _NOISE_TILES * 17) % _NOISE_MARGIN_PX
        which = turn % _NOISE_TILES, slice(dy, dy + self.camera.height), slice(dx, dx + self.camera.width)
        return np.asarray(cv2.subtract(cv2.add(image, brighter[which]), darker[which]), np.uint8)


def _noise_tiles(camera: SceneCamera) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The noise to add to and to subtract from pixels, `(tiles, height, width, 3)` each."""
    seed = sum(ord(letter) * (i + 1) for i, letter in enumerate(camera.name))
    random = np.random.Generator(np.random.PCG64(seed))
    shape = (_NOISE_TILES, camera.height + _NOISE_MARGIN_PX, camera.width + _NOISE_MARGIN_PX, 3)
    shared = random.standard_normal(shape[:3], dtype=np.float32)[..., None]
    own = random.standard_normal(shape, dtype=np.float32)
    noise = np.rint((0.75 * shared + 0.6 * own) * camera.noise_sigma)
    return np.maximum(noise, 0).astype(np.uint8), np.maximum(-noise, 0).astype(np.uint8)
