"""Puts furniture into a plan: along walls, in groups, with things on, in and under it."""

import numpy as np

from . import furniture as F
from . import paint as P
from . import things as T
from .plan import Plan, Wall, footprint
from .scene import HeightMap, Scene
from .shell import find_place, on_wall
from .surface import Surface, box, join

Rng = np.random.Generator

MAKERS = {"table": F.table, "desk": F.desk, "chair": F.chair, "sofa": F.sofa, "armchair": F.sofa, "bed": F.bed}
CLASSES = {"bedside": "nightstand", "coffee_table": "coffee table", "cupboard": "cabinet", "shelf": "bookshelf",
           "kitchen_unit": "kitchen unit", "kitchen_upper": "kitchen cabinet", "bathroom": "bathroom fixture",
           "floor_thing": "object", "small": "object", "floor_lamp": "lamp", "ceiling": "ceiling lamp",
           "wall_small": "wall fixture", "wall_large": "wall fixture"}


def get(scene: Scene, role: str, procedural: float = 0.35) -> tuple[str, Surface, str | None] | None:
    """An object of a role: (class name, surface, model key), from the catalogue or, with the given share, procedural."""
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


def reserve_wall(plan: Plan, rng: Rng, surface: Surface, gap: float | None = None, z: float = 0.0) -> tuple[Wall, float, float] | None:
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
    add(scene, placed, name, key)
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


def table_group(scene: Scene, plan: Plan, role: str = "table", chairs: int | None = None) -> bool:
    """A table in the open with chairs pushed under it, things on it, perhaps a rug below."""
    rng = scene.rng
    got = get(scene, role)
    if not got:
        return False
    name, table, key = got
    size = np.ptp(table.points[:, :2], axis=0)
    yaw = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.06)
    where = free_spot(plan, rng, size + 0.9, yaw)
    if where is None:
        return False
    placed = table.moved((*where, 0), yaw)
    add(scene, placed, name, key)
    seat = get(scene, "chair")
    chairs = int(rng.integers(1, 9)) if chairs is None else chairs
    if seat and role != "coffee_table":
        slots = [(sx * 0.6, side) for side in (-1, 1) for sx in np.arange(-(size[0] // 0.6) / 2 + 0.5, size[0] // 0.6 / 2)]
        rng.shuffle(slots)
        for x, side in slots[:chairs]:
            other = seat if rng.random() < 0.8 else get(scene, "chair") or seat
            tucked = rng.uniform(-0.05, 0.3)
            local = np.array([x, side * (size[1] / 2 + 0.28 - tucked)])
            c, s = np.cos(yaw), np.sin(yaw)
            spot = np.array(where) + [local[0] * c - local[1] * s, local[0] * s + local[1] * c]
            turn = yaw + (np.pi if side > 0 else 0) + np.pi + rng.normal(0, 0.25)
            if plan.inside(spot[None])[0]:
                sat = other[1].moved((*spot, 0), turn)
                add(scene, sat, other[0], other[2])
                if rng.random() < 0.12:
                    clutter(scene, sat, T.SOFT, 1)
    if rng.random() < 0.85:
        clutter(scene, placed, T.OFFICE if role == "desk" else T.TABLETOP, int(rng.integers(1, 9)))
    if rng.random() < 0.25:
        add(scene, T.rug(scene.density, rng)[1].moved((*where, 0), yaw), "rug")
    return True


def workplaces(scene: Scene, plan: Plan) -> None:
    """A block of like desks that touch, back to back or in a row, each with a screen, a keyboard and a like chair."""
    rng = scene.rng
    name, desk, key = get(scene, "desk") or (None, None, None)
    seat = get(scene, "chair")
    if desk is None or seat is None:
        return
    w, d = np.ptp(desk.points[:, :2], axis=0)
    low, high = desk.points.min(axis=0), desk.points.max(axis=0)
    desk = desk.moved((-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, 0))
    rows = int(rng.choice([1, 2]))
    columns = int(rng.integers(1, 5))
    yaw = rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.normal(0, 0.03)
    where = free_spot(plan, rng, (columns * w + 0.1, rows * d + 1.4), yaw)
    if where is None:
        return
    screen = T.monitor(scene.density * 2, rng)[1]
    for row in range(rows):
        for column in range(columns):
            x = (column - (columns - 1) / 2) * w
            y, turn = ((0.0, 0.0) if rows == 1 else (-d / 2, 0.0) if row == 0 else (d / 2, np.pi))
            place = desk.moved(yaw=turn).moved((x, y, 0)).moved((*where, 0), yaw)
            add(scene, place, name, key)
            if rng.random() < 0.9:
                side = -1 if turn == 0 else 1
                sat = seat[1].moved(yaw=turn + np.pi + rng.normal(0, 0.4))
                gap = d / 2 + rng.uniform(-0.1, 0.4)
                add(scene, sat.moved((x + rng.normal(0, 0.1), y + side * gap, 0)).moved((*where, 0), yaw), seat[0], seat[2])
            top = float(np.percentile(desk.points[:, 2], 98))
            for offset in ([0.0] if rng.random() < 0.6 else [-0.3, 0.3]):
                if rng.random() < 0.85:
                    shown = screen.moved((offset, d * 0.2, top), rng.normal(0, 0.15)).moved(yaw=turn).moved((x, y, 0))
                    add(scene, shown.moved((*where, 0), yaw), "monitor")
            clutter(scene, place, T.OFFICE, int(rng.integers(1, 6)))


def free_spot(plan: Plan, rng: Rng, size, yaw: float = 0.0, tries: int = 40) -> tuple[float, float] | None:
    """The centre of a free rectangle of floor, marked taken; None where none was found."""
    for _ in range(tries):
        centre = rng.uniform(0, 1, 2) * [plan.width, plan.depth]
        x0, x1, y0, y1 = footprint(centre, size, yaw)
        if plan.is_free(x0, x1, y0, y1):
            plan.blocks.append((x0, x1, y0, y1, 1.0))
            return float(centre[0]), float(centre[1])
    return None


def book_shelf(scene: Scene, plan: Plan) -> None:
    """An open shelf with rows of books, boxes, folders and knick-knacks, all touching."""
    rng = scene.rng
    width = rng.uniform(0.6, 3.2)
    name, surface, cells = F.shelf(scene.density, rng, (width, rng.uniform(0.24, 0.42), min(rng.uniform(0.8, 2.3), plan.height - 0.1)))
    place = reserve_wall(plan, rng, surface, gap=0.02)
    if not place:
        return
    wall, s, off = place
    parts = fill_cells(scene, cells)
    depth = np.ptp(surface.points[:, 1])
    for part_name, part in [(name, surface), *parts]:
        add(scene, on_wall(wall, part.moved((0, -depth / 2, 0)), s, 0, off), part_name)
    top = on_wall(wall, surface.moved((0, -depth / 2, 0)), s, 0, off)
    if np.max(surface.points[:, 2]) < 1.9 and rng.random() < 0.6:
        clutter(scene, top, T.TABLETOP, int(rng.integers(1, 5)), near_top=0.05)


def fill_cells(scene: Scene, cells) -> list[tuple[str, Surface]]:
    """What stands in a shelf's compartments, in the shelf's own frame."""
    rng, out = scene.rng, []
    rows_are_one = rng.random() < 0.75  # labels of real scans often call a row of books one object
    for x0, x1, z, clear, depth in cells:
        kind = rng.random()
        if kind < 0.5 and clear > 0.18:
            row, x = [], x0 + rng.uniform(0, 0.05)
            height = rng.uniform(0.17, min(0.32, clear - 0.01))
            stop = x1 - (rng.uniform(0, 0.6) * (x1 - x0) if rng.random() < 0.5 else 0)
            while x < stop - 0.05:
                _, one = T.book(scene.density * 2, rng, min(height * rng.uniform(0.85, 1.1), clear - 0.005))
                w = float(np.ptp(one.points[:, 0]))
                front = -depth / 2 + 0.5 * float(np.ptp(one.points[:, 1])) + abs(rng.normal(0, 0.012))
                lean = rng.normal(0, 0.02)
                row.append(one.tilted(1, lean).moved((x + w / 2, front, z)))
                x += w + abs(rng.normal(0, 0.0015))
            if row and rows_are_one:
                out.append(("books", join(*row)))
            else:
                out += [("book", one) for one in row]
        elif kind < 0.72:
            x = x0 + rng.uniform(0.01, 0.1)
            while x < x1 - 0.12:
                w = min(rng.uniform(0.1, 0.35), x1 - x)
                size = (w, min(depth * rng.uniform(0.6, 0.98), 0.4), clear * rng.uniform(0.4, 0.9))
                name, one = T.carton(scene.density * 1.5, rng, size)
                out.append((name, one.moved((x + w / 2, rng.normal(0, 0.01), z))))
                x += w + rng.exponential(0.04)
        elif kind < 0.88:
            for _ in range(int(rng.integers(1, 5))):
                name, one = [T.bottle, T.cup, T.can, T.bowl, T.flat_book, T.papers, T.plant][rng.integers(7)](scene.density * 2, rng)
                if np.ptp(one.points[:, 2]) < clear and np.ptp(one.points[:, 1]) < depth:
                    out.append((name, one.moved((rng.uniform(x0 + 0.06, max(x1 - 0.06, x0 + 0.07)), 0, z))))
    return out


def kitchen(scene: Scene, plan: Plan) -> None:
    """A run of kitchen units with worktop, wall cupboards above, small appliances on it."""
    rng = scene.rng
    length = rng.uniform(1.2, max(1.3, min(4.0, max(w.length for w in plan.walls) - 0.5)))
    parts = F.counter(scene.density, rng, length)
    whole = join(*[p for _, p in parts])
    place = reserve_wall(plan, rng, whole, gap=0.0)
    if not place:
        return
    wall, s, off = place
    depth = float(whole.points[:, 1].max())
    for name, part in parts:
        add(scene, on_wall(wall, part.moved((0, -depth, 0)), s, 0, off), name)
    clutter(scene, on_wall(wall, whole.moved((0, -depth, 0)), s, 0, off), T.TABLETOP, int(rng.integers(2, 9)), near_top=0.06)
    x, z = s - length / 2, rng.uniform(1.38, 1.5)
    height = rng.uniform(0.5, 0.8)
    paint = P.plain(P.furniture_color(rng), rng)
    while x < s + length / 2 - 0.45 and z + height < plan.height:
        w = rng.uniform(0.45, 1.0)
        if wall.is_free(x, min(x + w, s + length / 2), z, z + height):
            wall.taken.append((x, x + w, z, z + height))
            for name, part in F.cabinet(scene.density, rng, (w - 0.01, 0.35, height), paint):
                add(scene, on_wall(wall, part.moved((0, -0.2, 0)), x + w / 2, z, 0.0), name)
        x += w if rng.random() < 0.8 else w + 0.6


def built_in(scene: Scene, plan: Plan) -> None:
    """Cupboards from wall to wall or along a stretch of wall, painted much like it."""
    rng = scene.rng
    longest = max(w.length for w in plan.walls)
    w = rng.uniform(1.0, min(longest - 0.2, 4.0)) if longest > 1.3 else 1.0
    h = rng.choice([plan.height - 0.01, rng.uniform(1.9, 2.3)])
    paint = P.plain(scene.like_walls(0.55), rng)
    parts = F.cabinet(scene.density, rng, (w, rng.uniform(0.3, 0.6), min(h, plan.height - 0.01)), paint)
    whole = join(*[p for _, p in parts])
    place = reserve_wall(plan, rng, whole, gap=0.0)
    if place:
        wall, s, off = place
        depth = float(whole.points[:, 1].max())
        for name, part in parts:
            add(scene, on_wall(wall, part.moved((0, -depth, 0)), s, 0, off), name)


def piles(scene: Scene, plan: Plan, count: int) -> None:
    """Boxes, bags, bins, shoes, toys and plants on the floor: alone, side by side, stacked, leaning on walls."""
    rng = scene.rng
    for _ in range(count):
        kind = rng.random()
        if kind < 0.35:
            got = get(scene, "floor_thing")
            if got:
                name, thing, key = got
            else:
                (name, thing), key = T.FLOOR[rng.integers(len(T.FLOOR))](scene.density, rng), None
        elif kind < 0.65:
            (name, thing), key = T.FLOOR[rng.integers(len(T.FLOOR))](scene.density, rng), None
        else:
            box_pile(scene, plan)
            continue
        size = np.ptp(thing.points[:, :2], axis=0)
        if rng.random() < 0.6:
            place = reserve_wall(plan, rng, thing)
            if place:
                add(scene, to_wall(place[0], thing, place[1], place[2]), name, key)
            continue
        yaw = rng.uniform(0, 6.28)
        where = free_spot(plan, rng, size, yaw)
        if where:
            add(scene, thing.moved((*where, 0), yaw), name, key)


def box_pile(scene: Scene, plan: Plan) -> None:
    """Boxes touching side by side and on each other, against a wall."""
    rng = scene.rng
    columns, x, made = int(rng.integers(1, 5)), 0.0, []
    for _ in range(columns):
        z, width = 0.0, rng.uniform(0.2, 0.6)
        for _ in range(int(rng.integers(1, 4))):
            size = (width * rng.uniform(0.8, 1.0), rng.uniform(0.2, 0.5), rng.uniform(0.1, 0.4))
            maker = T.carton(scene.density, rng, size) if rng.random() < 0.85 else T.bag(scene.density, rng)
            made.append((maker[0], maker[1].moved((x + width / 2, -size[1] / 2, z), rng.normal(0, 0.06))))
            z += size[2]
        x += width + abs(rng.normal(0, 0.01))
    whole = join(*[one for _, one in made])
    low, high = whole.points.min(axis=0), whole.points.max(axis=0)
    place = reserve_wall(plan, rng, whole)
    if place:
        for name, one in made:
            centred = one.moved((-(low[0] + high[0]) / 2, -high[1], 0))
            add(scene, on_wall(place[0], centred, place[1], 0, place[2]), name)


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
            add(scene, surface.moved((x, y, plan.height - model.size[2]), rng.choice([0, np.pi / 2])), CLASSES[role], model.key)
        return
    z = z0 if z0 is not None else model.elevation or rng.uniform(0.3, 1.6)
    z = min(z, plan.height - model.size[2] - 0.02)
    place = find_place(plan, rng, model.size[0], z, z + model.size[2])
    if place and z >= 0:
        wall, s = place
        wall.taken.append((s - model.size[0] / 2, s + model.size[0] / 2, z, z + model.size[2]))
        add(scene, to_wall(wall, surface, s, 0.0, z), model.name.lower(), model.key)


def wall_shelf(scene: Scene, plan: Plan) -> None:
    """A board on the wall with things on it."""
    rng = scene.rng
    w, d, z = rng.uniform(0.5, 1.8), rng.uniform(0.15, 0.3), rng.uniform(1.1, 1.8)
    found = find_place(plan, rng, w, z - 0.05, z + 0.4)
    if not found:
        return
    wall, s = found
    wall.taken.append((s - w / 2, s + w / 2, z - 0.05, z + 0.4))
    board = box((w, d, 0.03), P.wood(P.furniture_color(rng), rng), scene.density, rng)
    add(scene, on_wall(wall, board.moved((0, -d / 2, 0)), s, z, 0.0), "shelf")
    for name, part in fill_cells(scene, [(-w / 2, w / 2, 0.03, 0.35, d)]):
        add(scene, on_wall(wall, part.moved((0, -d / 2, 0)), s, z, 0.0), name)
