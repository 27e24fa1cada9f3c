"""The processes that cut crops and click on them while the network computes.

A group lives in one process from its crops to its last click, so that only channels and scores travel.
"""

import multiprocessing
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from inference_server.parent import obey_parent, shut_down

from .clicked_group import ClickedGroup, Turn
from .config import TrainingConfig
from .crops import CropGroups


@dataclass(frozen=True)
class Opening:
    """A group's voxels and its first turn. xyz: (V, 3) float32 metres; labelled: (V,) bool; lengths: voxels a crop."""

    xyz: np.ndarray
    labelled: np.ndarray
    lengths: list[int]
    turn: Turn


class _OpenGroups:
    """The groups of one process. What is prepared ahead is prepared in a thread beside the clicking."""

    def __init__(self, config: TrainingConfig):
        torch.set_num_threads(1)
        self._config = config
        self._crops = CropGroups(config)
        self._thread = ThreadPoolExecutor(1)
        self._groups: dict[int, Future[ClickedGroup]] = {}

    def _make(self, number: int) -> ClickedGroup:
        return ClickedGroup(self._config, self._crops[number], np.random.default_rng((self._config.seed, number, 1)))

    def prepare(self, number: int) -> None:
        if number not in self._groups:
            self._groups[number] = self._thread.submit(self._make, number)

    def open(self, number: int) -> Opening:
        self.prepare(number)
        group = self._groups[number].result()
        lengths = [rows.stop - rows.start for rows in group.rows]
        return Opening(group.xyz.numpy(), group.labelled.numpy(), lengths, group.turn())

    def answer(self, number: int, scores: np.ndarray, last: bool) -> Turn:
        group = self._groups.pop(number) if last else self._groups[number]
        return group.result().answer(scores)

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)


_groups: _OpenGroups | None = None


def _start(config: TrainingConfig) -> None:
    global _groups
    obey_parent()
    _groups = _OpenGroups(config)


def _call(method: str, *arguments: Any) -> Any:
    return getattr(_groups, method)(*arguments)


class ClickWorkers:
    """`count` processes; with 0 all is done in this one, when it is asked for. Use as a context manager."""

    def __init__(self, config: TrainingConfig, count: int):
        CropGroups(config)  # a folder without scans is told here, not by a process that ends
        # spawned, as a process that has used a GPU must not be forked
        spawn = multiprocessing.get_context("spawn")
        self._pools = [ProcessPoolExecutor(1, spawn, _start, (config,)) for _ in range(count)]
        self._groups = None if count else _OpenGroups(config)

    def __enter__(self) -> "ClickWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            shut_down(pool)
        if self._groups:
            self._groups.close()

    def prepare(self, number: int) -> None:
        """Begin to make a group ready that will be opened soon."""
        self._submit(number, "prepare", number)

    def open(self, number: int) -> "Future[Opening]":
        """A group's voxels and its first turn."""
        return self._submit(number, "open", number)

    def answer(self, number: int, scores: np.ndarray, last: bool) -> "Future[Turn]":
        """The turn after the network's log-odds (V,); the group is forgotten after its last one."""
        return self._submit(number, "answer", number, scores, last)

    def _submit(self, number: int, method: str, *arguments: Any) -> Future:
        if self._pools:
            return self._pools[number % len(self._pools)].submit(_call, method, *arguments)
        return finished(getattr(self._groups, method)(*arguments))


def finished(value: Any) -> Future:
    """What has its result already."""
    future: Future = Future()
    future.set_result(value)
    return future
