"""Procedural furniture: endless variants beside the catalogue's models, with known boards and fronts.

Makers take (density, rng, ...) and return (class name, Surface), foot's centre at the origin, front towards -y.
"""

from collections.abc import Iterator

import numpy as np

from . import paint as P
from .surface import Surface, box, cylinder, join, tube

Rng = np.random.Generator


def _finish(rng: Rng):
    color = P.furniture_color(rng)
    return P.wood(color, rng) if rng.random() < 0.6 else P.plain(color, rng)


def table(density: float, rng: Rng, size=None) -> tuple[str, Surface]:
    w, d, h = size or (rng.uniform(0.7, 2.2), rng.uniform(0.6, 1.1), rng.uniform(0.68, 0.78))
    top_paint, leg_paint = _finish(rng), _finish(rng) if rng.random() < 0.4 else None
    leg_paint = leg_paint or top_paint
    thick = rng.uniform(0.02, 0.05)
    parts = [box((w, d, thick), top_paint, density, rng).moved((0, 0, h - thick))]
    style = rng.random()
    if style < 0.65:
        t, inset = rng.uniform(0.03, 0.08), rng.uniform(0.02, 0.12)
        for sx in (-1, 1):
            for sy in (-1, 1):
                at = (sx * (w / 2 - inset - t / 2), sy * (d / 2 - inset - t / 2), 0)
                parts.append(box((t, t, h - thick), leg_paint, density, rng).moved(at))
    elif style < 0.85:
        for sx in (-1, 1):
            parts.append(box((0.04, d * 0.9, h - thick), leg_paint, density, rng).moved((sx * (w / 2 - 0.05), 0, 0)))
    else:
        parts += [cylinder(0.05, h - thick, leg_paint, density, rng), cylinder(0.28, 0.03, leg_paint, density, rng)]
    return "table", join(*parts)


def desk(density: float, rng: Rng) -> tuple[str, Surface]:
    w, d, h = rng.uniform(1.1, 1.9), rng.uniform(0.6, 0.85), rng.uniform(0.7, 0.77)
    _, top = table(density, rng, (w, d, h))
    if rng.random() < 0.6:
        drawers = box((0.42, d * 0.85, h * 0.85), _finish(rng), density, rng)
        top = join(top, drawers.moved((rng.choice([-1, 1]) * (w / 2 - 0.27), 0, 0)))
    if rng.random() < 0.5:
        top = join(top, box((w * 0.95, 0.02, h * 0.6), _finish(rng), density, rng).moved((0, d * 0.35, h * 0.35)))
    return "desk", top


def chair(density: float, rng: Rng) -> tuple[str, Surface]:
    """A four-legged or office chair."""
    w, d, seat = rng.uniform(0.38, 0.52), rng.uniform(0.38, 0.5), rng.uniform(0.42, 0.5)
    soft = P.cloudy(P.any_color(rng), rng, 0.06, 0.1)
    frame = _finish(rng)
    back_h = rng.uniform(0.35, 0.6)
    parts = [box((w, d, rng.uniform(0.03, 0.09)), soft, density, rng).moved((0, 0, seat - 0.06))]
    gap = rng.choice([0.0, 0.12, 0.2])
    back = box((w * 0.95, 0.04, back_h - gap), soft if rng.random() < 0.7 else frame, density, rng)
    parts.append(back.tilted(0, -rng.uniform(0, 0.2)).moved((0, d / 2 - 0.02, seat + gap)))
    if gap:
        for sx in (-0.3, 0.3):
            parts.append(box((0.03, 0.03, gap + 0.05), frame, density, rng).moved((sx * w, d / 2 - 0.02, seat)))
    if rng.random() < 0.5:
        t = rng.uniform(0.02, 0.045)
        for sx in (-1, 1):
            for sy in (-1, 1):
                parts.append(
                    box((t, t, seat - 0.04), frame, density, rng).moved((sx * (w / 2 - t), sy * (d / 2 - t), 0))
                )
    else:
        parts.append(cylinder(0.03, seat - 0.05, frame, density, rng))
        for angle in np.arange(5) * 2 * np.pi / 5:
            end = (0.3 * np.cos(angle), 0.3 * np.sin(angle), 0.05)
            parts.append(tube([(0, 0, 0.09), end], 0.022, frame, density, rng))
        if rng.random() < 0.6:
            for sx in (-1, 1):
                arm = [
                    (sx * w / 2, 0.1, seat),
                    (sx * (w / 2 + 0.03), 0.1, seat + 0.2),
                    (sx * (w / 2 + 0.03), -0.15, seat + 0.2),
                ]
                parts.append(tube(arm, 0.02, frame, density, rng))
    return "chair", join(*parts)


def sofa(density: float, rng: Rng) -> tuple[str, Surface]:
    w, d, seat = rng.uniform(0.8, 2.4), rng.uniform(0.75, 1.0), rng.uniform(0.36, 0.46)
    skin = P.cloth(rng) if rng.random() < 0.2 else P.cloudy(P.any_color(rng), rng, 0.06, 0.2)
    arm, back = rng.uniform(0.1, 0.25), rng.uniform(0.7, 0.95)
    parts = [
        box((w, d, seat), skin, density, rng),
        box((w, rng.uniform(0.15, 0.28), back), skin, density, rng).moved((0, d / 2 - 0.1, 0)),
    ]
    if rng.random() < 0.85:
        arm_h = seat + rng.uniform(0.1, 0.25)
        parts += [box((arm, d, arm_h), skin, density, rng).moved((sx * (w - arm) / 2, 0, 0)) for sx in (-1, 1)]
    seats = max(1, round(w / 0.75))
    inner = w - 2 * arm
    for k in range(seats):
        cell = box((inner / seats - 0.02, d * 0.7, 0.12), skin, density, rng)
        parts.append(cell.moved((-inner / 2 + (k + 0.5) * inner / seats, -d * 0.12, seat)))
    return ("sofa" if w > 1.1 else "armchair"), join(*parts)


def bed(density: float, rng: Rng) -> tuple[str, Surface]:
    w, d, h = rng.uniform(0.9, 1.9), rng.uniform(1.95, 2.15), rng.uniform(0.35, 0.6)
    frame, sheet = (
        _finish(rng),
        P.cloth(rng) if rng.random() < 0.4 else P.cloudy(P.near((0.8, 0.78, 0.75), rng, 0.1), rng, 0.06),
    )
    parts = [
        box((w, d, h * 0.55), frame, density, rng),
        box((w * 0.97, d * 0.97, h * 0.45), sheet, density, rng).moved((0, 0, h * 0.55)),
    ]
    if rng.random() < 0.8:
        parts.append(box((w, 0.06, h + rng.uniform(0.2, 0.7)), frame, density, rng).moved((0, d / 2, 0)))
    return "bed", join(*parts)


def shelf(density: float, rng: Rng, size=None) -> tuple[str, Surface, list[tuple[float, float, float, float, float]]]:
    """An open shelf; also its compartments as (x0, x1, floor z, clear height, depth)."""
    w, d, h = size or (rng.uniform(0.6, 2.4), rng.uniform(0.24, 0.42), rng.uniform(0.8, 2.2))
    paint, t = _finish(rng), rng.uniform(0.015, 0.03)
    levels, columns = max(2, round(h / rng.uniform(0.28, 0.42))), max(1, round(w / rng.uniform(0.5, 1.0)))
    parts, cells = [], []
    for k in range(columns + 1):
        parts.append(box((t, d, h), paint, density, rng).moved((-w / 2 + k * w / columns, 0, 0)))
    foot = rng.choice([0.0, 0.06])
    step = (h - foot - t) / levels
    for k in range(levels + 1):
        parts.append(box((w, d, t), paint, density, rng).moved((0, 0, foot + k * step)))
    if rng.random() < 0.75:
        parts.append(box((w, 0.01, h), paint, density, rng).moved((0, d / 2, 0)))
    for k in range(levels):
        for c in range(columns):
            x0 = -w / 2 + c * w / columns + t
            cells.append((x0, x0 + w / columns - 2 * t, foot + k * step + t, step - t, d))
    return "bookshelf", join(*parts), cells


def fronts(density: float, rng: Rng, width: float, height: float, paint, depth: float = 0.02) -> Iterator[Surface]:
    """Doors or drawers side by side that cover `width` x `height`, with joints and handles; feet at z = 0, y = 0."""
    columns = max(1, round(width / rng.uniform(0.35, 0.65)))
    rows = int(rng.choice([1, 1, 1, 2, 3])) if height > 0.5 else 1
    handle = P.plain(P.some(P.GREYS, rng), rng)
    w, h, gap = width / columns, height / rows, rng.uniform(0.003, 0.01)
    knob = rng.random()
    for c in range(columns):
        for r in range(rows):
            leaf = box((w - gap, depth, h - gap), paint, density, rng)
            if knob < 0.4:
                side = 1 if c % 2 == 0 else -1
                leaf = join(
                    leaf,
                    box((0.015, 0.03, min(0.14, h * 0.5)), handle, density * 2, rng).moved(
                        (side * (w / 2 - 0.05), -depth / 2 - 0.015, h * 0.4)
                    ),
                )
            elif knob < 0.75:
                leaf = join(
                    leaf,
                    box((min(0.16, w * 0.5), 0.03, 0.015), handle, density * 2, rng).moved(
                        (0, -depth / 2 - 0.015, h * rng.choice([0.5, 0.9]))
                    ),
                )
            yield leaf.moved((-width / 2 + (c + 0.5) * w, 0, r * h))


def cabinet(density: float, rng: Rng, size=None, paint=None) -> list[tuple[str, Surface]]:
    """A closed cabinet: one instance, or its body and each front apart (as real labels go either way)."""
    w, d, h = size or (
        rng.uniform(0.5, 2.2),
        rng.uniform(0.35, 0.62),
        rng.choice([rng.uniform(0.5, 1.1), rng.uniform(1.6, 2.3)]),
    )
    paint = paint or _finish(rng)
    body = box((w, d, h), paint, density, rng)
    leaves = [leaf.moved((0, -d / 2 - 0.012, 0.03)) for leaf in fronts(density, rng, w * 0.98, h - 0.06, paint)]
    if rng.random() < 0.3:
        return [("cabinet", body)] + [("cabinet door", leaf) for leaf in leaves]
    return [("cabinet", join(body, *leaves))]


def counter(density: float, rng: Rng, length: float) -> list[tuple[str, Surface]]:
    """A kitchen run: cabinets below a worktop with sink or hob, fronts apart or together."""
    paint = P.plain(P.furniture_color(rng) if rng.random() < 0.6 else P.some(P.WALLS, rng), rng)
    parts = cabinet(density, rng, (length, 0.58, 0.84), paint)
    stone = P.cloudy(P.furniture_color(rng), rng, 0.08, 0.05)
    top = box((length + 0.02, 0.62, 0.04), stone, density, rng).moved((0, 0, 0.85))
    out = parts + [("counter", top)]
    if length > 1.2:
        x = rng.uniform(-0.5, 0.5) * (length - 0.9)
        steel = P.plain(P.near((0.6, 0.6, 0.6), rng), rng)
        if rng.random() < 0.6:
            bowl = box(
                (0.55, 0.42, 0.012),
                steel,
                density,
                rng,
                top=P.framed(P.plain((0.35, 0.35, 0.36), rng), (0.62, 0.62, 0.62), 0.55, 0.42, 0.05),
            )
            tap = tube([(0, 0.2, 0), (0, 0.2, 0.25), (0, 0.02, 0.25)], 0.015, steel, density, rng)
            out.append(("sink", join(bowl, tap).moved((x, 0, 0.89))))
        else:
            out.append(
                ("stove", box((0.56, 0.5, 0.01), P.plain((0.07, 0.07, 0.08), rng), density, rng).moved((x, 0, 0.89)))
            )
    return out
