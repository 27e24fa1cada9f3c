"""Learn from another network: what it answers, and what its layers say before that."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..models.points import Points
from ..sparse.layers import SparseTensor
from .losses import imitation_loss

ANSWERS, ANSWERS_AND_LAYERS = 2.0, 4.0
"""Weight of the teacher's answers, beside the truth's in `mask_loss`: alone, and where layers are imitated as well."""
LAYERS = {"block1": 8.0, "block5": 1.0, "block6": 1.0, "block7": 2.0, "block8": 1.0}
"""Weights of the stages whose outputs are compared; their errors are shares of the teacher's variance."""

_LEARNING = {"conv0p1s1", "bn0", "conv1p1s2", "bn1", "block1", "block5", "block6", "final"}
_LEARNING |= {"convtr5p8s2", "bntr5", "convtr6p4s2", "bntr6", "block7", "convtr7p2s2", "bntr7", "block8"}
_FIRST_COARSE = "conv2p2s2"


class Imitation:
    """The loss of a network, a MinkUNet in training mode, that is to become like `teacher`, in eval mode.

    layers: whether the stages of LAYERS, the way up and the first one down, learn to put out what the teacher's do
    (Romero et al., FitNets: Hints for Thin Deep Nets, 2015). The rest of the way down then gets the teacher's weights
    and keeps them, with the statistics of its batch norms, and nothing is propagated back through it. Raises UserError
    where the teacher's layers there, or what the learning ones put out, are of other widths.
    """

    def __init__(self, student: nn.Module, teacher: nn.Module, layers: bool = False):
        self._teacher = teacher.requires_grad_(False)
        self._answers = ANSWERS_AND_LAYERS if layers else ANSWERS
        self._outputs: dict[nn.Module, Tensor] = {}
        self._compared: list[tuple[nn.Module, nn.Module, float]] = []
        if layers:
            self._keep_coarse_layers(student)
            for name, weight in LAYERS.items():
                pair = getattr(student, name), getattr(teacher, name)
                for block in pair:
                    block.register_forward_hook(self._remember)
                self._compared.append((*pair, weight))
            getattr(student, _FIRST_COARSE).register_forward_pre_hook(_cut_off)

    def loss(self, logits: Tensor, points: Points, features: Tensor) -> Tensor:
        """How far the student's last answer, logits (V, 2), and its layers are from the teacher's."""
        with torch.no_grad():
            taught = self._teacher(points, features)
        loss = self._answers * imitation_loss(logits, taught, points.batch)
        for student, teacher, weight in self._compared:
            output, wanted = self._outputs.pop(student).float(), self._outputs.pop(teacher).float()
            loss = loss + weight * (output - wanted).square().mean() / wanted.var()
        return loss

    def _keep_coarse_layers(self, student: nn.Module) -> None:
        taught = self._teacher.state_dict()
        widths = {f"{name}.0.norm2.bn.bias" for name in LAYERS}
        for key, value in student.state_dict().items():
            coarse = key.split(".")[0] not in _LEARNING
            if (coarse or key in widths) and (key not in taught or taught[key].shape != value.shape):
                raise UserError(
                    f"The layers of the teacher cannot be imitated: '{key}' is missing or of another shape."
                )
        for name, module in student.named_children():
            if name not in _LEARNING:
                module.load_state_dict(getattr(self._teacher, name).state_dict())
                module.eval().requires_grad_(False)

    def _remember(self, block: nn.Module, _: object, output: SparseTensor) -> None:
        self._outputs[block] = output.features


def _cut_off(_: nn.Module, inputs: tuple[SparseTensor]) -> tuple[SparseTensor]:
    return (replace(inputs[0], features=inputs[0].features.detach()),)
