"""`benchmark click`: one click from the operator's call to the changed vertex group, stage by stage.

The add-on runs in a Blender without a window, the server in its own process with one torch thread, both as installed.

Stages of the server: queue (waiting for a worker), prepare (finding the sorted scan), region (finding the region's
voxels), network, refinement (the minimum cut), vertices (labels back to every vertex), packing, and what is left of its
time (other). Wire is the way there and back with the client's own part, Blender everything before and after that.
"""

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
from ..files import write_json
from ..wire.client import Click, Client, RequestError
from . import blender as blender_half
from .server import server

LARGEST_IN_BLENDER = 5_000_000
SERVER_STAGES = ("queue", "prepare", "region", "network", "refinement", "vertices", "packing", "other")
STAGES = (*SERVER_STAGES, "server rest", "wire", "Blender", "all but the network", "total")
PAPERS_SECONDS = 0.06
"""From click to mask on a Titan RTX (Kontogianni et al., Interactive Object Segmentation in 3D Point Clouds, 2023)."""


def command(
    points: Annotated[
        list[int] | None, typer.Option(help="Vertices of the scan, default 100,000; several sizes may follow.")
    ] = None,
    more_points: Annotated[list[int] | None, typer.Argument(hidden=True)] = None,
    clicks: Annotated[int, typer.Option(min=1, help="Clicks to time; the median counts.")] = 7,
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda, mps.")] = "auto",
    weights: Annotated[str, typer.Option(help="Shipped name or file of weights.")] = "default",
    blender: Annotated[Path | None, typer.Option(help="A Blender, or the Python of an environment with bpy.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Time a click on an object of about 30 % of the scan's vertices, at most 300,000.

    The region has about 15,000 voxels; warm, Object Mode. Scans of more than 5 million vertices are measured without
    Blender: server and wire only.
    """
    console = Console()
    with tempfile.TemporaryDirectory(prefix="scanpick-benchmark-") as scratch, console.status("Clicking"):
        rows = measure([*(points or [100_000]), *(more_points or [])], clicks, device, weights, blender, Path(scratch))
    _print(console, rows)
    if json_file:
        report = {"machine": platform.processor() or platform.machine(), "threads": 1, "rows": rows}
        write_json(json_file, report)


def room(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, int]:
    """A made-up building of `count` points: float32 positions, uint8 colours, and the vertex to click on.

    At most 1 million points are the room that is clicked in, 5 m x 5 m: its floor (30 % of them, the object; the
    network finds about that many), two walls and boxes, some 15,000 voxels at 5 cm. The rest are rooms 10 m and
    farther away.
    """
    rng = np.random.default_rng(seed)
    here = min(count, 1_000_000)
    floor, walls = int(here * 0.3), int(here * 0.15)
    boxes = int(here * 0.1)
    parts = [
        _plane(rng, floor, (5, 0, 0), (0, 5, 0), (0, 0, 0)),
        _plane(rng, walls // 2, (5, 0, 0), (0, 0, 1.3), (0, 5, 0)),
        _plane(rng, walls - walls // 2, (0, 5, 0), (0, 0, 1.3), (5, 0, 0)),
    ]
    for x in (0.6, 3.4):
        parts.append(_plane(rng, boxes // 4, (0.9, 0, 0), (0, 0.9, 0), (x, 3.3, 0.75)))
        parts.append(_plane(rng, boxes // 4, (0.9, 0, 0), (0, 0, 0.75), (x, 3.3, 0)))
    # in the middle of the voxels: noise must not make two layers of one surface
    parts = [part + 0.025 for part in parts]
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


def measure(
    sizes: list[int], clicks: int, device: str, weights: str, blender: Path | None, scratch: Path
) -> list[dict]:
    """Median seconds by stage of a click, a row for each size of a scan. Raises UserError.

    All sizes are clicked in turn on one server, so that a change of the machine's speed meets all of them alike.
    """
    scans = [room(size) for size in sizes]
    with server(scratch, device, weights) as running:
        address, about = running.address, running.about()
        runs = _without_blender(address, scans, clicks)
        rows = [_row(scan, found, about) for scan, found in zip(scans, runs, strict=True)]
        for scan, row in zip(scans, rows, strict=True):
            if row["points"] <= LARGEST_IN_BLENDER:
                in_blender = [
                    run["total"] - run["server"] - run["wire"]
                    for run in _in_blender(address, scan, clicks, blender, scratch)
                ]
                row["seconds"]["Blender"] = statistics.median(in_blender)
                row["seconds"]["all but the network"] += row["seconds"]["Blender"]
                row["seconds"]["total"] += row["seconds"]["Blender"]
    return rows


def _row(scan: tuple[np.ndarray, np.ndarray, int], runs: list[dict], about: dict[str, str]) -> dict:
    positions = scan[0]
    inside = positions[(positions < 6).all(1)]
    voxels = len(np.unique(np.floor(inside / 0.05).astype(np.int32), axis=0))
    row = {"points": len(positions), "voxels": voxels, "mask": runs[-1]["mask"], "clicks": len(runs), **about}
    stages = [_stages(run) for run in runs]
    row["seconds"] = {stage: statistics.median(run[stage] for run in stages) for stage in stages[0]}
    row["seconds"]["Blender"] = None
    return row


def _stages(run: dict) -> dict[str, float]:
    named = {stage: run.get(stage, 0.0) for stage in SERVER_STAGES}
    rest = run["server"] - run["network"]
    return {
        **named,
        "other": run["server"] - sum(named.values()),
        "server rest": rest,
        "wire": run["wire"],
        "all but the network": rest + run["wire"],
        "total": run["server"] + run["wire"],
    }


def _without_blender(address: str, scans: list[tuple[np.ndarray, np.ndarray, int]], clicks: int) -> list[list[dict]]:
    client = Client(address)
    runs: list[list[dict]] = [[] for _ in scans]
    try:
        scenes = [client.put_scene(positions, colors) for positions, colors, _ in scans]
        for index in range(clicks + 1):
            for (positions, _, vertex), scene, found in zip(scans, scenes, runs, strict=True):
                click = Click(tuple(map(float, positions[vertex])), True, vertex)
                request = client.predict(scene, f"object {index}", [click], voxel_size=0.05, probabilities=True)
                ready = client.wait(request, 600)
                found.append({**ready.timing, "mask": int(ready.mask.sum())})
    except (RequestError, TimeoutError) as error:
        raise UserError(str(error)) from error
    finally:
        client.close()
    # the first one sends and sorts the scan
    return [found[1:] for found in runs]


def _in_blender(
    address: str, scan: tuple[np.ndarray, np.ndarray, int], clicks: int, blender: Path | None, scratch: Path
) -> list[dict]:
    positions, colors, vertex = scan
    file = scratch / "scan.npz"
    np.savez(file, positions=positions, colors=colors)
    return blender_half.run("inside_click.py", blender, scratch, file, address, str(vertex), str(clicks))


def _print(console: Console, rows: list[dict]) -> None:
    table = Table(title="One click, milliseconds, medians, one torch thread")
    table.add_column("vertices")
    for row in rows:
        table.add_column(f"{row['points']:,}", justify="right")
    for title in ("voxels", "mask"):
        table.add_row(title, *(f"{row[title]:,}" for row in rows))
    for stage in STAGES:
        seconds = [row["seconds"][stage] for row in rows]
        table.add_row(stage, *("-" if s is None else f"{s * 1000:.1f}" for s in seconds))
    console.print(table)
    console.print(f"Server: {rows[0]['device']}, {rows[0]['model']}, {rows[0]['engine']} engine.")
    if rows[0]["device"] != "cpu":
        console.print(f"The paper's figure, from click to mask on a Titan RTX: {PAPERS_SECONDS * 1000:.0f} ms.")
