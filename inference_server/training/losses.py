"""Losses on per-voxel scores."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def mask_loss(logits: Tensor, truth: Tensor, labelled: Tensor, crops: list[slice]) -> Tensor:
    """Twice the cross-entropy plus one minus the soft Dice score, each averaged over crops.

    logits: (V, 2) background and object; truth, labelled: (V,) bool; unlabelled voxels do not count.
    Dice: Milletari et al., V-Net, 3DV 2016.
    """
    margin = logits[:, 1] - logits[:, 0]
    target = truth.to(margin.dtype)
    weight = labelled.to(margin.dtype)
    entropy = binary_cross_entropy_with_logits(margin, target, reduction="none") * weight
    probability = torch.sigmoid(margin) * weight
    total = margin.new_zeros(())
    for rows in crops:
        overlap = (probability[rows] * target[rows]).sum()
        dice = (2 * overlap + 1) / (probability[rows].sum() + target[rows].sum() + 1)
        total = total + 2 * entropy[rows].sum() / weight[rows].sum().clamp(min=1) + 1 - dice
    return total / len(crops)
