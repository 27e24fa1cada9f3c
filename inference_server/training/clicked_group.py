"""A group of crops under a simulated artist's hand: what the network is asked, and what is clicked on its answers."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..minimum_cut import CutGraph
from ..models.inputs import encode_inputs, hide_colour, uses_colour, uses_normals
from ..models.points import TRAINED_VOXEL
from ..refinement import refine, surface_graph
from ..sparse.kernel_maps import neighbour_table
from ..sparse.normals import surface_normals
from . import clicks
from .config import TrainingConfig
from .crops import Crop


@dataclass(frozen=True)
class Turn:
    """What the network is asked about a group's voxels, and how good its last answer was.

    features: (V, F) float16, as encode_inputs makes them; truth: (V,) bool; scored: number of clicks and IoU of each
    crop in the answer before, none at first.
    """

    features: np.ndarray
    truth: np.ndarray
    scored: list[tuple[int, float]]


class ClickedGroup:
    """Crops side by side, one object of each being clicked. A pure function of the crops, the rng and the answers.

    rows: each crop's voxels among the group's; xyz: (V, 3) float32 metres; labelled: (V,) bool.
    """

    def __init__(self, config: TrainingConfig, crops: list[Crop], rng: np.random.Generator):
        self._model, self._cut = config.model, config.cut
        self._crops, self._rng = crops, rng
        lengths = [len(crop.xyz) for crop in crops]
        ends = np.cumsum(lengths).tolist()
        self.rows = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
        self.xyz = torch.cat([crop.xyz for crop in crops])
        self.labelled = torch.cat([crop.instance >= 0 for crop in crops])
        batch = torch.repeat_interleave(torch.arange(len(crops)), torch.tensor(lengths))
        cells = torch.cat([batch.unsqueeze(1), torch.floor(self.xyz / TRAINED_VOXEL).to(torch.int64)], 1)
        self._neighbours = neighbour_table(cells.to(torch.int32), 3)
        self._objects = [self._begin(i, crop.targets[0]) for i, crop in enumerate(crops)]
        self._begun = [1] * len(crops)
        if self._cut:
            _ = self._graphs  # here and not at the first answer, which somebody waits for

    @cached_property
    def _normals(self) -> Tensor:
        return surface_normals(self._neighbours, self.xyz)

    @cached_property
    def _graphs(self) -> list[CutGraph]:
        graphs = []
        for crop, rows in zip(self._crops, self.rows, strict=True):
            table = (self._neighbours[rows] - rows.start).clamp(max=len(crop.xyz))
            graphs.append(surface_graph(table, self._normals[rows], crop.rgb))
        return graphs

    def turn(self, scored: list[tuple[int, float]] | None = None) -> Turn:
        """The question about the objects as they are clicked now."""
        truth = torch.cat([each.truth for each in self._objects])
        features = torch.cat([self._features(i) for i in range(len(self._crops))])
        return Turn(features.to(torch.float16).numpy(), truth.numpy(), scored or [])

    def answer(self, scores: np.ndarray) -> Turn:
        """Click on the mistakes of the network's log-odds (V,), begin another object where one is done, ask again."""
        truth = torch.cat([each.truth for each in self._objects])
        answers = self._masks(torch.from_numpy(scores).float())
        predicted = torch.cat(answers) > 0
        # unlabelled places too, as in the evaluation: a click on one must not cost the wall around it
        depth = clicks.erosion_depth(predicted & ~truth, self._neighbours)
        depth += clicks.erosion_depth(truth & ~predicted, self._neighbours)
        scored = []
        for i, rows in enumerate(self.rows):
            current = self._objects[i]
            scored.append((len(current.clicked), _iou(predicted[rows], truth[rows])))
            current.previous = answers[i]
            done = len(current.clicked) >= current.limit
            if done or not clicks.correct(current, predicted[rows], depth[rows], self._rng):
                targets = self._crops[i].targets
                self._objects[i] = self._begin(i, targets[self._begun[i] % len(targets)])
                self._begun[i] += 1
        return self.turn(scored)

    def _masks(self, scores: Tensor) -> list[Tensor]:
        """Log-odds of each crop's voxels that the next click corrects."""
        parts = [scores[rows] for rows in self.rows]
        if not self._cut:
            return parts
        return [
            refine(part, graph, torch.tensor(each.clicked), torch.tensor(each.positive))
            for part, graph, each in zip(parts, self._graphs, self._objects, strict=True)
        ]

    def _begin(self, i: int, target: int) -> clicks.Interaction:
        rows = self.rows[i]
        mask = torch.zeros(len(self.labelled), dtype=torch.bool)
        mask[rows] = self._crops[i].instance == target
        depth = clicks.erosion_depth(mask, self._neighbours)[rows]
        return clicks.begin(self._crops[i], target, depth, self._rng)

    def _features(self, i: int) -> Tensor:
        crop, current, model = self._crops[i], self._objects[i], self._model
        coloured = uses_colour(model.inputs)
        rgb = torch.zeros_like(crop.xyz) if coloured and crop.rgb is None else crop.rgb
        normals = self._normals[self.rows[i]] if uses_normals(model.inputs) else None
        at = current.tensors()
        features = encode_inputs(model.inputs, crop.xyz, rgb, at, model.voxel_size, normals, current.previous)
        return hide_colour(model.inputs, features) if coloured and crop.rgb is None else features


def _iou(a: Tensor, b: Tensor) -> float:
    union = int((a | b).sum())
    return float((a & b).sum()) / union if union else 1.0
