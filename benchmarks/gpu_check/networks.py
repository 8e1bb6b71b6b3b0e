"""Two networks with random weights, as TorchScript: a detector of 640×640 pixels and an embedder of 256×128.

Shapes, layers and output are those of the models that people use (an anchor-free detector of about 28 GFLOPs with the
head of YOLOv8, a residual embedder of 512 values), so they cost the same; what they find has no meaning. The detector's
class bias is chosen so that it finds about ten boxes in a picture, because the cost of tracking and embedding depends
on their number.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vision.inference.backends.torch_extra import import_torch
from vision.inference.detection import Detector
from vision.inference.detector_heads.ultralytics import UltralyticsHead
from vision.inference.embedding import Preprocessing, crop_batch
from vision.inference.letterbox import letterbox
from vision.inference.selection import Thresholds
from vision.inference.torch_suppression import select_on_device

BOXES = 10.0
"""Wanted mean number of boxes per picture."""
CROP_HEIGHT, CROP_WIDTH = 256, 128
DIMENSION = 512
_NAMES = {number: f"class {number}" for number in range(4)}
_BINS = 16
_CONTRAST = 2.0
_SEED = 1


def write_networks(
    folder: Path, pictures: Sequence[npt.NDArray[np.uint8]], *, size: int = 640, width: int = 32
) -> tuple[Path, Path]:
    """Writes detector and embedder into `folder`.

    Args:
        folder: exists.
        pictures: `(height, width, 3)` uint8 BGR, in which the detector will find about `BOXES` boxes each.
        size: of the detector's input, pixels.
        width: channels of its first layer; 32 as in a model of size "s".

    Returns:
        The paths of detector and embedder.
    """
    torch = import_torch()
    torch.manual_seed(_SEED)
    inputs = _inputs(pictures, size)
    net = _detector(torch, size, width)
    _settle(torch, net, inputs)
    _set_bias(torch, net, inputs)
    detector, embedder = folder / "detector.torchscript", folder / "embedder.torchscript"
    _save(torch, net, inputs[:1], detector, {"names": _NAMES, "imgsz": [size, size], "end2end": False})
    crops = _crops(pictures)
    network = _embedder(torch, width)
    _settle(torch, network, crops)
    _save(torch, network, crops[:1], embedder, {})
    return detector, embedder


def _set_bias(torch: Any, net: Any, inputs: Any) -> None:
    """Chooses the bias of the scores by bisection: the lower it is, the fewer boxes are found."""
    with torch.no_grad():
        boxes, logits = (part.swapaxes(1, 2) for part in net.boxes_and_logits(inputs))
        low, high = -60.0, 0.0
        for _ in range(30):
            net.bias.fill_((low + high) / 2)
            found = select_on_device(boxes, (logits + net.bias).sigmoid(), [Thresholds()] * len(inputs))
            enough = bool(np.mean([len(one.scores) for one in found]) >= BOXES)
            low, high = (low, float(net.bias)) if enough else (float(net.bias), high)


def boxes_per_picture(detector: Detector, pictures: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float64]:
    """How many boxes `detector` finds in each picture."""
    found = detector.detect(pictures, [Thresholds()] * len(pictures))
    return np.array([len(one) for one in found], np.float64)


def _inputs(pictures: Sequence[npt.NDArray[np.uint8]], size: int) -> Any:
    inputs = np.empty((len(pictures), 3, size, size), np.float32)
    for picture, row in zip(pictures, inputs, strict=True):
        letterbox(picture, UltralyticsHead.pictures, row)
    return import_torch().from_numpy(inputs)


def _crops(pictures: Sequence[npt.NDArray[np.uint8]]) -> Any:
    """Sixteen parts of each picture, as the embedder takes them."""
    height, width = pictures[0].shape[:2]
    corners = np.array([(x, y) for x in range(4) for y in range(4)], np.float32)
    boxes = np.hstack([corners, corners + 1]) * np.float32([width / 4, height / 4] * 2)
    batch, _ = crop_batch([(picture, boxes) for picture in pictures], Preprocessing(CROP_WIDTH, CROP_HEIGHT))
    return import_torch().from_numpy(batch)


def _settle(torch: Any, net: Any, inputs: Any) -> None:
    """Sets the statistics of batch normalisation to those of `inputs`, so that random layers keep their contrast."""
    for layer in net.modules():
        if isinstance(layer, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
            layer.momentum = None
    with torch.no_grad():
        net.train()(inputs)
    net.eval()


def _save(torch: Any, net: Any, example: Any, path: Path, described: dict[str, Any]) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(net, example.expand(2, -1, -1, -1))
        torch.jit.save(traced, str(path), _extra_files={"config.txt": json.dumps(described)})


def _conv(torch: Any, inner: int, outer: int, kernel: int = 3, stride: int = 1) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outer), nn.SiLU()
    )


def _detector(torch: Any, size: int, width: int) -> Any:
    nn = torch.nn

    class Residual(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(_conv(torch, channels, channels // 2), _conv(torch, channels // 2, channels))

        def forward(self, x: Any) -> Any:
            return x + self.layers(x)

    class DetectorNet(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            stages, channels = [_conv(torch, 3, width, 3, 2)], width
            for depth in (1, 2, 2, 1):
                stages.append(
                    nn.Sequential(
                        _conv(torch, channels, channels * 2, 3, 2), *[Residual(channels * 2) for _ in range(depth)]
                    )
                )
                channels *= 2
            self.stages = nn.ModuleList(stages)
            taken = [width * 4, width * 8, width * 16]
            self.boxes = nn.ModuleList(
                nn.Sequential(_conv(torch, c, 64), _conv(torch, 64, 64), nn.Conv2d(64, 4 * _BINS, 1)) for c in taken
            )
            self.scores = nn.ModuleList(
                nn.Sequential(_conv(torch, c, 128), _conv(torch, 128, 128), nn.Conv2d(128, len(_NAMES), 1))
                for c in taken
            )
            points, strides = [], []
            for stride in (8, 16, 32):
                cells = torch.arange(size // stride) + 0.5
                rows, columns = torch.meshgrid(cells, cells, indexing="ij")
                points.append(torch.stack([columns, rows]).flatten(1))
                strides.append(torch.full((1, points[-1].shape[1]), float(stride)))
            self.register_buffer("points", torch.cat(points, 1))
            self.register_buffer("strides", torch.cat(strides, 1))
            self.register_buffer("bins", torch.arange(float(_BINS)))
            self.register_buffer("bias", torch.zeros(()))

        def forward(self, x: Any) -> Any:
            boxes, logits = self.boxes_and_logits(x)
            return torch.cat([boxes, (logits + self.bias).sigmoid()], 1)

        def boxes_and_logits(self, x: Any) -> Any:
            kept = []
            for number, stage in enumerate(self.stages):
                x = stage(x)
                if number >= 2:
                    kept.append(x)
            distances = torch.cat([branch(one).flatten(2) for branch, one in zip(self.boxes, kept, strict=True)], 2)
            scores = torch.cat([branch(one).flatten(2) for branch, one in zip(self.scores, kept, strict=True)], 2)
            # Scaled within each picture, so that all pictures have about as many boxes.
            scores = (scores - scores.mean((1, 2), keepdim=True)) / scores.std((1, 2), keepdim=True)
            shaped = distances.unflatten(1, (4, _BINS)).softmax(2)
            sides = (shaped * self.bins[:, None]).sum(2)
            first, last = self.points - sides[:, :2], self.points + sides[:, 2:]
            boxes = torch.cat([(first + last) / 2, last - first], 1) * self.strides
            return boxes, scores * _CONTRAST

    return DetectorNet()


def _embedder(torch: Any, width: int) -> Any:
    nn = torch.nn

    class Residual(nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.layers = nn.Sequential(_conv(torch, channels, channels), _conv(torch, channels, channels))

        def forward(self, x: Any) -> Any:
            return x + self.layers(x)

    layers, channels = [_conv(torch, 3, width, 7, 2), nn.MaxPool2d(2)], width
    for _ in range(3):
        layers += [Residual(channels), _conv(torch, channels, channels * 2, 3, 2)]
        channels *= 2
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, DIMENSION), nn.BatchNorm1d(DIMENSION)
    )
