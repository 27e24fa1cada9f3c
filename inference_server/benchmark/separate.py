"""`benchmark separate`: objects of a scan with faces as Blender objects of their own."""

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from ..files import write_json
from .blender import run


def command(
    points: Annotated[int, typer.Option(min=10_000, help="Vertices of the mesh.")] = 1_000_000,
    objects: Annotated[int, typer.Option(min=1, help="Objects in it.")] = 20,
    blender: Annotated[Path | None, typer.Option(help="A Blender, or the Python of an environment with bpy.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Time separating the objects of a textured, coloured grid of quads, with the rest as one more object.

    Prints the whole time, reading the groups included, the processor's share of it, which other programs do not
    lengthen, and the longest step between two chances to cancel.
    """
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="scanpick-benchmark-") as scratch, console.status("Separating"):
        scan = Path(scratch) / "grid.npz"
        np.savez(scan, positions=grid(points))
        row = run("inside_separate.py", blender, Path(scratch), scan, str(objects))
    console.print(
        f"Blender {row['blender']}: {row['objects']} objects and the rest of {row['vertices']:,} vertices and "
        f"{row['faces']:,} faces: {row['seconds']:.1f} s ({row['processor_seconds']:.1f} s of the processor), "
        f"the longest step {row['longest_step']:.2f} s",
        soft_wrap=True,
    )
    if json_file:
        write_json(json_file, row)


def grid(count: int) -> np.ndarray:
    """A wavy square of about `count` points, row after row: float32 (side * side, 3)."""
    side = round(count**0.5)
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    return np.stack([x.ravel() * 0.01, y.ravel() * 0.01, np.sin(x.ravel() * 0.1)], axis=1).astype(np.float32)
