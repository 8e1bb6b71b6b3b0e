"""What the embedder is punished for."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Khosla et al., Supervised Contrastive Learning, 2020.
_TEMPERATURE = 0.1
# Wang et al., CosFace, 2018, with a smaller scale: the vectors need not fall into points.
_SCALE, _MARGIN = 16.0, 0.2


def contrastive_loss(vectors: Tensor, identities: Tensor) -> Tensor:
    """Scalar: how badly unit `vectors` `(B, D)` find those of the same identity `(B,)` among all of the batch."""
    similarity = vectors @ vectors.T / _TEMPERATURE
    oneself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    same = (identities[:, None] == identities[None, :]) & ~oneself
    log_share = similarity - similarity.masked_fill(oneself, -torch.inf).logsumexp(dim=1, keepdim=True)
    return -(log_share * same).sum(dim=1).div(same.sum(dim=1).clamp(min=1)).mean()


class IdentityLoss(nn.Module):
    """Scalar: how badly unit vectors tell which of all training vehicles they show."""

    def __init__(self, dimension: int, identities: int) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(functional.normalize(torch.randn(identities, dimension)))

    def forward(self, vectors: Tensor, identities: Tensor) -> Tensor:
        cosines = vectors @ functional.normalize(self.prototypes).T
        margins = functional.one_hot(identities, len(self.prototypes)) * _MARGIN
        return functional.cross_entropy((cosines - margins) * _SCALE, identities)
