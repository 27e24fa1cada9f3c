"""A virtual depth camera carried through a room: which surface points it sees, from where, how well."""

from dataclasses import dataclass

import numpy as np

from .plan import Plan

Rng = np.random.Generator
LEVELS = 4
"""Z-buffers with pixels of 1, 2, 4 and 8 times the finest size."""


@dataclass
class Views:
    """Per point: the nearest distance from which it was seen (inf = never), the cosine of that view's incidence,
    and the number of that view, all (n,)."""

    distance: np.ndarray
    cosine: np.ndarray
    view: np.ndarray
    poses: list[tuple[np.ndarray, np.ndarray]]
    """Camera centres and rotations (rows right, down, forward)."""

    @property
    def seen(self) -> np.ndarray:
        return np.isfinite(self.distance)


def look(forward: np.ndarray) -> np.ndarray:
    """Rotation with rows right, down, forward for a level camera."""
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= max(np.linalg.norm(right), 1e-9)
    return np.stack([right, np.cross(forward, right), forward])


def walking_path(plan: Plan, rng: Rng, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses of a person who walks a room and turns a depth camera about, mostly downwards."""
    # Every third scan covers one part of the room only.
    middle = rng.random(2) * [plan.width, plan.depth]
    radius = rng.uniform(1.5, 2.5) if rng.random() < 0.35 else 1e3

    def spot() -> np.ndarray:
        for attempt in range(60):
            p = rng.uniform(0.08, 0.92, 2) * [plan.width, plan.depth]
            if np.linalg.norm(p - middle) > 1.2 * radius and attempt < 40:
                continue
            if plan.inside(p[None])[0] and plan.is_free(p[0] - 0.15, p[0] + 0.15, p[1] - 0.15, p[1] + 0.15):
                return p
        return np.array([plan.width, plan.depth]) * rng.uniform(0.3, 0.6, 2)

    stops = [spot() for _ in range(max(3, count // 4))]
    height = rng.uniform(1.2, 1.75)
    poses = []
    for k in range(count):
        at = k / count * (len(stops) - 1)
        i = min(int(at), len(stops) - 2)
        p = stops[i] + (at - i) * (stops[i + 1] - stops[i])
        if not plan.inside(p[None])[0]:
            p = stops[i]
        # One aims at things, from a step or two away; sometimes at the walls above them.
        for _ in range(30):
            target = np.array([*(rng.random(2) * [plan.width, plan.depth]), rng.uniform(-0.1, 1.7)])
            away = np.linalg.norm(target[:2] - p)
            near = np.linalg.norm(target[:2] - middle) < radius
            if near and 0.8 < away < 4.0 and plan.inside(target[None, :2])[0]:
                break
        eye = np.array([p[0], p[1], height + rng.normal(0, 0.12)])
        poses.append((eye, look(target - eye)))
    return poses


def panoramas(plan: Plan, rng: Rng, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Poses of a camera on a tripod that turns once round, looking level, down and up, at `count` places."""
    poses = []
    for _ in range(count):
        for _ in range(30):
            p = rng.uniform(0.1, 0.9, 2) * [plan.width, plan.depth]
            if plan.inside(p[None])[0] and plan.is_free(p[0] - 0.2, p[0] + 0.2, p[1] - 0.2, p[1] + 0.2):
                break
        turn, height = rng.uniform(0, 6.28), rng.uniform(1.3, 1.6)
        for pitch in (-0.75, 0.0, 0.75):
            for k in range(5):
                a = turn + k * 2 * np.pi / 5
                d = np.array([np.cos(a) * np.cos(pitch), np.sin(a) * np.cos(pitch), np.sin(pitch)])
                poses.append((np.array([p[0], p[1], height]), look(d)))
    return poses


def see(
    points: np.ndarray,
    normals: np.ndarray,
    poses: list,
    rng: Rng,
    *,
    density: float,
    half_angle: tuple[float, float] = (0.55, 0.43),
    pixels: int = 132,
    near: float = 0.35,
    far: float = 4.5,
) -> Views:
    """Visibility of points (n,3) by a z-buffer per pose.

    density: points per square metre of the sampled surfaces; half_angle: half the horizontal and vertical field of
    view in radians; pixels: columns of the finest z-buffer; near, far: the sensor's range in metres.
    """
    n = len(points)
    distance = np.full(n, np.inf, dtype=np.float32)
    cosine = np.zeros(n, dtype=np.float32)
    view = np.full(n, -1, dtype=np.int32)
    tan_x, tan_y = np.tan(half_angle[0]), np.tan(half_angle[1])
    rows = int(pixels * tan_y / tan_x)
    axes = [np.ascontiguousarray(points[:, k]) for k in range(3)]
    facing = [np.ascontiguousarray(normals[:, k]) for k in range(3)]
    angle = 2 * tan_x / pixels
    # Close surfaces are sampled too thinly for fine pixels: a pixel must hold about five of their points.
    reach_of_level = [np.sqrt(5 / density) / (angle * 2**level) for level in range(LEVELS - 1)]
    for number, (centre, rotation) in enumerate(poses):
        reach = far * rng.uniform(0.75, 1.1)
        ahead, centre = rotation[2].astype(np.float32), centre.astype(np.float32)
        z = axes[0] * ahead[0] + axes[1] * ahead[1] + axes[2] * ahead[2] - ahead @ centre
        found = np.flatnonzero((z > near) & (z < reach))
        z = z[found]
        ray = [axes[k][found] - centre[k] for k in range(3)]
        (ax, ay, az), (bx, by, bz) = rotation[0].astype(np.float32), rotation[1].astype(np.float32)
        x = (ray[0] * ax + ray[1] * ay + ray[2] * az) / z
        y = (ray[0] * bx + ray[1] * by + ray[2] * bz) / z
        inside = np.flatnonzero((np.abs(x) < tan_x) & (np.abs(y) < tan_y))
        if not len(inside):
            continue
        found, z, x, y = found[inside], z[inside], x[inside], y[inside]
        ray = [r[inside] for r in ray]
        column = ((x / tan_x + 1) * 0.5 * pixels).astype(np.int32)
        row = ((y / tan_y + 1) * 0.5 * rows).astype(np.int32)
        front = np.full(len(z), np.inf, dtype=np.float32)
        cell_angle = np.full(len(z), angle, dtype=np.float32)
        for level in range(LEVELS):
            width = (pixels >> level) + 2
            pixel = (row >> level) * width + (column >> level)
            buffer = np.full(((rows >> level) + 2) * width, np.inf, dtype=np.float32)
            np.minimum.at(buffer, pixel, z)
            nearest = buffer[pixel]
            use = slice(None) if level == 0 else nearest < reach_of_level[level - 1]
            front[use], cell_angle[use] = nearest[use], angle * 2**level
        # What lies far behind the front needs no closer look.
        hit = np.flatnonzero(z <= front + 0.35 + 0.1 * z)
        found, z, front, cell_angle = found[hit], z[hit], front[hit], cell_angle[hit]
        ray = [r[hit] for r in ray]
        range_ = np.sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2)
        dot = ray[0] * facing[0][found] + ray[1] * facing[1][found] + ray[2] * facing[2][found]
        incidence = np.abs(dot) / np.maximum(range_, 1e-6)
        slope = np.minimum(np.sqrt(1 - np.minimum(incidence, 1) ** 2) / np.maximum(incidence, 0.08), 8)
        tolerance = 0.015 + z * cell_angle * (0.6 + 0.9 * slope)
        better = (z <= front + tolerance) & (incidence > 0.06) & (range_ < distance[found])
        hit = found[better]
        distance[hit], cosine[hit], view[hit] = range_[better], incidence[better], number
    return Views(distance, cosine, view, list(poses))
