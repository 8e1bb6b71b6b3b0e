"""The learning rate, and the running mean of the weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn


def learning_rate(step: int, steps: int, *, peak: float, warm_up: int, floor: float = 0.02) -> float:
    """A linear rise over `warm_up` steps, then half a cosine down to `floor` of the peak.

    The shape is that of Loshchilov and Hutter, SGDR, 2017, without restarts.
    """
    if step < warm_up:
        return peak * (step + 1) / warm_up
    passed = (step - warm_up) / max(1, steps - warm_up)
    return peak * (floor + (1 - floor) * (1 + math.cos(math.pi * min(1.0, passed))) / 2)


def two_stage_rate(step: int, first: int, steps: int, *, peak: float, warm_up: int) -> float:
    """One rise and fall over the `first` steps, another one to half of the peak over the rest of `steps`.

    This is one warm restart; the paper above has several.
    """
    if step < first:
        return learning_rate(step, first, peak=peak, warm_up=warm_up)
    return learning_rate(step - first, steps - first, peak=peak / 2, warm_up=warm_up)


class AveragedWeights:
    """An exponential mean of a network's weights (Polyak and Juditsky, 1992); its memory grows at first."""

    def __init__(self, network: nn.Module, decay: float = 0.999, warm_up: float = 200.0) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay, self._warm_up = decay, warm_up
        self.updates = 0

    def update(self, network: nn.Module) -> None:
        self.updates += 1
        decay = self._decay * (1 - math.exp(-self.updates / self._warm_up))
        with torch.no_grad():
            for mean, value in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - decay)
                else:
                    mean.copy_(value)


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Applies weight decay to weights, but not to biases and normalisation layers."""
    decaying = [value for value in network.parameters() if value.ndim > 1]
    others = [value for value in network.parameters() if value.ndim <= 1]
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
