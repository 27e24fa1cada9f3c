"""A minimum cut between the two labels of a graph, by scipy's maximum flow."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

UNIT = 1000
"""Capacities of the flow are whole numbers: this is one."""
CERTAIN = 2**24 / UNIT
"""A leaning that no edges outweigh."""


def minimum_cut(pairs: np.ndarray, cost: np.ndarray, leaning: np.ndarray) -> np.ndarray:
    """The labelling (V,) bool of least energy: Boykov and Jolly, "Interactive graph cuts" (ICCV 2001).

    pairs: (E, 2) integer nodes, each pair once; cost: (E,) of giving the two of a pair different labels;
    leaning: (V,) cost of the label False less that of True; CERTAIN and -CERTAIN fix a node.
    """
    size = len(leaning)
    between = np.maximum(1, UNIT * cost).astype(np.int32)
    leaning = (UNIT * leaning).astype(np.int32)
    first, second = pairs.T
    nodes = np.arange(size)
    source, sink = np.full(size, size), np.full(size, size + 1)
    tails = np.concatenate([first, second, source, nodes])
    heads = np.concatenate([second, first, nodes, sink])
    capacity = np.concatenate([between, between, np.maximum(leaning, 0), np.maximum(-leaning, 0)])
    used = capacity > 0
    network = csr_array((capacity[used], (tails[used], heads[used])), shape=(size + 2, size + 2))
    network.indices, network.indptr = network.indices.astype(np.int32), network.indptr.astype(np.int32)
    residual = network - maximum_flow(network, size, size + 1).flow
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, size, return_predecessors=False)
    mask = np.zeros(size + 2, bool)
    mask[reached] = True
    return mask[:size]
