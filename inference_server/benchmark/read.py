"""`benchmark read`: the first read of a scan, which holds Blender's window up once, before the first click."""

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from ..errors import UserError
from ..files import write_json
from . import blender as blender_half
from .click import room


def command(
    points: Annotated[int, typer.Option(min=1_000, help="Vertices of the scan.")] = 30_000_000,
    blender: Annotated[Path | None, typer.Option(help="A Blender, or the Python of an environment with bpy.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Time and memory of the first read of a scan without faces, and how long its progress stands still. Linux only."""
    if not Path("/proc/self/clear_refs").exists():
        raise UserError("This benchmark reads peak memory from /proc, which only Linux has.")
    console = Console()
    positions, colors, _ = room(points)
    with tempfile.TemporaryDirectory(prefix="scanpick-benchmark-") as scratch, console.status("Reading in Blender"):
        scan = Path(scratch) / "scan.npz"
        np.savez(scan, positions=positions, colors=colors)
        del positions, colors
        report = blender_half.run("inside_read.py", blender, Path(scratch), scan)
    used = report["bytes"]
    console.print(
        f"Blender {report['blender']}, {report['points']:,} vertices: {report['wall']:.2f} s by the wall, "
        f"{report['processor']:.2f} s of processor time."
    )
    console.print(f"Progress told {report['told']} times, longest silence {report['longest silence']:.2f} s.")
    console.print(
        f"Memory: {used['before'] / 1e9:.2f} GB with the scan open, at most {used['peak'] / 1e9:.2f} GB more while it "
        f"is read, {used['kept'] / 1e9:.2f} GB more kept."
    )
    if json_file:
        write_json(json_file, report)
