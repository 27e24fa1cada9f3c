"""`benchmark seat`: what an artist in Blender's window waits for, timed in the main thread of a Blender without one.

A click's way through server and network is `benchmark click`'s; here only that counts which stops the window.
"""

import platform
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
from .click import LARGEST_IN_BLENDER, room
from .server import server

FEWEST = 500_000

TARGETS = {
    "hover": 0.016,
    "hover, new view": 0.060,
    "apply 300k": 0.120,
    "threshold step": 0.060,
    "first read": 1.0,
}
"""Seconds, at a million vertices, for the median."""

LONGEST_BLOCK = 0.200
"""Seconds, for the worst piece of all of these: nothing but the first read may hold the window up for longer."""

EXPLAINED = {
    "first read": "First read of the scan: positions, colours, voxel size",
    "first hover": "First move of the mouse over the scan",
    "hover, new view": "First move after a change of the view (50 changes)",
    "hover": "Move in an unchanged view",
    "apply 300k": "A mask of 300,000 vertices into group, attribute, list and overlay, with the undo step",
    "threshold step": "One step of the threshold slider",
    "clicking": "The press of a click; the first sends the scan",
    "mask arriving": "What polling for its mask and applying it does, in pieces",
    "growing": "Growing a mask after a hand edit: groups read, neighbours made in a thread, in pieces",
    "what is left": "Finding what is left, in pieces",
    "1000 objects: list": "Refreshing the list of 1,000 objects",
    "1000 objects: apply": "A mask of 1,000 vertices among them, with the undo step",
    "1000 objects: undo": "Undoing it",
}


def command(
    points: Annotated[int, typer.Option(min=FEWEST, max=LARGEST_IN_BLENDER, help="Vertices of the scan.")] = 1_000_000,
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda, mps.")] = "auto",
    blender: Annotated[Path | None, typer.Option(help="A Blender, or the Python of an environment with bpy.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """What stops the window, in a scan without faces: hovering, applying masks, the threshold, a thousand objects.

    By the wall and, since other programs hold the wall clock up, by the main thread's processor time.
    """
    console = Console()
    positions, colors, vertex = room(points)
    with tempfile.TemporaryDirectory(prefix="scanpick-benchmark-") as scratch, console.status("Measuring in Blender"):
        folder = Path(scratch)
        scan = folder / "scan.npz"
        np.savez(scan, positions=positions, colors=colors)
        with server(folder, device) as running:
            running.about()
            report = blender_half.run("inside_seat.py", blender, folder, scan, running.address, str(vertex))
    pieces = [row for name, row in report["figures"].items() if name != "first read"]
    report["longest block"] = {key: max(row[f"{key} worst"] for row in pieces) for key in ("wall", "processor")}
    report["longest block"]["target"] = LONGEST_BLOCK
    report |= {"points": points, "machine": platform.processor() or platform.machine(), "targets": TARGETS}
    _print(console, report)
    if json_file:
        write_json(json_file, report)


def _print(console: Console, report: dict) -> None:
    table = Table(title=f"{report['points']:,} vertices, Blender {report['blender']}, milliseconds in the main thread")
    table.add_column("what")
    for title in ("pieces", "wall", "worst", "processor", "worst", "target"):
        table.add_column(title, justify="right")
    figures = report["figures"]
    missing = figures.keys() ^ EXPLAINED.keys()
    if missing:
        raise UserError(f"The figures of the two halves do not match: {', '.join(sorted(missing))}.")
    for name, text in EXPLAINED.items():
        row = figures[name]
        times = [row[key] for key in ("wall", "wall worst", "processor", "processor worst")]
        target = TARGETS.get(name)
        table.add_row(
            text, f"{row['pieces']}", *(f"{t * 1000:.1f}" for t in times), f"{target * 1000:.0f}" if target else ""
        )
    console.print(table)
    longest = report["longest block"]
    console.print(
        f"Longest block but for the first read: {longest['wall'] * 1000:.0f} ms by the wall, "
        f"{longest['processor'] * 1000:.0f} ms of processor time; target {LONGEST_BLOCK * 1000:.0f} ms."
    )
    if not report["overlay buffers"]:
        console.print("This Blender has no graphics without a window: the overlay's buffers are not in these figures.")
