"""A study session as its file has it. No Blender in here.

The file is what `python -m inference_server evaluate --replay` reads; the labelled scan lies beside it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..labels.labels import Labels, write_archive
from ..session.state import ObjectState, Place, Press

FORMAT, VERSION = "scanpick-study", 1
SMALLEST = 50  # vertices of an object that can be asked for


@dataclass
class Recording:
    """One participant's session on one scan.

    Attributes:
        path: the session's file.
        vertices: how many the scan has.
        tasks: labels of the objects to click out, in order.
        names: name by label, for the participant.
        done: the entries of the finished tasks, as in the file.
        number: the list's object that the clicks of the current task go to.
        started: when the current task was shown, seconds as in `time.time`.
    """

    path: Path
    vertices: int
    tasks: list[int]
    names: dict[int, str] = field(default_factory=dict)
    done: list[dict] = field(default_factory=list)
    number: int = -1
    started: float = 0.0

    @property
    def task(self) -> int | None:
        """The label that is asked for now; None at the end."""
        return self.tasks[len(self.done)] if len(self.done) < len(self.tasks) else None

    @property
    def scan_file(self) -> Path:
        """The labelled scan beside the session."""
        return self.path.with_name(f"{self.path.stem}.scan.npz")

    def submit(
        self, known: ObjectState, places: Callable[[Press], list[tuple[Place, int]]], voxel_size: float, now: float
    ) -> None:
        """End the current task with the clicks that the object has. A click that was taken back is not among them.

        Args:
            places: where a press's clicks are, metres in the frame of the labelled scan, and their vertices.
            voxel_size: metres, what the network worked with.
        """
        clicks = [
            {
                "position": list(position),
                "positive": press.positive,
                "vertex": vertex,
                "seconds": round(press.time - self.started, 3),
            }
            for press in known.presses
            for position, vertex in places(press)
        ]
        entry = {"instance": self.task, "voxel_size": round(voxel_size, 6)}
        self.done.append({**entry, "submitted": round(now - self.started, 3), "clicks": clicks})

    def save(self) -> None:
        """Write the finished tasks, whole or not at all. Raises OSError."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "scan": self.scan_file.name,
            "vertices": self.vertices,
            "objects": self.done,
        }
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            part.replace(self.path)
        finally:
            part.unlink(missing_ok=True)


def begin(
    path: Path, truth: Labels, count: int, seed: int, positions: np.ndarray, colors: np.ndarray | None
) -> Recording:
    """A new session; writes the labelled scan. Raises OSError, and ValueError where no object is large enough.

    Args:
        count: how many objects to ask for; all where there are fewer.
        seed: decides which ones and in which order.
        positions: float32 (N, 3) metres, as the server sees them; clicks are recorded in the same frame.
    """
    labels, sizes = np.unique(truth.instance[truth.instance >= 0], return_counts=True)
    large = labels[sizes >= SMALLEST]
    if not large.size:
        raise ValueError(f"no labelled object has {SMALLEST} vertices")
    tasks = np.random.default_rng(seed).permutation(large)[:count].tolist()
    recording = Recording(path, len(truth.instance), tasks, truth.names)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_archive(recording.scan_file, truth, positions=positions, colors=colors)
    return recording
