"""The parts of a mask: voxels that touch, over cells as coarse as the mask's surroundings are sparse.

Far from a laser scanner, and on the walls of a mesh whose flat parts were thinned, points lie farther apart than voxels
are wide, and every voxel would be a part of its own.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from .sparse.kernel_maps import neighbour_table
from .sparse.voxels import unique_rows

FEWEST_NEIGHBOURS = 4
"""Of 26; a dense surface has about 8. With fewer, parts of a mask are connected over coarser cells."""
COARSEST = 8


@dataclass(frozen=True)
class _Cells:
    """Cells of `width` voxels: the cell (V,) of each voxel, and the 27 neighbours (C, 27) of each cell."""

    width: int
    of_voxel: Tensor
    table: Tensor

    def neighbours(self, voxels: Tensor) -> int:
        """How many neighbours the cells of voxels (V,) bool have, in the middle."""
        cells = torch.unique(self.of_voxel[voxels])
        return int(((self.table[cells] < len(self.table)).sum(1) - 1).median()) if len(cells) else FEWEST_NEIGHBOURS


class Links:
    """What the parts of masks on some voxels are connected over: the 26-neighbourhood of cells.

    voxels: (V, 3) int32; table: (V, 27) int32 from `neighbour_table`; both on the CPU.
    """

    def __init__(self, voxels: Tensor, table: Tensor):
        self._voxels = voxels
        self._levels = [_Cells(1, torch.arange(len(voxels)), table)]
        self._finest = self._coarse_enough(torch.ones(len(voxels), dtype=torch.bool), 0)

    def parts(self, mask: Tensor) -> tuple[Tensor, int]:
        """For each voxel (V,) int64 the number of the part that it is in of a mask (V,) bool, and the width in voxels
        of the cells that parts are connected over."""
        cells = self._levels[self._coarse_enough(mask, self._finest)]
        on = torch.zeros(len(cells.table), dtype=torch.bool)
        on[cells.of_voxel[mask]] = True
        rows = on.nonzero().squeeze(1)
        before = cells.table[rows, :13].to(torch.int64)
        linked = torch.cat([on, on.new_zeros(1)])[before]
        edges = (rows.unsqueeze(1).expand_as(before)[linked].numpy(), before[linked].numpy())
        graph = coo_matrix((np.ones(len(edges[0]), bool), edges), shape=(len(on), len(on)))
        part = torch.from_numpy(connected_components(graph, directed=False)[1])
        return part[cells.of_voxel].to(torch.int64), cells.width

    def _coarse_enough(self, voxels: Tensor, level: int) -> int:
        """The finest level from `level` on at which most cells of voxels (V,) bool have FEWEST_NEIGHBOURS."""
        while self._levels[level].neighbours(voxels) < FEWEST_NEIGHBOURS and self._levels[level].width < COARSEST:
            level += 1
            if level == len(self._levels):
                self._levels.append(self._cells_of(2**level))
        return level

    def _cells_of(self, width: int) -> _Cells:
        coarse = torch.div(self._voxels, width, rounding_mode="floor").to(torch.int64)
        rows, of_voxel, _ = unique_rows(torch.nn.functional.pad(coarse, (1, 0)))
        return _Cells(width, of_voxel, neighbour_table(rows.to(torch.int32), 3))
