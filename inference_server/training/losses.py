"""Losses on per-voxel scores."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def mask_loss(logits: Tensor, truth: Tensor, labelled: Tensor, crop: Tensor) -> Tensor:
    """Twice the cross-entropy plus one minus the soft Dice score, each averaged over crops.

    logits: (V, 2) background and object; truth, labelled: (V,) bool; unlabelled voxels do not count; crop: (V,) int64,
    from 0, ascending. Dice: Milletari et al., V-Net, 3DV 2016.
    """
    margin = logits[:, 1] - logits[:, 0]
    target = truth.to(margin.dtype)
    weight = labelled.to(margin.dtype)
    probability = torch.sigmoid(margin)
    entropy = binary_cross_entropy_with_logits(margin, target, reduction="none")
    terms = torch.stack([entropy, probability * target, probability, target, torch.ones_like(margin)], 1)
    terms = terms * weight.unsqueeze(1)
    sums = terms.new_zeros(int(crop[-1]) + 1, terms.shape[1]).index_add(0, crop, terms)
    entropy, overlap, predicted, present, count = sums.unbind(1)
    dice = (2 * overlap + 1) / (predicted + present + 1)
    return (2 * entropy / count.clamp(min=1) + 1 - dice).mean()


def imitation_loss(logits: Tensor, teacher: Tensor, crop: Tensor) -> Tensor:
    """Cross-entropy to another network's probabilities, unlabelled voxels included, averaged over crops.

    logits, teacher: (V, 2) background and object; crop: (V,) int64, from 0, ascending. Hinton et al., Distilling the
    Knowledge in a Neural Network, 2015, at a temperature of 1.
    """
    margin = logits[:, 1] - logits[:, 0]
    probability = torch.sigmoid((teacher[:, 1] - teacher[:, 0]).to(margin.dtype))
    entropy = binary_cross_entropy_with_logits(margin, probability, reduction="none")
    sums = entropy.new_zeros(int(crop[-1]) + 1).index_add(0, crop, entropy)
    return (sums / torch.bincount(crop)).mean()
