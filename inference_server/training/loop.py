"""The training loop: groups of crops, a click and an optimiser step per round, resumable checkpoints."""

import itertools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..devices import choose_device, choose_dtype
from ..errors import UserError
from ..files import replacing
from ..models.bytes import to_bytes
from ..models.checkpoints import save_weights
from ..models.points import Points
from ..models.registry import build_model
from ..parent import noticing_deaths
from .config import TrainingConfig
from .imitation import Imitation
from .losses import mask_loss
from .processes import Place
from .workers import ClickWorkers, finished

CHECKPOINT_SECONDS = 90
"""How old a checkpoint gets, unless two lanes take longer."""


class Lane:
    """Groups of crops that are trained on together for `rounds` steps, while another lane's are clicked on."""

    def __init__(self, workers: ClickWorkers, groups: Sequence[int], device: torch.device):
        self._workers, self._groups, self._device = workers, groups, device
        openings = [future.result() for future in [workers.open(number) for number in groups]]
        lengths = [length for opening in openings for length in opening.lengths]
        crop = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        xyz = np.concatenate([opening.xyz for opening in openings])
        self.points = Points(torch.from_numpy(xyz).to(device), crop.to(device))
        self.labelled = torch.from_numpy(np.concatenate([opening.labelled for opening in openings])).to(device)
        self._ends = np.cumsum([len(opening.xyz) for opening in openings])[:-1]
        self._turns = [finished(opening.turn) for opening in openings]
        self.scored: list[tuple[int, float]] = []

    def question(self) -> tuple[Tensor, Tensor]:
        """features (V, F) float16 and truth (V,) bool of all groups, once their clicks are set."""
        turns = [turn.result() for turn in self._turns]
        self.scored += [pair for turn in turns for pair in turn.scored]
        features, truth = (np.concatenate([getattr(turn, key) for turn in turns]) for key in ("features", "truth"))
        return torch.from_numpy(features).to(self._device), torch.from_numpy(truth).to(self._device)

    def answer(self, scores: Tensor, last: bool) -> None:
        """Let the network's log-odds (V,) be clicked on."""
        parts = np.split(scores.detach().to(torch.float16).cpu().numpy(), self._ends)
        self._turns = [
            self._workers.answer(number, part, last) for number, part in zip(self._groups, parts, strict=True)
        ]

    def close(self) -> None:
        """Wait for what was answered last."""
        self.scored += [pair for turn in self._turns for pair in turn.result().scored]


class Trainer:
    """State of a run in `folder`; `run()` continues it to the end.

    With several processes each takes its share of a step's groups, and gradients are averaged.
    teacher: a network of the same inputs, in eval mode, that this one imitates as well. origin: what `init` is known
    by. `saved` is the step of the last checkpoint. Raises UserError where the folder holds a run of other settings, but
    for steps, or of another origin, or a checkpoint that is damaged.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: Path,
        device: str = "auto",
        init: dict[str, Tensor] | None = None,
        workers: int = 0,
        place: Place | None = None,
        teacher: nn.Module | None = None,
        origin: str = "",
    ):
        self.config, self.folder, self.workers, self.place = config, folder, workers, place or Place()
        if config.batch % self.place.world:
            raise UserError(
                f"A batch of {config.batch} groups cannot be shared by {self.place.world} processes; set `batch` in "
                "the config to a multiple of their number."
            )
        self.device = self.place.device(choose_device(device))
        self.dtype = choose_dtype(self.device)
        torch.manual_seed(config.seed)
        self.model = build_model(config.model)
        if init is not None:
            self.model.load_state_dict(init)
        self.model.to(self.device).train()
        self.imitation = teacher and Imitation(self.model, teacher.to(self.device), config.layers)
        several = self.place.world > 1
        self.network = nn.parallel.DistributedDataParallel(self.model) if several else self.model
        decayed = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=config.learning_rate,
            foreach=True,
        )
        self.average = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
        self.origin = origin
        self.group = self.saved = 0
        self.seconds = 0.0
        self.checkpoint = folder / "checkpoint.pt"
        if self.checkpoint.exists():
            self._resume()

    @property
    def step(self) -> int:
        return self.group // self.config.batch * self.config.rounds

    def run(self, report: Callable[[int, dict[str, float]], None]) -> None:
        """Train to the configured number of steps; `report(step, figures)` is called after every step, with figures
        when the groups in hand are done."""
        config = self.config
        if self.place.leads and self.group >= config.groups:
            self._save_weights()  # they follow the checkpoint: a disk that was full may have held them back
        saved = started = time.monotonic()
        way_out = "run it again with fewer --workers; it goes on where it stopped"
        with noticing_deaths(way_out), ClickWorkers(config, self.workers) as workers:
            while self.group < config.groups:
                figures = self._train_lanes(workers, report)
                now = time.monotonic()
                took, started = now - started, now
                self.seconds += took
                report(self.step, figures)
                due = now - saved + took > CHECKPOINT_SECONDS  # before the next ones are done
                if self.place.leads and (due or self.group >= config.groups):
                    self.save()
                    saved = time.monotonic()

    def _train_lanes(self, workers: ClickWorkers, report: Callable[[int, dict[str, float]], None]) -> dict[str, float]:
        """Train on the next groups to the end, two lanes by turns: one is clicked on while the other is computed."""
        config = self.config
        ends = range(self.group, config.groups + 1, config.batch)[:3]
        shares = [self._share(range(*pair)) for pair in itertools.pairwise(ends)]
        lanes = [Lane(workers, share, self.device) for share in shares]
        for number in self._share(range(ends[-1], min(ends[-1] + 2 * config.batch, config.groups))):
            workers.prepare(number)
        losses, step = [], self.step
        for round_ in range(config.rounds):
            for lane in lanes:
                losses.append(self._train_step(lane, step, last=round_ == config.rounds - 1))
                step += 1
                report(step, {})
        for lane in lanes:
            lane.close()
        self.group = ends[-1]
        figures = {"loss": float(torch.stack(losses).mean())}
        scored = [pair for lane in lanes for pair in lane.scored]
        for k in (1, 3, 5):
            at_k = [iou for count, iou in scored if count == k]
            if at_k:
                figures[f"iou@{k}"] = float(np.mean(at_k))
        return figures

    def _share(self, groups: range) -> range:
        return groups[self.place.rank :: self.place.world]

    def _train_step(self, lane: Lane, step: int, last: bool) -> Tensor:
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = self.config.rate(step)
        features, truth = lane.question()
        features = features.to(self.dtype)
        logits = self.network(lane.points, features)
        lane.answer(logits[:, 1] - logits[:, 0], last)
        loss = mask_loss(logits, truth, lane.labelled, lane.points.batch)
        if self.imitation is not None:
            loss = loss + self.imitation.loss(logits, lane.points, features)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 3.0)
        self.optimizer.step()
        self._update_average(step)
        return loss.detach()

    @torch.no_grad()
    def _update_average(self, step: int) -> None:
        keep = min(self.config.average, (step + 1) / (step + 10))
        state = self.model.state_dict()
        moving = [key for key, value in state.items() if value.is_floating_point()]
        get_ema_multi_avg_fn(keep)([self.average[key] for key in moving], [state[key] for key in moving], step)
        for key in state.keys() - set(moving):
            self.average[key].copy_(state[key])

    def save(self) -> None:
        """Write the resumable checkpoint and the averaged weights, each in one step."""
        content = {
            "config": self.config.told(),
            "origin": self.origin,
            "group": self.group,
            "seconds": self.seconds,
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
        }
        with replacing(self.checkpoint) as file, file.open("wb") as stream:
            try:
                torch.save(content, stream)
            except RuntimeError as error:  # torch's own words on a full disk, in place of the system's
                reason = error.__context__
                raise reason if isinstance(reason, OSError) else OSError(_reason(error)) from error
        self._save_weights()
        self.saved = self.step

    def _save_weights(self) -> None:
        facts = {"training": json.dumps({"steps": self.step, "hours": round(self.seconds / 3600, 2)})}
        save_weights(self.folder / "weights.safetensors", to_bytes(self.average), self.config.model, facts)

    def _resume(self) -> None:
        try:
            content = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged pickles raise whatever their reader stumbles over
            raise UserError(
                f"The checkpoint {self.checkpoint} is damaged or cut short ({type(error).__name__}): delete it to "
                "start anew, or train into another folder."
            ) from error
        try:
            config, origin = content["config"], content["origin"]
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            self.average = {key: value.to(self.device) for key, value in content["average"].items()}
            self.group, self.seconds = content["group"], content["seconds"]
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"The checkpoint {self.checkpoint} does not fit this run ({_reason(error)}); train into another folder."
            ) from error
        told = self.config.told()
        changed = [key for key in told if key != "steps" and told[key] != config.get(key)]
        if changed or (self.origin and self.origin != origin):
            what = f"another {changed[0]}" if changed else "other weights to start from"
            raise UserError(f"{self.folder} holds a run with {what}; train into another folder.")
        self.origin, self.saved = origin, self.step


def _reason(error: Exception) -> str:
    """The first line of what an exception says."""
    return (str(error).splitlines() or [type(error).__name__])[0]
