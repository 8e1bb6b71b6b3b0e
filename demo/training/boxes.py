"""Overlaps of boxes as tensors; all boxes are xyxy."""

from __future__ import annotations

import torch
from torch import Tensor

_EPSILON = 1e-7


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """`(B, M, N)`: intersection over union of each of `(B, M, 4)` with each of `(B, N, 4)`."""
    corner = torch.maximum(first[:, :, None, :2], second[:, None, :, :2])
    opposite = torch.minimum(first[:, :, None, 2:], second[:, None, :, 2:])
    intersection = (opposite - corner).clamp(min=0).prod(dim=-1)
    union = areas(first)[:, :, None] + areas(second)[:, None, :] - intersection
    return intersection / (union + _EPSILON)


def generalised_iou(first: Tensor, second: Tensor) -> Tensor:
    """`(K,)` in (-1, 1], for each pair of rows of two `(K, 4)`.

    Measure of Rezatofighi et al., Generalized Intersection over Union, 2019.
    """
    size = torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])
    intersection = size.clamp(min=0).prod(dim=-1)
    union = areas(first) + areas(second) - intersection
    hull = (torch.maximum(first[:, 2:], second[:, 2:]) - torch.minimum(first[:, :2], second[:, :2])).prod(dim=-1)
    return intersection / (union + _EPSILON) - (hull - union) / (hull + _EPSILON)


def areas(boxes_xyxy: Tensor) -> Tensor:
    return (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).clamp(min=0).prod(dim=-1)
