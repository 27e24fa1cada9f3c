"""Batch norm and ReLU as one step; features may be of low precision, statistics and parameters are float32."""

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
