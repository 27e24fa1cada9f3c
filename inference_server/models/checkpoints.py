"""Weights on disk: safetensors with the network's configuration inside; foreign PyTorch files load as data only."""

import json
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import UserError
from ..files import replacing
from .bytes import from_bytes
from .inputs import SEMANTIC, input_width, uses_colour
from .registry import ModelConfig, build_model

WEIGHTS_FOLDER = Path(__file__).resolve().parent.parent / "weights"
DEFAULT_WEIGHTS = "rooms-lite-rgb"
DEFAULT_WEIGHTS_COLOURLESS = "rooms-small-xyz"
FOREIGN = "MinkUNet34C"
"""The network of PyTorch files, which carry no configuration: the one that InterObject3D's authors released."""
FOREIGN_INPUTS = ("semantic-rgb", "rgb", "semantic-xyzrgb", "xyzrgb")
"""Their input configurations, known by the channels of their first convolution."""
FOREIGN_COLOURLESS = ("semantic-xyz", "xyz", "semantic-xyzrgb", "xyzrgb")
"""The same where a network without colours is to be started."""
FIRST_KERNEL = "conv0p1s1.kernel"


def find_weights(name: str | Path) -> Path:
    """The file for a shipped name ('default' included) or a path. Raises UserError where there is none."""
    if str(name) == "default":
        name = DEFAULT_WEIGHTS
    for path in (WEIGHTS_FOLDER / f"{name}.safetensors", Path(name).expanduser()):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(p.stem for p in WEIGHTS_FOLDER.glob("*.safetensors"))) or "none"
    raise UserError(f"There are no weights '{name}': give a file, or one of the shipped names ({shipped}).")


def save_weights(
    path: Path, state: dict[str, Tensor], config: ModelConfig, facts: dict[str, str] | None = None
) -> None:
    """Write weights in one step, so that a full disk or a crash leaves the previous file whole (UserError)."""
    metadata = {"config": json.dumps(config.to_dict()), **(facts or {})}
    with replacing(path) as file:
        try:
            save_file({k: v.contiguous().cpu() for k, v in state.items()}, file, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def read_weights(path: Path, start_of: str = "") -> tuple[dict[str, Tensor], ModelConfig]:
    """State dict and configuration of a safetensors file or a released PyTorch checkpoint (loaded as data only).

    start_of: the inputs of a network that is to be started from it, which may be one that knows no clicks. Raises
    UserError.
    """
    if path.suffix == ".safetensors":
        state, config = _read_own(path)
        return from_bytes(state), config
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise whatever their reader stumbles over
        raise UserError(
            f"The checkpoint {path} cannot be read safely as plain weights: it is damaged, cut short, or no file of "
            f"weights ({type(error).__name__})."
        ) from error
    if isinstance(content, dict) and {"group", "average", "optimizer"} <= content.keys():
        raise UserError(
            f"{path} is for its run to go on from, not to be used: give the file weights.safetensors beside it."
        )
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(f"The checkpoint {path} holds no state dict of tensors.")
    state = {key.removeprefix("module."): value for key, value in content.items()}
    config = ModelConfig(FOREIGN, _foreign_inputs(state, path, start_of))
    if config.inputs in SEMANTIC and not start_of:
        raise UserError(
            f"The checkpoint {path} is of a network that knows no clicks: start one from it, `train --init`."
        )
    return state, config


def read_model_config(path: Path) -> ModelConfig:
    """The configuration of a file as `read_weights` has it, without tensors for our own files. Raises UserError."""
    return _read_own(path, tensors=False)[1] if path.suffix == ".safetensors" else read_weights(path)[1]


def load_model(weights: str | Path, engine: str = "torch") -> tuple[nn.Module, ModelConfig]:
    """A network with the weights of a name or file, in eval mode. Raises UserError where they do not fit."""
    path = find_weights(weights)
    state, config = read_weights(path)
    model = build_model(config, engine)
    load_state(model, state, path)
    return model.eval(), config


def load_state(model: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Copy a state dict into a network; a UserError names the first thing that does not fit."""
    expected = model.state_dict()
    for key, value in expected.items():
        if key not in state:
            raise UserError(f"The weights {path} are of another network: '{key}' is missing.")
        if state[key].shape != value.shape:
            shapes = f"{tuple(state[key].shape)} instead of {tuple(value.shape)}"
            raise UserError(f"The weights {path} are of another network: '{key}' is {shapes}.")
        if not state[key].isfinite().all():
            raise UserError(
                f"The weights {path} are of no use: '{key}' holds numbers that are not finite. Take an earlier "
                "checkpoint, or copy the file again."
            )
    unknown = sorted(set(state) - set(expected))
    if unknown:
        raise UserError(f"The weights {path} are of another network: '{unknown[0]}' is not part of it.")
    model.load_state_dict(state)


def _read_own(path: Path, tensors: bool = True) -> tuple[dict[str, Tensor], ModelConfig]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()} if tensors else {}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise UserError(f"The weights file {path} is damaged or cut short; copy it again ({error}).") from error
    if "config" not in metadata:
        raise UserError(f"The weights file {path} names no network; it was not written by Scanpick.")
    return state, _config(metadata["config"], path)


def _foreign_inputs(state: dict[str, Tensor], path: Path, start_of: str) -> str:
    kernel = state.get(FIRST_KERNEL)
    if kernel is None or kernel.ndim < 2:
        raise UserError(f"The checkpoint {path} is of another network: it has no kernel '{FIRST_KERNEL}'.")
    width = kernel.shape[-2]
    possible = FOREIGN_COLOURLESS if start_of and not uses_colour(start_of) else FOREIGN_INPUTS
    by_width = {input_width(inputs): inputs for inputs in possible}
    if width not in by_width:
        known = ", ".join(f"{count} ({inputs})" for count, inputs in by_width.items())
        raise UserError(f"The checkpoint {path} takes {width} input channels: give one that takes {known}.")
    return by_width[width]


def _config(text: str, path: Path) -> ModelConfig:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(f"The weights file {path} is damaged: what it says of its network is cut short.") from error
    known = {field.name for field in fields(ModelConfig)}
    if not isinstance(content, dict) or not set(content) <= known:
        raise UserError(f"The weights file {path} was written by a newer Scanpick; update this one.")
    for field in fields(ModelConfig):
        wanted = float | int if field.type is float else field.type
        if not isinstance(content.get(field.name, field.default), wanted):
            wrong = f"{field.name} is {content[field.name]!r}"
            raise UserError(f"The weights file {path} is damaged: of its network it says that {wrong}.")
    config = ModelConfig(**content)
    if not 0 < config.voxel_size < float("inf"):
        raise UserError(f"The weights file {path} is damaged: its network is for voxels of {config.voxel_size} m.")
    return config
