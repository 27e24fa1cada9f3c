"""Online adaptation: the network follows the clicks of one object, then is as before.

Instance adaptation (IA) of Kontogianni et al., "Continuous Adaptation for Interactive Object Segmentation by
Learning from Corrections" (ECCV 2020), as InterObject3D uses it (section III-A): the clicks so far are sparse
labels, the first prediction is a dense one, and weights that matter for what the network knows are held back.
Every call starts from the given weights and sees all clicks, so what comes of it depends on nothing else.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits

from .models.inputs import ClickTensors
from .models.points import Points


@dataclass(frozen=True)
class AdaptationConfig:
    """learning_rate and lam(bda) are the paper's; gamma and steps ours, chosen on validation scans."""

    learning_rate: float = 5e-5
    lam: float = 0.1
    gamma: float = 1.0
    steps: int = 10


@dataclass(frozen=True)
class Example:
    """An object's clicks on one region, as a network sees them.

    points: the region's voxels, (V, 3); features: (V, C) network input, click channels included.
    """

    points: Points
    features: Tensor
    clicks: ClickTensors

    def labels(self) -> tuple[Tensor, Tensor]:
        """The clicked voxels (K,) int64, each once, and their labels (K,) float32: the later click wins."""
        voxels = torch.cdist(self.clicks.xyz, self.points.xyz).argmin(1).tolist()
        last = dict(zip(voxels, self.clicks.positive.float().tolist(), strict=True))
        device = self.points.xyz.device
        return torch.tensor(list(last), device=device), torch.tensor(list(last.values()), device=device)


def log_odds(model: nn.Module, example: Example, parameters: dict[str, Tensor] | None = None) -> Tensor:
    """Object against background, (V,) float32; parameters by name replace the model's own."""
    logits = functional_call(model, parameters or {}, (example.points, example.features)).float()
    return logits[:, 1] - logits[:, 0]


def follow_clicks(
    model: nn.Module, example: Example, importance: dict[str, Tensor], config: AdaptationConfig = AdaptationConfig()
) -> dict[str, Tensor]:
    """Parameters by name, float32, adapted to an object's clicks; the model's own stay as they are.

    Minimises, from the model's own parameters theta* and with Adam,
      CE at the clicked voxels (mean over clicks) + (1 - lambda) BCE to the first prediction
      + gamma sum_i Omega_i (theta_i - theta*_i)^2.
    importance: Omega by parameter name; a parameter that is not in it is left alone. Batch norms must be folded or
    in evaluation mode: their statistics are not touched.
    """
    start = {name: value.detach().float() for name, value in model.named_parameters() if name in importance}
    now = {name: value.clone().requires_grad_() for name, value in start.items()}
    optimizer = torch.optim.Adam(now.values(), lr=config.learning_rate)
    clicked, labels = example.labels()
    first = None
    for _ in range(config.steps):
        scores = log_odds(model, example, now)
        if first is None:
            first = (scores > 0).float()
        loss = binary_cross_entropy_with_logits(scores[clicked], labels)
        loss = loss + (1 - config.lam) * binary_cross_entropy_with_logits(scores, first)
        optimizer.zero_grad()
        loss.backward()
        with torch.no_grad():
            # the gradient of the last term, without a graph over all parameters
            for name, value in now.items():
                value.grad.addcmul_(importance[name], value - start[name], value=2 * config.gamma)
        optimizer.step()
    return {name: value.detach() for name, value in now.items()}
