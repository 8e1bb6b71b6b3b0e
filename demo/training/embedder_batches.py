"""Training crops of the embedder: several vehicles of a scene, each from several cameras."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from demo.training.crops import Crop, imprecise, stretched
from demo.training.embedder_network import HEIGHT, WIDTH
from demo.training.light import random_light
from vision.inference.embedding import Preprocessing

VEHICLES, SIGHTINGS = 16, 6
_HIDDEN_SHARE = 0.25
_MAX_HIDDEN_AREA = 0.3

_PREPROCESSING = Preprocessing()


def batches(
    crops: Sequence[Crop], steps: int, random: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yields `steps` batches of `VEHICLES · SIGHTINGS` inputs `(B, 3, HEIGHT, WIDTH)` and identities `(B,)` int64.

    The vehicles of a batch come from two scenes, so a vehicle and its look-alikes are often in the same batch. With
    random vehicles of all scenes, they would hardly ever be.
    """
    scenes = _by_scene(crops)
    numbers = sorted(scenes)
    for _ in range(steps):
        images, identities = [], []
        for scene in random.choice(numbers, 2, replace=False).tolist():
            vehicles = sorted(scenes[scene])
            for identity in random.choice(vehicles, VEHICLES // 2, replace=len(vehicles) < VEHICLES // 2).tolist():
                images += [_seen(crop, random) for crop in _sightings(scenes[scene][identity], random)]
                identities += [identity] * SIGHTINGS
        yield as_input(np.stack(images)), torch.tensor(identities)


def _by_scene(crops: Sequence[Crop]) -> dict[int, dict[int, dict[str, list[Crop]]]]:
    """Maps scene, identity and camera to sightings, without vehicles that only one camera sees."""
    scenes: dict[int, dict[int, dict[str, list[Crop]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for crop in crops:
        scenes[crop.scene][crop.identity][crop.camera].append(crop)
    return {
        scene: {identity: cameras for identity, cameras in vehicles.items() if len(cameras) > 1}
        for scene, vehicles in scenes.items()
    }


def _sightings(cameras: dict[str, list[Crop]], random: np.random.Generator) -> list[Crop]:
    """`SIGHTINGS` crops of one vehicle, from alternating cameras."""
    names = random.permutation(sorted(cameras)).tolist()
    chosen = [cameras[names[i % len(names)]] for i in range(SIGHTINGS)]
    return [seen[int(random.integers(len(seen)))] for seen in chosen]


def _seen(crop: Crop, random: np.random.Generator) -> npt.NDArray[np.uint8]:
    image = random_light(stretched(crop, imprecise(crop, random), WIDTH, HEIGHT), random)
    if random.random() < 0.5:
        image = image[:, ::-1].copy()
    if random.random() < _HIDDEN_SHARE:
        _hide(image, random)
    return image


def _hide(image: npt.NDArray[np.uint8], random: np.random.Generator) -> None:
    """Covers a part of the crop with a plain rectangle (Zhong et al., Random Erasing, 2020)."""
    area = HEIGHT * WIDTH * random.uniform(0.03, _MAX_HIDDEN_AREA)
    ratio = np.exp(random.uniform(-1.0, 1.0))
    height, width = int(min(HEIGHT, (area * ratio) ** 0.5)), int(min(WIDTH, (area / ratio) ** 0.5))
    top, left = int(random.integers(HEIGHT - height + 1)), int(random.integers(WIDTH - width + 1))
    image[top : top + height, left : left + width] = random.integers(0, 256, 3)


def as_input(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """`(B, h, w, 3)` BGR to `(B, 3, h, w)` float32 RGB, normalised as in the embedder's default settings."""
    rgb = torch.from_numpy(np.ascontiguousarray(images[..., ::-1])).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (_PREPROCESSING.mean, _PREPROCESSING.std))
    return rgb.to(torch.float32, memory_format=torch.channels_last).mul_(_PREPROCESSING.scale).sub_(mean).div_(std)
