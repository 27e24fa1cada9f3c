"""From what the camera saw to what a scan looks like: light, noise, holes, fusion into vertices, missing labels."""

import numpy as np
from scipy.ndimage import uniform_filter1d

from .camera import Views

Rng = np.random.Generator


def smooth_field(points: np.ndarray, rng: Rng, scale: float, waves: int = 6) -> np.ndarray:
    """A smooth random function of position, about zero mean and unit deviation, (n,) float32."""
    k = (rng.normal(size=(waves, 3)) / scale).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, waves).astype(np.float32)
    total = np.zeros(len(points), dtype=np.float32)
    x, y, z = (np.ascontiguousarray(points[:, axis]) for axis in range(3))
    for (a, b, c), shift in zip(k, phase, strict=True):
        total += np.sin(a * x + b * y + c * z + shift)
    return total * np.float32(np.sqrt(2 / waves))


def openness(points: np.ndarray, height: float, rng: Rng, cell: float) -> np.ndarray:
    """How much of what is above a point is free, (n,) in [0,1]: dark under tables, in shelves and in corners.

    A coarse stand-in for ambient occlusion: the share of columns of `cell` metres around the point that hold
    something higher, below the ceiling.
    """
    top, step = height - 3 * cell, 1.2 * cell
    low = points[:, 0].min(), points[:, 1].min()
    column = ((points[:, 0] - low[0]) / cell).astype(np.int32)
    row = ((points[:, 1] - low[1]) / cell).astype(np.int32)
    levels = np.arange(cell / 2, top, step)
    shape = (column.max() + 1, row.max() + 1)
    below_ceiling = points[:, 2] < top
    filled = np.zeros((len(levels) + 1, *shape), dtype=np.float32)
    level = np.clip(((points[:, 2] - levels[0]) / step).astype(np.int32), 0, len(levels))
    filled[level[below_ceiling], column[below_ceiling], row[below_ceiling]] = 1
    above = np.maximum.accumulate(filled[::-1], axis=0)[::-1]
    above = np.concatenate([above[1:], np.zeros((1, *shape), dtype=np.float32)])
    radius = int(rng.integers(3, 7))
    blurred = uniform_filter1d(uniform_filter1d(above, radius, axis=1), radius, axis=2)
    return 1 - blurred[level, column, row]


def shade(
    points: np.ndarray, normals: np.ndarray, colors: np.ndarray, height: float, rng: Rng, cell: float = 0.1
) -> np.ndarray:
    """Colours under ambient light, two or three soft lamps, half-shadows made in columns of `cell` metres
    and a smooth uneven field; (n,3) float32."""
    light = np.full(len(points), rng.uniform(0.45, 0.7), dtype=np.float32)
    x, y, z = (np.ascontiguousarray(points[:, axis]) for axis in range(3))
    low, high = (x.min(), y.min()), (x.max(), y.max())
    for _ in range(int(rng.integers(1, 4))):
        lamp = [rng.uniform(low[0], high[0]), rng.uniform(low[1], high[1]), height * rng.uniform(0.75, 1.1)]
        dx, dy, dz = np.float32(lamp[0]) - x, np.float32(lamp[1]) - y, np.float32(lamp[2]) - z
        r2 = dx * dx + dy * dy + dz * dz
        facing = np.abs(dx * normals[:, 0] + dy * normals[:, 1] + dz * normals[:, 2]) / np.sqrt(r2 + 0.01)
        reach = rng.uniform(1.5, 4) ** 2
        light += np.float32(rng.uniform(0.2, 0.7)) * (0.3 + 0.7 * facing) / (1 + r2 / np.float32(reach))
    light *= 0.88 + 0.12 * np.abs(normals[:, 2])
    light *= 1 - rng.uniform(0.15, 0.5) * (1 - openness(points, height, rng, cell))
    light *= 1 + 0.07 * smooth_field(points, rng, 0.8, 4)
    return colors * light[:, None]


def expose(colors: np.ndarray, view: np.ndarray, rng: Rng, target=(0.34, 0.58)) -> np.ndarray:
    """A camera's white balance, exposure that changes from view to view, contrast and low saturation; the median
    lightness ends in the range `target`, or below it where there are much brighter things."""
    target = rng.uniform(*target)
    middle, bright = np.maximum(np.percentile(colors[::7], [50, 92]), 0.05)
    gain = min(target / middle, rng.uniform(0.7, 1.0) / bright)  # cameras avoid burnt highlights
    balance = np.array([1 + rng.normal(0.02, 0.06), 1.0, 1 - rng.normal(0.02, 0.07)], dtype=np.float32)
    drift = np.exp(np.cumsum(rng.normal(0, 0.03, view.max() + 2))).astype(np.float32)
    drift = np.clip(drift / np.median(drift), 0.85, 1.18)
    out = colors * gain * balance * drift[view][:, None]
    grey = (out[:, :1] + out[:, 1:2] + out[:, 2:]) / 3
    out = grey + (out - grey) * np.float32(rng.uniform(0.5, 1.0))
    # Veiling glare lifts the blacks, highlights roll off.
    out = rng.uniform(0.0, 0.06) + out * 0.95
    return np.clip(np.where(out > 0.8, 0.8 + 0.2 * np.tanh((out - 0.8) / 0.2), out), 0.0, 1.0)


def drift_poses(points: np.ndarray, views: Views, rng: Rng) -> np.ndarray:
    """Points moved by the pose error of the view that saw them: a random walk of millimetres, so that surfaces seen
    at the beginning and at the end of the walk may lie twice."""
    count = len(views.poses)
    step = rng.uniform(0.0005, 0.003)
    walk = np.cumsum(rng.normal(0, step, (count, 3)), axis=0).astype(np.float32)
    turn = np.cumsum(rng.normal(0, step * 0.3, (count, 3)), axis=0).astype(np.float32)
    centres = np.stack([c for c, _ in views.poses]).astype(np.float32)
    arm = points - centres[views.view]
    return points + walk[views.view] + np.cross(turn[views.view], arm)


def measure(points: np.ndarray, views: Views, rng: Rng) -> np.ndarray:
    """Depth noise along the ray, 1 to 8 mm growing with the square of the distance, partly correlated."""
    centres = np.stack([c for c, _ in views.poses]).astype(np.float32)
    ray = points - centres[views.view]
    r = np.linalg.norm(ray, axis=1, keepdims=True)
    sigma = (0.001 + 0.0006 * np.minimum(views.distance, 4.0) ** 2 * rng.uniform(0.5, 1.3)).astype(np.float32)
    waves = smooth_field(points, rng, 0.12) * 0.7 + smooth_field(points, rng, 0.4) * 0.6
    noise = sigma * (0.9 * waves + 0.45 * rng.normal(size=len(points)).astype(np.float32))
    # At silhouettes some rays fall between the object and what is behind it.
    flying = (views.cosine < 0.4) & (rng.random(len(points)) < rng.uniform(0, 0.05))
    noise = noise + flying * rng.exponential(0.03, len(points)).astype(np.float32)
    return points + ray / np.maximum(r, 1e-6) * noise[:, None]


def missing(points: np.ndarray, views: Views, rng: Rng) -> np.ndarray:
    """Which points the sensor loses: grazing views, far surfaces, blotches."""
    lost = (views.cosine < 0.2) & (rng.random(len(points)) < 0.3)
    blotch = smooth_field(points, rng, 0.25, 5) * 0.8 + smooth_field(points, rng, 0.07, 5) * 0.5
    threshold = rng.uniform(2.0, 2.8) - 0.5 * (views.distance > 3.0) - 0.6 * (views.cosine < 0.25)
    return lost | (blotch > threshold)


def fade_thin(points: np.ndarray, cell: float, rng: Rng) -> np.ndarray:
    """Which vertices (n,) stay: volumetric fusion loses thin legs, cables and edges, here the cells of 8 cm that hold
    far fewer vertices (spaced `cell`) than a surface through them would."""
    block = 0.08
    order, start, count = runs(cell_keys(points, block, rng))
    thin = count < rng.uniform(0.1, 0.35) * (block / cell) ** 2
    gone = thin & (rng.random(len(start)) < rng.uniform(0.0, 0.5))
    keep = np.ones(len(points), dtype=bool)
    keep[order] = ~np.repeat(gone, count)
    return keep


def cell_keys(points: np.ndarray, cell: float, rng: Rng) -> np.ndarray:
    """The key (n,) int64 of each point's cell in a randomly shifted grid of `cell` metres."""
    shift = rng.random(3)
    key = np.zeros(len(points), dtype=np.int64)
    for axis in range(3):
        column = points[:, axis]
        key = (key << 20) | np.floor((column - column.min()) / cell + shift[axis]).astype(np.int64)
    return key


def runs(key: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order that sorts the keys, and start and length of each run of equal ones."""
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    start = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    return order, start, np.diff(np.concatenate([start, [len(key)]]))


def fuse(points, colors, instance, cell: float, rng: Rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One vertex per occupied cell of `cell` metres: the mean position and colour of its points, the label of one
    of them. Rounds edges and lets colours bleed across borders, as volumetric fusion does."""
    order, start, count = runs(cell_keys(points, cell, rng))
    position, color = (
        np.stack([np.add.reduceat(array[order, axis], start) / count for axis in range(3)], axis=1)
        for array in (points.astype(np.float64), colors)
    )
    middle = start + (count * rng.random(len(start))).astype(np.int64)
    return position.astype(np.float32), color.astype(np.float32), instance[order][middle]


def bleed(points: np.ndarray, colors: np.ndarray, rng: Rng) -> np.ndarray:
    """Colours (n,3) mixed with the mean of cells of 2 to 5 cm, as of blurred frames from shifted poses, with grain."""
    cell, share = rng.uniform(0.02, 0.05), rng.uniform(0.0, 0.7)
    out = colors
    for _ in range(2):
        order, start, count = runs(cell_keys(points, cell, rng))
        mean = np.stack([np.add.reduceat(out[order, axis], start) / count for axis in range(3)], axis=1)
        mixed = np.empty_like(out)
        mixed[order] = np.repeat(mean, count, axis=0)
        out = (1 - share) * out + share * mixed
    return out + rng.normal(0, rng.uniform(0.004, 0.012), (len(out), 1))


def blur_labels(points: np.ndarray, instance: np.ndarray, rng: Rng) -> np.ndarray:
    """Labels drawn as people draw them: in some cells of 2 to 6 cm all vertices take the label of one of them."""
    cell = rng.uniform(0.02, 0.06)
    order, start, count = runs(cell_keys(points, cell, rng))
    chosen = instance[order][start + (count * rng.random(len(start))).astype(np.int64)]
    sloppy = rng.random(len(start)) < rng.uniform(0.2, 0.8)
    spread = np.repeat(np.where(sloppy, chosen, -2), count)
    out = instance.copy()
    changed = spread > -2
    out[order[changed]] = spread[changed]
    return out


def unlabel(points: np.ndarray, instance: np.ndarray, structure: np.ndarray, rng: Rng) -> np.ndarray:
    """Labels as far as annotators got: some small instances and some patches have none.

    structure: the instances (m,) that are always labelled as a whole.
    """
    out = instance.copy()
    sizes = np.bincount(np.maximum(instance, 0))
    share = rng.beta(1.0, 4.0)
    skipped = rng.random(len(sizes)) < share * np.where(sizes < 0.02 * len(points), 1.0, 0.15)
    skipped[structure[structure < len(sizes)]] = False
    out[(instance >= 0) & skipped[np.maximum(instance, 0)]] = -1
    patch = smooth_field(points, rng, 0.35, 5)
    out[patch > rng.uniform(1.6, 2.8)] = -1
    return out
