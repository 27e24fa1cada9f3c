"""One run on several GPUs: processes that `torchrun` starts, each with its share of every step's groups."""

import os
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class Place:
    """Which of a run's processes this is: rank of world; local: its number on this machine."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def leads(self) -> bool:
        """Whether this one writes and reports."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """This process's own GPU, where there are several."""
        return torch.device("cuda", self.local) if device.type == "cuda" and self.world > 1 else device


def join() -> Place:
    """Meet the other processes, if torchrun started this one."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return Place()
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return Place(distributed.get_rank(), distributed.get_world_size(), int(os.environ["LOCAL_RANK"]))


def leave(place: Place) -> None:
    """Part from the other processes."""
    if place.world > 1:
        distributed.destroy_process_group()
