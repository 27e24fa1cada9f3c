"""Street scenes as a spinning laser scanner sees them: sparse rings, no colour, cars, poles, trees, houses, people."""

from dataclasses import dataclass

import numpy as np

from inference_server.data.scans import Scan

from . import paint as P
from . import things as T
from .catalogue import Catalogue
from .rooms import SPLIT_SEED, finish
from .scene import Scene
from .surface import Surface, blob, box, cylinder, join, quad, tube

Rng = np.random.Generator
NEAR, FAR = 2.0, 55.0
GREY = np.array([0.5, 0.5, 0.5])


def _grey(rng: Rng):
    return P.plain(GREY, rng)


def _car(density: float, rng: Rng) -> Surface:
    """A simple car: body, cabin with sloping panes, four wheels."""
    length, width, height = rng.uniform(3.4, 4.9), rng.uniform(1.6, 1.9), rng.uniform(1.35, 1.75)
    sill, belt = 0.25, rng.uniform(0.75, 0.95)
    paint = _grey(rng)
    body = box((length, width, belt - sill), paint, density, rng).moved((0, 0, sill))
    front, back = rng.uniform(0.3, 0.42) * length, rng.uniform(0.32, 0.49) * length
    cabin = box((1, 1, 1), paint, density * (length * height), rng)
    up = cabin.points[:, 2].copy()
    x = np.where(cabin.points[:, 0] > 0, front - up * rng.uniform(0.3, 0.8), -back + up * rng.uniform(0.1, 0.7))
    y = cabin.points[:, 1] * 2 * (width / 2 - 0.08 - 0.12 * up)
    cabin.points[:, 0] = np.where(
        np.abs(cabin.points[:, 0]) > 0.49, x, np.clip(cabin.points[:, 0] * 2, -1, 1) * np.abs(x)
    )
    cabin.points[:, 1], cabin.points[:, 2] = y, belt + up * (height - belt)
    panes = rng.random(len(cabin)) < np.where(up < 0.95, rng.uniform(0.3, 0.9), 1)  # lasers pass most glass
    wheels = [
        cylinder(0.32, 0.2, paint, density, rng)
        .tilted(0, np.pi / 2)
        .moved((s * length * 0.32, t * (width / 2 - 0.05), 0.32))
        for s in (-1, 1)
        for t in (-1, 1)
    ]
    return join(body, cabin.kept(panes), *wheels)


def _tree(density: float, rng: Rng) -> Surface:
    height, crown = rng.uniform(3, 11), rng.uniform(1.2, 4.0)
    trunk = tube([(0, 0, 0), (0.1, 0.05, height * 0.7)], rng.uniform(0.08, 0.25), _grey(rng), density, rng)
    parts = [trunk]
    for _ in range(int(rng.integers(2, 7))):
        size = crown * rng.uniform(0.5, 1.0)
        leaf = blob((size, size, size * rng.uniform(0.6, 1.2)), _grey(rng), density * 0.7, rng, lumps=0.5)
        leaf = Surface(leaf.points + rng.normal(0, 0.12, (len(leaf), 3)).astype(np.float32), leaf.normals, leaf.colors)
        at = rng.normal(0, crown * 0.25, 2)
        parts.append(leaf.moved((at[0], at[1], height * rng.uniform(0.45, 0.85))))
    return join(*parts)


def _pole(density: float, rng: Rng) -> tuple[str, Surface]:
    height = rng.uniform(2.2, 8.0)
    pole = tube([(0, 0, 0), (0, 0, height)], rng.uniform(0.04, 0.15), _grey(rng), density * 3, rng)
    kind = rng.random()
    if kind < 0.4:
        plate = box((rng.uniform(0.4, 0.9), 0.03, rng.uniform(0.4, 0.9)), _grey(rng), density * 2, rng)
        return "traffic sign", join(pole.kept(pole.points[:, 2] < 2.9), plate.moved((0, -0.08, 2.1)))
    if kind < 0.7:
        arm = tube([(0, 0, height), (rng.uniform(0.5, 2.0), 0, height + 0.2)], 0.05, _grey(rng), density * 3, rng)
        return "street lamp", join(pole, arm)
    return "pole", pole


def _house(density: float, rng: Rng, width: float) -> Surface:
    """A front with window recesses and a roof edge, facing -y."""
    height, deep = rng.uniform(4, 13), rng.uniform(5, 9)
    front = quad((-width / 2, 0, 0), (width, 0, 0), (0, 0, height), _grey(rng), density * 0.5, rng)
    floors, columns = max(1, int(height // 3)), max(1, int(width // rng.uniform(2.0, 3.5)))
    x, z = front.points[:, 0] + width / 2, front.points[:, 2]
    window = (np.abs((x * columns / width) % 1 - 0.5) < 0.25) & (np.abs((z / height * floors) % 1 - 0.55) < 0.25)
    front.points[window, 1] += 0.2
    front = front.kept(~window | (rng.random(len(front)) < 0.35))
    sides = [quad((s * width / 2, 0, 0), (0, deep, 0), (0, 0, height), _grey(rng), density * 0.3, rng) for s in (-1, 1)]
    ledge = box((width, 0.3, 0.2), _grey(rng), density, rng).moved((0, -0.15, height - 0.2))
    return join(front, *sides, ledge)


def _person(scene: Scene, density: float) -> tuple[Surface, str | None]:
    rng = scene.rng
    model = scene.pick("person")
    if model and rng.random() < 0.6:
        return scene.model(model), model.key
    h = rng.uniform(1.5, 1.9)
    parts = [
        blob((0.45, 0.28, 0.65 * h / 1.7), _grey(rng), density, rng, lumps=0.1).moved((0, 0, 0.75)),
        blob((0.22, 0.24, 0.28), _grey(rng), density, rng, lumps=0.05).moved((0, 0, h - 0.28)),
    ]
    stride = rng.uniform(0, 0.3)
    parts += [tube([(0.08 * s, s * stride, 0), (0.08 * s, 0, 0.85)], 0.08, _grey(rng), density, rng) for s in (-1, 1)]
    parts += [tube([(0.25 * s, s * -0.1, 0.8), (0.22 * s, 0, 1.3)], 0.05, _grey(rng), density, rng) for s in (-1, 1)]
    return join(*parts), None


@dataclass
class Street:
    """A straight street along x, the scanner near its middle: half widths of road and pavement in metres."""

    scene: Scene
    length: float
    road: float
    walk: float

    def density(self, x: float, y: float) -> float:
        """Points per square metre: a laser thins out with the distance squared; somewhat finer than it will see."""
        self.scene.density = float(np.clip(120_000 / max(x * x + y * y, 9.0), 60, 6000))
        return self.scene.density

    def put(self, surface: Surface, name: str, x: float, y: float, yaw: float, key: str | None = None) -> None:
        instance = self.scene.add(surface.moved((x, y, 0), yaw), name)
        if key:
            self.scene.models[instance] = key

    def houses(self, side: int) -> None:
        rng, x, edge = self.scene.rng, -self.length, side * (self.road + self.walk)
        while x < self.length:
            width, gap = rng.uniform(6, 18), rng.choice([0.0, rng.uniform(1, 8)])
            house = _house(self.density(x + width / 2, edge), rng, width)
            self.put(house, "building", x + width / 2, edge + side * rng.uniform(0, 5), 0.0 if side > 0 else np.pi)
            x += width + gap

    def car(self, x: float, side: int) -> None:
        rng, edge = self.scene.rng, side * self.road
        density = self.density(x, edge)
        lane = edge - side * 1.1 if rng.random() < 0.7 else 0.35 * edge
        turn = rng.choice([0, np.pi]) + rng.normal(0, 0.05)
        model = self.scene.pick("vehicle") if rng.random() < 0.5 else None
        if model is None:
            self.put(_car(density, rng), "car", x, lane, turn)
            return
        along = np.pi / 2 if model.size[1] > model.size[0] else 0.0
        self.put(self.scene.model(model), model.name.lower(), x, lane, turn + along, model.key)

    def tree(self, x: float, side: int) -> None:
        rng, edge = self.scene.rng, side * self.road
        tree = _tree(self.density(x, edge), rng)
        self.put(tree, "tree", x, edge + side * rng.uniform(0.5, self.walk), rng.uniform(0, 6.28))

    def pole(self, x: float, side: int) -> None:
        rng, edge = self.scene.rng, side * self.road
        name, surface = _pole(self.density(x, edge), rng)
        turn = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.1)
        self.put(surface, name, x, edge + side * rng.uniform(0.2, 0.8), turn)

    def people(self, x: float, side: int) -> None:
        rng, edge = self.scene.rng, side * self.road
        density = self.density(x, edge)
        for _ in range(int(rng.integers(1, 4))):
            surface, key = _person(self.scene, density)
            y = edge + side * rng.uniform(0.3, self.walk)
            self.put(surface, "person", x + rng.normal(0, 0.6), y, rng.uniform(0, 6.28), key)

    def furniture(self, x: float, side: int) -> None:
        """Benches, bins, hydrants and the like."""
        rng, edge = self.scene.rng, side * self.road
        density = self.density(x, edge)
        y, turn = edge + side * rng.uniform(0.5, self.walk), rng.uniform(0, 6.28)
        model = self.scene.pick("street") if rng.random() < 0.5 else None
        if model:
            self.put(self.scene.model(model), model.name.lower(), x, y, turn, model.key)
        else:
            name, surface = T.bin_(density, rng)
            self.put(surface, name, x, y, turn)

    def fence(self, x: float, side: int) -> None:
        rng, edge = self.scene.rng, side * (self.road + self.walk)
        size = (rng.uniform(2, 10), rng.uniform(0.1, 0.7), rng.uniform(0.7, 1.8))
        fence = box(size, _grey(rng), self.density(x, edge), rng)
        self.put(fence, "hedge" if size[1] > 0.4 else "fence", x, edge - side * 0.2, 0.0)

    def ground(self) -> None:
        """Road and raised pavement, sampled evenly in angle and in the logarithm of the distance."""
        rng, count = self.scene.rng, 90_000
        away, angle = np.exp(rng.uniform(np.log(NEAR), np.log(FAR), count)), rng.uniform(0, 2 * np.pi, count)
        flat = np.stack([away * np.cos(angle), away * np.sin(angle), np.zeros(count)], axis=1)
        raised = np.abs(flat[:, 1]) > self.road
        flat[raised, 2] = 0.12
        for name, part in (("road", ~raised), ("sidewalk", raised)):
            points = flat[part & (np.abs(flat[:, 1]) < self.road + self.walk + 12)].astype(np.float32)
            normals = np.repeat(np.array([[0, 0, 1]], dtype=np.float32), len(points), axis=0)
            self.scene.add(Surface(points, normals, np.full_like(points, 0.5)), name)

    def fill(self) -> None:
        rng = self.scene.rng
        rows = ((self.car, 6, 25), (self.tree, 8, 40), (self.pole, 8, 30), (self.people, 6, 30),
                (self.furniture, 15, 60), (self.fence, 20, 80))  # fmt: skip
        for side in (-1, 1):
            if rng.random() < 0.75:
                self.houses(side)
            for add, nearest, farthest in rows:
                step = rng.uniform(nearest, farthest)
                x = -self.length + rng.uniform(0, step)
                while x < self.length:
                    if 2.5 < np.hypot(x, self.road) < FAR - 5:
                        add(x, side)
                    x += step * rng.uniform(0.3, 1.7)
        self.ground()


def spin(points: np.ndarray, rng: Rng, height: float, beams: int, step: float) -> np.ndarray:
    """Indices of the points that a spinning scanner at (0, 0, height) hits first: one per beam and turning step.

    beams: rings between 24 degrees below and 3 above level (as many scanners for cars have); step: radians.
    """
    ray = points - np.array([0, 0, height], dtype=np.float32)
    flat = np.hypot(ray[:, 0], ray[:, 1])
    range_ = np.hypot(flat, ray[:, 2])
    low, high = np.radians(-24.0), np.radians(3.0)
    beam = (np.arctan2(ray[:, 2], flat) - low) / (high - low) * (beams - 1)
    ring = np.round(beam).astype(np.int64)
    column = np.floor((np.arctan2(ray[:, 1], ray[:, 0]) + np.pi) / step).astype(np.int64)
    candidates = np.flatnonzero((ring >= 0) & (ring < beams) & (range_ > NEAR) & (range_ < FAR))
    cell = ring[candidates] * (int(2 * np.pi / step) + 2) + column[candidates]
    first = np.full(cell.max(initial=0) + 1, np.inf, dtype=np.float32)
    np.minimum.at(first, cell, range_[candidates])
    # Of the near surface of a cell, take the point closest to the beam's own angle: rings stay sharp.
    front = range_[candidates] < first[cell] + 0.25
    candidates, cell = candidates[front], cell[front]
    off = np.abs(beam[candidates] - ring[candidates])
    order = np.lexsort((off, cell))
    _, start = np.unique(cell[order], return_index=True)
    hit = candidates[order[start]]
    return hit[rng.random(len(hit)) > rng.uniform(0.02, 0.15)]


def generate_street(catalogue: Catalogue, split: str, seed: int) -> Scan:
    """One to three turns of a scanner on a car in a street: metres, no colours, 15k to 120k points up to 55 m away."""
    rng = np.random.default_rng([30 + SPLIT_SEED[split], seed])
    scene = Scene(catalogue, split, rng, 500.0)
    Street(scene, rng.uniform(25, 50), road=rng.uniform(3.0, 6.5), walk=rng.uniform(1.5, 3.5)).fill()
    points, _, _, instance = scene.arrays()
    beams, step = int(rng.choice([32, 64, 64])), rng.uniform(0.003, 0.007)
    parts, at = [], 0.0
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        shifted = points - np.array([at, 0, 0], dtype=np.float32)
        hit = spin(shifted, rng, rng.uniform(1.6, 1.9), beams, step)
        seen = points[hit]
        distance = np.linalg.norm(shifted[hit], axis=1, keepdims=True)
        noise = rng.normal(0, 0.015, (len(hit), 1)) * shifted[hit] / distance
        parts.append((seen + noise.astype(np.float32), instance[hit]))
        at += rng.uniform(1, 6)
    points, instance = (np.concatenate(column) for column in zip(*parts, strict=True))
    yaw = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(yaw), np.sin(yaw)
    points = (points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])).astype(np.float32)
    scan = finish(scene, points, None, instance, rng)
    scan.name = f"street-{split}-{seed}"
    return scan
