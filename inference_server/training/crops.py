"""Training crops: a scan file cut around an object, augmented and voxelised, in numpy and torch on the CPU."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..data.scans import STRUCTURE, read_scan
from ..errors import UserError
from ..models.points import TRAINED_VOXEL
from ..sparse.voxels import voxelize
from .augment import move, recolour, repaint
from .config import TrainingConfig

COLOURLESS = 0.15
"""Share of crops of coloured scans that are given without colours: colour is a hint, and shape must do without it."""
MOST_TRIES = 1000
"""How often a scan is drawn for a group's crops; nearly every one gives some, where crops are large enough."""
SMALL, LARGE = (1.4, 3.0), (2.5, 5.0)
"""Half the edge of a crop in metres, from and to."""
REPAINTED = 0.4
"""Share of coloured crops in which some objects are painted in several colours."""


@dataclass(frozen=True)
class Crop:
    """One point per occupied voxel. xyz (V, 3) float32 metres at 5 cm scale, rgb (V, 3) float32 in [0, 1] or None,
    instance (V,) int64 (-1 = unlabelled), targets: instances worth clicking, the one cut for first."""

    xyz: torch.Tensor
    rgb: torch.Tensor | None
    instance: torch.Tensor
    targets: list[int]


class CropGroups:
    """Item g is the list of crops of training group g: a pure function of the config, g and the folders' content.

    A wall goes on beyond a small crop, and only a large one shows how far.
    """

    def __init__(self, config: TrainingConfig):
        self.config = config
        self.files = [sorted(source.folder.glob("[!.]*.npz")) for source in config.sources]
        for source, files in zip(config.sources, self.files, strict=True):
            if not files:
                raise UserError(f"There are no .npz scans in {source.folder}; make some with the `rooms` command.")
        weights = np.array([source.weight for source in config.sources], float)
        self.shares = weights / weights.sum()

    def __getitem__(self, group: int) -> list[Crop]:
        config = self.config
        rng = np.random.default_rng((config.seed, group))
        count, most, half_edges = config.crops, config.max_voxels, SMALL
        if config.large and rng.random() < config.large:
            count, most, half_edges = 1, config.max_voxels * config.crops, LARGE
        crops: list[Crop] = []
        for _ in range(MOST_TRIES):
            which = rng.choice(len(self.files), p=self.shares)
            scan = load_arrays(self.files[which][rng.integers(len(self.files[which]))])
            scale = TRAINED_VOXEL / config.sources[which].voxel_size
            for _ in range(min(2, count - len(crops))):
                crop = cut_crop(scan, rng, scale, most, rng.uniform(*half_edges), config.structure)
                if crop is not None:
                    crops.append(crop)
            if len(crops) == count:
                return crops
        folders = ", ".join(str(source.folder) for source in config.sources)
        raise UserError(
            f"Drawn {MOST_TRIES} times, the scans in {folders} gave too few crops to click on: they need 'instance' "
            "labels on objects of 20 points and more, and a `max_voxels` that holds one."
        )


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """positions float32 (N, 3), colors uint8 (N, 3), instance int32 (N,), structure: ids of floor, wall, ceiling.

    Raises UserError.
    """
    scan = read_scan(path)
    if scan.instance is None:
        raise UserError(f"{path} has no array called instance; training scans need it.")
    structure = np.array([i for i, name in scan.names.items() if name in STRUCTURE], int)
    return {key: getattr(scan, key) for key in ("positions", "instance", "colors")} | {"structure": structure}


def cut_crop(
    scan: dict, rng: np.random.Generator, scale: float, max_voxels: int, half: float, structure: float
) -> Crop | None:
    """Choose an object, cut a square around it, augment, voxelise at 5 cm; None where nothing is left to click.

    scale: what the scan is enlarged by, so that its working resolution becomes 5 cm; half: half of the square's edge
    in metres; structure: odds of a wall, floor or ceiling.
    """
    instance = scan["instance"]
    ids, counts = np.unique(instance[instance >= 0], return_counts=True)
    is_structure = np.isin(ids, scan["structure"])
    odds = np.where(
        is_structure, structure / max(is_structure.sum(), 1), (1 - structure) / max((~is_structure).sum(), 1)
    )
    odds = odds * (counts >= 20)
    if not odds.sum():
        return None
    target = rng.choice(ids, p=odds / odds.sum())
    members = np.flatnonzero(instance == target)
    xyz = scan["positions"].astype(np.float32)
    centre = xyz[rng.choice(members)] * (scale if scale != 1 else 1)
    xyz = xyz * np.float32(scale)
    centre = centre[:2] + rng.uniform(-0.6, 0.6, 2) * min(half, 2.0)
    near = (np.abs(xyz[:, :2] - centre) < half * 1.45).all(1)
    xyz, instance = xyz[near], instance[near]
    colors = scan["colors"]
    colourless = colors is None or rng.random() < COLOURLESS
    rgb = np.zeros((len(xyz), 3), np.float32) if colourless else colors[near].astype(np.float32) / 255
    xyz = move(xyz - np.append(centre, 0).astype(np.float32), rng)
    keep = (np.abs(xyz[:, :2]) < half).all(1)
    if rng.random() < 0.3:
        keep &= rng.random(len(xyz)) > rng.uniform(0, 0.6)
    xyz, rgb, instance = xyz[keep], rgb[keep], instance[keep]
    if (instance == target).sum() < 10:
        return None
    if not colourless:
        if rng.random() < REPAINTED:
            things = np.where(np.isin(instance, scan["structure"]), -1, instance)  # a band on a wall may be a door
            rgb = repaint(xyz, rgb, things, rng.uniform(0.2, 0.8), rng)
        rgb = recolour(rgb, rng)
    xyz = xyz + rng.uniform(0, TRAINED_VOXEL, 3).astype(np.float32)
    voxels = voxelize(torch.from_numpy(xyz), TRAINED_VOXEL)
    if len(voxels.coords) > max_voxels:
        span = half * np.sqrt(max_voxels / len(voxels.coords)) * 0.97
        middle = np.median(xyz[instance == target][:, :2], 0)
        keep = (np.abs(xyz[:, :2] - middle) < span).all(1)
        xyz, rgb, instance = xyz[keep], rgb[keep], instance[keep]
        voxels = voxelize(torch.from_numpy(xyz), TRAINED_VOXEL)
        if len(voxels.coords) > max_voxels * 1.6:
            return None
    return _voxel_crop(voxels, xyz, None if colourless else rgb, instance, int(target), scan["structure"], rng)


def _voxel_crop(voxels, xyz, rgb, instance, target: int, structure, rng) -> Crop | None:
    label = _majority(voxels.inverse.numpy(), instance, len(voxels.coords))
    ids, counts = np.unique(label[label >= 0], return_counts=True)
    clickable = [int(i) for i in ids[counts >= 4]]
    if target not in clickable:
        return None
    others = [i for i in clickable if i != target and (i not in structure or rng.random() < 0.1)]
    # inside its voxel for certain: averages of float32 positions may round across a border
    low = voxels.coords[:, 1:].float() * TRAINED_VOXEL
    mean = voxels.mean(torch.from_numpy(xyz)).clamp(low + 1e-4, low + TRAINED_VOXEL - 1e-4)
    colours = None if rgb is None else voxels.mean(torch.from_numpy(rgb))
    return Crop(mean, colours, torch.from_numpy(label), [target, *rng.permutation(others).tolist()])


def _majority(voxel: np.ndarray, label: np.ndarray, count: int) -> np.ndarray:
    """The most frequent label in each voxel, (count,) int64."""
    low, span = int(label.min()), int(label.max()) - int(label.min()) + 1
    pairs, votes = np.unique(voxel.astype(np.int64) * span + (label - low), return_counts=True)
    order = np.lexsort((votes, pairs // span))
    out = np.empty(count, np.int64)
    out[pairs[order] // span] = pairs[order] % span + low
    return out
