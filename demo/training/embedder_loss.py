"""What the embedder is punished for."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Khosla et al., Supervised Contrastive Learning, 2020.
_TEMPERATURE = 0.05
# Wang et al., CosFace, 2018.
_SCALE, _MARGIN = 30.0, 0.2
# Strong enough that the means come out right, whatever the two other losses would make of them.
_MEANS_WEIGHT = 200.0


def contrastive_loss(vectors: Tensor, identities: Tensor) -> Tensor:
    """Scalar: how badly unit `vectors` `(B, D)` find those of the same identity `(B,)` among all of the batch."""
    similarity = vectors @ vectors.T / _TEMPERATURE
    oneself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    same = (identities[:, None] == identities[None, :]) & ~oneself
    log_share = similarity - similarity.masked_fill(oneself, -torch.inf).logsumexp(dim=1, keepdim=True)
    return -(log_share * same).sum(dim=1).div(same.sum(dim=1).clamp(min=1)).mean()


def means_loss(vectors: Tensor, identities: Tensor, same: float, different: float) -> Tensor:
    """Scalar: how far the mean cosines of unit `vectors` `(B, D)` are from the wanted ones.

    The two other losses only ask that vehicles can be told apart, and would drive the cosines apart for ever.
    """
    cosines = vectors @ vectors.T
    is_same = identities[:, None] == identities[None, :]
    oneself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    misses = torch.stack([cosines[is_same & ~oneself].mean() - same, cosines[~is_same].mean() - different])
    return _MEANS_WEIGHT * misses.square().sum()


class IdentityLoss(nn.Module):
    """Scalar: how badly unit vectors tell which of all training vehicles they show."""

    def __init__(self, dimension: int, identities: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(functional.normalize(torch.randn(identities, dimension)))

    def forward(self, vectors: Tensor, identities: Tensor) -> Tensor:
        cosines = vectors @ functional.normalize(self.prototypes).T
        margins = functional.one_hot(identities, len(self.prototypes)) * _MARGIN
        return functional.cross_entropy((cosines - margins) * _SCALE, identities)
