"""The embedder's network: a small residual network, its features' mean and maximum, and one linear layer."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from demo.training.detector_network import ResidualBlock, convolution

WIDTH, HEIGHT = 96, 64
DIMENSION = 128
_WIDTHS = (16, 32, 64, 128)


class EmbedderNetwork(nn.Module):
    """Maps crops `(B, 3, HEIGHT, WIDTH)` float32 RGB, normalised as for ImageNet, to `(B, DIMENSION)`, any norm."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [convolution(3, _WIDTHS[0], 3, 2)]
        for before, width in itertools.pairwise(_WIDTHS):
            layers += [convolution(before, width, 3, 2), ResidualBlock(width)]
        self.features = nn.Sequential(*layers)
        # The position of a detail on the vehicle helps, so the upper and the lower half have separate means.
        self.projection = nn.Linear(3 * _WIDTHS[-1], DIMENSION, bias=False)
        self.normalisation = nn.BatchNorm1d(DIMENSION)

    def forward(self, crops: Tensor) -> Tensor:
        features = self.features(crops)
        half = features.shape[2] // 2
        pooled = [features[:, :, :half].mean((2, 3)), features[:, :, half:].mean((2, 3)), features.amax((2, 3))]
        return self.normalisation(self.projection(torch.cat(pooled, dim=1)))


class ExportedEmbedder(nn.Module):
    """The network, then the linear map and the common direction of a calibration."""

    def __init__(self, network: EmbedderNetwork, matrix: Tensor, offset: Tensor, common: float) -> None:
        """`matrix` `(D, D)` and `offset` `(D,)` are applied to unit vectors.

        `common` in [0, 1) is the share of the squared norm of one more direction, equal in all vectors.
        """
        super().__init__()
        self.network = network
        self.register_buffer("matrix", matrix)
        self.register_buffer("offset", offset)
        self.own, self.common = (1 - common) ** 0.5, common**0.5

    def forward(self, crops: Tensor) -> Tensor:
        turned = (functional.normalize(self.network(crops)) - self.offset) @ self.matrix
        own = functional.normalize(turned) * self.own
        return torch.cat([own, torch.full_like(own[:, :1], self.common)], dim=1)
