"""The detector's network: a small residual network with a feature pyramid and one prediction per cell.

The backbone's stages are cross-stage partial (Wang et al., CSPNet, 2020), the pyramid is top-down only (Lin et al.,
Feature Pyramid Networks, 2017), and a cell predicts its distances to the four sides of a box (Tian et al., FCOS,
2019). Widths are chosen for 12 ms on two cores; all activations are ReLU, which runtimes fuse into convolutions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDES = (8, 16, 32)
_WIDTHS = (8, 16, 32, 64, 128)
_DEPTHS = (1, 2, 1)
_PYRAMID_WIDTH = 32
_HEAD_WIDTH = 48
# About one cell in a hundred has an object, so scores start there (Lin et al., Focal Loss, 2017).
_PRIOR = 0.01
# e^5.5 cells are more than the width of any picture here.
_MAX_LOG_DISTANCE = 5.5


class DetectorNetwork(nn.Module):
    """Maps pictures `(B, 3, H, W)` float32 RGB in [0, 1] to predictions; H and W are multiples of 32."""

    def __init__(self, class_count: int) -> None:
        super().__init__()
        self.class_count = class_count
        half, quarter, *widths = _WIDTHS
        self.stem = nn.Sequential(convolution(3, half, 3, 2), convolution(half, quarter, 3, 2))
        inputs = [quarter, *widths[:-1]]
        self.stages = nn.ModuleList(
            nn.Sequential(convolution(before, width, 3, 2), PartialStage(width, depth))
            for before, width, depth in zip(inputs, widths, _DEPTHS, strict=True)
        )
        self.laterals = nn.ModuleList(convolution(width, _PYRAMID_WIDTH, 1) for width in widths)
        self.heads = nn.ModuleList(
            nn.Sequential(convolution(_PYRAMID_WIDTH, _PYRAMID_WIDTH), convolution(_PYRAMID_WIDTH, _HEAD_WIDTH))
            for _ in widths
        )
        self.outputs = nn.ModuleList(nn.Conv2d(_HEAD_WIDTH, 4 + class_count, 1) for _ in widths)
        for output in self.outputs:
            nn.init.normal_(output.weight, std=0.01)
            nn.init.constant_(output.bias[:4], 1.0)
            nn.init.constant_(output.bias[4:], -torch.logit(torch.tensor(1 - _PRIOR)).item())

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes `(B, N, 4)` xyxy in pixels of the input, and logits `(B, N, C)`, one row per cell of `cells`."""
        raw = self.levels(pictures)
        boxes, logits = [], []
        for level, stride in zip(raw, STRIDES, strict=True):
            rows = level.flatten(2).transpose(1, 2)
            centres = cell_centres(level.shape[2], level.shape[3], stride).to(rows)
            distances = rows[..., :4].clamp(max=_MAX_LOG_DISTANCE).exp() * stride
            boxes.append(torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], dim=-1))
            logits.append(rows[..., 4:])
        return torch.cat(boxes, dim=1), torch.cat(logits, dim=1)

    def levels(self, pictures: Tensor) -> list[Tensor]:
        """Per stride `(B, 4 + C, rows, columns)`: log distances in cells to left, top, right, bottom; logits."""
        features, below = [], self.stem(pictures)
        for stage in self.stages:
            below = stage(below)
            features.append(below)
        merged: list[Tensor] = []
        for lateral, feature in zip(reversed(self.laterals), reversed(features), strict=True):
            level = lateral(feature)
            if merged:
                level = level + functional.interpolate(merged[-1], scale_factor=2.0, mode="nearest")
            merged.append(level)
        finest_first = reversed(merged)
        return [output(head(level)) for output, head, level in zip(self.outputs, self.heads, finest_first, strict=True)]


class ExportedDetector(nn.Module):
    """The network with the output of Ultralytics' models: `(B, 4 + C, N)`, centre, size and a score per class."""

    def __init__(self, network: DetectorNetwork, height: int, width: int) -> None:
        super().__init__()
        self.network = network
        grids = [(height // stride, width // stride, stride) for stride in STRIDES]
        centres = [cell_centres(rows, columns, stride) for rows, columns, stride in grids]
        strides = [torch.full((len(points), 1), stride) for points, stride in zip(centres, STRIDES, strict=True)]
        self.register_buffer("centres", torch.cat(centres).T.contiguous())
        self.register_buffer("strides", torch.cat(strides).T.contiguous().float())

    def forward(self, pictures: Tensor) -> Tensor:
        # Channels stay first: the transposition used in training would take a tenth of the whole time.
        columns = torch.cat([level.flatten(2) for level in self.network.levels(pictures)], dim=2)
        distances = columns[:, :4].clamp(max=_MAX_LOG_DISTANCE).exp() * self.strides
        before, after = distances[:, :2], distances[:, 2:]
        centres = self.centres + (after - before) / 2
        return torch.cat([centres, before + after, columns[:, 4:].sigmoid()], dim=1)


class PartialStage(nn.Module):
    """Half of the channels pass through residual blocks, the other half bypass them."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        half = width // 2
        self.through, self.beside = convolution(width, half, 1), convolution(width, half, 1)
        self.blocks = nn.Sequential(*(ResidualBlock(half) for _ in range(depth)))
        self.joined = convolution(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        return self.joined(torch.cat([self.blocks(self.through(features)), self.beside(features)], dim=1))


class ResidualBlock(nn.Module):
    """Two convolutions with a skip connection (He et al., Deep Residual Learning, 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = convolution(width, width), convolution(width, width, active=False)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.second(self.first(features)))


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1, *, active: bool = True) -> nn.Sequential:
    """A convolution with batch normalisation and, if `active`, ReLU."""
    layers = [nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if active else nn.Sequential(*layers)


def cell_centres(rows: int, columns: int, stride: int) -> Tensor:
    """`(rows · columns, 2)` float32, x and y in pixels, row by row."""
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return (torch.stack([x, y], dim=-1).reshape(-1, 2).float() + 0.5) * stride


def all_cell_centres(height: int, width: int) -> Tensor:
    """`(N, 2)`: cell centres of a picture, in the order of the network's rows."""
    return torch.cat([cell_centres(height // stride, width // stride, stride) for stride in STRIDES])
