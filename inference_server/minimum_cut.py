"""A minimum cut between the two labels of a graph, by scipy's maximum flow."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

UNIT = 1000
"""Capacities of the flow are whole numbers: this is one."""
CERTAIN = 2**24 / UNIT
"""A leaning that no edges outweigh."""


class CutGraph:
    """Nodes to be labelled, made ready once for any number of cuts.

    pairs: (E, 2) integer nodes, each pair once; cost: (E,) of giving the two of a pair different labels; size: nodes.
    """

    def __init__(self, pairs: np.ndarray, cost: np.ndarray, size: int):
        between = np.maximum(1, UNIT * cost).astype(np.int32)
        (first, second), nodes = pairs.T, np.arange(size)
        source, sink = np.full(size, size), np.full(size, size + 1)
        tails = np.concatenate([first, second, source, nodes])
        heads = np.concatenate([second, first, nodes, sink])
        capacity = np.concatenate([between, between, np.ones(2 * size, np.int32)])
        network = csr_array((capacity, (tails, heads)), shape=(size + 2, size + 2))
        network.sort_indices()
        network.indices, network.indptr = network.indices.astype(np.int32), network.indptr.astype(np.int32)
        self.network, self.size = network, size
        """network: (size + 2, size + 2) capacities of the edges, with a source and a sink behind the nodes."""
        self._from_source = slice(network.indptr[size], network.indptr[size + 1])
        self._to_sink = network.indptr[1 : size + 1] - 1  # the last of each node's edges

    def minimum_cut(self, leaning: np.ndarray) -> np.ndarray:
        """The labelling (V,) bool of least energy: Boykov and Jolly, "Interactive graph cuts" (ICCV 2001).

        leaning: (V,) cost of the label False less that of True; CERTAIN and -CERTAIN fix a node.
        """
        leaning = (UNIT * leaning).astype(np.int32)
        self.network.data[self._from_source] = np.maximum(leaning, 0)
        self.network.data[self._to_sink] = np.maximum(-leaning, 0)
        residual = self.network - maximum_flow(self.network, self.size, self.size + 1).flow
        residual.eliminate_zeros()
        reached = breadth_first_order(residual, self.size, return_predecessors=False)
        mask = np.zeros(self.size + 2, bool)
        mask[reached] = True
        return mask[: self.size]
