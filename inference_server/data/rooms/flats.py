"""What hangs flat on walls: pictures, posters, boards, mirrors, cupboard fronts, screens, clocks, radiators."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import furniture as F
from . import paint as P
from .plan import Plan, Wall
from .scene import Scene
from .shell import find_place, on_wall
from .surface import Surface, box, cylinder, join


@dataclass
class Flat:
    """A thing facing -y with its foot at z = 0: class name, surface, width, height and where it hangs, metres."""

    name: str
    surface: Surface
    width: float
    height: float
    elevation: float


def _picture(scene: Scene, plan: Plan) -> Flat:
    rng = scene.rng
    w, h, t = rng.uniform(0.15, 1.2), rng.uniform(0.15, 0.9), rng.uniform(0.008, 0.04)
    face = P.picture(rng, w, h)
    thing = box((w, t, h), P.plain(P.furniture_color(rng), rng), scene.density, rng, front=face)
    return Flat("picture", thing, w, h, rng.uniform(1.5, 1.75) - h / 2)


def _poster(scene: Scene, plan: Plan) -> Flat:
    rng = scene.rng
    w = rng.uniform(0.2, 0.9)
    h = w * rng.choice([1.41, 0.71, 1.0])
    thing = box((w, 0.004, h), P.picture(rng, w, h), scene.density, rng)
    return Flat("poster", thing, w, h, rng.uniform(1.3, 1.8) - h / 2)


def _whiteboard(scene: Scene, plan: Plan) -> Flat:
    rng = scene.rng
    w, h = rng.uniform(0.9, 3.5), rng.uniform(0.8, 1.3)
    base = P.near((0.84, 0.85, 0.85), rng, 0.04)
    if rng.random() < 0.15:
        base = P.near((0.16, 0.26, 0.2), rng, 0.1)  # a blackboard
    face = P.cloudy(base, rng, 0.02, 0.4)
    if rng.random() < 0.5:
        face = P.printed(base, P.any_color(rng, 0.6), rng, rng.uniform(0.05, 0.1))
    face = P.framed(face, P.some(P.GREYS, rng), w, h, 0.02)
    steel = P.plain((0.6, 0.6, 0.6), rng)
    thing = box((w, rng.uniform(0.01, 0.03), h), steel, scene.density, rng, front=face)
    if rng.random() < 0.6:
        thing = join(thing, box((w * 0.5, 0.07, 0.02), steel, scene.density, rng).moved((0, -0.03, 0)))
    return Flat("whiteboard", thing, w, h, rng.uniform(0.8, 1.05))


def _notice_board(scene: Scene, plan: Plan) -> Flat:
    rng = scene.rng
    w, h = rng.uniform(0.6, 2.4), rng.uniform(0.6, 1.2)
    cork = P.cloudy(P.near((0.6, 0.45, 0.3), rng, 0.2), rng, 0.1, 0.02)
    return Flat("notice board", box((w, 0.02, h), cork, scene.density, rng), w, h, rng.uniform(0.9, 1.2))


def _mirror(scene: Scene, plan: Plan) -> Flat:
    """Depth cameras measure little in a mirror; its colours are those of the room."""
    rng = scene.rng
    w, h = rng.uniform(0.3, 1.2), rng.uniform(0.4, 1.6)
    face = P.framed(P.patches(rng, 0.6, 5, 0.15), P.furniture_color(rng), w, h, rng.uniform(0.01, 0.06))
    thing = box((w, 0.02, h), P.plain(P.furniture_color(rng), rng), scene.density, rng, front=face)
    if rng.random() < 0.5:
        x, z = np.abs(thing.points[:, 0]), thing.points[:, 2]
        edge = (x > w / 2 - 0.06) | (z < 0.06) | (z > h - 0.06)
        thing = thing.kept(edge | (rng.random(len(thing)) < 0.3))
    return Flat("mirror", thing, w, h, max(0.1, 1.5 - h / 2))


def _cabinet_front(scene: Scene, plan: Plan) -> Flat:
    rng = scene.rng
    w, h = rng.uniform(0.6, 2.5), rng.uniform(0.5, min(2.3, plan.height - 0.2))
    paint = P.plain(scene.like_walls(0.5), rng)
    front = join(*F.fronts(scene.density, rng, w, h, paint), box((w, 0.06, h), paint, scene.density, rng))
    return Flat("cabinet", front, w, h, rng.choice([0.03, 0.4]))


def _tv(scene: Scene, plan: Plan) -> Flat:
    rng = scene.rng
    w = rng.uniform(0.7, 1.5)
    thing = box((w, 0.06, w * 0.58), P.plain((0.06, 0.06, 0.07), rng), scene.density, rng)
    return Flat("tv", thing, w, w * 0.58, rng.uniform(0.9, 1.4))


def _clock(scene: Scene, plan: Plan) -> Flat:
    rng = scene.rng
    w = rng.uniform(0.2, 0.45)
    dial = cylinder(w / 2, 0.04, P.plain(P.near((0.85, 0.85, 0.85), rng, 0.2), rng), scene.density, rng)
    return Flat("clock", dial.tilted(0, np.pi / 2).moved((0, 0, w / 2)), w, w, rng.uniform(1.7, 2.1))


def _radiator(scene: Scene, plan: Plan) -> Flat:
    rng = scene.rng
    w, h = rng.uniform(0.5, 1.8), rng.uniform(0.35, 0.7)
    color = P.near(scene.wall_color if rng.random() < 0.4 else (0.84, 0.84, 0.82), rng, 0.05)
    ribs = P.stripes(color, color * rng.uniform(0.75, 0.95), 0.06, rng)
    thing = box((w, rng.uniform(0.05, 0.12), h), P.plain(color, rng), scene.density, rng, front=ribs)
    return Flat("radiator", thing, w, h, 0.12)


def _panel(scene: Scene, plan: Plan) -> Flat:
    """A service hatch, vent, fuse box or plain board, much like the wall."""
    rng = scene.rng
    w, h = rng.uniform(0.15, 1.0), rng.uniform(0.15, 1.0)
    color = scene.like_walls(0.7)
    face = P.plain(color, rng) if rng.random() < 0.6 else P.stripes(color, color * 0.75, 0.03, rng, 1)
    thing = box((w, rng.uniform(0.01, 0.08), h), P.plain(color, rng), scene.density, rng, front=face)
    return Flat("panel", thing, w, h, rng.uniform(0.2, 1.9))


MAKERS: dict[str, Callable[[Scene, Plan], Flat]] = {
    "picture": _picture,
    "poster": _poster,
    "whiteboard": _whiteboard,
    "notice board": _notice_board,
    "mirror": _mirror,
    "cabinet front": _cabinet_front,
    "tv": _tv,
    "clock": _clock,
    "radiator": _radiator,
    "panel": _panel,
}


def add_flat(scene: Scene, plan: Plan, kind: str) -> None:
    """Hang one of MAKERS where a wall is free; nothing happens where none is."""
    flat = MAKERS[kind](scene, plan)
    z = float(np.clip(flat.elevation, 0.02, max(plan.height - flat.height - 0.05, 0.02)))
    found = find_place(plan, scene.rng, flat.width, z, z + flat.height)
    if not found:
        return
    wall, s = found
    wall.taken.append((s - flat.width / 2, s + flat.width / 2, z, z + flat.height))
    back = float(np.percentile(flat.surface.points[:, 1], 99.5))
    off = scene.rng.choice([0.0, 0.003, 0.015])
    instance = scene.add(on_wall(wall, flat.surface.moved((0, -back, 0)), s, z, off), flat.name)
    if flat.name == "notice board":
        _pin_papers(scene, wall, s, z, flat, instance)


def _pin_papers(scene: Scene, wall: Wall, s: float, z: float, board: Flat, instance: int) -> None:
    rng = scene.rng
    for _ in range(int(rng.integers(2, 9))):
        w = rng.choice([0.15, 0.21, 0.3])
        h = w * 1.41
        if h > board.height - 0.05:
            continue
        paper = box((w, 0.004, h), P.picture(rng, w, h), scene.density, rng)
        x = rng.uniform(w / 2 - board.width / 2, board.width / 2 - w / 2)
        paper = on_wall(wall, paper.moved((x, -0.02, rng.uniform(0.01, board.height - h))), s, z, 0.0)
        scene.add(paper, "paper", instance=None if rng.random() < 0.4 else instance)
