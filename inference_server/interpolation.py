"""Scores of voxels carried back to the points inside them, at the price of the points whose label is in doubt."""

import math

import torch
from torch import Tensor

COLOUR_REACH = 0.25
"""Colour difference (Euclidean, RGB in [0, 1]) at which a neighbouring voxel's say in a label is down to 1/e."""
CERTAIN = math.log(0.98 / 0.02)
"""Log-odds beyond which a voxel is sure of its label, 98 %; only points with less around are interpolated."""
_POINTS_AT_ONCE = 16_384
"""Points whose weights are worked out together: what they need stays in a CPU's cache (measured)."""


class Interpolation:
    """Trilinear weights of each point over the occupied ones of its eight surrounding voxels.

    Voxels of another colour count less: at a colour edge the label follows the edge, not the grid. A voxel's weights
    are worked out when its points are first in doubt, and kept.

    cells: (V, 3) int32 voxels; table: (V, 27) int32 from `neighbour_table`; counts: (V,) int64 points of each voxel,
    which stand in the voxels' order; xyz: (M, 3) float32 in voxels; voxel_rgb, rgb: (V, 3), (M, 3) float32 or None.
    """

    def __init__(
        self, cells: Tensor, table: Tensor, counts: Tensor, xyz: Tensor, voxel_rgb: Tensor | None, rgb: Tensor | None
    ):
        self._cells, self._counts, self._xyz, self._rgb = cells, counts, xyz, rgb
        self._around = table.t().contiguous()
        self._voxel_rgb = None
        if voxel_rgb is not None:
            self._voxel_rgb = torch.cat([voxel_rgb, voxel_rgb.new_zeros(1, 3)]).t().contiguous()
        self._known = torch.zeros(len(cells), dtype=torch.bool, device=cells.device)
        self.voxel_of = torch.repeat_interleave(
            torch.arange(len(cells), dtype=torch.int32, device=cells.device), counts, output_size=len(xyz)
        )
        """(M,) int32 voxel of each point."""
        self._voxels = torch.empty((len(xyz), 8), dtype=torch.int32, device=cells.device)
        self._weights = torch.empty((len(xyz), 8), device=cells.device)

    @property
    def bytes(self) -> int:
        """Memory that it takes once all weights are known."""
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, Tensor))

    def __call__(self, scores: Tensor) -> Tensor:
        """Log-odds of the voxels (V,) float -> of the points (M,).

        Where all voxels around are CERTAIN of one label, a point has its own voxel's score.
        """
        at_points = torch.repeat_interleave(scores, self._counts, output_size=len(self._xyz))
        lowest = self._around_each(scores, torch.inf).amin(0)
        highest = self._around_each(scores, -torch.inf).amax(0)
        doubtful = (lowest <= CERTAIN) & (highest >= -CERTAIN)
        new = doubtful & ~self._known
        for rows in self._points_of(new).split(_POINTS_AT_ONCE):
            self._voxels[rows], self._weights[rows] = self._work_out(rows)
        self._known |= new
        padded = torch.cat([scores, scores.new_zeros(1)])
        for rows in self._points_of(doubtful).split(_POINTS_AT_ONCE):
            nearby = padded.index_select(0, self._voxels.index_select(0, rows).view(-1)).view(-1, 1, 8)
            weights = self._weights.index_select(0, rows).unsqueeze(2)
            # a product of matrices, since sums over eight numbers are slow
            at_points[rows] = torch.bmm(nearby, weights).view(-1)
        return at_points

    def _around_each(self, scores: Tensor, nothing: float) -> Tensor:
        """Scores (27, V) of each voxel and those around it, `nothing` where there is none."""
        padded = torch.cat([scores, scores.new_full((1,), nothing)])
        return padded.index_select(0, self._around.view(-1)).view(self._around.shape)

    def _points_of(self, voxels: Tensor) -> Tensor:
        """Rows of the points inside a mask (V,) of voxels."""
        return torch.repeat_interleave(voxels, self._counts, output_size=len(self._xyz)).nonzero().squeeze(1)

    def _work_out(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Voxels (R, 8) int32, V for none, and weights (R, 8) float32 that sum to 1."""
        voxel = self.voxel_of[rows].long()
        offset = self._xyz[rows] - self._cells[voxel] - 0.5
        share = offset.abs().clamp_(max=1)
        step = torch.where(offset >= 0, 1, -1)
        corners = torch.arange(8, device=rows.device)
        slots, weights = torch.full((len(rows), 8), 13, device=rows.device), offset.new_ones(len(rows), 8)
        for axis, stride in enumerate((1, 3, 9)):
            bit = (corners >> axis & 1).bool()
            slots = slots + torch.where(bit, step[:, axis, None] * stride, 0)
            weights *= torch.where(bit, share[:, axis, None], 1 - share[:, axis, None])
        voxels = self._around[slots, voxel.unsqueeze(1)]
        weights *= voxels < len(self._cells)
        if self._rgb is not None:
            difference = torch.zeros_like(weights)
            for channel, colour in zip(self._voxel_rgb, self._rgb[rows].t(), strict=True):
                difference += (channel[voxels] - colour.unsqueeze(1)).square_()
            weights *= torch.exp(difference.mul_(-1 / COLOUR_REACH**2)) + 1e-6
        # a point in the outermost corner of its voxel still has its own voxel's say
        weights[:, 0] += 1e-6
        return voxels, weights / weights.sum(1, keepdim=True)
