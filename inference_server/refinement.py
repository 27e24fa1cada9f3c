"""The network's scores, made to agree with the scan's own edges and with the clicks by a minimum cut.

A network of few parameters finds an object, but is vague about its border and forgets a click a few voxels away. Colour
and shape know better where a surface ends: the cut takes the labelling that follows the scores and changes label where
neighbouring voxels differ. A click then holds for as much as looks like what was clicked.
"""

import numpy as np
import torch
from torch import Tensor

from .minimum_cut import CERTAIN, CutGraph

COLOR_SCALE = 0.07
"""Distance in RGB (of 0 to 1) at which two voxels look different."""
BEND_SCALE = 0.1
"""1 - abs(cosine) of their normals at which a surface bends."""
SMOOTHNESS = 3.0
"""Log-odds that it costs to part two neighbours that look alike."""
MOST_SCORE = 4.0
"""Log-odds beyond which a network that is even surer is not believed more."""
BELIEVED = 0.25
"""Share of what the network found that a cut must leave. A cut likes short borders, and would shrink a small thing that
looks like its surroundings to nothing."""
CHANGED = 0.5
"""Log-odds given to what the cut relabels: 62 %, so that a threshold can tell it from what the network is sure of."""


def surface_graph(table: Tensor, normals: Tensor, rgb: Tensor | None) -> CutGraph:
    """Graph of a region's voxels, neighbours joined by what it costs to part them.

    table: (V, 27) int, rows of the 3x3x3 neighbourhood, V for none, slot 13 the voxel itself; normals: (V, 3), signs
    arbitrary; rgb: (V, 3) in [0, 1] or None.
    """
    table, normals = table.cpu(), normals.cpu()
    first, slot = (table[:, :13] < len(table)).nonzero(as_tuple=True)
    second = table[first, slot].to(torch.int64)
    cost = (1 - (normals[first] * normals[second]).sum(1).abs().clamp(max=1)) / BEND_SCALE
    if rgb is not None:
        rgb = rgb.cpu()
        cost += ((rgb[first] - rgb[second]) / COLOR_SCALE).square().sum(1)
    pairs, cost = torch.stack([first, second], 1), SMOOTHNESS * torch.exp(-cost)
    return CutGraph(pairs.numpy(), cost.numpy(), len(table))


def refine(scores: Tensor, graph: CutGraph, clicked: Tensor, positive: Tensor | np.ndarray) -> Tensor:
    """Log-odds (V,) float32 whose signs are those of the cut; where it agrees with the scores, they stay.

    Where hardly anything is left of what the network found (BELIEVED), all of them stay.
    clicked: (K,) voxels that are held to their labels positive (K,), true or 1 for the object,
    the later one winning.
    """
    leaning = scores.float().cpu().numpy().astype(np.float64)
    leaning = np.clip(leaning, -MOST_SCORE, MOST_SCORE)
    # one by one, so that the later click wins
    for voxel, label in zip(clicked.tolist(), positive.tolist(), strict=True):
        leaning[voxel] = CERTAIN if label else -CERTAIN
    inside = torch.from_numpy(graph.minimum_cut(leaning)).to(scores.device)
    scores = scores.float()
    if int(inside.sum()) < BELIEVED * int((scores > 0).sum()):
        return scores
    return torch.where(inside, scores.clamp(min=CHANGED), scores.clamp(max=-CHANGED))
