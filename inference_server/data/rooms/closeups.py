"""Close-ups: things on a table seen once by a Kinect-like camera, and single objects walked round with a camera."""

import numpy as np

from inference_server.data.scans import Scan

from . import camera, sensor
from . import furniture as F
from . import paint as P
from . import things as T
from .catalogue import Catalogue
from .furnish import get
from .rooms import SPLIT_SEED, finish
from .scene import HeightMap, Scene
from .surface import Surface, blob, box, join, lathe, quad, sheet, tube

Rng = np.random.Generator
TABLE_DENSITY = 90_000.0
"""Raw points per square metre of a tabletop scene: 3.3 mm apart."""


def _put_object(density: float, rng: Rng, scene: Scene) -> tuple[str, Surface, str | None]:
    """Something that stands on tables: mostly boxes, cups, bottles, cans, bowls; some from the catalogue."""
    kind = rng.random()
    if kind < 0.28:
        got = get(scene, "small")
        if got and max(np.ptp(got[1].points, axis=0)) < 0.36:
            return got
    if kind < 0.55:
        size = (rng.uniform(0.04, 0.3), rng.uniform(0.03, 0.2), rng.uniform(0.03, 0.28))
        return "box", printed_box(size, density, rng), None
    maker = [
        T.cup,
        T.cup,
        T.bottle,
        T.can,
        T.bowl,
        T.flat_book,
        T.papers,
        T.bag,
        T.shoe,
        T.mouse,
        T.plant,
        T.keyboard,
        _fruit,
        _plate,
        _pan,
        _oddment,
        _oddment,
        _oddment,
    ][rng.integers(18)]
    name, surface = maker(density, rng)
    if name in ("bag", "plant"):
        surface = Surface(surface.points * 0.5, surface.normals, surface.colors)
    return name, surface, None


def printed_box(size, density: float, rng: Rng) -> Surface:
    """A packet with a different print on its sides."""
    base = P.any_color(rng)

    def face(w: float, h: float):
        kind = rng.random()
        if kind < 0.35:
            return P.plain(P.near(base, rng, 0.1), rng)
        inner = P.patches(rng, rng.uniform(0.15, 0.6) * max(w, h), int(rng.integers(2, 6)))
        return inner if kind < 0.7 else P.framed(inner, base, w, h, rng.uniform(0.1, 0.3) * min(w, h))

    return box(size, face(size[0], size[2]), density, rng, front=face(size[0], size[2]), top=face(size[0], size[1]))


def _fruit(density: float, rng: Rng) -> tuple[str, Surface]:
    s = rng.uniform(0.06, 0.13)
    color = P.cloudy(P.any_color(rng, rng.uniform(0.3, 0.8)), rng, 0.08, 0.03)
    return "fruit", blob((s, s * rng.uniform(0.7, 1), s * rng.uniform(0.6, 1)), color, density, rng, lumps=0.08)


def _plate(density: float, rng: Rng) -> tuple[str, Surface]:
    r = rng.uniform(0.07, 0.14)
    skin = P.plain(P.some(P.GREYS[3:], rng) if rng.random() < 0.6 else P.any_color(rng), rng)
    return "plate", lathe(
        [(0, 0), (0.6 * r, 0), (r, 0.02), (r, 0.024), (0.6 * r, 0.006), (0, 0.006)], skin, density, rng
    )


def _pan(density: float, rng: Rng) -> tuple[str, Surface]:
    """A round tub with a lid or open, with two lugs."""
    r, h = rng.uniform(0.06, 0.13), rng.uniform(0.05, 0.16)
    skin = P.plain(P.any_color(rng), rng)
    lid = [(0, h)] if rng.random() < 0.5 else [(r * 0.93, h), (r * 0.9, 0.008), (0, 0.008)]
    body = lathe([(0, 0), (r * 0.9, 0), (r, h), *lid], skin, density, rng)
    if rng.random() < 0.5:
        lugs = [
            tube(
                [(s * r, -0.02, h * 0.8), (s * (r + 0.03), 0, h * 0.8), (s * r, 0.02, h * 0.8)],
                0.006,
                skin,
                density,
                rng,
            )
            for s in (-1, 1)
        ]
        body = join(body, *lugs)
    return "pot", body


def _oddment(density: float, rng: Rng) -> tuple[str, Surface]:
    return T.oddment(density, rng, float(np.exp(rng.uniform(np.log(0.05), np.log(0.25)))))


def _arrange(scene: Scene, size: tuple[float, float], table: Surface) -> None:
    """Objects apart, side by side, piled, leaning; `size` of the area in which they stand."""
    rng = scene.rng
    heights = HeightMap(table.kept((np.abs(table.points[:, :2]) < np.array(size) / 2).all(axis=1)))
    wanted, placed = int(rng.integers(2, 17)), []
    for _ in range(wanted):
        name, thing, key = _put_object(scene.density, rng, scene)
        if rng.random() < 0.25:  # lying on its side
            thing = thing.tilted(int(rng.integers(2)), np.pi / 2)
            thing = thing.moved((0, 0, -thing.points[:, 2].min()))
        how = rng.random()
        if placed and how < 0.35:  # touching an earlier one, or on it
            other = placed[rng.integers(len(placed))].points
            low, high = other.min(axis=0), other.max(axis=0)
            mine = np.ptp(thing.points, axis=0)
            turned = thing.moved(yaw=rng.uniform(0, 6.28))
            if how < 0.17 and high[2] < 0.25 and mine[:2].max() < 2.2 * (high - low)[:2].min():
                middle = (low + high) / 2 + rng.normal(0, 0.02, 3)
                at = turned.moved((middle[0], middle[1], high[2] - turned.points[:, 2].min()))
            else:
                a = rng.uniform(0, 6.28)
                reach = 0.5 * (np.linalg.norm((high - low)[:2]) + np.linalg.norm(mine[:2])) * rng.uniform(0.7, 0.95)
                middle = (low + high) / 2
                at = turned.moved((middle[0] + reach * np.cos(a), middle[1] + reach * np.sin(a), 0))
                if (np.abs(at.points[:, :2]).max(axis=0) > np.array(size) / 2 + 0.1).any():
                    continue
        else:
            at = heights.put(thing.moved(yaw=rng.uniform(0, 6.28)), rng, tries=12)
        if at is None:
            continue
        instance = scene.add(at, name)
        if key:
            scene.models[instance] = key
        placed.append(at)


def generate_tabletop(catalogue: Catalogue, split: str, seed: int) -> Scan:
    """One depth picture of things on a table: metres, 2 to 3.5 mm spacing, to be worked on at 1 cm. The table and
    the wall behind it have no label. Half of the scans are in the camera's tilted frame, as such data often is."""
    rng = np.random.default_rng([10 + SPLIT_SEED[split], seed])
    scene = Scene(catalogue, split, rng, TABLE_DENSITY)
    w, d = rng.uniform(0.8, 1.5), rng.uniform(0.8, 1.4)
    color = P.some(P.WOODS[2:] + P.WALLS, rng) if rng.random() < 0.75 else P.any_color(rng, rng.beta(1.2, 5))
    paint = P.wood(color, rng, rng.uniform(0.02, 0.1)) if rng.random() < 0.6 else P.cloudy(color, rng, 0.03)
    if rng.random() < 0.1:
        paint = P.cloth(rng)
    table = quad((-w / 2, -d / 2, 0), (w, 0, 0), (0, d, 0), paint, TABLE_DENSITY, rng)
    scene.add(table, instance=-1)
    if rng.random() < 0.4:
        wall = P.cloudy(P.some(P.WALLS, rng), rng, 0.03)
        y = rng.uniform(0.35, 0.6) * d
        scene.add(quad((-w, y, -0.2), (2 * w, 0, 0), (0, 0, 1.0), wall, TABLE_DENSITY / 2, rng), instance=-1)
    _arrange(scene, (rng.uniform(0.4, 0.8), rng.uniform(0.35, 0.7)), table)
    points, normals, colors, instance = scene.arrays()
    pitch, far = rng.uniform(0.45, 1.05), rng.uniform(0.75, 1.25)
    side = rng.normal(0, 0.3)
    eye = far * np.array([np.sin(side) * np.cos(pitch), -np.cos(side) * np.cos(pitch), np.sin(pitch)])
    views = camera.see(
        points,
        normals,
        [(eye, camera.look(-eye + rng.normal(0, 0.05, 3)))],
        rng,
        density=0.6 * TABLE_DENSITY,
        pixels=int(rng.uniform(230, 300)),
        near=0.3,
        far=2.4,
    )
    keep = views.seen & (rng.random(len(points)) > 0.5 * (views.cosine < 0.15))
    colors = sensor.shade(points, normals, colors, 1.0, rng, 0.015)[keep]
    points, instance = points[keep], instance[keep]
    views = camera.Views(views.distance[keep], views.cosine[keep], views.view[keep], views.poses)
    colors = sensor.expose(colors, views.view, rng, target=(0.38, 0.82))
    points = sensor.measure(points, views, rng)
    points, colors, instance = sensor.fuse(points, colors, instance, rng.uniform(0.0025, 0.0038), rng)
    if rng.random() < 0.5:
        rotation = views.poses[0][1]
        right, down, forward = rotation
        points = (points - eye) @ np.stack([right, forward, -down], axis=1)
    scan = finish(scene, points, colors, instance, rng)
    scan.name = f"tabletop-{split}-{seed}"
    return scan


def generate_object(catalogue: Catalogue, split: str, seed: int) -> Scan:
    """One object on the ground, photographed all round as for photogrammetry: sharp colours, complete but for its
    foot, 0.3 to 2 m large, 4 to 9 mm spacing, to be worked on at 2 cm. Ground without label or as "floor"."""
    rng = np.random.default_rng([20 + SPLIT_SEED[split], seed])
    scene = Scene(catalogue, split, rng, 20_000.0)
    models = [
        m
        for m in catalogue.models
        if m.split == split
        and 0.25 < max(m.size) < 2.2
        and min(m.size) > 0.04
        and m.category not in ("Doors and windows", "Staircases")
    ]
    if models and rng.random() < 0.8:
        model = models[rng.integers(len(models))]
        name, surface = model.name.lower(), scene.model(model)
        scene.models[0] = model.key
    else:
        name, surface = [F.chair, F.table, T.plant, T.bag, T.bin_, T.carton, F.sofa][rng.integers(7)](
            scene.density, rng
        )
    surface = surface.moved((0, 0, -surface.points[:, 2].min()), rng.uniform(0, 6.28))
    scene.add(surface, name)
    size = float(np.ptp(surface.points, axis=0).max())
    reach = size * rng.uniform(0.8, 1.6)
    bumps = rng.normal(0, 4 / size, (4, 2))
    depth = rng.choice([0.0, 0.004, 0.02]) * size

    def ground(x, y):
        return depth * sum(np.sin(a * x + b * y) for a, b in bumps) / 4

    color = P.any_color(rng, rng.beta(1.5, 4))
    skin = P.patches(rng, 0.08 * size, 4, 0.3) if rng.random() < 0.3 else P.cloudy(color, rng, 0.12, 0.1 * size)
    floor = sheet(2 * reach, 2 * reach, ground, skin, scene.density, rng)
    ragged = np.linalg.norm(floor.points[:, :2], axis=1) < reach * (
        0.85 + 0.1 * sensor.smooth_field(floor.points, rng, 0.3 * size)
    )
    scene.add(floor.kept(ragged), instance=-1 if rng.random() < 0.5 else scene.new("floor"))
    points, normals, colors, instance = scene.arrays()
    poses = []
    for height, count in ((0.25, 7), (0.7, 7), (1.25, 3)):
        for k in range(count):
            a = 2 * np.pi * (k + rng.random()) / count
            eye = 1.7 * size * np.array([np.cos(a), np.sin(a), height])
            poses.append((eye, camera.look(np.array([0, 0, size * 0.3]) - eye)))
    views = camera.see(
        points,
        normals,
        poses,
        rng,
        density=0.6 * scene.density,
        pixels=int(100 / np.sqrt(size)),
        near=0.05,
        far=4 * size,
    )
    keep = views.seen
    colors = sensor.shade(points, normals, colors, 2 * size, rng, 0.03 * size)[keep]
    colors = sensor.expose(colors, np.zeros(int(keep.sum()), dtype=np.int32), rng)
    points, instance = points[keep], instance[keep]
    waves = np.stack([sensor.smooth_field(points, rng, 0.02 * size + 0.01) for _ in range(3)], axis=1)
    points = points + waves * np.float32(rng.uniform(0.0005, 0.0025) * size)
    points, colors, instance = sensor.fuse(points, colors, instance, max(rng.uniform(0.006, 0.01), size / 200), rng)
    scan = finish(scene, points, colors, instance, rng)
    scan.name = f"object-{split}-{seed}"
    return scan
