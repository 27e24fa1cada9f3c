"""Sparse convolution on voxel grids: the default engine in plain torch, and MinkowskiEngine as its twin.

An engine is a module-like object with the layers a network is built from; see `sparse.engines.load_engine`.
"""
