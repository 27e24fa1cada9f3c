"""`benchmark redraw`: a redraw of the viewport with the add-on's overlay, beside the same points drawn plain."""

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from ..errors import UserError
from ..files import write_json
from . import blender as blender_half
from .separate import grid

TARGET = 1.15
"""The overlay's redraw against the plain one's."""

CLOCKS = ("wall", "processor")

EXPLAINED = {
    "nothing": "The viewport without the points' colours: the grid and Blender's own dots",
    "plain": "The same and the points: one batch, Blender's own shader",
    "overlay": "The same by the add-on: masks of ten objects, five clicks, hover, legend, voxel cube",
}


def command(
    blender: Annotated[Path, typer.Option(help="A Blender that can open a window.")],
    points: Annotated[int, typer.Option(min=1_000, help="Vertices of the scan.")] = 100_000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Time redraws of the 3D viewport in Blender's window, the overlay and plain points in turn.

    Each ends with reading a pixel back, so that the graphics card, or the software in its place, is done.
    """
    if blender.name.lower().startswith("python"):
        raise UserError("Redraws need Blender's window: give the program Blender itself to --blender.")
    console = Console()
    positions = grid(points)
    colors = np.random.default_rng(0).integers(0, 256, positions.shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory(prefix="scanpick-benchmark-") as scratch, console.status("Drawing in Blender"):
        scan = Path(scratch) / "scan.npz"
        np.savez(scan, positions=positions, colors=colors)
        report = blender_half.run("inside_redraw.py", blender, Path(scratch), scan, window=True)
    ways = report["ways"]
    report |= {"points": len(positions), "target": TARGET}
    report["ratio"] = {clock: ways["overlay"][clock] / ways["plain"][clock] for clock in CLOCKS}
    report["ratio without the rest"] = {
        clock: (ways["overlay"][clock] - ways["nothing"][clock]) / (ways["plain"][clock] - ways["nothing"][clock])
        for clock in CLOCKS
    }
    _print(console, report)
    if json_file:
        write_json(json_file, report)


def _print(console: Console, report: dict) -> None:
    width, height = report["size"]
    console.print(f"Blender {report['blender']}, {report['graphics']}, {width} x {height} pixels")
    table = Table(title=f"{report['points']:,} points: milliseconds a redraw, median of {report['redraws']}")
    table.add_column("what")
    table.add_column("wall", justify="right")
    table.add_column("processor", justify="right")
    for way, text in EXPLAINED.items():
        table.add_row(text, *(f"{report['ways'][way][clock] * 1000:.1f}" for clock in CLOCKS))
    console.print(table)
    for name, text in (("ratio", "Overlay against plain"), ("ratio without the rest", "The same, without the rest")):
        wall, processor = (report[name][clock] for clock in CLOCKS)
        console.print(f"{text}: {wall:.2f} by the wall, {processor:.2f} of the processor; target {TARGET}.")
