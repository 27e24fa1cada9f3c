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
from ..wire.requests import LARGEST_VOXEL, SMALLEST_VOXEL

LARGEST_NUMBER = 2**63 - 1
"""What torch takes for a seed."""
HEAVIEST = 1e9
"""Weight of a source: the sum of all must stay a number."""


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
    def last_step(self) -> int:
        """`steps`, rounded up to whole groups."""
        return -(-self.steps // self.rounds) * self.rounds

    @property
    def groups(self) -> int:
        return self.last_step // self.rounds * self.batch

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        rest = (self.steps - step) / max(1.0, self.steps * self.cooldown)
        return self.learning_rate * min(1.0, (step + 1) / max(1, self.warmup), max(rest, 0.0))


def read_config(path: Path) -> TrainingConfig:
    """Read a TOML file: the fields of TrainingConfig, a [model] table and [[sources]] tables.

    Folders are relative to the current folder. Raises UserError that names what is wrong.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:  # of ValueError: no UTF-8, no TOML, numbers of thousands of digits
        raise UserError(f"The training config {path} cannot be read: {error}") from error
    _check_names(content, TrainingConfig, "", path)
    if content.get("layers") and not content.get("teacher"):
        raise UserError(f"The training config {path} has `layers` without a `teacher` whose layers they are.")
    tables, model = content.pop("sources", None), content.pop("model", None)
    if not isinstance(tables, list) or not tables:
        raise UserError(f"The training config {path} lacks [[sources]] tables: give one for each folder of scans.")
    for table in tables:
        _check_names(table, Source, " in [[sources]]", path)
        if not isinstance(table.get("folder"), str):
            raise UserError(f"The training config {path} has [[sources]] without a `folder`: give it in quotes.")
    sources = [Source(**{**table, "folder": Path(table["folder"]).expanduser()}) for table in tables]
    _check_names(model, ModelConfig, " in [model]", path)
    config = TrainingConfig(model=ModelConfig(**model), sources=sources, **content)
    _check(config, path)
    return config


def _check_names(table: Any, kind: type, place: str, path: Path) -> None:
    """Raises UserError for what is no table, and for one with entries that `kind` has no field for."""
    if not isinstance(table, dict):
        raise UserError(f"The training config {path} lacks a table of entries{place}.")
    unknown = sorted(set(table) - {field.name for field in fields(kind)})
    if unknown:
        raise UserError(f"The training config {path} has an unknown entry '{unknown[0]}'{place}.")


def _check(config: TrainingConfig, path: Path) -> None:
    """Raises UserError for a value that no run can have."""

    def demand(good: bool, name: str, value: Any, wanted: str) -> None:
        if not good:
            raise UserError(f"The training config {path} has {name} = {value!r}: give {wanted}.")

    least = {"steps": 1, "batch": 1, "crops": 1, "rounds": 1, "max_voxels": 1, "warmup": 0, "seed": 0}
    for name, low in least.items():
        value = getattr(config, name)
        wanted = f"a whole number from {low} on, of at most {len(str(LARGEST_NUMBER)) - 1} digits"
        demand(_is(int, value) and low <= value <= LARGEST_NUMBER, name, value, wanted)
    for name in ("large", "structure", "cooldown", "average", "learning_rate", "weight_decay"):
        value = getattr(config, name)
        demand(_is(int | float, value) and 0 <= value <= 1, name, value, "a number from 0 to 1")
    for name in ("cut", "layers"):
        value = getattr(config, name)
        demand(isinstance(value, bool), name, value, "true or false")
    demand(isinstance(config.teacher, str), "teacher", config.teacher, "a name or a file of weights in quotes")
    for name in ("name", "inputs"):
        value = getattr(config.model, name)
        demand(isinstance(value, str), f"a model of {name}", value, "a name in quotes")
    metres = f"metres from {SMALLEST_VOXEL:g} to {LARGEST_VOXEL:g}"
    for what, owner in (("a model", config.model), *(("a source", source) for source in config.sources)):
        value = owner.voxel_size
        good = _is(int | float, value) and SMALLEST_VOXEL <= value <= LARGEST_VOXEL
        demand(good, f"{what} of voxel_size", value, metres)
    for source in config.sources:
        good = _is(int | float, source.weight) and 0 < source.weight <= HEAVIEST
        demand(good, "a source of weight", source.weight, f"a number above 0, at most {HEAVIEST:g}")


def _is(kind: type | UnionType, value: Any) -> bool:
    """Whether a value is a number of some kind; true and false are none, as in TOML."""
    return isinstance(value, kind) and not isinstance(value, bool)
