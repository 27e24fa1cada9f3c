"""`benchmark click`: one click from the operator's call to the changed vertex group, stage by stage.

The add-on runs in a Blender without a window, the server in its own process with one torch thread, both as installed.
"""

import json
import platform
import statistics
import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from ..errors import UserError
from ..files import replacing
from ..wire.client import Click, Client, RequestError
from . import blender as blender_half

LARGEST_IN_BLENDER = 5_000_000
STAGES = ("network", "server rest", "wire", "Blender")


def command(
    points: Annotated[list[int], typer.Option(help="Vertices of the scan; may be given more than once.")] = [100_000],
    clicks: Annotated[int, typer.Option(min=1, help="Clicks to time; the median counts.")] = 7,
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda, mps.")] = "auto",
    weights: Annotated[str, typer.Option(help="Shipped name or file of weights.")] = "default",
    blender: Annotated[
        Path | None, typer.Option(help="A Blender, or the Python of an environment with bpy.")
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Time a click on an object of about 30 % of the scan's vertices in a region of about 15,000 voxels, warm, Object Mode.

    Scans of more than 5 million vertices are measured without Blender: server and wire only.
    """
    console = Console()
    rows = []
    with tempfile.TemporaryDirectory(prefix="scanpick-benchmark-") as scratch:
        for count in points:
            with console.status(f"Clicking in {count:,} vertices"):
                rows.append(measure(count, clicks, device, weights, blender, Path(scratch)))
    _print(console, rows)
    if json_file:
        report = {"machine": platform.processor() or platform.machine(), "threads": 1, "rows": rows}
        with replacing(json_file) as file:
            file.write_text(json.dumps(report, indent=2), encoding="utf-8")


def room(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, int]:
    """A made-up building of `count` points: float32 positions, uint8 colours, and the vertex to click on.

    At most 1 million points are the room that is clicked in, 5 m x 5 m: its floor (36 % of them, the object; the network finds most of it), two
    walls and boxes, some 15,000 voxels at 5 cm. The rest are rooms 10 m and farther away.
    """
    rng = np.random.default_rng(seed)
    here = min(count, 1_000_000)
    floor, walls = int(here * 0.36), int(here * 0.2)
    boxes = int(here * 0.1)
    parts = [
        _plane(rng, floor, (5, 0, 0), (0, 5, 0), (0, 0, 0)),
        _plane(rng, walls // 2, (5, 0, 0), (0, 0, 1.3), (0, 5, 0)),
        _plane(rng, walls - walls // 2, (0, 5, 0), (0, 0, 1.3), (5, 0, 0)),
    ]
    for x in (0.6, 3.4):
        parts.append(_plane(rng, boxes // 4, (0.9, 0, 0), (0, 0.9, 0), (x, 3.3, 0.75)))
        parts.append(_plane(rng, boxes // 4, (0.9, 0, 0), (0, 0, 0.75), (x, 3.3, 0)))
    left = count - sum(map(len, parts))
    while left > 0:
        part = min(left, 2_000_000)
        away = rng.integers(2, 12, 2) * 10.0
        parts.append(_plane(rng, part, (8, 0, 0), (0, 8, 0), (*away, 0)))
        left -= part
    positions = np.concatenate(parts).astype(np.float32)
    colors = np.full((count, 3), (205, 200, 190), dtype=np.uint8)
    colors[:floor] = (120, 85, 60)
    middle = int(np.argmin(np.linalg.norm(positions[:floor] - (2.5, 2.0, 0), axis=1)))
    return positions, colors, middle


def _plane(rng: np.random.Generator, count: int, u: tuple, v: tuple, origin: tuple) -> np.ndarray:
    spread = rng.random((count, 1)) * np.array(u) + rng.random((count, 1)) * np.array(v)
    return np.array(origin) + spread + rng.normal(0, 0.003, (count, 3))


def measure(count: int, clicks: int, device: str, weights: str, blender: Path | None, scratch: Path) -> dict:
    """Median seconds by stage of a click on a scan of `count` vertices. Raises UserError."""
    positions, colors, vertex = room(count)
    with blender_half.server(device, weights, scratch) as (address, about):
        if count > LARGEST_IN_BLENDER:
            runs = _without_blender(address, positions, colors, vertex, clicks)
        else:
            scan = scratch / f"scan_{count}.npz"
            np.savez(scan, positions=positions, colors=colors)
            runs = blender_half.run("inside_click.py", blender, scratch, scan, address, str(vertex), str(clicks))
    stages = [_stages(run) for run in runs]
    row = {"points": count, "mask": runs[-1]["mask"], "clicks": len(runs), **about}
    row["seconds"] = {
        stage: statistics.median(s[stage] for s in stages) if stages[0][stage] is not None else None
        for stage in (*STAGES, "all but the network", "total")
    }
    return row


def _stages(run: dict) -> dict[str, float | None]:
    in_blender = run["total"] - run["server"] - run["wire"] if run["total"] is not None else None
    whole = run["total"] if run["total"] is not None else run["server"] + run["wire"]
    return {
        "network": run["network"],
        "server rest": run["server"] - run["network"],
        "wire": run["wire"],
        "Blender": in_blender,
        "all but the network": whole - run["network"],
        "total": whole,
    }


def _without_blender(
    address: str, positions: np.ndarray, colors: np.ndarray, vertex: int, clicks: int
) -> list[dict]:
    client = Client(address)
    scene = client.put_scene(positions, colors)
    click = Click(tuple(map(float, positions[vertex])), True, vertex)
    runs = []
    try:
        for index in range(clicks + 1):
            request = client.predict(scene, f"object {index}", [click], voxel_size=0.05, probabilities=True)
            ready = client.wait(request, 600)
            runs.append({**ready.timing, "total": None, "mask": int(ready.mask.sum())})
    except (RequestError, TimeoutError) as error:
        raise UserError(str(error)) from error
    finally:
        client.close()
    return runs[1:]


def _print(console: Console, rows: list[dict]) -> None:
    titles = ("vertices", "mask", *STAGES, "all but the network", "total")
    table = Table(title="One click, milliseconds, medians, one torch thread")
    for title in titles:
        table.add_column(title, justify="right")
    for row in rows:
        seconds = [row["seconds"][stage] for stage in titles[2:]]
        table.add_row(
            f"{row['points']:,}", f"{row['mask']:,}", *("-" if s is None else f"{s * 1000:.0f}" for s in seconds)
        )
    console.print(table)
    console.print(f"Server: {rows[0]['device']}, {rows[0]['model']}, {rows[0]['engine']} engine.")
