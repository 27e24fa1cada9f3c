"""The demo's sample room: a test-split room of CC0 models and procedural objects only, thinned to under 2 MB."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from inference_server.data.scans import Scan, write_ply

from .catalogue import Catalogue
from .rooms import GENERATOR_VERSION, simulate_room
from .sensor import cell_keys, runs

VERTICES = 78_000


def sample_room(catalogue: Catalogue, seed: int) -> tuple[Scan, dict]:
    """The room of a seed with only CC0 models, thinned evenly to VERTICES, and its description for people."""
    free = replace(catalogue, models=[m for m in catalogue.models if m.licence == "CC0-1.0"], _by_role={})
    scan, keys = simulate_room(free, "test", seed)
    cell, keep = 0.015, np.arange(len(scan))
    while len(keep) > VERTICES:
        cell *= 1.04
        order, start, _ = runs(cell_keys(scan.positions, cell, np.random.default_rng(seed)))
        keep = np.sort(order[start])
    thin = replace(scan, positions=scan.positions[keep], colors=scan.colors[keep], instance=scan.instance[keep])
    models = {m.key: m for m in free.models}
    listed = {
        key: {"name": models[key].name, "author": models[key].author, "licence": models[key].licence,
              "library": models[key].library, "instances": sorted(k for k, v in keys.items() if v == key)}
        for key in sorted(set(keys.values()))
    }
    return thin, {
        "about": "Simulated room scan. Furniture models are CC0; everything else is procedural.",
        "licence": "CC0-1.0",
        "generator_version": GENERATOR_VERSION,
        "split": "test",
        "seed": seed,
        "vertices": len(thin),
        "names": {str(k): v for k, v in sorted(thin.names.items())},
        "models": listed,
    }


def write_sample(catalogue: Catalogue, seed: int, folder: Path) -> None:
    """Write `sample_room.ply` (x y z red green blue instance) and `sample_room.json` into a folder."""
    scan, description = sample_room(catalogue, seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_ply(folder / "sample_room.ply", scan)
    text = json.dumps(description, indent=1, ensure_ascii=False)
    (folder / "sample_room.json").write_text(text + "\n", encoding="utf-8")
