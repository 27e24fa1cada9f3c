"""The training loop: groups of crops, a click and an optimiser step per round, resumable checkpoints."""

import json
import pickle
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from ..devices import choose_device, choose_dtype
from ..errors import UserError
from ..files import replacing
from ..minimum_cut import CutGraph
from ..models.checkpoints import save_weights
from ..models.inputs import encode_inputs, hide_colour, uses_colour, uses_normals
from ..models.points import Points
from ..models.registry import build_model
from ..refinement import refine, surface_graph
from ..sparse.kernel_maps import neighbour_table
from ..sparse.normals import surface_normals
from . import clicks
from .config import TrainingConfig
from .crops import Crop, CropGroups
from .losses import mask_loss

CHECKPOINT_SECONDS = 90


class Batch:
    """Crops side by side: their points, the neighbour table (on the CPU, for clicks), and each crop's rows."""

    def __init__(self, crops: list[Crop], device: torch.device):
        self.crops = crops
        lengths = [len(crop.xyz) for crop in crops]
        ends = np.cumsum(lengths).tolist()
        self.rows = [slice(end - length, end) for end, length in zip(ends, lengths, strict=True)]
        batch = torch.repeat_interleave(torch.arange(len(crops)), torch.tensor(lengths))
        xyz = torch.cat([crop.xyz for crop in crops])
        cells = torch.cat([batch.unsqueeze(1), torch.floor(xyz / 0.05).to(torch.int64)], 1)
        self.neighbours = neighbour_table(cells.to(torch.int32), 3)
        self._xyz = xyz
        self.points = Points(xyz.to(device), batch.to(device))
        self.labelled = torch.cat([crop.instance >= 0 for crop in crops])

    @cached_property
    def normals(self) -> Tensor:
        """(V, 3) float32 unit normals of the surfaces, signs arbitrary, on the CPU."""
        return surface_normals(self.neighbours, self._xyz)

    @cached_property
    def graphs(self) -> list[CutGraph]:
        """Each crop's graph for the minimum cut, in its own rows."""
        graphs = []
        for crop, rows in zip(self.crops, self.rows, strict=True):
            table = (self.neighbours[rows] - rows.start).clamp(max=len(crop.xyz))
            graphs.append(surface_graph(table, self.normals[rows], crop.rgb))
        return graphs


class Trainer:
    """State of a run in `folder`; `run()` continues it to the end."""

    def __init__(
        self, config: TrainingConfig, folder: Path, device: str = "auto", init: dict[str, Tensor] | None = None
    ):
        self.config, self.folder = config, folder
        self.device = choose_device(device)
        self.dtype = choose_dtype(self.device)
        torch.manual_seed(config.seed)
        self.model = build_model(config.model)
        if init is not None:
            self.model.load_state_dict(init)
        self.model.to(self.device).train()
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=config.learning_rate,
            foreach=True,
        )
        self.average = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
        self.group = 0
        self.seconds = 0.0
        self.checkpoint = folder / "checkpoint.pt"
        if self.checkpoint.exists():
            self._resume()

    @property
    def step(self) -> int:
        return self.group * self.config.rounds

    def run(self, report: Callable[[int, dict[str, float]], None]) -> None:
        """Train to the configured number of steps; `report(step, figures)` is called after every group."""
        config = self.config
        groups = CropGroups(
            config.sources, config.groups, config.crops, config.seed, config.max_voxels, config.large, config.structure
        )
        loader = DataLoader(
            Subset(groups, range(self.group, config.groups)),
            batch_size=None,
            num_workers=1,
            prefetch_factor=4,
            collate_fn=None,
        )
        saved = started = time.monotonic()
        for crops in loader:
            figures = self._train_group(crops)
            self.group += 1
            now = time.monotonic()
            self.seconds += now - started
            started = now
            report(self.step, figures)
            if now - saved > CHECKPOINT_SECONDS or self.group == config.groups:
                self.save()
                saved = time.monotonic()

    def _train_group(self, crops: list[Crop]) -> dict[str, float]:
        config = self.config
        rng = np.random.default_rng((config.seed, self.group, 1))
        batch = Batch(crops, self.device)
        objects = [self._begin(batch, i, crop.targets[0], rng) for i, crop in enumerate(crops)]
        turns = [1] * len(crops)
        losses, scores = [], []
        for round_ in range(config.rounds):
            for parameters in self.optimizer.param_groups:
                parameters["lr"] = config.rate(self.step + round_)
            truth = torch.cat([o.truth for o in objects])
            logits = self.model(batch.points, self._features(batch, objects))
            loss = mask_loss(logits, truth.to(self.device), batch.labelled.to(self.device), batch.rows)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 3.0)
            self.optimizer.step()
            self._update_average(self.step + round_)
            losses.append(float(loss.detach()))
            answers = self._answers(batch, objects, (logits[:, 1] - logits[:, 0]).detach().float().cpu())
            predicted = torch.cat(answers) > 0
            # unlabelled places too, as in the evaluation: a click on one must not cost the wall around it
            depth = clicks.erosion_depth(predicted & ~truth, batch.neighbours)
            depth += clicks.erosion_depth(truth & ~predicted, batch.neighbours)
            for i, rows in enumerate(batch.rows):
                scores.append((len(objects[i].clicked), _iou(predicted[rows], truth[rows])))
                objects[i].previous = answers[i]
                done = len(objects[i].clicked) >= objects[i].limit
                if done or not clicks.correct(objects[i], predicted[rows], depth[rows], rng):
                    targets = crops[i].targets
                    objects[i] = self._begin(batch, i, targets[turns[i] % len(targets)], rng)
                    turns[i] += 1
        figures = {"loss": float(np.mean(losses))}
        for k in (1, 3, 5):
            at_k = [iou for count, iou in scores if count == k]
            if at_k:
                figures[f"iou@{k}"] = float(np.mean(at_k))
        return figures

    def _answers(self, batch: Batch, objects: list[clicks.Interaction], scores: Tensor) -> list[Tensor]:
        """Log-odds of each crop's voxels that the next click corrects; scores (V,): what the network said."""
        parts = [scores[rows] for rows in batch.rows]
        if not self.config.cut:
            return parts
        return [
            refine(part, graph, torch.tensor(o.clicked), torch.tensor(o.positive))
            for part, graph, o in zip(parts, batch.graphs, objects, strict=True)
        ]

    def _begin(self, batch: Batch, i: int, target: int, rng: np.random.Generator) -> clicks.Interaction:
        mask = torch.zeros(len(batch.labelled), dtype=torch.bool)
        mask[batch.rows[i]] = batch.crops[i].instance == target
        return clicks.begin(batch.crops[i], target, clicks.erosion_depth(mask, batch.neighbours)[batch.rows[i]], rng)

    def _features(self, batch: Batch, objects: list[clicks.Interaction]) -> Tensor:
        flat = [None] * len(objects)
        normals = [batch.normals[rows] for rows in batch.rows] if uses_normals(self.config.model.inputs) else flat
        parts = [self._crop_features(*each) for each in zip(batch.crops, objects, normals, strict=True)]
        return torch.cat(parts).to(self.device, self.dtype)

    def _crop_features(self, crop: Crop, interaction: clicks.Interaction, normals: Tensor | None) -> Tensor:
        model = self.config.model
        coloured = uses_colour(model.inputs)
        rgb = torch.zeros_like(crop.xyz) if coloured and crop.rgb is None else crop.rgb
        tensors = interaction.tensors()
        previous = interaction.previous
        features = encode_inputs(model.inputs, crop.xyz, rgb, tensors, model.voxel_size, normals, previous)
        return hide_colour(model.inputs, features) if coloured and crop.rgb is None else features

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        keep = min(self.config.average, (step + 1) / (step + 10))
        for key, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[key].lerp_(value, 1 - keep)
            else:
                self.average[key].copy_(value)

    def save(self) -> None:
        """Write the resumable checkpoint and the averaged weights, each in one step."""
        content = {
            "group": self.group,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        with replacing(self.checkpoint) as file:
            try:
                torch.save(content, file)
            except RuntimeError as error:  # how torch reports a full disk
                raise OSError(str(error).splitlines()[0]) from error
        facts = {"training": json.dumps({"steps": self.step, "hours": round(self.seconds / 3600, 2)})}
        # half precision for kernels halves the file and moves a probability by less than 1 in 255
        compact = {key: value.half() if value.ndim > 1 else value for key, value in self.average.items()}
        save_weights(self.folder / "weights.safetensors", compact, self.config.model, facts)

    def _resume(self) -> None:
        try:
            content = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.average = content["average"]
            self.group, self.seconds = content["group"], content["seconds"]
        except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise UserError(
                f"The checkpoint {self.checkpoint} does not fit this run ({str(error).splitlines()[0]}); "
                "train into another folder."
            ) from error


def _iou(a: Tensor, b: Tensor) -> float:
    union = int((a | b).sum())
    return float((a & b).sum()) / union if union else 1.0
