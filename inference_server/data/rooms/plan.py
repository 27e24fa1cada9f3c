"""The empty room: a rectangular or L-shaped plan, its walls, and what of floor and walls is still free."""

from dataclasses import dataclass, field

import numpy as np

Rng = np.random.Generator


@dataclass
class Wall:
    """A straight wall from `start` to `end` (x, y metres), the room on its left; `taken` holds rectangles
    (s0, s1, z0, z1) along the wall that are occupied, `holes` those that are openings."""

    start: np.ndarray
    end: np.ndarray
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)
    holes: list[tuple[float, float, float, float]] = field(default_factory=list)

    @property
    def length(self) -> float:
        return float(np.linalg.norm(self.end - self.start))

    @property
    def along(self) -> np.ndarray:
        return (self.end - self.start) / self.length

    @property
    def inward(self) -> np.ndarray:
        a = self.along
        return np.array([-a[1], a[0]])

    @property
    def yaw(self) -> float:
        """Turn that makes an object's front (-y) face into the room."""
        n = self.inward
        return float(np.arctan2(n[0], -n[1]))

    def point(self, s: float, off: float, z: float = 0.0) -> tuple[float, float, float]:
        """`s` metres along the wall, `off` metres into the room, height z."""
        p = self.start + self.along * s + self.inward * off
        return float(p[0]), float(p[1]), z

    def is_free(self, s0: float, s1: float, z0: float, z1: float, gap: float = 0.02) -> bool:
        if s0 < 0.0 or s1 > self.length:
            return False
        return all(s1 + gap <= a or s0 - gap >= b or z1 <= c or z0 >= d for a, b, c, d in self.taken)


@dataclass
class Plan:
    """Walls anticlockwise round the floor; `blocks` are axis-aligned rectangles (x0, x1, y0, y1, z1) on it."""

    width: float
    depth: float
    height: float
    notch: tuple[float, float] | None
    walls: list[Wall]
    blocks: list[tuple[float, float, float, float, float]] = field(default_factory=list)

    def contains(self, x0: float, x1: float, y0: float, y1: float) -> bool:
        if x0 < 0 or y0 < 0 or x1 > self.width or y1 > self.depth:
            return False
        return not (self.notch and x1 > self.width - self.notch[0] and y1 > self.depth - self.notch[1])

    def is_free(self, x0: float, x1: float, y0: float, y1: float) -> bool:
        if not self.contains(x0, x1, y0, y1):
            return False
        return all(x1 <= a or x0 >= b or y1 <= c or y0 >= d for a, b, c, d, _ in self.blocks)

    def inside(self, points: np.ndarray) -> np.ndarray:
        """Which (n,2) points lie over the floor."""
        x, y = points[:, 0], points[:, 1]
        ok = (x >= 0) & (y >= 0) & (x <= self.width) & (y <= self.depth)
        if self.notch:
            ok &= ~((x > self.width - self.notch[0]) & (y > self.depth - self.notch[1]))
        return ok


def make_plan(width: float, depth: float, height: float, notch: tuple[float, float] | None) -> Plan:
    if notch:
        a, b = notch
        corners = [(0, 0), (width, 0), (width, depth - b), (width - a, depth - b), (width - a, depth), (0, depth)]
    else:
        corners = [(0, 0), (width, 0), (width, depth), (0, depth)]
    corners = np.array(corners, dtype=float)
    walls = [Wall(p, q) for p, q in zip(corners, np.roll(corners, -1, axis=0), strict=True)]
    return Plan(width, depth, height, notch, walls)


def footprint(center, size, yaw: float) -> tuple[float, float, float, float]:
    """Axis-aligned bounds (x0, x1, y0, y1) of a rectangle of `size` turned by yaw about its centre."""
    c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
    w, d = (size[0] * c + size[1] * s) / 2, (size[0] * s + size[1] * c) / 2
    return center[0] - w, center[0] + w, center[1] - d, center[1] + d
