"""A training run's settings, read from a TOML file."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

from ..errors import UserError
from ..models.points import TRAINED_VOXEL
from ..models.registry import ModelConfig


@dataclass(frozen=True)
class Source:
    """A folder of scans in `.npz` (positions, colors, instance, names), as the `rooms` command writes them.

    weight: relative share of crops; voxel_size: metres, the resolution at which these scans are worked on.
    """

    folder: Path
    weight: float = 1.0
    voxel_size: float = TRAINED_VOXEL


@dataclass(frozen=True)
class TrainingConfig:
    """One run. steps counts optimiser steps; a group of `crops` crops is kept for `rounds` of them, with new clicks
    each time, `batch` groups in a step; the learning rate (AdamW) warms up, stays, and falls linearly to zero over the
    last `cooldown` share.

    large: share of groups that have one crop of crops x max_voxels instead; structure: share of crops cut for walls,
    floors and ceilings; cut: whether clicks correct the mask after the minimum cut, as an artist's do, instead of the
    network's own; teacher: weights of a network of the same inputs that this one imitates as well,
    layers: in what its layers put out, too, and keeping its coarser ones (`Imitation`).
    """

    model: ModelConfig
    sources: list[Source]
    steps: int = 20000
    batch: int = 1
    crops: int = 6
    rounds: int = 6
    max_voxels: int = 11000
    large: float = 0.0
    structure: float = 0.15
    cut: bool = False
    teacher: str = ""
    layers: bool = False
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup: int = 200
    cooldown: float = 0.3
    average: float = 0.999
    seed: int = 1

    def told(self) -> dict[str, Any]:
        """All settings as JSON has them."""
        return json.loads(json.dumps(asdict(self), default=str))

    @property
    def groups(self) -> int:
        return -(-self.steps // self.rounds) * self.batch

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        rest = (self.steps - step) / max(1.0, self.steps * self.cooldown)
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup), max(rest, 0.0))


def read_config(path: Path) -> TrainingConfig:
    """Read a TOML file: the fields of TrainingConfig, a [model] table and [[sources]] tables.

    Folders are relative to the current folder. Raises UserError that names what is wrong.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        sources = [Source(**{**s, "folder": Path(s["folder"]).expanduser()}) for s in content.pop("sources")]
        model = ModelConfig(**content.pop("model"))
        if content.get("layers") and not content.get("teacher"):
            raise UserError(f"The training config {path} has `layers` without a `teacher` whose layers they are.")
        known = {field.name for field in fields(TrainingConfig)}
        unknown = sorted(set(content) - known)
        if unknown:
            raise UserError(f"The training config {path} has an unknown entry '{unknown[0]}'.")
        config = TrainingConfig(model=model, sources=sources, **content)
        _check(config, path)
        return config
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"The training config {path} cannot be read: {error}") from error
    except (KeyError, TypeError) as error:
        raise UserError(f"The training config {path} lacks or misspells an entry: {error}") from error


def _check(config: TrainingConfig, path: Path) -> None:
    """Raises UserError for a value that no run can have."""
    least = {"steps": 1, "batch": 1, "crops": 1, "rounds": 1, "max_voxels": 1, "warmup": 0, "seed": 0}
    for name, low in least.items():
        value = getattr(config, name)
        if not _is(int, value) or value < low:
            raise UserError(f"The training config {path} has {name} = {value!r}: give a whole number from {low} on.")
    shares = ("large", "structure", "cooldown", "average", "learning_rate", "weight_decay")
    for name in shares:
        value = getattr(config, name)
        if not _is(int | float, value) or not 0 <= value <= 1:
            raise UserError(f"The training config {path} has {name} = {value!r}: give a number from 0 to 1.")
    for source in config.sources:
        for name in ("weight", "voxel_size"):
            value = getattr(source, name)
            if not _is(int | float, value) or not 0 < value < float("inf"):
                raise UserError(f"The training config {path} has a source of {name} = {value!r}: give one above 0.")


def _is(kind: type | UnionType, value: Any) -> bool:
    """Whether a value is a number of some kind; true and false are none, as in TOML."""
    return isinstance(value, kind) and not isinstance(value, bool)
