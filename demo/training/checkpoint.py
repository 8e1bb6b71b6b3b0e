"""The state of a training after an epoch, so that an interrupted training can resume."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from demo.training.schedule import AveragedWeights


def save(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, mean: AveragedWeights, epoch: int) -> None:
    """Writes the state to `path`, replacing an older file; `epoch` is the next epoch.

    It has no random state: each epoch has its own generator, seeded by the training's seed and the epoch.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    state = {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "mean": mean.network.state_dict(),
        "updates": mean.updates,
        "epoch": epoch,
    }
    torch.save(state, part)
    part.replace(path)


def load(path: Path, network: nn.Module, optimiser: torch.optim.Optimizer, mean: AveragedWeights) -> int:
    """Returns the epoch to resume with: that of the checkpoint at `path`, or 0 if there is none."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    mean.network.load_state_dict(state["mean"])
    mean.updates = state["updates"]
    epoch: int = state["epoch"]
    return epoch
