"""How much each weight matters for what a network knows: measured once, kept beside its weights.

Memory Aware Synapses (Aljundi et al., ECCV 2018): Omega_i is the mean over samples of |d ||f(x)||^2 / d theta_i|.
Online adaptation holds weights back by it (see adaptation.py).
"""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call

from .adaptation import Example
from .errors import UserError
from .files import replacing, sha256_of

LEVELS = 15
"""Stored in four bits: levels an octave apart below a tensor's largest value; what lies lower is zero."""


def measure(model: nn.Module, examples: Iterable[Example]) -> dict[str, Tensor]:
    """Omega by parameter name, float32, of the parameters that the scores depend on, scaled to a mean of 1.

    ||f(x)||^2 is the squared norm of a voxel's two scores, averaged over the region's voxels. Raises UserError where
    there is no example.
    """
    parameters = {name: value.detach().float().requires_grad_() for name, value in model.named_parameters()}
    total: dict[str, Tensor] = {}
    for example in examples:
        scores = functional_call(model, parameters, (example.points, example.features())).float()
        scores.square().sum(1).mean().backward()
        for name, value in parameters.items():
            if value.grad is not None:
                total[name] = total.get(name, 0) + value.grad.abs()
                value.grad = None
    if not total:
        raise UserError("The scans have no object of ten points and more to measure on: give others, with more labels.")
    count = sum(value.numel() for value in total.values())
    mean = sum(float(value.cpu().double().sum()) for value in total.values()) / max(count, 1)
    return {name: value / mean for name, value in total.items()}


def importance_file(weights: Path) -> Path:
    """Where the importance of a weights file lies: beside it."""
    return weights.with_suffix(".importance")


def write_importance(weights: Path, importance: dict[str, Tensor]) -> Path:
    """Write the importance of a weights file beside it, in half a byte per parameter. Raises UserError."""
    packed, facts = {}, {}
    for name, value in importance.items():
        peak = float(value.max())
        levels = LEVELS + torch.log2(value.flatten() / peak).round()
        levels = levels.nan_to_num(0, neginf=0).clamp(0, LEVELS).to(torch.uint8).cpu()
        pairs = nn.functional.pad(levels, (0, len(levels) % 2)).view(-1, 2)
        packed[name] = pairs[:, 0] * 16 + pairs[:, 1]
        facts[name] = {"peak": peak, "shape": list(value.shape)}
    metadata = {"weights_sha256": sha256_of(weights), "tensors": json.dumps(facts)}
    path = importance_file(weights)
    with replacing(path) as file:
        try:
            save_file(packed, file, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error
    return path


def read_importance(weights: Path) -> dict[str, Tensor]:
    """Omega by parameter name, float32, of a weights file. Raises UserError where there is none that fits it."""
    path = importance_file(weights)
    command = f"python -m inference_server importance {weights} SCANS"
    if not path.is_file():
        raise UserError(
            f"The weights {weights.name} cannot adapt to clicks: {path.name} is not beside them; make it with "
            f"`{command}`, or do without adaptation."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            facts = json.loads(metadata["tensors"])
            if not facts:
                raise ValueError("no tensors")
            importance = {name: _unpack(file.get_tensor(name), **fact) for name, fact in facts.items()}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is damaged or cut short; make it anew with `{command}`.") from error
    if metadata.get("weights_sha256") != sha256_of(weights):
        raise UserError(f"{path} was made for other weights than {weights.name}; make it anew with `{command}`.")
    return importance


def _unpack(packed: Tensor, peak: float, shape: list[int]) -> Tensor:
    levels = torch.stack([packed // 16, packed % 16], 1).flatten()[: torch.Size(shape).numel()]
    return torch.where(levels > 0, peak * torch.exp2(levels.float() - LEVELS), 0.0).view(shape)
