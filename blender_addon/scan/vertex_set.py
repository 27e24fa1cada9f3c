"""Sets of vertex indices as short text, for the click journal in the .blend file."""

import base64
import zlib

import numpy as np

PLAIN_LIMIT = 16


def pack(indices: np.ndarray) -> str:
    """Text for a set of vertex indices: a plain list when short, else zlib over the differences.

    Args:
        indices: int array (M,), any order, repetitions allowed, all >= 0.
    """
    unique = np.unique(np.asarray(indices, dtype=np.int64))
    if unique.size <= PLAIN_LIMIT:
        return ",".join(str(i) for i in unique)
    steps = np.diff(unique, prepend=0).astype("<u4")
    return "z" + base64.b85encode(zlib.compress(steps.tobytes(), 6)).decode("ascii")


def unpack(text: str) -> np.ndarray:
    """The sorted int64 indices (M,) that `pack` was given. Raises ValueError for anything else."""
    if not text:
        return np.empty(0, dtype=np.int64)
    if not text.startswith("z"):
        return np.array([int(part) for part in text.split(",")], dtype=np.int64)
    try:
        steps = np.frombuffer(zlib.decompress(base64.b85decode(text[1:])), dtype="<u4")
    except zlib.error as error:
        raise ValueError("damaged vertex set") from error
    return np.cumsum(steps.astype(np.int64))


def spread(points: np.ndarray, count: int) -> np.ndarray:
    """Positions in `points` of at most `count` well-spread points: farthest-point sampling.

    Starts at the point nearest to the centroid, so that the answer does not depend on the order of clicking.

    Args:
        points: float array (M, 3).
    Returns:
        int64 array (min(M, count),).
    """
    points = np.asarray(points, dtype=np.float64)
    if len(points) <= count:
        return np.arange(len(points))
    step = max(1, len(points) // 20_000)
    candidates = np.arange(0, len(points), step)
    cloud = points[candidates]
    chosen = [int(np.argmin(((cloud - cloud.mean(axis=0)) ** 2).sum(axis=1)))]
    distance = ((cloud - cloud[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count:
        farthest = int(np.argmax(distance))
        chosen.append(farthest)
        distance = np.minimum(distance, ((cloud - cloud[farthest]) ** 2).sum(axis=1))
    return candidates[np.array(chosen)]
