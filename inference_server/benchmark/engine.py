"""`benchmark engine`: MinkUNet34C's forward and training step, ours beside MinkowskiEngine, in one run.

Every figure comes from a fresh process, so that peak memory is that measurement's own; engines take turns, so that
a change of the machine's speed meets all of them.
"""

import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..devices import choose_dtype
from ..files import write_json

try:
    import resource
except ImportError:  # Windows, which doesn't tell the peak this way
    resource = None

CONTENDERS = (("torch", "float32"), ("torch", "bfloat16"), ("minkowski", "float32"))


def command(
    voxels: Annotated[
        list[int] | None, typer.Option(help="Sizes to measure, default 20,000 and 60,000; may be given more than once.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Runs of each engine; the median counts.")] = 3,
    model: Annotated[str, typer.Option(help="Network to measure.")] = "MinkUNet34C",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here as well.")] = None,
) -> None:
    """Time and peak memory of a network's forward pass and training step, one torch thread.

    bfloat16 is measured where this processor multiplies it (AMX, AVX512-BF16); elsewhere it is emulated, and slow.
    """
    console = Console()
    contenders = CONTENDERS
    if choose_dtype(torch.device("cpu")) is not torch.bfloat16:
        contenders = [contender for contender in CONTENDERS if contender[1] != "bfloat16"]
        console.print("bfloat16 is left out: this processor has neither AMX nor AVX512-BF16.")
    jobs = [
        (size, mode, engine, dtype)
        for size in voxels or (20_000, 60_000)
        for mode in ("forward", "training step")
        for _ in range(repeats)
        for engine, dtype in contenders
    ]
    figures: dict[tuple, list[dict]] = {}
    skipped: dict[str, str] = {}
    for job in track(jobs, "Measuring", console=console):
        if job[2] in skipped:
            continue
        done = subprocess.run(
            [sys.executable, "-m", __spec__.name, json.dumps([model, *job])], capture_output=True, text=True
        )
        if done.returncode:
            skipped[job[2]] = (done.stderr.strip().splitlines() or ["it failed"])[-1]
            continue
        figures.setdefault(job, []).append(json.loads(done.stdout.splitlines()[-1]))
    rows = []
    for (size, mode, engine, dtype), runs in figures.items():
        rows.append(
            {
                "voxels": size,
                "mode": mode,
                "engine": engine,
                "dtype": dtype,
                "seconds": statistics.median(run["seconds"] for run in runs),
                "peak_mb": statistics.median(run["peak_mb"] for run in runs) if resource else None,
            }
        )
    for row in rows:
        reference = [
            r for r in rows if (r["voxels"], r["mode"], r["engine"]) == (row["voxels"], row["mode"], "minkowski")
        ]
        row["time_ratio"] = row["seconds"] / reference[0]["seconds"] if reference else None
        row["memory_ratio"] = row["peak_mb"] / reference[0]["peak_mb"] if reference and resource else None
    _print(console, model, rows)
    for engine, reason in skipped.items():
        console.print(f"Left out: {engine} ({reason})")
    if json_file:
        report = {"model": model, "machine": platform.processor(), "rows": rows, "left_out": skipped}
        write_json(json_file, report)


def _print(console: Console, model: str, rows: list[dict]) -> None:
    table = Table(title=f"{model}, kernel maps included, one thread, medians")
    for title in ("voxels", "mode", "engine", "seconds", "peak MB", "time / ME", "memory / ME"):
        table.add_column(title, justify="right")
    for row in rows:
        ratios = [f"{row[key]:.2f}" if row[key] else "-" for key in ("time_ratio", "memory_ratio")]
        table.add_row(
            f"{row['voxels']:,}",
            row["mode"],
            f"{row['engine']} {row['dtype']}",
            f"{row['seconds']:.2f}",
            f"{row['peak_mb']:.0f}" if row["peak_mb"] else "-",
            *ratios,
        )
    console.print(table)


def surface_points(voxels: int, voxel_size: float = 0.05, seed: int = 0) -> np.ndarray:
    """Voxel centres (voxels, 3) float32 of a made-up room: floor, two walls and boxes, as scans are occupied."""
    rng = np.random.default_rng(seed)
    edge = int(np.sqrt(voxels / 2.2))
    floor = np.stack(np.meshgrid(np.arange(edge), np.arange(edge), [0], indexing="ij"), -1).reshape(-1, 3)
    height = max(edge // 3, 4)
    wall = np.stack(np.meshgrid(np.arange(edge), [0], np.arange(height), indexing="ij"), -1).reshape(-1, 3)
    cells = [floor, wall, wall[:, [1, 0, 2]]]
    while sum(map(len, cells)) < voxels * 1.1:
        size = rng.integers(4, 18, 3)
        box = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1).reshape(-1, 3)
        shell = box[((box == 0) | (box == size - 1)).any(1)]
        cells.append(shell + [*rng.integers(1, max(edge - 18, 2), 2), rng.integers(1, height)])
    unique = np.unique(np.concatenate(cells), axis=0)
    kept = np.sort(rng.permutation(len(unique))[:voxels])
    return ((unique[kept] + 0.5) * voxel_size).astype(np.float32)


def measure(model: str, voxels: int, mode: str, engine: str, dtype: str) -> dict[str, float | None]:
    """Seconds of the second of two runs and this process's peak resident memory in MB, None where it isn't told."""
    from ..models.points import Points
    from ..models.registry import ModelConfig, build_model

    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build_model(ModelConfig(model, "rgb"), engine)
    number = getattr(torch, dtype)
    xyz = torch.from_numpy(surface_points(voxels))
    features = torch.rand(voxels, 5).to(number)
    network.train(mode != "forward")

    def run() -> None:
        if mode == "forward":
            with torch.inference_mode():
                network(Points(xyz), features)
        else:
            network.zero_grad()
            network(Points(xyz), features).square().mean().backward()

    run()
    started = time.perf_counter()
    run()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_mb": _peak_memory()}


def _peak_memory() -> float | None:
    if resource is None:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == "__main__":
    print(json.dumps(measure(*json.loads(sys.argv[1]))))
