"""`python -m inference_server train CONFIG`: train a network on simulated scans, with live progress and curves."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from ..errors import UserError
from ..files import make_folder, replacing, sha256_of
from ..models.checkpoints import find_weights, load_model, read_weights
from ..models.registry import ModelConfig, build_model
from .config import read_config
from .initialise import adapt_state
from .loop import Trainer
from .processes import join, leave

DRAW_SECONDS = 60


def command(
    config: Annotated[Path, typer.Argument(help="TOML file; see inference_server/training/configs.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoint, weights, log and curves.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    init: Annotated[
        str, typer.Option(help="Weights to start from; the first and the last layer are widened or replaced.")
    ] = "",
    threads: Annotated[int, typer.Option(min=1, help="Torch threads on a CPU.")] = 1,
    workers: Annotated[
        int,
        typer.Option(
            help="Processes that cut crops and click on them; -1: one for each group of a step, a core is left."
        ),
    ] = -1,
) -> None:
    """Train a network; started again with the same --out it goes on where it stopped.

    On several GPUs: torchrun --nproc-per-node N -m inference_server train ...
    """
    torch.set_num_threads(threads)
    settings = read_config(config)
    state, origin = None, ""
    if init:
        path = find_weights(init)
        origin = sha256_of(path)
        old_state, old_model = read_weights(path, start_of=settings.model.inputs)
        fresh = build_model(settings.model).state_dict()
        state = adapt_state(old_state, old_model.inputs, fresh, settings.model.inputs, path)
    teacher = _teacher(settings.teacher, settings.model) if settings.teacher else None
    make_folder(out)
    place = join()
    if workers < 0:
        workers = max(1, min(os.cpu_count() - 1, settings.batch) // place.world)
    trainer = Trainer(settings, out, device, state, workers, place, teacher, origin)
    if place.leads:
        _run(trainer, out)
    else:
        trainer.run(lambda *_: None)
    leave(place)


def _teacher(weights: str, student: ModelConfig) -> nn.Module:
    model, config = load_model(weights)
    if config.inputs != student.inputs:
        raise UserError(
            f"The weights '{weights}' take the inputs '{config.inputs}', the network of the config '{student.inputs}'; "
            "a teacher has to take the same."
        )
    return model


def _run(trainer: Trainer, out: Path) -> None:
    """Run to the end, with progress, log and curves."""
    settings, console = trainer.config, Console()
    console.print(f"{settings.model.name} ({settings.model.inputs}) on {trainer.device}, {trainer.dtype}")
    latest = TextColumn("{task.fields[now]}")
    columns = [TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), latest]
    log = out / "log.jsonl"
    _forget(log, trainer.step)
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("train", total=settings.last_step, completed=trainer.step, now="")
        smooth: dict[str, float] = {}
        drawn = time.monotonic()

        def report(step: int, figures: dict[str, float]) -> None:
            nonlocal drawn
            if not figures:
                progress.update(task, completed=step)
                return
            for key, value in figures.items():
                smooth[key] = smooth.get(key, value) * 0.95 + value * 0.05
            _append(log, {"step": step, "seconds": round(trainer.seconds, 1), **figures})
            now = "  ".join(f"{key} {value:.3f}" for key, value in sorted(smooth.items()))
            progress.update(task, completed=step, now=now)
            if time.monotonic() - drawn > DRAW_SECONDS:
                draw_curves(log, out / "curves.png")
                drawn = time.monotonic()

        try:
            trainer.run(report)
        except KeyboardInterrupt:
            console.print(f"Stopped: the same command goes on from the last checkpoint, at step {trainer.saved}.")
            raise
    draw_curves(log, out / "curves.png")
    console.print(f"Weights: {out / 'weights.safetensors'}")


def _append(log: Path, row: dict[str, float]) -> None:
    """Add a row to the log. Raises UserError if the disk is full."""
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        raise UserError(
            f"Cannot write {log}: {error.strerror or error}. Free some space and run it again: it goes on where it "
            "stopped."
        ) from error


def _rows(log: Path) -> list[dict[str, float]]:
    """The rows of a log, but for lines that are damaged or cut short."""
    rows = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                rows.append(row)
    return rows


def _forget(log: Path, step: int) -> None:
    """Drop what was logged after the checkpoint that the run goes on from: it is trained, and logged, once more."""
    if log.exists():
        kept = [json.dumps(row) + "\n" for row in _rows(log) if row["step"] <= step]
        with replacing(log) as file:
            file.write_text("".join(kept), encoding="utf-8")


def draw_curves(log: Path, picture: Path) -> None:
    """Draw loss and IoU over steps from a run's log."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = _rows(log)
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), constrained_layout=True)
    for axis, keys in ((axes[0], ["loss"]), (axes[1], ["iou@1", "iou@3", "iou@5"])):
        for key in keys:
            points = [(row["step"], row[key]) for row in rows if key in row]
            size = max(1, len(points) // 60)
            bins = [points[i : i + size] for i in range(0, len(points), size)]
            steps = [sum(p[0] for p in b) / len(b) for b in bins]
            axis.plot(steps, [sum(p[1] for p in b) / len(b) for b in bins], label=key)
        axis.set_xlabel("step")
        axis.legend()
        axis.grid(alpha=0.3)
    with replacing(picture) as file:
        figure.savefig(file, dpi=90)
    pyplot.close(figure)
