"""Which vertices lie beside each other, and what that does to masks: pieces, holes, borders. No Blender here.

Faces tell it where there are some. A cloud is cut into small cells: vertices of one cell or of two that touch are
neighbours. All works on whole arrays; a million vertices take a fraction of a second.
"""

from typing import Protocol

import numpy as np

GRAINS = 4
"""Grains along a cell's side: nearer vertices than a grain move as one, which bounds the work in a dense cloud."""
REACH = 1.001
"""Cells' sides that growing reaches (squared): a little over one, so that a regular cloud's rounded distances agree."""
LARGEST_GRID = 32_000_000  # cells of a box that are counted instead of sorted

_AROUND = np.array([(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)])
_ITSELF = 13


class Neighbours(Protocol):
    """All masks are bool (N,)."""

    def grow(self, mask: np.ndarray) -> np.ndarray:
        """The mask and what lies right beside it."""

    def smooth(self, mask: np.ndarray) -> np.ndarray:
        """Every vertex as most of its surroundings are."""

    def pieces(self, mask: np.ndarray, mostly: bool = False) -> np.ndarray:
        """int32 (N,): which connected piece of the mask a vertex is in; -1 outside.

        Args:
            mostly: let pieces touch only where most vertices belong to the mask, so that a gap is seen that is as
                narrow as a cell. The few vertices elsewhere go with the largest piece beside them.
        """


def shrink(neighbours: Neighbours, mask: np.ndarray) -> np.ndarray:
    """The mask without what lies at its border."""
    return ~neighbours.grow(~mask)


def connected_to(neighbours: Neighbours, mask: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The pieces of the mask that hold one of the vertices `places` (int (K,)); the largest where none does."""
    pieces = neighbours.pieces(mask)
    held = np.unique(pieces[places])
    held = held[held >= 0]
    if not held.size and mask.any():
        held = np.bincount(pieces[mask]).argmax()
    return mask & np.isin(pieces, held)


def fill_holes(neighbours: Neighbours, mask: np.ndarray, largest: int) -> np.ndarray:
    """The mask with what it surrounds on all sides, in pieces of at most `largest` vertices."""
    outside = neighbours.pieces(~mask, mostly=True)
    touched = np.unique(outside[neighbours.grow(mask)])
    sizes = np.bincount(outside[outside >= 0]) if (outside >= 0).any() else np.zeros(1, dtype=np.int64)
    holes = touched[touched >= 0]
    holes = holes[sizes[holes] <= largest]
    return mask | np.isin(outside, holes)


class FaceNeighbours:
    """Vertices joined by the sides of triangles; those in the same place count as one (seams of textures)."""

    def __init__(self, points: np.ndarray, triangles: np.ndarray):
        """points: float32 (N, 3); triangles: int (T, 3)."""
        self.count = len(points)
        sides = [triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]], _same_place(points)]
        first, second = np.concatenate(sides).T
        self._first, self._second = np.ascontiguousarray(first), np.ascontiguousarray(second)
        self._degree = self._sums(np.ones(self.count, dtype=np.float32)) + 1

    def _sums(self, values: np.ndarray) -> np.ndarray:
        sums = np.bincount(self._first, values[self._second], self.count)
        return sums + np.bincount(self._second, values[self._first], self.count)

    def grow(self, mask: np.ndarray) -> np.ndarray:
        grown = mask.copy()
        grown[self._second[mask[self._first]]] = True
        grown[self._first[mask[self._second]]] = True
        return grown

    def smooth(self, mask: np.ndarray) -> np.ndarray:
        share = (self._sums(mask.astype(np.float32)) + mask) / self._degree
        return np.where(share == 0.5, mask, share > 0.5)

    def pieces(self, mask: np.ndarray, mostly: bool = False) -> np.ndarray:
        within = mask[self._first] & mask[self._second]
        labels = components(self.count, self._first[within], self._second[within])
        return np.where(mask, labels, -1).astype(np.int32)


class CellNeighbours:
    """Vertices of a cloud in cubic cells. A vertex without a position is nobody's neighbour."""

    def __init__(self, points: np.ndarray, cell: float):
        """points: float (N, 3), NaN allowed; cell: side of a cell, in the same units."""
        valid = np.isfinite(points[:, 0]) & np.isfinite(points[:, 1]) & np.isfinite(points[:, 2])
        scaled = np.where(valid[:, None], points / cell, 0.0)
        scaled -= np.floor(scaled[valid].min(axis=0)) if valid.any() else 0.0
        places = np.floor(scaled).astype(np.int64)
        shape = places.max(axis=0) + 3  # with an empty border, so that a step aside never ends on the other side
        keys = ((places[:, 0] + 1) * shape[1] + places[:, 1] + 1) * shape[2] + places[:, 2] + 1
        occupied, numbers = _number(keys[valid], int(np.prod(shape)))
        self.count, self.cells = len(points), len(occupied)
        self._cell = np.full(len(points), self.cells, dtype=np.int32)  # one more, empty, for those without a place
        self._cell[valid] = numbers
        self._offset = (scaled - places - 0.5).astype(np.float32)  # from the middle of the cell, -0.5 to 0.5
        self._make_grains(valid)
        steps = (_AROUND[:, 0] * shape[1] + _AROUND[:, 1]) * shape[2] + _AROUND[:, 2]
        self._beside = np.full((len(steps), self.cells + 1), self.cells, dtype=np.int32)
        for row, step in zip(self._beside, steps.tolist(), strict=True):
            found = np.searchsorted(occupied, occupied + step)
            found[found == self.cells] = 0
            exists = occupied[found] == occupied + step
            row[:-1][exists] = found[exists]
        self._totals = np.bincount(self._cell[valid], minlength=self.cells + 1)
        self._around = self._sum_around(self._totals)

    def _sum_around(self, counts: np.ndarray) -> np.ndarray:
        sums = np.zeros(self.cells + 1, dtype=np.int64)
        for row in self._beside:
            sums += counts[row]
        sums[-1] = 0
        return sums

    def _counts(self, mask: np.ndarray) -> np.ndarray:
        counts = np.bincount(self._cell[mask], minlength=self.cells + 1)
        counts[-1] = 0
        return counts

    def _make_grains(self, valid: np.ndarray) -> None:
        """Number the grains in the order of their cells; each stands where its vertices are on average."""
        along = ((self._offset[valid] + 0.5) * GRAINS).astype(np.int64).clip(0, GRAINS - 1)
        keys = ((self._cell[valid] * np.int64(GRAINS) + along[:, 0]) * GRAINS + along[:, 1]) * GRAINS + along[:, 2]
        occupied, numbers = _number(keys, self.cells * GRAINS**3)
        self.grains = len(occupied)
        self._grain = np.full(self.count, self.grains, dtype=np.int32)  # one more, for those without a place
        self._grain[valid] = numbers
        self._cell_of_grain = (occupied // GRAINS**3).astype(np.int32)
        sums = [np.bincount(numbers, self._offset[valid, axis], self.grains) for axis in range(3)]
        self._place_of_grain = (np.stack(sums, axis=1) / np.bincount(numbers, minlength=self.grains)[:, None]).astype(
            np.float32
        )

    def grow(self, mask: np.ndarray) -> np.ndarray:
        """The mask and what is within a cell's side of it.

        Who reaches whom does not depend on the mask and is mutual, so that growing and then shrinking gives back all of
        the mask, and shrinking and then growing nothing else (closing and opening of mathematical morphology).
        """
        held = np.zeros(self.grains + 1, dtype=bool)
        held[self._grain[mask]] = True
        held[-1] = False
        sources = np.flatnonzero(held)
        counts = np.bincount(self._cell_of_grain[sources], minlength=self.cells + 1)
        first = np.cumsum(counts) - counts
        near = self._sum_around(counts) > 0
        left = np.flatnonzero(near[self._cell_of_grain] & ~held[:-1])
        for row, step in zip(self._beside, _AROUND, strict=True):
            there = row[self._cell_of_grain[left]]
            reached = np.zeros(len(left), dtype=bool)
            for rank in range(int(counts[there].max(initial=0))):
                asking = np.flatnonzero((counts[there] > rank) & ~reached)
                source = sources[first[there[asking]] + rank]
                # exact in float64, hence the same from either end
                away = self._place_of_grain[source] + step.astype(np.float64) - self._place_of_grain[left[asking]]
                reached[asking] = (away * away).sum(axis=1) <= REACH
            held[left[reached]] = True
            left = left[~reached]
        return mask | held[self._grain]

    def smooth(self, mask: np.ndarray) -> np.ndarray:
        """By the share of the mask in each vertex's surroundings, interpolated between the middles of cells."""
        inside = self._sum_around(self._counts(mask))
        mixed = (inside > 0) & (inside < self._around)
        near_border = np.zeros(self.cells + 1, dtype=bool)
        for row in self._beside:
            near_border |= mixed[row]
        near_border[-1] = False
        vertices = np.flatnonzero(near_border[self._cell])
        cells, offsets = self._cell[vertices], self._offset[vertices]
        sign = np.where(offsets >= 0, 1, -1)
        amount = np.abs(offsets)
        above, below = np.zeros(len(vertices), dtype=np.float32), np.zeros(len(vertices), dtype=np.float32)
        for corner in np.ndindex(2, 2, 2):
            step = sign * corner
            rows = (step[:, 0] + 1) * 9 + (step[:, 1] + 1) * 3 + step[:, 2] + 1
            there = self._beside[rows, cells]
            weight = np.prod(np.where(corner, amount, 1 - amount), axis=1)
            above += weight * inside[there]
            below += weight * self._around[there]
        result = mask.copy()
        result[vertices] = above / below >= 0.5
        return result

    def pieces(self, mask: np.ndarray, mostly: bool = False) -> np.ndarray:
        counts = self._counts(mask)
        present = counts * 2 > self._totals if mostly else counts > 0
        present[-1] = False
        pairs = []
        for row in self._beside[_ITSELF + 1 :]:
            here = np.flatnonzero(present & present[row])
            pairs.append(np.stack([here, row[here]]))
        labels = components(self.cells + 1, *np.concatenate(pairs, axis=1))
        if mostly:
            labels = self._with_rest(labels, present)
        labels[-1] = -1
        return np.where(mask, labels[self._cell], -1).astype(np.int32)

    def _with_rest(self, labels: np.ndarray, present: np.ndarray) -> np.ndarray:
        """Labels of cells, those not `present` with the largest piece beside them; alone where there is none."""
        sizes = np.bincount(labels[present], minlength=self.cells + 1)
        chosen, largest = labels.copy(), np.zeros(self.cells + 1, dtype=np.int64)
        for row in self._beside:
            beside = labels[row]
            better = ~present & present[row] & (sizes[beside] > largest)
            chosen[better], largest[better] = beside[better], sizes[beside[better]]
        return chosen


def components(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """int32 (count,): the smallest member of each element's connected component, for edges first[i] - second[i].

    Hooking and pointer jumping of Shiloach and Vishkin (1982), "An O(log n) parallel connectivity algorithm".
    """
    labels = np.arange(count, dtype=np.int32)
    first, second = first.astype(np.int32), second.astype(np.int32)
    while first.size:
        labels[np.maximum(first, second)] = np.minimum(first, second)  # ends of edges are roots here
        while True:
            jumped = labels[labels]
            if np.array_equal(jumped, labels):
                break
            labels = jumped
        first, second = labels[first], labels[second]
        apart = first != second
        first, second = first[apart], second[apart]
    return labels


def _number(keys: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct keys in order, and for each key its place among them."""
    if size > LARGEST_GRID:
        return np.unique(keys, return_inverse=True)
    there = np.zeros(size, dtype=bool)
    there[keys] = True
    occupied = np.flatnonzero(there)
    place = np.zeros(size, dtype=np.int32)
    place[occupied] = np.arange(len(occupied), dtype=np.int32)
    return occupied, place[keys]


def _same_place(points: np.ndarray) -> np.ndarray:
    """int64 (M, 2): pairs of vertices with the same coordinates, enough to join all of them."""
    bits = (points.astype(np.float32) + np.float32(0)).view(np.uint32).astype(np.uint64)  # -0.0 becomes 0.0
    mixed = (bits[:, 0] * np.uint64(0x9E3779B97F4A7C15)) ^ (bits[:, 1] * np.uint64(0xC2B2AE3D27D4EB4F))
    mixed ^= bits[:, 2] * np.uint64(0x165667B19E3779F9)
    order = np.argsort(mixed, kind="stable")
    pairs = np.stack([order[:-1], order[1:]], axis=1)
    pairs = pairs[mixed[pairs[:, 0]] == mixed[pairs[:, 1]]]
    return pairs[(points[pairs[:, 0]] == points[pairs[:, 1]]).all(axis=1)]
