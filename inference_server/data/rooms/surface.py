"""Sampled surfaces and the primitives that procedural objects are made of.

A primitive takes `density` (points per square metre), `paint` (a function from surface coordinates (n,2) in
metres to colours (n,3) in [0,1]) and a numpy generator. Objects stand with the centre of their foot at the
origin, front towards -y, z up.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Paint = Callable[[np.ndarray], np.ndarray]


@dataclass
class Surface:
    """Points (n,3) metres, unit normals (n,3), colours (n,3) in [0,1]; all float32."""

    points: np.ndarray
    normals: np.ndarray
    colors: np.ndarray
    yaw: float = 0.0
    """How far the surface was turned about z since it was made, radians."""

    def __len__(self) -> int:
        return len(self.points)

    def moved(self, offset=(0.0, 0.0, 0.0), yaw: float = 0.0) -> "Surface":
        """Turned about z by `yaw` radians, then shifted."""
        c, s = np.cos(yaw), np.sin(yaw)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=np.float32)
        return Surface(
            self.points @ turn + np.asarray(offset, dtype=np.float32),
            self.normals @ turn,
            self.colors,
            self.yaw + yaw,
        )

    def tilted(self, axis: int, angle: float) -> "Surface":
        """Turned about the x (0) or y (1) axis through the origin by `angle` radians."""
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array([[1, 0, 0], [0, c, s], [0, -s, c]] if axis == 0 else [[c, 0, -s], [0, 1, 0], [s, 0, c]])
        turn = turn.astype(np.float32)
        return Surface(self.points @ turn, self.normals @ turn, self.colors)

    def kept(self, mask: np.ndarray) -> "Surface":
        return Surface(self.points[mask], self.normals[mask], self.colors[mask], self.yaw)


def join(*surfaces: Surface) -> Surface:
    return Surface(
        np.concatenate([s.points for s in surfaces]),
        np.concatenate([s.normals for s in surfaces]),
        np.concatenate([s.colors for s in surfaces]),
        surfaces[0].yaw,
    )


def make(points, normals, colors) -> Surface:
    return Surface(
        np.asarray(points, dtype=np.float32),
        np.asarray(normals, dtype=np.float32),
        np.asarray(colors, dtype=np.float32),
    )


def _count(area: float, density: float, rng: np.random.Generator) -> int:
    """A random integer whose mean is the wanted number of points."""
    wanted = area * density
    return int(wanted) + int(rng.random() < wanted - int(wanted))


def _spread(n: int, rng: np.random.Generator) -> np.ndarray:
    """n evenly spread points (n,2) in the unit square: the additive R2 sequence of M. Roberts (2018), randomly
    shifted. Independent random points would leave holes that no depth camera leaves."""
    plastic = 1.32471795724474602596
    steps = np.arange(n)[:, None] * np.array([1 / plastic, 1 / plastic**2])
    return (rng.random(2) + steps) % 1.0


def quad(corner, u, v, paint: Paint, density: float, rng: np.random.Generator) -> Surface:
    """The parallelogram corner + a u + b v, a and b in [0,1]; its normal is u x v."""
    corner, u, v = (np.asarray(x, dtype=np.float64) for x in (corner, u, v))
    cross = np.cross(u, v)
    area = float(np.linalg.norm(cross))
    n = _count(area, density, rng)
    ab = _spread(n, rng)
    points = corner + ab[:, :1] * u + ab[:, 1:] * v
    uv = ab * [np.linalg.norm(u), np.linalg.norm(v)]
    normals = np.repeat((cross / max(area, 1e-12))[None], n, axis=0)
    return make(points, normals, paint(uv))


def box(
    size,
    paint: Paint,
    density: float,
    rng: np.random.Generator,
    front: Paint | None = None,
    top: Paint | None = None,
    bottom: bool = True,
) -> Surface:
    """A cuboid of `size` (x, y, z); `front` (-y) and `top` may be painted otherwise."""
    x, y, z = size
    h, k = x / 2, y / 2
    faces = [
        quad((-h, -k, 0), (x, 0, 0), (0, 0, z), front or paint, density, rng),
        quad((h, k, 0), (-x, 0, 0), (0, 0, z), paint, density, rng),
        quad((h, -k, 0), (0, y, 0), (0, 0, z), paint, density, rng),
        quad((-h, k, 0), (0, -y, 0), (0, 0, z), paint, density, rng),
        quad((-h, -k, z), (x, 0, 0), (0, y, 0), top or paint, density, rng),
    ]
    if bottom:
        faces.append(quad((-h, -k, 0), (0, y, 0), (x, 0, 0), paint, density, rng))
    return join(*faces)


def lathe(profile, paint: Paint, density: float, rng: np.random.Generator) -> Surface:
    """Surface of revolution about z; `profile` is a list of (radius, height) from foot to top."""
    profile = np.asarray(profile, dtype=np.float64)
    lengths = np.linalg.norm(np.diff(profile, axis=0), axis=1)
    areas = np.pi * (profile[1:, 0] + profile[:-1, 0]) * lengths
    n = _count(areas.sum(), density, rng)
    part = rng.choice(len(areas), n, p=areas / areas.sum())
    t, angle = rng.random(n), rng.random(n) * 2 * np.pi
    a, b = profile[part], profile[part + 1]
    # Denser where the radius is larger: rejection would waste points, the square root is exact for cones.
    grow = b[:, 0] - a[:, 0]
    wide = np.abs(grow) > 1e-9
    inside = a[:, 0] ** 2 + t * (b[:, 0] ** 2 - a[:, 0] ** 2)
    t = np.where(wide, (np.sqrt(np.maximum(inside, 0)) - a[:, 0]) / np.where(wide, grow, 1), t)
    radius, height = a[:, 0] + t * grow, a[:, 1] + t * (b[:, 1] - a[:, 1])
    c, s = np.cos(angle), np.sin(angle)
    slope = np.stack([b[:, 1] - a[:, 1], -grow], axis=1) / np.maximum(lengths[part], 1e-9)[:, None]
    normals = np.stack([c * slope[:, 0], s * slope[:, 0], slope[:, 1]], axis=1)
    return make(
        np.stack([radius * c, radius * s, height], axis=1),
        normals,
        paint(np.stack([angle * max(profile[:, 0].max(), 0.01), height], axis=1)),
    )


def cylinder(radius: float, height: float, paint: Paint, density: float, rng: np.random.Generator) -> Surface:
    return lathe([(0, 0), (radius, 0), (radius, height), (0, height)], paint, density, rng)


def blob(
    size, paint: Paint, density: float, rng: np.random.Generator, lumps: float = 0.15, square: float = 1.0
) -> Surface:
    """A lumpy ellipsoid with a flat foot: bags, cushions, clothes. `square` < 1 makes it box-like."""
    x, y, z = (0.5 * s for s in size)
    p = 1.6  # Thomsen's approximation of the ellipsoid's area
    area = 4 * np.pi * (((x * y) ** p + (x * z) ** p + (y * z) ** p) / 3) ** (1 / p)
    n = _count(area, density, rng)
    d = rng.normal(size=(n, 3))
    d /= np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-9)
    shaped = np.sign(d) * np.abs(d) ** square
    radius = np.ones(n)
    for _ in range(5):
        wave = rng.normal(size=3) * rng.uniform(1.0, 4.0)
        radius += lumps * 0.35 * np.sin(d @ wave * 2 + rng.uniform(0, 6.28))
    points = shaped * radius[:, None] * [x, y, z]
    points[:, 2] = np.maximum(points[:, 2], -0.6 * z) + 0.6 * z
    normals = d / np.array([x, y, z])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    uv = np.stack([np.arctan2(d[:, 1], d[:, 0]) * (x + y) / 2, points[:, 2]], axis=1)
    return make(points, normals, paint(uv))


def sheet(
    width: float, depth: float, height: Callable, paint: Paint, density: float, rng: np.random.Generator
) -> Surface:
    """The height field z = height(x, y) over a rectangle centred on the origin: blankets, rugs, papers."""
    n = _count(width * depth, density, rng)
    xy = (_spread(n, rng) - 0.5) * [width, depth]
    z = height(xy[:, 0], xy[:, 1])
    e = 0.005
    dx = (height(xy[:, 0] + e, xy[:, 1]) - z) / e
    dy = (height(xy[:, 0], xy[:, 1] + e) - z) / e
    normals = np.stack([-dx, -dy, np.ones(n)], axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return make(np.column_stack([xy, z]), normals, paint(xy + [width / 2, depth / 2]))


def tube(path, radius: float, paint: Paint, density: float, rng: np.random.Generator) -> Surface:
    """A round tube along the polyline `path` (m,3): cables, legs, rails."""
    path = np.asarray(path, dtype=np.float64)
    steps = np.diff(path, axis=0)
    lengths = np.maximum(np.linalg.norm(steps, axis=1), 1e-9)
    n = max(_count(2 * np.pi * radius * lengths.sum(), density, rng), 4)
    part = rng.choice(len(steps), n, p=lengths / lengths.sum())
    t, angle = rng.random(n), rng.random(n) * 2 * np.pi
    along = steps / lengths[:, None]
    other = np.where(np.abs(along[:, 2:]) > 0.9, [[1.0, 0, 0]], [[0, 0, 1.0]])
    a = np.cross(along, other)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b = np.cross(along, a)
    normals = np.cos(angle)[:, None] * a[part] + np.sin(angle)[:, None] * b[part]
    points = path[part] + t[:, None] * steps[part] + radius * normals
    start = np.concatenate([[0], np.cumsum(lengths)])[part]
    return make(points, normals, paint(np.stack([angle * radius, start + t * lengths[part]], axis=1)))
