"""Small procedural objects that furniture catalogues lack: books, boxes, bags, cushions, papers, bottles.

Each maker takes (density, rng) and returns (class name, Surface) at home scale: foot's centre at the origin.
"""

import numpy as np

from . import paint as P
from .surface import Surface, blob, box, cylinder, join, lathe, quad, sheet, tube

Rng = np.random.Generator


def book(density: float, rng: Rng, height: float | None = None) -> tuple[str, Surface]:
    """An upright book, spine towards -y."""
    h = height or rng.uniform(0.17, 0.32)
    t, w = rng.uniform(0.012, 0.06), h * rng.uniform(0.62, 0.8)
    cover = P.any_color(rng)
    pages = P.plain(P.near((0.85, 0.82, 0.75), rng), rng)
    spine = P.plain(cover, rng)
    if rng.random() < 0.6:
        spine = P.stripes(cover, P.any_color(rng), rng.uniform(0.05, 0.2), rng, 1)
    return "book", box((t, w, h), P.plain(cover, rng), density, rng, front=spine, top=pages)


def flat_book(density: float, rng: Rng) -> tuple[str, Surface]:
    w, d, h = rng.uniform(0.13, 0.24), rng.uniform(0.18, 0.32), rng.uniform(0.01, 0.05)
    cover = P.patches(rng, 0.1) if rng.random() < 0.4 else P.plain(P.any_color(rng), rng)
    pages = P.plain(P.near((0.85, 0.82, 0.75), rng), rng)
    return "book", box((w, d, h), pages, density, rng, top=cover)


def carton(density: float, rng: Rng, size=None) -> tuple[str, Surface]:
    """A cardboard or coloured box, with or without tape and label."""
    size = size or (rng.uniform(0.12, 0.6), rng.uniform(0.1, 0.45), rng.uniform(0.06, 0.45))
    brown = rng.random() < 0.55
    color = P.near((0.62, 0.47, 0.33), rng, 0.12) if brown else P.any_color(rng)
    side = P.cloudy(color, rng, 0.03)
    top = P.stripes(color, P.near(color, rng, 0.12), size[0] / 2, rng) if rng.random() < 0.5 else side
    front = P.framed(P.patches(rng, 0.1, 3), color, size[0], size[2], 0.2 * min(size[0], size[2]))
    return "box", box(size, side, density, rng, front=front if rng.random() < 0.35 else side, top=top)


def bag(density: float, rng: Rng) -> tuple[str, Surface]:
    """A rucksack, handbag or shopping bag: a lumpy box, sometimes with handles."""
    size = (rng.uniform(0.22, 0.5), rng.uniform(0.12, 0.3), rng.uniform(0.2, 0.5))
    body = blob(
        size,
        P.cloth(rng) if rng.random() < 0.3 else P.cloudy(P.any_color(rng), rng, 0.1, 0.1),
        density,
        rng,
        lumps=0.2,
        square=0.6,
    )
    if rng.random() < 0.5:
        a = np.linspace(0, np.pi, 9)
        loop = np.stack([0.1 * np.cos(a), 0 * a, size[2] * 0.75 + 0.12 * np.sin(a)], axis=1)
        body = join(body, tube(loop, 0.012, P.plain(P.any_color(rng), rng), density, rng))
    return "bag", body


def clothes(density: float, rng: Rng) -> tuple[str, Surface]:
    size = (rng.uniform(0.25, 0.7), rng.uniform(0.2, 0.5), rng.uniform(0.06, 0.22))
    return "clothes", blob(size, P.cloth(rng), density, rng, lumps=0.45)


def cushion(density: float, rng: Rng) -> tuple[str, Surface]:
    s = rng.uniform(0.35, 0.55)
    return "cushion", blob(
        (s, s * rng.uniform(0.75, 1.0), rng.uniform(0.1, 0.2)), P.cloth(rng), density, rng, lumps=0.1, square=0.55
    )


def pillow(density: float, rng: Rng) -> tuple[str, Surface]:
    color = P.near((0.85, 0.84, 0.82), rng, 0.1) if rng.random() < 0.6 else P.any_color(rng, 0.2)
    return "pillow", blob(
        (rng.uniform(0.5, 0.8), rng.uniform(0.35, 0.55), rng.uniform(0.1, 0.2)),
        P.cloudy(color, rng, 0.05, 0.2),
        density,
        rng,
        lumps=0.12,
        square=0.55,
    )


def papers(density: float, rng: Rng) -> tuple[str, Surface]:
    """A sheet, a magazine or a stack of paper."""
    h = rng.choice([0.003, 0.01, 0.03, 0.08])
    top = P.printed(P.near((0.9, 0.9, 0.88), rng), (0.3, 0.3, 0.33), rng) if rng.random() < 0.6 else P.patches(rng, 0.1)
    return "paper", box((0.21, 0.297, h), P.plain((0.88, 0.87, 0.84), rng), density, rng, top=top)


def bottle(density: float, rng: Rng) -> tuple[str, Surface]:
    r, h = rng.uniform(0.025, 0.05), rng.uniform(0.15, 0.34)
    neck, color = rng.uniform(0.25, 0.6) * r, P.any_color(rng)
    label = P.stripes(color, P.any_color(rng), h * rng.uniform(0.4, 0.9), rng, 1)
    shoulder = rng.uniform(0.6, 0.85) * h
    profile = [(0, 0), (r, 0), (r, shoulder), (neck, shoulder + 0.4 * (h - shoulder)), (neck, h), (0, h)]
    return "bottle", lathe(profile, label, density, rng)


def cup(density: float, rng: Rng) -> tuple[str, Surface]:
    r, h = rng.uniform(0.03, 0.055), rng.uniform(0.06, 0.14)
    foot, color = r * rng.uniform(0.6, 1.0), P.any_color(rng)
    skin = (
        P.stripes(color, P.any_color(rng), rng.uniform(0.02, 0.06), rng, 1)
        if rng.random() < 0.3
        else P.plain(color, rng)
    )
    body = lathe([(0, 0), (foot, 0), (r, h), (r * 0.9, h), (foot * 0.9, 0.006), (0, 0.006)], skin, density, rng)
    if rng.random() < 0.6:
        a = np.linspace(-np.pi / 2, np.pi / 2, 8)
        ring = np.stack([r + 0.025 * np.cos(a), 0 * a, h * 0.5 + h * 0.3 * np.sin(a)], axis=1)
        body = join(body, tube(ring, 0.005, skin, density, rng))
    return "cup", body


def can(density: float, rng: Rng) -> tuple[str, Surface]:
    r, h = rng.uniform(0.03, 0.06), rng.uniform(0.07, 0.2)
    skin = (
        P.patches(rng, 0.06, 3) if rng.random() < 0.5 else P.stripes(P.any_color(rng), P.any_color(rng), 0.07, rng, 1)
    )
    return "can", cylinder(r, h, skin, density, rng)


def bowl(density: float, rng: Rng) -> tuple[str, Surface]:
    r, h = rng.uniform(0.06, 0.16), rng.uniform(0.04, 0.1)
    skin = P.plain(P.any_color(rng), rng)
    return "bowl", lathe(
        [(0, 0), (r * 0.5, 0), (r, h), (r * 0.94, h), (r * 0.45, 0.012), (0, 0.012)], skin, density, rng
    )


def monitor(density: float, rng: Rng) -> tuple[str, Surface]:
    w = rng.uniform(0.4, 0.7)
    h = w * rng.uniform(0.55, 0.75)
    case = P.plain(P.some(P.GREYS[:4] if rng.random() < 0.8 else P.GREYS[4:], rng), rng)
    lit = P.patches(rng, 0.2, 3, 0.3) if rng.random() < 0.3 else P.plain((0.06, 0.06, 0.08), rng)
    panel = box((w, 0.05, h), case, density, rng, front=lit).moved((0, 0, 0.12))
    foot = cylinder(0.12, 0.015, case, density, rng)
    neck = box((0.06, 0.03, 0.2), case, density, rng).moved((0, 0.04, 0.0))
    return "monitor", join(panel, foot, neck)


def keyboard(density: float, rng: Rng) -> tuple[str, Surface]:
    color = P.some(P.GREYS, rng)
    top = P.tiles(color * 1.05, color * 0.6, 0.02, rng, line=0.004)
    return "keyboard", box(
        (rng.uniform(0.28, 0.46), rng.uniform(0.12, 0.17), 0.025), P.plain(color, rng), density, rng, top=top
    )


def mouse(density: float, rng: Rng) -> tuple[str, Surface]:
    return "mouse", blob((0.06, 0.11, 0.045), P.plain(P.some(P.GREYS, rng), rng), density, rng, lumps=0.0)


def laptop(density: float, rng: Rng) -> tuple[str, Surface]:
    w = rng.uniform(0.28, 0.38)
    d, color = w * 0.68, P.some(P.GREYS, rng)
    keys = P.framed(P.tiles(color * 0.5, color * 0.8, 0.02, rng, line=0.003), color, w, d, 0.03)
    base = box((w, d, 0.02), P.plain(color, rng), density, rng, top=keys)
    lid = box((w, 0.01, d), P.plain(color, rng), density, rng, front=P.plain((0.08, 0.09, 0.12), rng))
    return "laptop", join(base, lid.tilted(0, -rng.uniform(0.1, 0.5)).moved((0, d / 2, 0.02)))


def shoe(density: float, rng: Rng) -> tuple[str, Surface]:
    color = P.cloudy(P.any_color(rng, 0.2), rng, 0.1, 0.05)
    sole = blob((0.1, 0.28, 0.08), color, density, rng, lumps=0.05, square=0.7)
    heel = blob((0.09, 0.12, 0.13), color, density, rng, lumps=0.05, square=0.7).moved((0, 0.07, 0))
    pair = join(sole, heel)
    return "shoes", join(pair.moved((-0.07, 0, 0)), pair.moved((0.07, rng.normal(0, 0.05), 0), rng.normal(0, 0.3)))


def bin_(density: float, rng: Rng) -> tuple[str, Surface]:
    h, color = rng.uniform(0.25, 0.65), P.any_color(rng, 0.15)
    r = h * rng.uniform(0.35, 0.5)
    skin = P.plain(color, rng)
    if rng.random() < 0.5:
        return "bin", lathe(
            [(0, 0), (r * 0.8, 0), (r, h), (r * 0.94, h), (r * 0.75, 0.02), (0, 0.02)], skin, density, rng
        )
    return "bin", box((2 * r, 1.5 * r, h), skin, density, rng, top=P.plain(color * 0.4, rng))


def lamp(density: float, rng: Rng, height: float | None = None) -> tuple[str, Surface]:
    """A lamp with a shade; `height` about 0.4 for tables, 1.6 for floors."""
    h = height or rng.uniform(0.3, 0.6)
    r = rng.uniform(0.1, 0.22)
    shade = P.plain(P.near((0.9, 0.86, 0.75), rng, 0.1) if rng.random() < 0.7 else P.any_color(rng), rng)
    metal = P.plain(P.furniture_color(rng), rng)
    top = h - r * rng.uniform(1.0, 1.5)
    return "lamp", join(
        cylinder(r * 0.7, 0.02, metal, density, rng),
        tube([(0, 0, 0), (0, 0, top)], 0.015, metal, density, rng),
        lathe([(r, top), (r * rng.uniform(0.5, 1.0), h)], shade, density, rng),
    )


def plant(density: float, rng: Rng, height: float | None = None) -> tuple[str, Surface]:
    """A pot with leaves: small quads on a sphere around the stem."""
    h = height or rng.uniform(0.2, 1.4)
    pot_r, pot_h = 0.14 * h + 0.04, 0.2 * h + 0.04
    pot = lathe(
        [(0, 0), (pot_r * 0.75, 0), (pot_r, pot_h), (0, pot_h * 0.9)],
        P.plain(P.any_color(rng, 0.35), rng),
        density,
        rng,
    )
    green = np.array([rng.uniform(0.1, 0.35), rng.uniform(0.28, 0.5), rng.uniform(0.08, 0.22)])
    leaves = [pot, tube([(0, 0, pot_h), (0, 0, 0.8 * h)], 0.01, P.plain((0.3, 0.25, 0.15), rng), density, rng)]
    spread, size = rng.uniform(0.15, 0.4) * h, rng.uniform(0.06, 0.16) * h**0.5
    for _ in range(int(rng.uniform(18, 60))):
        d = rng.normal(size=3)
        d /= np.linalg.norm(d)
        at = np.array([0, 0, pot_h + (h - pot_h) * rng.uniform(0.25, 0.85)]) + d * spread * rng.uniform(0.3, 1)
        u, v = rng.normal(size=3), rng.normal(size=3)
        u, v = (x / np.linalg.norm(x) * size for x in (u, np.cross(u, v)))
        leaves.append(quad(at, u, 0.5 * v, P.plain(P.near(green, rng, 0.15), rng), density, rng))
    return "plant", join(*leaves)


def blanket(density: float, rng: Rng, width: float | None = None, depth: float | None = None) -> tuple[str, Surface]:
    """A throw with wrinkles, lying flat."""
    w, d = width or rng.uniform(0.6, 1.6), depth or rng.uniform(0.5, 1.4)
    k, a = rng.normal(0, 6, (6, 2)), rng.uniform(0, 6.28, 6)
    deep = rng.uniform(0.005, 0.02)
    return "blanket", sheet(
        w,
        d,
        lambda x, y: 0.03 + deep * sum(np.sin(x * i + y * j + c) for (i, j), c in zip(k, a, strict=True)) / 2,
        P.cloth(rng),
        density,
        rng,
    )


def rug(density: float, rng: Rng) -> tuple[str, Surface]:
    w, d = rng.uniform(0.6, 3.0), rng.uniform(0.5, 2.2)
    pattern = P.framed(
        P.patches(rng, rng.uniform(0.1, 0.5), 4, rng.uniform(0.1, 0.6)), P.any_color(rng), w, d, rng.uniform(0.03, 0.15)
    )
    if rng.random() < 0.5:
        pattern = P.cloudy(P.any_color(rng), rng, 0.08, 0.2)
    return "rug", box((w, d, rng.uniform(0.005, 0.02)), pattern, density, rng, bottom=False)


def cable(density: float, rng: Rng) -> tuple[str, Surface]:
    steps = np.cumsum(rng.normal(0, 0.12, (14, 2)), axis=0)
    path = np.column_stack([steps - steps.mean(axis=0), np.full(14, 0.006)])
    return "cable", tube(path, 0.006, P.plain(P.some(P.GREYS, rng), rng), density * 2, rng)


def oddment(density: float, rng: Rng, size: float | None = None) -> tuple[str, Surface]:
    """Something nobody has a name for: one to five boxes, tubs, balls and bars grown together, 8 to 70 cm large."""
    size = size or float(np.exp(rng.uniform(np.log(0.08), np.log(0.7))))
    colors = [P.any_color(rng) for _ in range(int(rng.integers(1, 4)))]
    parts, reach = [], np.zeros(2)
    for k in range(int(rng.integers(1, 6))):
        color = colors[rng.integers(len(colors))]
        kind = rng.random()
        skin = P.plain(color, rng) if kind < 0.5 else P.cloudy(color, rng, 0.1, 0.1)
        if kind > 0.85:
            skin = P.patches(rng, 0.3 * size, 3)
        w, d, h = size * rng.uniform(0.15, 0.9, 3)
        shape = rng.random()
        if shape < 0.5:
            part = box((w, d, h), skin, density, rng)
        elif shape < 0.75:
            part = lathe([(0, 0), (w / 2, 0), (w / 2 * rng.uniform(0.4, 1.3), h), (0, h)], skin, density, rng)
        elif shape < 0.9:
            part = blob((w, d, h), skin, density, rng, lumps=rng.uniform(0, 0.4), square=rng.uniform(0.5, 1))
        else:
            part = tube([(0, 0, 0), (0.2 * w, 0, h)], 0.06 * size + 0.005, skin, density, rng)
        if rng.random() < 0.15:
            part = part.tilted(0, np.pi / 2).moved((0, 0, d / 2))
        on_top = k and rng.random() < 0.4
        lift = max(p.points[:, 2].max() for p in parts) if on_top else 0.0
        parts.append(part.moved((reach[0], reach[1], lift), rng.choice([0.0, rng.uniform(0, 6.28)])))
        reach = reach + rng.normal(0, 0.25 * size, 2)
    whole = join(*parts)
    return "thing", whole.moved((*(-whole.points[:, :2].mean(axis=0)), -whole.points[:, 2].min()))


def towel(density: float, rng: Rng) -> tuple[str, Surface]:
    w, h = rng.uniform(0.3, 0.6), rng.uniform(0.3, 0.9)
    return "towel", box((w, 0.03, h), P.cloth(rng), density, rng)


TABLETOP = [
    flat_book,
    flat_book,
    carton,
    papers,
    papers,
    bottle,
    bottle,
    cup,
    cup,
    can,
    bowl,
    lamp,
    bag,
    keyboard,
    laptop,
    plant,
    oddment,
    oddment,
    oddment,
]
"""Makers of what stands on tables and cupboards (a maker may stand here twice: it is met more often)."""
OFFICE = [monitor, monitor, keyboard, mouse, papers, papers, flat_book, cup, laptop, lamp, bottle, cable, oddment]
FLOOR = [carton, carton, bag, bag, shoe, bin_, plant, clothes, cable, oddment, oddment, oddment]
SOFT = [cushion, cushion, pillow, blanket, clothes, bag]
