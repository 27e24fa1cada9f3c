"""Online adaptation: the network follows the clicks of one object, then is as before.

Instance adaptation (IA) of Kontogianni et al., "Continuous Adaptation for Interactive Object Segmentation by
Learning from Corrections" (ECCV 2020), as InterObject3D uses it (section III-A): the clicks so far are sparse
labels, the first prediction is a dense one, and weights that matter for what the network knows are held back.
Every call starts from the given weights and sees all clicks, so what comes of it depends on nothing else.

Ours: a network that has learnt to obey the clicks it is shown gets them right already and learns nothing from them.
So each step shows it the first few positive clicks only and asks for all: it learns how far the object goes on from
where it was first clicked. Negative clicks are always shown: a network that had to do without them would shrink masks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits

from .models.inputs import PAPER_INPUTS, ClickTensors, encode_inputs
from .models.points import TRAINED_VOXEL, Points, nearest


@dataclass(frozen=True)
class AdaptationConfig:
    """How a network adapts. lam(bda) is the paper's; the rest is ours, chosen on validation scans (docs/evaluation.md).

    held_out: show the first positive clicks only and ask for all, instead of showing all.
    doubt: voxels. So near a positive click the first prediction's background is hardly believed: the click is there
    since it was wrong. 0: all of it is believed, as in the paper.
    """

    learning_rate: float = 1e-3
    lam: float = 0.1
    gamma: float = 1.0
    steps: int = 5
    held_out: bool = True
    doubt: float = 0.0


OURS = AdaptationConfig()
ADAPTATIONS = {
    "ours": OURS,
    "strong": AdaptationConfig(learning_rate=2e-3, gamma=5.0, steps=10, doubt=40.0),
    "paper": AdaptationConfig(learning_rate=5e-5, held_out=False),
}
"""By name: ours for the shipped networks; strong for those of the paper's inputs alone, which have more to learn and so
are moved farther; the paper's rate with all clicks shown (its gamma and steps are not told, and ours)."""


def adaptation_for(inputs: str) -> str:
    """The name of the adaptation that networks of an input configuration gain by."""
    return "strong" if inputs in PAPER_INPUTS else "ours"


@dataclass(frozen=True)
class Example:
    """An object's clicks on one region.

    points: the region's voxels, (V, 3); rgb: (V, 3) float32 in [0, 1] or None; inputs: key of INPUTS;
    dtype: what the network computes in; normals: (V, 3) float32, where the inputs need them; previous: (V,) log-odds of
    the answer before the newest click, where the inputs need it and there was one.
    """

    points: Points
    rgb: Tensor | None
    clicks: ClickTensors
    inputs: str
    dtype: torch.dtype
    normals: Tensor | None = None
    previous: Tensor | None = None

    def features(self, shown: Tensor | None = None) -> Tensor:
        """The network's input (V, C); shown: (K,) bool, the clicks that it sees, all where left out."""
        clicks = self.clicks if shown is None else ClickTensors(self.clicks.xyz[shown], self.clicks.positive[shown])
        channels = encode_inputs(
            self.inputs, self.points.xyz, self.rgb, clicks, TRAINED_VOXEL, self.normals, self.previous
        )
        return channels.to(self.dtype)

    def labels(self) -> tuple[Tensor, Tensor]:
        """The clicked voxels (K,) int64, each once, and their labels (K,) float32: the later click wins."""
        voxels = nearest(self.clicks.xyz, self.points.xyz).tolist()
        last = dict(zip(voxels, self.clicks.positive.float().tolist(), strict=True))
        device = self.points.xyz.device
        return torch.tensor(list(last), device=device), torch.tensor(list(last.values()), device=device)


def log_odds(
    model: nn.Module, example: Example, parameters: dict[str, Tensor] | None = None, shown: Tensor | None = None
) -> Tensor:
    """Object against background, (V,) float32; parameters by name replace the model's own; `shown` as in features."""
    return network_scores(model, example.points, example.features(shown), parameters)


def network_scores(
    model: nn.Module, points: Points, features: Tensor, parameters: dict[str, Tensor] | None = None
) -> Tensor:
    """Log-odds (V,) float32 of voxels with their features (V, C); parameters by name replace the model's own."""
    logits = functional_call(model, parameters or {}, (points, features)).float()
    return logits[:, 1] - logits[:, 0]


def follow_clicks(
    model: nn.Module, example: Example, importance: dict[str, Tensor], config: AdaptationConfig = OURS
) -> dict[str, Tensor]:
    """Parameters by name, float32, adapted to an object's clicks; the model's own stay as they are.

    Minimises, from the model's own parameters theta* and with Adam,
      CE at the clicked voxels (mean over clicks) + (1 - lambda) BCE to the first prediction, where it is believed
      + gamma sum_i Omega_i (theta_i - theta*_i)^2.
    importance: Omega by parameter name; a parameter that is not in it is left alone. Batch norms must be folded or
    in evaluation mode: their statistics are not touched. Where nothing can be held out (a single positive click),
    nothing is changed.
    """
    parts = _parts(example.clicks.positive) if config.held_out else [None]
    start = {name: value.detach().float() for name, value in model.named_parameters() if name in importance}
    if not parts or not config.steps or not len(example.clicks.positive):
        return start
    now = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimizer = _Adam(list(now.values()), config.learning_rate)
    clicked, labels = example.labels()
    with torch.no_grad():
        first = (log_odds(model, example) > 0).float()
        believed = _believed(example, first, config.doubt)
    for step in range(config.steps):
        scores = log_odds(model, example, now, parts[step % len(parts)])
        loss = binary_cross_entropy_with_logits(scores[clicked], labels)
        loss = loss + (1 - config.lam) * binary_cross_entropy_with_logits(scores, first, believed)
        loss.backward()
        with torch.no_grad():
            # the gradient of the last term, without a graph over all parameters
            for name, value in now.items():
                value.grad.addcmul_(importance[name], value - start[name], value=2 * config.gamma)
        optimizer.step()
    return {name: value.detach() for name, value in now.items()}


def _believed(example: Example, first: Tensor, doubt: float) -> Tensor | None:
    """How much of the first prediction (V,) is believed at each voxel, 0 to 1: all of the object, and of the background
    1 - exp(-(d / doubt)^2) at a distance d from the nearest positive click. None without doubt, or such clicks."""
    positive = example.clicks.xyz[example.clicks.positive]
    if not doubt or not len(positive):
        return None
    distance = torch.cdist(example.points.xyz, positive).amin(1)
    far = -torch.expm1(-((distance / (doubt * TRAINED_VOXEL)) ** 2))
    return torch.where(first > 0, 1.0, far)


class _Adam:
    """Adam (Kingma and Ba, 2015) with its usual constants.

    That of torch.optim brings torch's compiler with it, which takes as long to import as torch itself.
    """

    def __init__(self, values: list[Tensor], rate: float):
        self.values, self.rate, self.count = values, rate, 0
        self.mean = [torch.zeros_like(value) for value in values]
        self.square = [torch.zeros_like(value) for value in values]

    @torch.no_grad()
    def step(self) -> None:
        """Move along the gradients and forget them."""
        self.count += 1
        for value, mean, square in zip(self.values, self.mean, self.square, strict=True):
            mean.lerp_(value.grad, 0.1)
            square.lerp_(value.grad.square(), 0.001)
            size = (square / (1 - 0.999**self.count)).sqrt_().add_(1e-8)
            value.addcdiv_(mean, size, value=-self.rate / (1 - 0.9**self.count))
            value.grad = None


def _parts(positive: Tensor) -> list[Tensor]:
    """What to show, step by step: (K,) bool, all but the last positive click, all but the last two, ..., the first."""
    order = positive.cumsum(0)
    return [~positive | (order <= shown) for shown in range(int(positive.sum()) - 1, 0, -1)]
