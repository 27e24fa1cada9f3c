"""The demo's sample room: a test-split room of CC0 models and procedural objects only, thinned to under 2 MB."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from inference_server.data.scans import Scan, write_ply

from .catalogue import Catalogue
from .plan import make_plan
from .rooms import GENERATOR_VERSION, SPLIT_SEED, fill, scan_room
from .scene import Scene
from .sensor import cell_keys, runs
from .shell import build_shell

VERTICES = 78_000


def sample_room(catalogue: Catalogue, seed: int, recipe: str = "living") -> tuple[Scan, dict]:
    """A small room with only CC0 models, without its ceiling, thinned evenly to VERTICES, and its description."""
    free = replace(catalogue, models=[m for m in catalogue.models if m.licence == "CC0-1.0"], _by_role={})
    rng = np.random.default_rng([SPLIT_SEED["test"], seed])
    plan = make_plan(rng.uniform(4.0, 4.7), rng.uniform(3.6, 4.3), 2.5, None)
    scene = Scene(free, "test", rng, 9000.0)
    fill(scene, plan, recipe)
    build_shell(scene, plan)
    scan = scan_room(scene, plan, np.random.default_rng([SPLIT_SEED["test"], seed, 1]))
    keys = scene.models
    ceiling = [k for k, name in scan.names.items() if name == "ceiling"]
    below = ~np.isin(scan.instance, ceiling)
    scan = replace(
        scan,
        positions=scan.positions[below],
        colors=scan.colors[below],
        instance=scan.instance[below],
        names={k: v for k, v in scan.names.items() if v != "ceiling"},
        name="sample-room",
    )
    cell, keep = 0.012, np.arange(len(scan))
    while len(keep) > VERTICES:
        cell *= 1.02
        order, start, _ = runs(cell_keys(scan.positions, cell, np.random.default_rng(seed)))
        keep = np.sort(order[start])
    thin = replace(scan, positions=scan.positions[keep], colors=scan.colors[keep], instance=scan.instance[keep])
    models = {m.key: m for m in free.models}
    listed = {
        key: {
            "name": models[key].name,
            "author": models[key].author,
            "licence": models[key].licence,
            "library": models[key].library,
            "instances": sorted(k for k, v in keys.items() if v == key),
        }
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
