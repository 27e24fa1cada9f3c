"""`python -m inference_server importance`: measure which weights online adaptation must hold back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track

from ..adaptation import Example
from ..evaluation.objects import choose_objects
from ..evaluation.sources import SceneSource, find_scenes
from ..importance import measure, write_importance
from ..models.checkpoints import find_weights
from ..predictor import Predictor
from ..simulation import initial_clicks

MOST_POSITIVE, MOST_NEGATIVE = 4, 8
"""Clicks of a sample: 1 to 4 on the object and 0 to 8 around it."""


def command(
    weights: Annotated[str, typer.Argument(help="Shipped name or file of weights.")],
    paths: Annotated[list[Path], typer.Argument(help="Scans with 'instance' labels, like those of training.")],
    objects: Annotated[int, typer.Option(min=1, help="Objects of each scan, drawn at random.")] = 8,
    voxel_size: Annotated[float, typer.Option(help="Working resolution in metres.")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, help="Of the drawing of objects and clicks.")] = 0,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | mps")] = "auto",
) -> None:
    """Measure how much each weight matters on scans that the network knows, for `--adapt`.

    The result, NAME.importance beside the weights, takes half a byte per weight and belongs to these weights alone.
    """
    file = find_weights(weights)
    predictor = Predictor(file, device, dtype="float32")
    console = Console(highlight=False, soft_wrap=True)
    rng = np.random.default_rng(seed)
    sources = track(find_scenes(paths), "Measuring scans", console=console)
    samples = (sample for source in sources for sample in _samples(predictor, source, objects, voxel_size, rng))
    path = write_importance(file, measure(predictor.model, samples))
    console.print(f"Importance: {path} ({path.stat().st_size / 1e6:.1f} MB)")


def _samples(
    predictor: Predictor, source: SceneSource, objects: int, voxel_size: float, rng: np.random.Generator
) -> Iterator[Example]:
    scan = source.load()
    there = choose_objects(scan)
    scene = predictor.prepare(scan.positions, scan.colors, voxel_size)
    for identity in rng.choice(there, min(objects, len(there)), replace=False):
        counts = int(rng.integers(1, MOST_POSITIVE + 1)), int(rng.integers(0, MOST_NEGATIVE + 1))
        clicks = initial_clicks(scan.positions, scan.instance == identity, rng, *counts)
        yield predictor.example(scene, clicks)
