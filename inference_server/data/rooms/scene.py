"""A scene under construction: surfaces with instance ids, catalogue models as surfaces, heights to put things on."""

import colorsys

import numpy as np

from inference_server.data.scans import STRUCTURE

from . import paint as P
from .catalogue import Catalogue, Model
from .surface import Surface, make

THIN = 0.06
"""Things thinner than this, lying or hanging, hide what they lie on: a depth buffer alone cannot tell."""
MIN_POINTS = 300
"""A catalogue model gives at least this many raw points, however small."""


class Scene:
    """Collects surfaces. `density` is the raw sampling in points per square metre."""

    def __init__(self, catalogue: Catalogue, split: str, rng: np.random.Generator, density: float) -> None:
        self.catalogue, self.split, self.rng, self.density = catalogue, split, rng, density
        self.wall_color = P.some(P.WALLS, rng)
        self.surfaces: list[Surface] = []
        self.owners: list[int] = []
        self.names: dict[int, str] = {}
        self.models: dict[int, str] = {}
        """Instance -> key of the catalogue model it shows."""

    def new(self, name: str) -> int:
        """A fresh instance id."""
        self.names[len(self.names)] = name
        return len(self.names) - 1

    def add(self, surface: Surface, name: str | None = None, instance: int | None = None) -> int:
        """Add a surface as a new instance `name`, or as part of `instance`; -1 is a thing without label."""
        if instance is None:
            instance = self.new(name or "object")
        self.surfaces.append(surface)
        self.owners.append(instance)
        return instance

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Points, normals, colours (float32) and instance (int32) of everything added."""
        owner = np.repeat(np.array(self.owners, dtype=np.int32), [len(s) for s in self.surfaces])
        points = np.concatenate([s.points for s in self.surfaces])
        keep = np.ones(len(points), dtype=bool)
        columns = [np.ascontiguousarray(points[:, k]) for k in range(3)]
        for surface, instance in zip(self.surfaces, self.owners, strict=True):
            if len(surface) > 3 and self.names.get(instance) not in STRUCTURE:
                hide_below(surface, instance, columns, owner, keep)
        return (
            points[keep],
            np.concatenate([s.normals for s in self.surfaces])[keep],
            np.concatenate([s.colors for s in self.surfaces])[keep],
            owner[keep],
        )

    def like_walls(self, share: float = 0.4) -> np.ndarray:
        """A colour for doors, fronts and curtains: with the given share that of the walls, else a furniture colour."""
        if self.rng.random() < share:
            return P.near(self.wall_color, self.rng, 0.04)
        return P.furniture_color(self.rng) if self.rng.random() < 0.7 else P.some(P.WALLS, self.rng)

    def pick(self, role: str) -> Model | None:
        """A random model of a role in this scene's split; None where the split has none."""
        models = self.catalogue.role(role, self.split)
        return models[self.rng.integers(len(models))] if models else None

    def model(self, model: Model, scale: float = 1.0) -> Surface:
        """A model's surface at this scene's density, recoloured at random."""
        points, normals, colors, area = self.catalogue.surfaces.surface(model)
        wanted = int(np.clip(area * scale**2 * self.density, MIN_POINTS, 3 * len(points)))
        rng = self.rng
        if wanted <= len(points):
            keep = rng.permutation(len(points))[:wanted]
            points, normals, colors = points[keep], normals[keep], colors[keep]
        else:
            extra = rng.integers(0, len(points), wanted - len(points))
            shift = rng.normal(0, 0.5 * np.sqrt(area / len(points)), (len(extra), 3)).astype(np.float32)
            n = normals[extra]
            shift -= (shift * n).sum(axis=1, keepdims=True) * n
            points = np.concatenate([points, points[extra] + shift])
            normals, colors = np.concatenate([normals, n]), np.concatenate([colors, colors[extra]])
        return make(points * scale, normals, recolor(points, colors, rng))


def hide_below(surface: Surface, instance: int, columns: list, owner: np.ndarray, keep: np.ndarray) -> None:
    """Clear `keep` for what a thin thing covers: points of others just below it if it lies, just behind if it hangs.

    columns: x, y, z of all points, each (n,); owner: their instances (n,).
    """
    local = surface.moved(yaw=-surface.yaw).points
    low, high = local.min(axis=0), local.max(axis=0)
    middle = np.percentile(local[:, 1:], [5, 95], axis=0)  # trays, hooks and handles stand out of flat things
    size = high - low
    if middle[1, 1] - middle[0, 1] < THIN and size[2] < 2 * THIN and min(size[0], size[1]) > 0.03:
        normal, back = 2, (low[2] - 0.025, middle[1, 1] - 0.002)
    elif middle[1, 0] - middle[0, 0] < THIN and size[1] < 2 * THIN and min(size[0], size[2]) > 0.06:
        normal, back = 1, (middle[0, 0] + 0.002, high[1] + 0.03)
    else:
        return
    a, b = (0, 1) if normal == 2 else (0, 2)
    first, last = surface.points.min(axis=0) - 0.035, surface.points.max(axis=0) + 0.035
    near = np.flatnonzero((columns[2] > first[2]) & (columns[2] < last[2]))
    near = near[(columns[0][near] > first[0]) & (columns[0][near] < last[0])]
    near = near[(columns[1][near] > first[1]) & (columns[1][near] < last[1])]
    near = near[owner[near] != instance]
    if not len(near):
        return
    cell = 0.025
    shape = np.ceil(size[[a, b]] / cell).astype(int) + 1
    cover = np.zeros(shape, dtype=bool)
    mine = ((local[:, [a, b]] - low[[a, b]]) / cell).astype(int)
    cover[mine[:, 0], mine[:, 1]] = True
    c, s = np.cos(-surface.yaw), np.sin(-surface.yaw)
    x, y, z = (column[near] for column in columns)
    other = np.stack([x * c - y * s, x * s + y * c, z], axis=1)
    at = np.floor((other[:, [a, b]] - low[[a, b]]) / cell).astype(int)
    inside = ((at >= 0) & (at < shape)).all(axis=1) & (other[:, normal] > back[0]) & (other[:, normal] < back[1])
    at = np.clip(at, 0, shape - 1)
    keep[near[inside & cover[at[:, 0], at[:, 1]]]] = False


def recolor(points: np.ndarray, colors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary a model's colours (n,3): shift hue and lightness, or, where it has one colour only, give it another
    with some texture."""
    spread = colors.std(axis=0).mean()
    if spread < 0.06 or rng.random() < 0.15:
        color = P.furniture_color(rng)
        shade = colors.mean(axis=1, keepdims=True)
        texture = (P.wood if rng.random() < 0.5 else P.cloudy)(color, rng)
        flat = texture(points[:, [0, 2]] + points[:, [1, 1]] * 0.7)
        return np.clip(flat * (0.75 + 0.5 * (shade - shade.mean())), 0, 1)
    gain = np.exp(rng.normal(0, 0.18))
    out = np.clip(colors * gain, 0, 1)
    if rng.random() < 0.5:
        angle = rng.normal(0, 0.08)
        grey = out.mean(axis=1, keepdims=True)
        tint = np.array(colorsys.hsv_to_rgb(rng.random(), 1, 1)) - 0.5
        out = grey + (out - grey) * rng.uniform(0.4, 1.1) + angle * tint * grey
    return np.clip(out, 0, 1)


class HeightMap:
    """Top height of placed surfaces in 4 cm cells: where things can be put down."""

    CELL = 0.04

    def __init__(self, surface: Surface) -> None:
        p = surface.points
        self.low = p[:, :2].min(axis=0)
        cells = ((p[:, :2] - self.low) / self.CELL).astype(int)
        self.top = np.full(cells.max(axis=0) + 1, -np.inf)
        np.maximum.at(self.top, (cells[:, 0], cells[:, 1]), p[:, 2])

    def put(self, surface: Surface, rng: np.random.Generator, tries: int = 8, near_top: float = 0.5) -> Surface | None:
        """The surface moved to a random even place where it fits, turned at random; None if none was found.
        The place then counts as occupied: later things stand beside it or on it."""
        extent = np.array(self.top.shape) * self.CELL
        top = np.max(self.top)
        for _ in range(tries):
            turned = surface.moved(yaw=rng.choice([0, np.pi / 2, np.pi, -np.pi / 2]) + rng.normal(0, 0.15))
            size = np.ptp(turned.points[:, :2], axis=0) if len(turned) else np.zeros(2)
            room = extent - size
            if (room < 0).any():
                continue
            corner = rng.random(2) * room
            a = (corner / self.CELL).astype(int)
            b = np.minimum(((corner + size) / self.CELL).astype(int) + 1, self.top.shape)
            under = self.top[a[0] : b[0], a[1] : b[1]]
            known = under[np.isfinite(under)]
            if under.size == 0 or known.size < 0.7 * under.size:
                continue
            level = np.percentile(known, 85)
            if level < top - near_top or np.mean(np.abs(known - level) < 0.03) < 0.75:
                continue
            start = turned.points[:, :2].min(axis=0)
            shift = self.low + corner - start
            placed = turned.moved((shift[0], shift[1], level - turned.points[:, 2].min()))
            self.top[a[0] : b[0], a[1] : b[1]] = placed.points[:, 2].max()
            return placed
        return None
