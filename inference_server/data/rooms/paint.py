"""Colours and textures: functions from surface coordinates (n,2) in metres to colours (n,3) in [0,1]."""

import colorsys

import numpy as np

from .surface import Paint

WALLS = [
    (0.86, 0.85, 0.82),
    (0.80, 0.79, 0.76),
    (0.74, 0.72, 0.68),
    (0.88, 0.86, 0.78),
    (0.70, 0.73, 0.75),
    (0.78, 0.74, 0.66),
    (0.66, 0.68, 0.62),
    (0.82, 0.80, 0.80),
]
WOODS = [
    (0.55, 0.38, 0.24),
    (0.42, 0.27, 0.17),
    (0.68, 0.52, 0.36),
    (0.76, 0.64, 0.48),
    (0.30, 0.20, 0.14),
    (0.60, 0.45, 0.33),
    (0.48, 0.36, 0.27),
]
GREYS = [
    (0.12, 0.12, 0.13),
    (0.22, 0.22, 0.23),
    (0.35, 0.35, 0.36),
    (0.5, 0.5, 0.5),
    (0.65, 0.65, 0.65),
    (0.82, 0.82, 0.82),
    (0.92, 0.92, 0.9),
]


def near(color, rng: np.random.Generator, spread: float = 0.05) -> np.ndarray:
    """A colour near the given one: mostly lighter or darker, a little in hue."""
    return np.clip(np.asarray(color) * (1 + rng.normal(0, spread)) + rng.normal(0, spread / 3, 3), 0.02, 0.98)


def some(palette, rng: np.random.Generator, spread: float = 0.06) -> np.ndarray:
    return near(palette[rng.integers(len(palette))], rng, spread)


def any_color(rng: np.random.Generator, saturation: float | None = None) -> np.ndarray:
    """Any colour, mostly muted, as household things are."""
    s = rng.beta(1.2, 2.5) if saturation is None else saturation
    hue = rng.choice([rng.uniform(0, 1), rng.normal(0.08, 0.05) % 1, rng.normal(0.6, 0.06) % 1])
    return np.array(colorsys.hsv_to_rgb(hue, s, rng.uniform(0.12, 0.92)))


def furniture_color(rng: np.random.Generator) -> np.ndarray:
    kind = rng.random()
    if kind < 0.45:
        return some(WOODS, rng)
    return some(GREYS, rng) if kind < 0.8 else any_color(rng)


class _Noise:
    """Smooth two-dimensional noise: bilinear interpolation of a random grid, two octaves."""

    def __init__(self, scale: float, rng: np.random.Generator) -> None:
        self.grid = rng.normal(size=(64, 64))
        self.scale = scale

    def __call__(self, uv: np.ndarray) -> np.ndarray:
        total = np.zeros(len(uv))
        for octave, weight in ((1.0, 0.7), (2.7, 0.4)):
            at = uv / self.scale * octave
            cell = np.floor(at).astype(int)
            f = at - cell
            i, j = cell[:, 0] % 64, cell[:, 1] % 64
            i2, j2 = (i + 1) % 64, (j + 1) % 64
            low = self.grid[i, j] * (1 - f[:, 0]) + self.grid[i2, j] * f[:, 0]
            high = self.grid[i, j2] * (1 - f[:, 0]) + self.grid[i2, j2] * f[:, 0]
            total += weight * (low * (1 - f[:, 1]) + high * f[:, 1])
        return total


def plain(color, rng: np.random.Generator, speckle: float = 0.02) -> Paint:
    color = np.asarray(color)
    return lambda uv: np.clip(color + rng.normal(0, speckle, (len(uv), 1)), 0, 1)


def cloudy(color, rng: np.random.Generator, strength: float = 0.05, scale: float = 0.4) -> Paint:
    """Stains and uneven plaster or cloth."""
    color, noise = np.asarray(color), _Noise(scale, rng)
    return lambda uv: np.clip(color * (1 + strength * noise(uv))[:, None] + rng.normal(0, 0.012, (len(uv), 1)), 0, 1)


def wood(color, rng: np.random.Generator, contrast: float = 0.12) -> Paint:
    """Grain: noise stretched along one direction."""
    color, noise = np.asarray(color), _Noise(0.05, rng)
    stretch = np.array([1.0, 0.06]) if rng.random() < 0.5 else np.array([0.06, 1.0])
    return lambda uv: np.clip(color * (1 + contrast * noise(uv * stretch))[:, None], 0, 1)


def tiles(
    color, gap, size: float, rng: np.random.Generator, variation: float = 0.04, ratio: float = 1.0, line: float = 0.008
) -> Paint:
    """Tiles, parquet or bricks: cells of slightly different shades with joints."""
    color, gap = np.asarray(color), np.asarray(gap)
    shades = rng.normal(0, variation, (64, 64))

    def paint(uv: np.ndarray) -> np.ndarray:
        row = np.floor(uv[:, 1] / size).astype(int)
        shift = np.where(row % 2 == 1, 0.5 * size * ratio, 0.0) if ratio != 1.0 else 0.0
        along = uv[:, 0] + shift
        column = np.floor(along / (size * ratio)).astype(int)
        out = color * (1 + shades[row % 64, column % 64])[:, None]
        joint = (uv[:, 1] % size < line) | (along % (size * ratio) < line)
        out[joint] = gap
        return np.clip(out, 0, 1)

    return paint


def stripes(a, b, width: float, rng: np.random.Generator, axis: int = 0) -> Paint:
    a, b = np.asarray(a), np.asarray(b)
    share = rng.uniform(0.3, 0.7)
    return lambda uv: np.where((uv[:, axis : axis + 1] % width) < width * share, a, b)


def patches(rng: np.random.Generator, scale: float, colors: int = 4, saturation: float | None = None) -> Paint:
    """Blobs of a few colours: pictures, patterned cloth, covers."""
    palette = np.array([any_color(rng, saturation) for _ in range(colors)])
    first, second = _Noise(scale, rng), _Noise(scale * 0.7, rng)

    def paint(uv: np.ndarray) -> np.ndarray:
        value = first(uv) + 0.5 * np.sin(second(uv) * 3)
        index = np.clip(((value + 1.2) / 2.4 * colors).astype(int), 0, colors - 1)
        return palette[index]

    return paint


def printed(paper, ink, rng: np.random.Generator, line: float = 0.02) -> Paint:
    """Lines of writing on paper, some missing."""
    paper, ink = np.asarray(paper), np.asarray(ink)
    missing = rng.random((64, 64)) < 0.45

    def paint(uv: np.ndarray) -> np.ndarray:
        row, column = (uv[:, 1] / line).astype(int) % 64, (uv[:, 0] / (line * 3)).astype(int) % 64
        inked = (uv[:, 1] % line < line * 0.45) & ~missing[row, column]
        return np.where(inked[:, None], ink, paper)

    return paint


def framed(inner: Paint, frame, width: float, height: float, border: float) -> Paint:
    """`inner` within a border of one colour on a rectangle."""
    frame = np.asarray(frame)

    def paint(uv: np.ndarray) -> np.ndarray:
        out = inner(uv)
        edge = (uv[:, 0] < border) | (uv[:, 0] > width - border) | (uv[:, 1] < border) | (uv[:, 1] > height - border)
        out[edge] = frame
        return out

    return paint


def cloth(rng: np.random.Generator) -> Paint:
    """Some textile: plain, striped, checked or patterned."""
    kind = rng.random()
    if kind < 0.55:
        return cloudy(any_color(rng), rng, 0.08, 0.15)
    if kind < 0.75:
        return stripes(any_color(rng), any_color(rng), rng.uniform(0.03, 0.25), rng, int(rng.integers(2)))
    return patches(rng, rng.uniform(0.05, 0.25), int(rng.integers(2, 5)))


def picture(rng: np.random.Generator, width: float, height: float) -> Paint:
    """What hangs on walls: a landscape, an abstract, a print, with or without mat and frame."""
    inner = patches(rng, rng.uniform(0.1, 0.5) * max(width, height), int(rng.integers(2, 7)))
    if rng.random() < 0.2:
        inner = printed(some(GREYS[4:], rng), any_color(rng), rng, rng.uniform(0.02, 0.06))
    if rng.random() < 0.5:
        inner = framed(inner, some(GREYS[4:], rng), width, height, rng.uniform(0.1, 0.2) * min(width, height))
    if rng.random() < 0.75:
        inner = framed(inner, furniture_color(rng), width, height, rng.uniform(0.015, 0.05))
    return inner
