"""Groups that belong together: tables with chairs, rows of desks, filled shelves, kitchens, fitted cupboards, piles."""

import numpy as np

from . import furniture as F
from . import paint as P
from . import things as T
from .furnish import add, clutter, free_spot, get, reserve_wall, to_wall
from .plan import Plan
from .scene import Scene
from .shell import find_place, on_wall
from .surface import Surface, box, join

Rng = np.random.Generator
_SHELF_THINGS = [T.bottle, T.cup, T.can, T.bowl, T.flat_book, T.papers, T.plant, T.oddment, T.oddment]


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
        slots = [
            (sx * 0.6, side) for side in (-1, 1) for sx in np.arange(-(size[0] // 0.6) / 2 + 0.5, size[0] // 0.6 / 2)
        ]
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
            y, turn = (0.0, 0.0) if rows == 1 else (-d / 2, 0.0) if row == 0 else (d / 2, np.pi)
            place = desk.moved(yaw=turn).moved((x, y, 0)).moved((*where, 0), yaw)
            add(scene, place, name, key)
            if rng.random() < 0.9:
                side = -1 if turn == 0 else 1
                sat = seat[1].moved(yaw=turn + np.pi + rng.normal(0, 0.4))
                gap = d / 2 + rng.uniform(-0.1, 0.4)
                add(
                    scene,
                    sat.moved((x + rng.normal(0, 0.1), y + side * gap, 0)).moved((*where, 0), yaw),
                    seat[0],
                    seat[2],
                )
            top = float(np.percentile(desk.points[:, 2], 98))
            for offset in [0.0] if rng.random() < 0.6 else [-0.3, 0.3]:
                if rng.random() < 0.85:
                    shown = screen.moved((offset, d * 0.2, top), rng.normal(0, 0.15)).moved(yaw=turn).moved((x, y, 0))
                    add(scene, shown.moved((*where, 0), yaw), "monitor")
            clutter(scene, place, T.OFFICE, int(rng.integers(1, 6)))


def book_shelf(scene: Scene, plan: Plan) -> None:
    """An open shelf with rows of books, boxes, folders and knick-knacks, all touching."""
    rng = scene.rng
    width = rng.uniform(0.6, 3.2)
    name, surface, cells = F.shelf(
        scene.density, rng, (width, rng.uniform(0.24, 0.42), min(rng.uniform(0.8, 2.3), plan.height - 0.1))
    )
    place = reserve_wall(plan, rng, surface, gap=0.02)
    if not place:
        return
    wall, s, off = place
    parts = fill_cells(scene, cells)
    depth = np.ptp(surface.points[:, 1])
    body = add(scene, on_wall(wall, surface.moved((0, -depth / 2, 0)), s, 0, off), name)
    whole = rng.random() < 0.25  # many annotators count a shelf's content as part of it
    for part_name, part in parts:
        part = on_wall(wall, part.moved((0, -depth / 2, 0)), s, 0, off)
        scene.add(part, part_name, instance=body if whole else None)
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
                name, one = _SHELF_THINGS[rng.integers(len(_SHELF_THINGS))](scene.density * 2, rng)
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
    clutter(
        scene, on_wall(wall, whole.moved((0, -depth, 0)), s, 0, off), T.TABLETOP, int(rng.integers(2, 9)), near_top=0.06
    )
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


def partitions(scene: Scene, plan: Plan) -> None:
    """Low free-standing screens as in open-plan offices: one, or two at a right angle."""
    rng = scene.rng
    length, height = rng.uniform(1.0, 2.4), rng.uniform(1.1, 1.7)
    yaw = rng.choice([0, np.pi / 2])
    where = free_spot(plan, rng, (length, 0.15), yaw)
    if where is None:
        return
    paint = P.cloudy(P.any_color(rng, rng.beta(1.2, 4)), rng, 0.05, 0.03)
    screen = box((length, rng.uniform(0.03, 0.08), height), paint, scene.density, rng)
    add(scene, screen.moved((*where, 0), yaw), "partition")
    if rng.random() < 0.5:
        end = np.array(where) + 0.5 * length * np.array([np.cos(yaw), np.sin(yaw)])
        wing = screen.moved((length / 2, 0, 0)).moved((end[0], end[1], 0), yaw + np.pi / 2)
        add(scene, wing.kept(plan.inside(wing.points[:, :2])), "partition")


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
