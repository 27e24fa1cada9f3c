"""Simulated clicks for training, on a batch of crops at once, at voxel resolution.

The first clicks follow InterObject3D's training (positives on the object, negatives around it up to 1.4 times its
box), the later ones its test rule: in the middle of the largest error. "Middle" is measured by how many erosions
over the 26-neighbourhood a voxel survives, which costs a few milliseconds for a whole batch.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..models.inputs import ClickTensors
from .crops import Crop

_EROSIONS = 12


@dataclass
class Interaction:
    """One crop's object under way: indices (K,) of the clicked voxels of the crop, their signs, and the log-odds (V,)
    of the last answer, None before the first."""

    crop: Crop
    target: int
    limit: int
    clicked: list[int] = field(default_factory=list)
    positive: list[bool] = field(default_factory=list)
    previous: Tensor | None = None

    @property
    def truth(self) -> Tensor:
        return self.crop.instance == self.target

    def add(self, voxel: int, positive: bool) -> None:
        self.clicked.append(int(voxel))
        self.positive.append(bool(positive))

    def tensors(self) -> ClickTensors:
        return ClickTensors(self.crop.xyz[self.clicked], torch.tensor(self.positive, dtype=torch.bool))


def begin(crop: Crop, target: int, depth: Tensor, rng: np.random.Generator) -> Interaction:
    """Start an object with one click in its middle or anywhere on it; sometimes with several of both signs.

    depth: (V,) erosions that each voxel of the object survives.
    """
    interaction = Interaction(crop, target, limit=1 + int(rng.geometric(0.22)))
    truth = interaction.truth.numpy()
    members = np.flatnonzero(truth)
    if rng.random() < 0.6:
        deepest = members[depth.numpy()[members] >= depth.numpy()[members].max()]
        interaction.add(rng.choice(deepest), True)
    else:
        interaction.add(rng.choice(members), True)
    if rng.random() < 0.2:
        for voxel in rng.choice(members, rng.integers(0, 4)):
            interaction.add(voxel, True)
        around = _around(crop.xyz.numpy(), truth)
        for voxel in rng.choice(around, rng.integers(0, 5)) if len(around) else ():
            interaction.add(voxel, False)
    return interaction


def correct(interaction: Interaction, predicted: Tensor, depth: Tensor, rng: np.random.Generator) -> bool:
    """Add a click in the middle of the largest error (or, one time in four, somewhere on it); False if there is none.

    depth: (V,) erosions that each wrong voxel survives, 0 elsewhere.
    """
    depth = depth.numpy()
    top = depth.max()
    if top <= 0:
        return False
    if rng.random() < 0.75:
        choices = np.flatnonzero(depth == top)
    else:
        choices = np.flatnonzero(depth > 0)
    voxel = rng.choice(choices)
    interaction.add(voxel, not bool(predicted[voxel]))
    return True


def _around(xyz: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Voxels off the object inside its bounding box widened to 1.4 times; any others where there are none, none where
    all is the object."""
    low, high = xyz[truth].min(0), xyz[truth].max(0)
    margin = np.maximum(0.2 * (high - low), 0.1)
    near = ((xyz >= low - margin) & (xyz <= high + margin)).all(1) & ~truth
    return np.flatnonzero(near) if near.any() else np.flatnonzero(~truth)


def erosion_depth(mask: Tensor, neighbours: Tensor) -> Tensor:
    """How many erosions each voxel of a mask (V,) bool survives, plus one; 0 off the mask. (V,) int16.

    neighbours: (V, 27) rows of the 3x3x3 neighbourhood, V for none; absent neighbours do not erode.
    """
    depth = torch.zeros(len(mask), dtype=torch.int16)
    alive = torch.cat([mask, mask.new_ones(1)])
    for _ in range(_EROSIONS):
        rows = alive[:-1].nonzero().squeeze(1)
        if not len(rows):
            break
        depth[rows] += 1
        survives = alive[neighbours[rows].to(torch.int64)].all(1)
        alive[:-1] = False
        alive[rows] = survives
    return depth
