"""A virtual depth camera carried through a room: which surface points it sees, from where, how well."""

from dataclasses import dataclass

import numpy as np

from .plan import Plan

Rng = np.random.Generator


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
    poses,
    rng: Rng,
    *,
    half_angle=(0.55, 0.43),
    pixels: int = 132,
    near: float = 0.35,
    far: float = 4.5,
) -> Views:
    """Visibility of points (n,3) by a z-buffer per pose.

    half_angle: half the horizontal and vertical field of view in radians; pixels: columns of the z-buffer, coarse
    enough that sampled surfaces have no gaps; near, far: the sensor's range in metres.
    """
    n = len(points)
    distance = np.full(n, np.inf, dtype=np.float32)
    cosine = np.zeros(n, dtype=np.float32)
    view = np.full(n, -1, dtype=np.int32)
    tan_x, tan_y = np.tan(half_angle[0]), np.tan(half_angle[1])
    rows = int(pixels * tan_y / tan_x)
    axes = [np.ascontiguousarray(points[:, k]) for k in range(3)]
    facing = [np.ascontiguousarray(normals[:, k]) for k in range(3)]
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
        buffer = np.full((rows + 2) * (pixels + 2), np.inf, dtype=np.float32)
        pixel = row * (pixels + 2) + column
        np.minimum.at(buffer, pixel, z)
        # Close surfaces are sampled too thinly for the fine grid: there a coarser one decides.
        coarse = np.full((rows // 2 + 2) * (pixels // 2 + 2), np.inf, dtype=np.float32)
        coarse_pixel = (row // 2) * (pixels // 2 + 2) + column // 2
        np.minimum.at(coarse, coarse_pixel, z)
        front, wide = buffer[pixel], coarse[coarse_pixel]
        front = np.where(wide < 1.6, wide, front)
        # What lies far behind the front needs no closer look.
        hit = np.flatnonzero(z <= front + 0.35 + 0.1 * z)
        found, z, front = found[hit], z[hit], front[hit]
        ray = [r[hit] for r in ray]
        range_ = np.sqrt(ray[0] ** 2 + ray[1] ** 2 + ray[2] ** 2)
        dot = ray[0] * facing[0][found] + ray[1] * facing[1][found] + ray[2] * facing[2][found]
        incidence = np.abs(dot) / np.maximum(range_, 1e-6)
        slope = np.minimum(np.sqrt(1 - np.minimum(incidence, 1) ** 2) / np.maximum(incidence, 0.08), 8)
        tolerance = 0.015 + z * (2 * tan_x / pixels) * (0.6 + 0.9 * slope)
        better = (z <= front + tolerance) & (incidence > 0.06) & (range_ < distance[found])
        hit = found[better]
        distance[hit], cosine[hit], view[hit] = range_[better], incidence[better], number
    return Views(distance, cosine, view, list(poses))
