"""From what the camera saw to what a scan looks like: light, noise, holes, fusion into vertices, missing labels."""

import numpy as np

from .camera import Views

Rng = np.random.Generator


def smooth_field(points: np.ndarray, rng: Rng, scale: float, waves: int = 6) -> np.ndarray:
    """A smooth random function of position, about zero mean and unit deviation, (n,) float32."""
    k = (rng.normal(size=(3, waves)) / scale).astype(np.float32)
    phase = rng.uniform(0, 2 * np.pi, waves).astype(np.float32)
    return np.sin(points @ k + phase).sum(axis=1) * np.float32(np.sqrt(2 / waves))


def shade(points: np.ndarray, normals: np.ndarray, colors: np.ndarray, height: float, rng: Rng) -> np.ndarray:
    """Colours under ambient light, two or three soft lamps and a smooth uneven field; (n,3) float32."""
    light = np.full(len(points), rng.uniform(0.45, 0.7), dtype=np.float32)
    low, high = points.min(axis=0), points.max(axis=0)
    for _ in range(int(rng.integers(1, 4))):
        lamp = rng.uniform(low, high)
        lamp[2] = height * rng.uniform(0.75, 1.1)
        to = lamp.astype(np.float32) - points
        r = np.linalg.norm(to, axis=1)
        facing = np.abs((to * normals).sum(axis=1)) / np.maximum(r, 0.1)
        light += rng.uniform(0.15, 0.5) * (0.3 + 0.7 * facing) / (1 + (r / rng.uniform(1.5, 4)) ** 2) * 1.5
    light *= 0.88 + 0.12 * np.abs(normals[:, 2])
    light *= 1 + 0.07 * smooth_field(points, rng, 0.8)
    # Corners and things near the floor get less light.
    light *= 1 - 0.12 * np.exp(-points[:, 2] / 0.15)
    return colors * light[:, None]


def expose(colors: np.ndarray, view: np.ndarray, rng: Rng) -> np.ndarray:
    """A camera's white balance, exposure that changes from view to view, contrast and low saturation."""
    target = rng.uniform(0.34, 0.58)
    middle = max(float(np.median(colors)), 0.05)
    gain = target / middle
    balance = np.array([1 + rng.normal(0.02, 0.06), 1.0, 1 - rng.normal(0.02, 0.07)], dtype=np.float32)
    drift = np.exp(np.cumsum(rng.normal(0, 0.05, view.max() + 2))).astype(np.float32)
    drift = np.clip(drift / np.median(drift), 0.8, 1.25)
    out = colors * gain * balance * drift[view][:, None]
    grey = out.mean(axis=1, keepdims=True)
    out = grey + (out - grey) * rng.uniform(0.55, 1.0)
    out = np.where(out > 0.8, 0.8 + 0.2 * np.tanh((out - 0.8) / 0.2), out)  # highlights roll off
    return np.clip(out, 0.0, 1.0)


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


def measure(points: np.ndarray, normals: np.ndarray, views: Views, rng: Rng) -> np.ndarray:
    """Depth noise along the ray, 1 to 8 mm growing with the square of the distance, partly correlated."""
    centres = np.stack([c for c, _ in views.poses]).astype(np.float32)
    ray = points - centres[views.view]
    r = np.linalg.norm(ray, axis=1, keepdims=True)
    sigma = (0.001 + 0.0006 * np.minimum(views.distance, 4.0) ** 2 * rng.uniform(0.5, 1.3)).astype(np.float32)
    waves = smooth_field(points, rng, 0.12) * 0.7 + smooth_field(points, rng, 0.4) * 0.6
    noise = sigma * (0.9 * waves + 0.45 * rng.normal(size=len(points)).astype(np.float32))
    return points + ray / np.maximum(r, 1e-6) * noise[:, None]


def missing(points: np.ndarray, views: Views, rng: Rng) -> np.ndarray:
    """Which points the sensor loses: grazing views, far surfaces, blotches."""
    lost = rng.random(len(points)) < 0.5 * (views.cosine < 0.2) * rng.random(len(points))
    blotch = smooth_field(points, rng, 0.25) * 0.8 + smooth_field(points, rng, 0.07) * 0.5
    threshold = 2.1 - 0.5 * (views.distance > 3.0) - 0.6 * (views.cosine < 0.25)
    return lost | (blotch > threshold)


def fuse(points, colors, instance, cell: float, rng: Rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One vertex per occupied cell of `cell` metres: the mean position and colour of its points, the label of one
    of them. Rounds edges and lets colours bleed across borders, as volumetric fusion does."""
    origin = points.min(axis=0) - rng.random(3).astype(np.float32) * cell
    cells = np.floor((points - origin) / cell).astype(np.int64)
    key = (cells[:, 0] << 40) | (cells[:, 1] << 20) | cells[:, 2]
    order = np.argsort(key, kind="stable")
    sorted_key = key[order]
    start = np.flatnonzero(np.concatenate([[True], sorted_key[1:] != sorted_key[:-1]]))
    count = np.diff(np.concatenate([start, [len(key)]])).astype(np.float32)[:, None]
    position = np.add.reduceat(points[order].astype(np.float64), start) / count
    color = np.add.reduceat(colors[order].astype(np.float64), start) / count
    middle = start + (count[:, 0] * rng.random(len(start))).astype(np.int64)
    return position.astype(np.float32), color.astype(np.float32), instance[order][middle]
