"""Networks by name. A network is anything with `forward(points: Points, features (N, C)) -> logits (N, 2)`."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from torch import nn

from ..errors import UserError
from ..sparse.engines import load_engine
from .inputs import INPUTS, input_width
from .minkunet import ARCHITECTURES, MinkUNet
from .points import TRAINED_VOXEL


@dataclass(frozen=True)
class ModelConfig:
    """What must be known to build a network for its weights: stored inside every checkpoint.

    name: registry name; inputs: key of INPUTS; voxel_size: metres, the resolution it was trained at.
    """

    name: str = "MinkUNetSmall"
    inputs: str = "rgb-context"
    voxel_size: float = TRAINED_VOXEL

    def to_dict(self) -> dict:
        return asdict(self)


_BUILDERS: dict[str, Callable[[ModelConfig, str], nn.Module]] = {}


def register(name: str, builder: Callable[[ModelConfig, str], nn.Module]) -> None:
    """Make a network known by name; `builder(config, engine_name)` returns it with fresh weights."""
    _BUILDERS[name] = builder


def model_names() -> list[str]:
    """Names of all known networks."""
    return sorted(_BUILDERS)


def build_model(config: ModelConfig, engine: str = "torch") -> nn.Module:
    """A network with fresh weights. Raises UserError for an unknown name, input configuration or engine."""
    if config.name not in _BUILDERS:
        raise UserError(f"There is no network '{config.name}'; choose one of {', '.join(model_names())}.")
    if config.inputs not in INPUTS:
        raise UserError(f"There is no input configuration '{config.inputs}'; choose one of {', '.join(INPUTS)}.")
    return _BUILDERS[config.name](config, engine)


def _register_minkunets() -> None:
    for name, architecture in ARCHITECTURES.items():

        def builder(config: ModelConfig, engine: str, architecture=architecture) -> nn.Module:
            layers = load_engine(engine)
            return MinkUNet(architecture, layers, input_width(config.inputs), voxel_size=config.voxel_size)

        register(name, builder)


_register_minkunets()
