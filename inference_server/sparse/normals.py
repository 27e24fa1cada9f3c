"""Normals of the surface that voxels make up."""

import torch
from torch import Tensor


def surface_normals(table: Tensor, xyz: Tensor) -> Tensor:
    """Unit normals (V, 3) float32, signs arbitrary: the direction in which each voxel's neighbourhood is thinnest.

    table: (V, 27) int, rows of the 3x3x3 neighbourhood, V for none; xyz: (V, 3) a place in each voxel.
    """
    device, table, xyz = xyz.device, table.cpu(), xyz.cpu().double()
    rows, columns = torch.triu_indices(3, 3)
    moments = torch.cat([torch.ones_like(xyz[:, :1]), xyz, xyz[:, rows] * xyz[:, columns]], 1)
    moments = torch.cat([moments, moments.new_zeros(1, 10)])
    sums = torch.zeros(len(xyz), 10, dtype=torch.float64)
    for neighbour in table.t():
        sums += moments.index_select(0, neighbour)
    means = sums[:, 1:] / sums[:, :1]
    covariance = xyz.new_empty(len(xyz), 3, 3)
    covariance[:, rows, columns] = means[:, 3:] - means[:, rows] * means[:, columns]
    covariance[:, columns, rows] = covariance[:, rows, columns]
    # powers of (trace - covariance) keep nothing but the direction of the smallest variance
    power = covariance.diagonal(dim1=1, dim2=2).sum(1).add(1e-12)[:, None, None] * torch.eye(3) - covariance
    for _ in range(6):
        power = power / power.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
        power = power @ power
    widest = power.diagonal(dim1=1, dim2=2).argmax(1)
    return torch.nn.functional.normalize(power[torch.arange(len(power)), :, widest], dim=1).float().to(device)
