"""The plot of IoU over clicks, and pictures of the objects that went worst."""

from pathlib import Path

import numpy as np

from inference_server.data.scans import Scan
from inference_server.files import replacing

from .objects import ObjectResult, crop_around

VIEW_MARGIN = 0.6
"""Surroundings shown around an object, as a share of its largest side."""
PIXELS = 420


def plot_curves(path: Path, summary: dict) -> None:
    """Mean IoU over clicks for each group, the bootstrap interval of all objects as a band."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, values in summary["groups"].items():
        curve = values["iou_by_clicks"]
        clicks = range(1, len(curve) + 1)
        axes.plot(clicks, curve, marker=".", label=f"{name} ({values['objects']})")
    everything = summary["groups"]["all"]
    counts = [count for count in range(1, len(curve) + 1) if f"IoU@{count}" in everything["intervals"]]
    band = np.array([everything["intervals"][f"IoU@{count}"] for count in counts])
    axes.fill_between(counts, band[:, 0], band[:, 1], alpha=0.15, label="95 % interval, all")
    axes.set(xlabel="clicks", ylabel="mean IoU", ylim=(0, 1), xlim=(1, max(2, len(curve))))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_title(summary["protocol"], fontsize=8, wrap=True)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=130)


def draw_object(path: Path, scan: Scan, result: ObjectResult, mask: np.ndarray, crop: float | None) -> None:
    """One picture of an object after its last click: the scan, hits and errors, and the clicks.

    mask: (N,) bool of the evaluated points (of the crop, if there was one).
    """
    from matplotlib.figure import Figure

    if crop is not None:
        scan = crop_around(scan, result.object, crop)
    truth = scan.instance == result.object
    center, kept = _surroundings(scan.positions, truth | mask if truth.sum() * 30 > mask.sum() else truth)
    colors = scan.colors if scan.colors is not None else _shade(scan.positions)
    marked = np.repeat(colors.mean(1, keepdims=True) * 0.35 + 140, 3, 1)
    marked[truth & mask] = (70, 170, 80)
    marked[truth & ~mask] = (60, 90, 230)
    marked[~truth & mask] = (230, 70, 50)
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    panels = figure.subplots(1, 2)
    project, scale = _camera(scan.positions[kept], center)
    for axes, shown in zip(panels, (colors, marked), strict=True):
        axes.imshow(_splat(project(scan.positions[kept]), shown[kept], scale))
        axes.set_axis_off()
    for number, click in enumerate(result.clicks, 1):
        x, y, _ = project(np.array([click.position]))[0]
        place = (x * scale + PIXELS / 2, PIXELS / 2 - y * scale)
        color = "lime" if click.positive else "magenta"
        panels[1].plot(*place, "o", ms=4, mfc=color, mec="black", mew=0.6)
        panels[1].annotate(str(number), place, fontsize=6)
    panels[0].set_title(f"{result.scene}, object {result.object}, {result.class_name or 'no class'}", fontsize=8)
    panels[1].set_title(
        f"IoU {result.ious[-1] * 100:.0f} %, {len(result.clicks)} clicks: green hit, blue missed, red wrong",
        fontsize=8,
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _surroundings(positions: np.ndarray, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    own = positions[shown]
    low, high = own.min(0), own.max(0)
    margin = VIEW_MARGIN * float((high - low).max()) + 1e-3
    kept = ((positions >= low - margin) & (positions <= high + margin)).all(1)
    return (low + high) / 2, kept


def _camera(positions: np.ndarray, center: np.ndarray) -> tuple[object, float]:
    """A view from above: (x right, y up, depth) in metres about the centre, and pixels per metre."""
    turn, tilt = np.radians(35), np.radians(50)
    right = np.array([np.cos(turn), np.sin(turn), 0])
    away = np.array([-np.sin(turn) * np.sin(tilt), np.cos(turn) * np.sin(tilt), -np.cos(tilt)])
    axes = np.stack([right, np.cross(right, away), away], 1)

    def project(points: np.ndarray) -> np.ndarray:
        return (points.astype(np.float64) - center) @ axes

    reach = np.abs(project(positions)[:, :2]).max()
    return project, PIXELS / 2 / max(reach, 1e-6)


def _splat(points: np.ndarray, colors: np.ndarray, scale: float) -> np.ndarray:
    """Points (x, y, depth) as squares of 3 pixels, the nearest in front; (PIXELS, PIXELS, 3) uint8."""
    image = np.full((PIXELS, PIXELS, 3), 255, np.uint8)
    order = np.argsort(-points[:, 2])
    column = np.round(points[order, 0] * scale + PIXELS / 2).astype(int)
    row = np.round(PIXELS / 2 - points[order, 1] * scale).astype(int)
    shown = np.clip(colors[order], 0, 255).astype(np.uint8)
    steps = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    rows = np.stack([row + i for i, _ in steps], 1)
    columns = np.stack([column + j for _, j in steps], 1)
    inside = (rows >= 0) & (rows < PIXELS) & (columns >= 0) & (columns < PIXELS)
    image[rows[inside], columns[inside]] = np.repeat(shown, len(steps), 0)[inside.ravel()]
    return image


def _shade(positions: np.ndarray) -> np.ndarray:
    height = positions[:, 2] - positions[:, 2].min()
    return np.repeat((80 + 150 * height / max(float(height.max()), 1e-6))[:, None], 3, 1)
