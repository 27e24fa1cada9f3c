"""Floor, walls, ceiling, pillars, and what is set into walls: doors, windows and their curtains."""

import numpy as np

from . import paint as P
from .plan import Plan, Wall
from .scene import Scene
from .surface import Surface, box, join, make, quad, sheet, tube

Rng = np.random.Generator


def floor_paint(rng: Rng):
    kind = rng.random()
    if kind < 0.4:
        color = P.some(P.WOODS, rng)
        return P.tiles(color, color * 0.6, rng.uniform(0.06, 0.2), rng, 0.1, ratio=rng.uniform(4, 9), line=0.004)
    if kind < 0.7:
        return P.cloudy(P.any_color(rng, rng.beta(1.2, 5)), rng, rng.uniform(0.04, 0.12), rng.uniform(0.05, 0.5))
    color = P.some(P.GREYS[2:] + P.WALLS, rng)
    return P.tiles(color, color * rng.uniform(0.6, 1.1), rng.choice([0.2, 0.3, 0.45, 0.6]), rng, 0.03)


def wall_paint(rng: Rng, base: np.ndarray):
    kind = rng.random()
    color = P.near(base, rng, 0.02) if kind < 0.8 else P.any_color(rng, rng.beta(1.5, 4))
    if kind < 0.88:
        return P.cloudy(color, rng, rng.uniform(0.01, 0.05), rng.uniform(0.2, 1.0))
    if kind < 0.94:
        return P.tiles(color, color * 0.8, rng.choice([0.1, 0.2, 0.4]), rng, 0.02, ratio=rng.choice([1.0, 2.0]))
    return P.stripes(color, P.near(color, rng, 0.08), rng.uniform(0.1, 0.6), rng)


def build_shell(scene: Scene, plan: Plan) -> None:
    """Add floor, walls with their holes, ceiling. Call after the wall elements, which cut the holes."""
    rng, density = scene.rng, scene.density
    base = scene.wall_color
    for name, z, sign in (("floor", 0.0, 1), ("ceiling", plan.height, -1)):
        paint = floor_paint(rng) if name == "floor" else P.cloudy(P.near((0.85, 0.84, 0.82), rng), rng, 0.02, 0.5)
        if name == "ceiling" and rng.random() < 0.3:
            paint = P.tiles((0.8, 0.8, 0.79), (0.6, 0.6, 0.6), 0.6, rng, 0.02, line=0.02)
        if rng.random() < 0.5:  # boards and tiles may run the other way
            paint = (lambda inner: lambda uv: inner(uv[:, ::-1]))(paint)
        surface = quad((0, 0, z), (plan.width, 0, 0), (0, plan.depth, 0), paint, density, rng)
        surface = surface.kept(plan.inside(surface.points[:, :2]))
        surface.normals[:, 2] = sign
        scene.add(surface, name)
    merged = scene.new("wall") if rng.random() < 0.2 else None
    skirting = rng.random() < 0.6
    skirt_color = P.near(base, rng, 0.08) if rng.random() < 0.5 else P.some(P.WOODS, rng)
    paint = wall_paint(rng, base)
    for wall in plan.walls:
        if rng.random() < 0.12:
            paint = wall_paint(rng, base)
        surface = wall_surface(wall, plan.height, paint, density, rng)
        if skirting:
            low = surface.points[:, 2] < 0.09
            surface.colors[low] = skirt_color
            surface.points[low, :2] += (wall.inward * 0.012).astype(np.float32)
        instance = scene.new("wall") if merged is None else merged
        scene.add(surface, instance=instance)


def wall_surface(wall: Wall, height: float, paint, density: float, rng: Rng) -> Surface:
    a = wall.along
    plain = quad((*wall.start, 0), (a[0] * wall.length, a[1] * wall.length, 0), (0, 0, height), paint, density, rng)
    s = (plain.points[:, :2] - wall.start) @ a
    keep = np.ones(len(plain), dtype=bool)
    for s0, s1, z0, z1 in wall.holes:
        keep &= ~((s > s0) & (s < s1) & (plain.points[:, 2] > z0) & (plain.points[:, 2] < z1))
    plain.normals[:, :2] = wall.inward
    return plain.kept(keep)


def on_wall(wall: Wall, surface: Surface, s: float, z: float, off: float) -> Surface:
    """Put an object made facing -y with its back at y = 0 onto a wall, `off` metres in front of it."""
    return surface.moved(wall.point(s, off, z), wall.yaw)


def find_place(plan: Plan, rng: Rng, width: float, z0: float, z1: float, tries: int = 30) -> tuple[Wall, float] | None:
    """A wall and the middle of a free stretch of `width` metres between the heights z0 and z1."""
    lengths = np.array([w.length for w in plan.walls])
    for _ in range(tries):
        wall = plan.walls[rng.choice(len(plan.walls), p=lengths / lengths.sum())]
        if wall.length < width + 0.1:
            continue
        s = rng.uniform(width / 2 + 0.02, wall.length - width / 2 - 0.02)
        if wall.is_free(s - width / 2, s + width / 2, z0, z1):
            return wall, s
    return None


def add_door(scene: Scene, plan: Plan) -> None:
    """A door: flush, recessed or standing open, often in the wall's own colour. Keeps the floor before it free."""
    rng, density = scene.rng, scene.density
    model = scene.pick("door") if rng.random() < 0.25 else None
    w, h = (model.size[0], model.size[2]) if model else (rng.uniform(0.7, 1.05), rng.uniform(1.95, 2.15))
    if model is None and rng.random() < 0.12:
        w *= 1.8
    found = find_place(plan, rng, w + 0.1, 0, min(h, plan.height))
    if not found or h > plan.height - 0.05:
        return
    wall, s = found
    wall.taken.append((s - w / 2 - 0.06, s + w / 2 + 0.06, 0, h + 0.06))
    mid = np.array(wall.point(s, 0.45)[:2])
    half = np.abs(wall.along) * w / 2 + np.abs(wall.inward) * 0.45
    plan.blocks.append((mid[0] - half[0], mid[0] + half[0], mid[1] - half[1], mid[1] + half[1], 0.0))
    if model:
        scene.models[scene.add(on_wall(wall, scene.model(model), s, 0, model.size[1] * 0.2), "door")] = model.key
        wall.holes.append((s - w / 2 + 0.02, s + w / 2 - 0.02, 0, h - 0.02))
        return
    color = scene.like_walls()
    paint = P.wood(color, rng, 0.06) if rng.random() < 0.5 else P.plain(color, rng)
    if rng.random() < 0.35:
        pane = color * rng.uniform(0.85, 1.05) if rng.random() < 0.6 else P.some(P.GREYS, rng)  # a panel, or glass
        paint = P.framed(P.plain(pane, rng), color, w, h, rng.uniform(0.08, 0.16))
    frame = P.plain(color if rng.random() < 0.6 else P.furniture_color(rng), rng)
    recess = rng.choice([0.0, 0.02, 0.06, 0.12])
    wall.holes.append((s - w / 2, s + w / 2, 0, h))
    door = scene.new("door")
    f = rng.uniform(0.04, 0.1)
    jut = rng.uniform(0.005, 0.03)
    edges = [
        box((f, recess + jut, h), frame, density, rng).moved((-w / 2 - f / 2, (recess - jut) / 2, 0)),
        box((f, recess + jut, h), frame, density, rng).moved((w / 2 + f / 2, (recess - jut) / 2, 0)),
        box((w + 2 * f, recess + jut, f), frame, density, rng).moved((0, (recess - jut) / 2, h)),
    ]
    scene.add(on_wall(wall, join(*edges), s, 0, 0.0), instance=door if rng.random() < 0.7 else scene.new("door frame"))
    leaf = box((w, 0.04, h), paint, density, rng)
    steel = P.plain(P.some(P.GREYS[3:], rng), rng)
    handle = box((0.12, 0.05, 0.02), steel, density * 3, rng).moved((w / 2 - 0.1, -0.05, 1.03))
    leaf = join(leaf, handle)
    if rng.random() < 0.25:
        hinge = leaf.moved((w / 2, 0, 0)).moved(yaw=-rng.uniform(0.5, 1.6)).moved((-w / 2, 0, 0))
        scene.add(on_wall(wall, hinge, s, 0, 0.02), instance=door)
        x, y = mid
        plan.blocks.append((x - w * 0.6, x + w * 0.6, y - w * 0.6, y + w * 0.6, 0.0))
        beyond = quad((-0.8, 0.05, 0), (1.6, 0, 0), (0, 1.5, 0), P.plain((0.5, 0.48, 0.45), rng), density, rng)
        scene.add(on_wall(wall, beyond, s, 0, 0.0), instance=-1)
    else:
        scene.add(on_wall(wall, leaf.moved((0, recess + 0.02, 0)), s, 0, 0.0), instance=door)


def add_window(scene: Scene, plan: Plan) -> None:
    """A window with frame and bars, panes half missing as depth cameras see them, with curtains or a blind."""
    rng, density = scene.rng, scene.density
    w = rng.uniform(0.6, min(2.6, 0.6 * max(x.length for x in plan.walls)))
    z0 = rng.choice([0.1, rng.uniform(0.7, 1.1)])
    h = min(rng.uniform(1.0, 1.7), plan.height - 0.15 - z0)
    found = find_place(plan, rng, w, z0, z0 + h)
    if not found or h < 0.5:
        return
    wall, s = found
    wall.taken.append((s - w / 2 - 0.05, s + w / 2 + 0.05, z0, z0 + h))
    wall.holes.append((s - w / 2, s + w / 2, z0, z0 + h))
    recess, bar = rng.choice([0.02, 0.08, 0.15]), rng.uniform(0.04, 0.09)
    frame = P.plain(P.near((0.85, 0.85, 0.84), rng) if rng.random() < 0.7 else P.furniture_color(rng), rng)
    columns, rows = int(rng.integers(1, 4 if w > 1 else 3)), int(rng.choice([1, 1, 2]))
    parts = []
    for k in range(columns + 1):
        parts.append(
            box((bar, 0.05, h), frame, density, rng).moved((-w / 2 + bar / 2 + k * (w - bar) / columns, recess, 0))
        )
    for k in range(rows + 1):
        parts.append(box((w, 0.05, bar), frame, density, rng).moved((0, recess, k * (h - bar) / rows)))
    wall_color = P.plain((0.78, 0.77, 0.74), rng)
    for x in (-w / 2, w / 2):
        parts.append(quad((x, 0, 0), (0, recess, 0), (0, 0, h), wall_color, density, rng))
    parts.append(box((w + 0.1, recess + 0.12, 0.03), frame, density, rng).moved((0, (recess - 0.12) / 2, -0.03)))
    sky = P.cloudy(P.near(rng.choice([(0.85, 0.9, 0.95), (0.55, 0.6, 0.6), (0.15, 0.17, 0.2)]), rng), rng, 0.1, 0.5)
    glass = quad((-w / 2, recess, 0), (w, 0, 0), (0, 0, h), sky, density, rng)
    parts.append(glass.kept(rng.random(len(glass)) < rng.choice([0.0, 0.2, 0.6, 1.0])))
    scene.add(on_wall(wall, join(*parts), s, z0, 0.0), "window")
    dressing = rng.random()
    if dressing < 0.45:
        add_curtains(scene, plan, wall, s, w, z0, z0 + h)
    elif dressing < 0.65:
        slats = rng.random() < 0.5
        color = P.near((0.8, 0.78, 0.72), rng, 0.12)
        drop = h * rng.uniform(0.3, 1.0)
        cover = P.stripes(color, color * 0.82, 0.05, rng, 1) if slats else P.plain(color, rng)
        blind = box((w * 0.98, 0.03, drop), cover, density, rng)
        scene.add(on_wall(wall, blind.moved((0, 0, h - drop)), s, z0, 0.03), "blinds")


def add_curtains(scene: Scene, plan: Plan, wall: Wall, s: float, width: float, z0: float, z1: float) -> None:
    """One or two curtains with folds, drawn or half open, before a window or a bare wall."""
    rng, density = scene.rng, scene.density
    paint = P.cloth(rng) if rng.random() < 0.5 else P.cloudy(scene.like_walls(0.6), rng, 0.06, 0.1)
    bottom = rng.choice([0.02, max(z0 - 0.15, 0.02)])
    top = min(z1 + rng.uniform(0.05, 0.25), plan.height - 0.02)
    whole = rng.random() < 0.25
    panels = (
        [(s, width + 0.3)]
        if whole
        else [(s - width / 2, rng.uniform(0.25, 0.6)), (s + width / 2, rng.uniform(0.25, 0.6))]
    )
    one = scene.new("curtain") if rng.random() < 0.3 else None
    for middle, w in panels:
        a, b = max(middle - w / 2, 0.01), min(middle + w / 2, wall.length - 0.01)
        if b - a < 0.1:
            continue
        fold, deep, phase = rng.uniform(0.07, 0.18), rng.uniform(0.02, 0.06), rng.uniform(0, 6)

        def depth(x, y, fold=fold, deep=deep, phase=phase):
            return (
                deep * np.sin(2 * np.pi * x / fold + phase + 0.6 * np.sin(3 * y)) * (0.6 + 0.4 * np.sin(y * 2 + x * 5))
            )

        flat = sheet(b - a, top - bottom, depth, paint, density * 1.4, rng)
        upright = make(flat.points[:, [0, 2, 1]], flat.normals[:, [0, 2, 1]], flat.colors)
        upright = upright.moved((0, 0, (top - bottom) / 2))
        scene.add(on_wall(wall, upright, (a + b) / 2, bottom, 0.09), "curtain", instance=one)
        wall.taken.append((a, b, bottom, top))
    if rng.random() < 0.6:
        rod = tube(
            [(-width / 2 - 0.3, 0, 0), (width / 2 + 0.3, 0, 0)],
            0.012,
            P.plain(P.furniture_color(rng), rng),
            density * 2,
            rng,
        )
        scene.add(on_wall(wall, rod, s, top, 0.09), instance=-1 if one is None else one)


def add_drapes(scene: Scene, plan: Plan) -> None:
    """Curtains before a bare wall, as they hide niches and wardrobes."""
    width = scene.rng.uniform(0.8, 2.5)
    found = find_place(plan, scene.rng, width + 0.3, 0.02, plan.height - 0.02)
    if found:
        add_curtains(scene, plan, found[0], found[1], width, 0.1, plan.height - 0.15)


def add_structure(scene: Scene, plan: Plan) -> None:
    """Pillars, a beam or a boxed pipe, as own instances."""
    rng, density = scene.rng, scene.density
    paint = P.cloudy(P.some(P.WALLS, rng), rng, 0.02)
    if rng.random() < 0.5:
        t = rng.uniform(0.2, 0.55)
        found = find_place(plan, rng, t, 0, plan.height)
        if found:
            wall, s = found
            wall.taken.append((s - t / 2, s + t / 2, 0, plan.height))
            column = box((t, rng.uniform(0.1, 0.5), plan.height), paint, density, rng)
            scene.add(on_wall(wall, column, s, 0, 0.1), "column")
            x, y, _ = wall.point(s, 0.2)
            plan.blocks.append((x - 0.3, x + 0.3, y - 0.3, y + 0.3, plan.height))
    if rng.random() < 0.5:
        t = rng.uniform(0.15, 0.4)
        beam = box((plan.width, t, t * rng.uniform(0.6, 1.3)), paint, density, rng)
        y = rng.uniform(0.2, plan.depth - (plan.notch[1] if plan.notch else 0) - 0.2)
        scene.add(beam.moved((plan.width / 2, y, plan.height - np.ptp(beam.points[:, 2]))), "beam")
