"""The losses of the embedder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Khosla et al., Supervised Contrastive Learning, 2020.
_TEMPERATURE = 0.05
# Wang et al., CosFace, 2018.
_SCALE, _MARGIN = 30.0, 0.2
# Strong enough to get the target means against the two other losses.
_MEANS_WEIGHT = 200.0


def contrastive_loss(vectors: Tensor, identities: Tensor) -> Tensor:
    """Scalar loss: how badly unit `vectors` `(B, D)` retrieve those of the same identity `(B,)` within the batch."""
    similarity = vectors @ vectors.T / _TEMPERATURE
    oneself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    same = (identities[:, None] == identities[None, :]) & ~oneself
    log_share = similarity - similarity.masked_fill(oneself, -torch.inf).logsumexp(dim=1, keepdim=True)
    return -(log_share * same).sum(dim=1).div(same.sum(dim=1).clamp(min=1)).mean()


def means_loss(vectors: Tensor, identities: Tensor, same: float, different: float) -> Tensor:
    """Scalar loss: distance of the mean cosines of unit `vectors` `(B, D)` from the targets.

    The two other losses only separate vehicles, and would drive the cosines apart without limit.
    """
    cosines = vectors @ vectors.T
    is_same = identities[:, None] == identities[None, :]
    oneself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    misses = torch.stack([cosines[is_same & ~oneself].mean() - same, cosines[~is_same].mean() - different])
    return _MEANS_WEIGHT * misses.square().sum()


class IdentityLoss(nn.Module):
    """Scalar loss: how badly unit vectors classify which training vehicle they show."""

    def __init__(self, dimension: int, identities: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(functional.normalize(torch.randn(identities, dimension)))

    def forward(self, vectors: Tensor, identities: Tensor) -> Tensor:
        cosines = vectors @ functional.normalize(self.prototypes).T
        margins = functional.one_hot(identities, len(self.prototypes)) * _MARGIN
        return functional.cross_entropy((cosines - margins) * _SCALE, identities)
