"""Batch norm and ReLU as one step; features may be of low precision, statistics and parameters are float32."""

import torch
from torch import Tensor, nn
from torch.nn import functional


def batch_norm(x: Tensor, bn: nn.BatchNorm1d, relu: bool) -> Tensor:
    """Apply `bn` to features (V, C) in its current mode (running statistics are updated in training).

    A single voxel has no variance: it is normalised by the running statistics.
    """
    training = bn.training and len(x) > 1
    if training:
        bn.num_batches_tracked += 1
    out = functional.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, training, bn.momentum, bn.eps)
    return out.relu_() if relu else out


def rectify(x: Tensor) -> Tensor:
    """ReLU of features, in their place.

    bfloat16 on a CPU is looked at as integers, which have their sign in the same bit: a sixth of the time (measured).
    """
    if x.dtype == torch.bfloat16 and x.device.type == "cpu" and not (torch.is_grad_enabled() and x.requires_grad):
        x.view(torch.int16).clamp_min_(0)
        return x
    return x.relu_()
