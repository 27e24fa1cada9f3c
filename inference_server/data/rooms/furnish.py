"""Puts single things into a plan: furniture along walls, things on top of it, things hung on walls and ceilings."""

import numpy as np

from . import furniture as F
from . import things as T
from .plan import Plan, Wall, footprint
from .scene import HeightMap, Scene
from .shell import find_place, on_wall
from .surface import Surface

Rng = np.random.Generator

MAKERS = {"table": F.table, "desk": F.desk, "chair": F.chair, "sofa": F.sofa, "armchair": F.sofa, "bed": F.bed}
CLASSES = {
    "bedside": "nightstand",
    "coffee_table": "coffee table",
    "cupboard": "cabinet",
    "shelf": "bookshelf",
    "kitchen_unit": "kitchen unit",
    "kitchen_upper": "kitchen cabinet",
    "bathroom": "bathroom fixture",
    "floor_thing": "object",
    "small": "object",
    "floor_lamp": "lamp",
    "ceiling": "ceiling lamp",
    "wall_small": "wall fixture",
    "wall_large": "wall fixture",
}


def get(scene: Scene, role: str, procedural: float = 0.35) -> tuple[str, Surface, str | None] | None:
    """An object of a role: (class name, surface, model key), from the catalogue or, at the given share, procedural."""
    rng = scene.rng
    model = scene.pick(role)
    maker = MAKERS.get(role)
    if maker and (model is None or rng.random() < procedural):
        name, surface = maker(scene.density, rng)
        return name, surface, None
    if model is None:
        return None
    name = CLASSES.get(role, role)
    if role in ("small", "floor_thing", "kitchen_unit", "bathroom", "cupboard", "wall_small", "wall_large"):
        name = model.name.lower()
    scale = float(np.clip(rng.normal(1, 0.06), 0.85, 1.15))
    return name, scene.model(model, scale), model.key


def add(scene: Scene, surface: Surface, name: str, key: str | None = None) -> int:
    instance = scene.add(surface, name)
    if key:
        scene.models[instance] = key
    return instance


def reserve_wall(
    plan: Plan, rng: Rng, surface: Surface, gap: float | None = None, z: float = 0.0
) -> tuple[Wall, float, float] | None:
    """A free stretch of wall and floor for a standing object: (wall, s, off); marks it taken."""
    low, high = surface.points.min(axis=0), surface.points.max(axis=0)
    w, d = high[0] - low[0], high[1] - low[1]
    off = rng.uniform(0.0, 0.06) if gap is None else gap
    for _ in range(12):
        found = find_place(plan, rng, w, z, high[2] + z)
        if not found:
            return None
        wall, s = found
        cx, cy, _ = wall.point(s, off + d / 2)
        x0, x1, y0, y1 = footprint((cx, cy), (w, d), wall.yaw)
        grow = 0.01
        if z > 0.9 or plan.is_free(x0 + grow, x1 - grow, y0 + grow, y1 - grow):
            wall.taken.append((s - w / 2, s + w / 2, z, high[2] + z))
            if z <= 0.9:
                plan.blocks.append((x0, x1, y0, y1, float(high[2])))
            return wall, s, off
    return None


def to_wall(wall: Wall, surface: Surface, s: float, off: float, z: float = 0.0) -> Surface:
    """Stand an object with its back at `off` metres from the wall."""
    low, high = surface.points.min(axis=0), surface.points.max(axis=0)
    centred = surface.moved((-(low[0] + high[0]) / 2, -high[1], 0))
    return on_wall(wall, centred, s, z, off)


def against_wall(scene: Scene, plan: Plan, role: str, topped: float = 0.7, procedural: float = 0.35) -> Surface | None:
    """One piece of furniture against a wall, with things on it."""
    got = get(scene, role, procedural)
    if not got:
        return None
    name, surface, key = got
    place = reserve_wall(plan, scene.rng, surface)
    if not place:
        return None
    wall, s, off = place
    placed = to_wall(wall, surface, s, off)
    if scene.rng.random() < 0.3:  # nobody puts furniture exactly parallel
        middle = placed.points.mean(axis=0)
        placed = placed.moved(-middle).moved(middle, scene.rng.normal(0, 0.04))
    instance = add(scene, placed, name, key)
    if role == "bed" and scene.rng.random() < 0.4:  # what annotators call a bed often includes its blanket
        heights = HeightMap(placed)
        cover = heights.put(T.blanket(scene.density, scene.rng)[1], scene.rng, near_top=0.7)
        if cover is not None:
            scene.add(cover, instance=instance)
    soft = role in ("bed", "sofa", "armchair")
    if scene.rng.random() < topped + 0.2 * soft and role not in ("chair", "bathroom"):
        makers = T.SOFT if soft else T.OFFICE if role == "desk" else T.TABLETOP
        clutter(scene, placed, makers, int(scene.rng.integers(1, {"armchair": 3, "sofa": 6}.get(role, 9))))
    return placed


def clutter(scene: Scene, support: Surface, makers: list, count: int, near_top: float = 0.5) -> None:
    """Put `count` things onto a support, catalogue models and procedural ones mixed; some on top of each other."""
    rng = scene.rng
    heights = HeightMap(support)
    soft = makers is T.SOFT
    for _ in range(count):
        got = get(scene, "small") if not soft and rng.random() < 0.45 else None
        if got:
            name, thing, key = got
        else:
            (name, thing), key = makers[rng.integers(len(makers))](scene.density * 2, rng), None
        if name == "book" and rng.random() < 0.4:
            thing = None
            stack(scene, heights, int(rng.integers(2, 6)), T.flat_book)
            continue
        placed = heights.put(thing, rng, near_top=near_top if not soft else 0.6)
        if placed is not None:
            add(scene, placed, name, key)


def stack(scene: Scene, heights: HeightMap, count: int, maker) -> None:
    """A pile of `count` like things, each its own instance."""
    first = heights.put(maker(scene.density * 2, scene.rng)[1], scene.rng)
    if first is None:
        return
    add(scene, first, "book" if maker is T.flat_book else "box")
    low, high = first.points.min(axis=0), first.points.max(axis=0)
    at, z = (low + high) / 2, high[2]
    for _ in range(count - 1):
        name, thing = maker(scene.density * 2, scene.rng)
        shift = scene.rng.normal(0, 0.02, 2)
        placed = thing.moved((at[0] + shift[0], at[1] + shift[1], z), scene.rng.normal(0, 0.4))
        add(scene, placed, name)
        z = placed.points[:, 2].max()


def free_spot(plan: Plan, rng: Rng, size, yaw: float = 0.0, tries: int = 40) -> tuple[float, float] | None:
    """The centre of a free rectangle of floor, marked taken; None where none was found."""
    for _ in range(tries):
        centre = rng.uniform(0, 1, 2) * [plan.width, plan.depth]
        x0, x1, y0, y1 = footprint(centre, size, yaw)
        if plan.is_free(x0, x1, y0, y1):
            plan.blocks.append((x0, x1, y0, y1, 1.0))
            return float(centre[0]), float(centre[1])
    return None


def hang(scene: Scene, plan: Plan, role: str, z0: float | None = None) -> None:
    """A catalogue model on a wall at its own elevation, or on the ceiling."""
    rng = scene.rng
    model = scene.pick(role)
    if model is None:
        return
    surface = scene.model(model)
    if role == "ceiling":
        if model.size[2] > plan.height - 1.9:
            return
        x, y = rng.uniform(0.2, 0.8, 2) * [plan.width, plan.depth]
        if plan.inside(np.array([[x, y]]))[0]:
            add(
                scene,
                surface.moved((x, y, plan.height - model.size[2]), rng.choice([0, np.pi / 2])),
                CLASSES[role],
                model.key,
            )
        return
    z = z0 if z0 is not None else model.elevation or rng.uniform(0.3, 1.6)
    z = min(z, plan.height - model.size[2] - 0.02)
    place = find_place(plan, rng, model.size[0], z, z + model.size[2])
    if place and z >= 0:
        wall, s = place
        wall.taken.append((s - model.size[0] / 2, s + model.size[0] / 2, z, z + model.size[2]))
        add(scene, to_wall(wall, surface, s, 0.0, z), model.name.lower(), model.key)
