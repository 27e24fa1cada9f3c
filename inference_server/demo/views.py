"""Where to look at a scan from: the view that shows most of what matters, near walls cut away."""

from dataclasses import dataclass

import numpy as np

LENS = 50.0
"""Focal length in millimetres for Blender's 36 mm sensor."""
_PIXELS = 160
_SAMPLE = 30_000  # points that views are compared by


@dataclass(frozen=True)
class View:
    """A camera: eye and target (3,) in metres; hidden: (N,) bool, points that are not drawn."""

    eye: np.ndarray
    target: np.ndarray
    hidden: np.ndarray


def choose_view(positions: np.ndarray, matters: np.ndarray, aspect: float = 4 / 3) -> View:
    """The view, of 24 around the scan, in which most points of `matters` (N,) bool are visible.

    positions: (N, 3) in metres, z up. Scans like rooms lose their ceiling and the walls towards the eye.
    """
    whole = positions.astype(np.float64)
    low, high = np.percentile(whole, [0.2, 99.8], axis=0)
    room = (high - low)[2] > 1.8 and (high - low)[:2].min() > 2.0
    step = max(1, len(whole) // _SAMPLE)
    points, matters = whole[::step], matters[::step]
    best, best_score = None, -1.0
    for elevation in (20, 45):
        for azimuth in range(0, 360, 30):
            up, around = np.radians(elevation), np.radians(azimuth)
            direction = np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
            hidden = cut_away(points, direction, low, high) if room else np.zeros(len(points), bool)
            eye, target = _framed(points[~hidden], direction, aspect)
            score = _visible(points, eye, target, ~hidden, matters)
            if score > best_score:
                best, best_score = (eye, target, direction), score
    eye, target, direction = best
    hidden = cut_away(whole, direction, low, high) if room else np.zeros(len(whole), bool)
    return View(eye, target, hidden)


def cut_away(points: np.ndarray, direction: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(N,) bool: the ceiling, and the outer 25 cm towards the eye (`direction` from the target)."""
    flat = direction[:2] / np.linalg.norm(direction[:2])
    towards = points[:, :2] @ flat
    across = points[:, :2] @ np.array([-flat[1], flat[0]])
    column = np.floor((across - across.min()) / 0.1).astype(int)
    front = np.full(column.max() + 1, -np.inf)
    np.maximum.at(front, column, towards)
    near = (
        (towards > front[column] - 0.25)
        & (points[:, 2] > low[2] + 0.1)
        & (towards > 0.5 * (towards.max() + towards.min()))
    )
    return near | (points[:, 2] > high[2] - 0.25) | (points[:, 2] > low[2] + 2.2)


def _axes(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rows: the camera's right, up and backward directions."""
    back = (eye - target) / np.linalg.norm(eye - target)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back])


def _framed(points: np.ndarray, direction: np.ndarray, aspect: float) -> tuple[np.ndarray, np.ndarray]:
    """Eye and target such that all but stray points are in the middle of the picture, from `direction`."""
    right, up, back = _axes(direction, np.zeros(3))
    target = np.percentile(points, [1, 99], axis=0).mean(0)
    half_width = 18.0 / LENS
    for _ in range(4):
        away = points - target
        wide, high = np.abs(away @ right) / half_width, np.abs(away @ up) / (half_width / aspect)
        distance = np.percentile(np.maximum(wide, high) + away @ back, 99.5) * 1.04
        depth = distance - away @ back
        for axis in (right, up):  # the middle of the picture goes to the middle of what it shows
            seen = np.percentile(away @ axis / depth, [0.5, 99.5])
            target = target + axis * seen.mean() * distance
    return target + direction * distance, target


def _visible(points: np.ndarray, eye: np.ndarray, target: np.ndarray, shown: np.ndarray, matters: np.ndarray) -> float:
    """Pixels of a small picture, by a z-buffer, whose nearest point matters; others count a tenth."""
    right, up, back = _axes(eye, target)
    away = points[shown] - eye
    depth = -(away @ back)
    scale = _PIXELS / 2 / (18.0 / LENS)
    column = np.round(away @ right / depth * scale).astype(int) + _PIXELS // 2
    row = np.round(away @ up / depth * scale).astype(int) + _PIXELS // 2
    inside = (depth > 0) & (column >= 0) & (column < _PIXELS) & (row >= 0) & (row < _PIXELS)
    pixel = np.where(inside, row * _PIXELS + column, -1)[inside]
    order = np.argsort(-depth[inside], kind="stable")
    nearest = np.full(_PIXELS * _PIXELS, -1)
    nearest[pixel[order]] = np.flatnonzero(inside)[order]
    winners = nearest[nearest >= 0]
    return float(matters[shown][winners].sum() + 0.1 * len(winners))
