"""ScanNet in its original layout: `scans/sceneXXXX_XX/` with mesh, segments and aggregation."""

import csv
import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from inference_server.errors import UserError

from .formats import read_ply
from .scans import RawScan, Scan, build_scan

MESH = "_vh_clean_2.ply"
SEGMENTS = "_vh_clean_2.0.010000.segs.json"
AGGREGATIONS = (".aggregation.json", "_vh_clean.aggregation.json")
LABEL_TABLE = "scannetv2-labels.combined.tsv"


def find(path: Path) -> list[Path]:
    """Scene folders below a ScanNet root or its `scans` folder, or the one given; sorted; [] if none."""
    for folder in (path / "scans", path):
        scenes = sorted(mesh.parent for mesh in folder.glob(f"scene*/scene*{MESH}"))
        if scenes:
            return scenes
    return [path] if any(path.glob(f"scene*{MESH}")) else []


def read(folder: Path) -> Scan:
    """One scene: instance = objectId of the aggregation, -1 elsewhere; names by instance.

    Names are NYU40 classes where `scannetv2-labels.combined.tsv` lies beside the scenes or one folder above
    them (then `semantic` holds their numbers), else the annotators' words. Raises UserError if a file is
    missing or damaged, or if they do not belong together.
    """
    scene = folder.name
    raw = read_ply(_existing(folder, (f"{scene}{MESH}",)))
    try:
        segments = np.array(
            json.loads(_existing(folder, (f"{scene}{SEGMENTS}",)).read_text())["segIndices"], np.int64
        )
        groups = json.loads(_existing(folder, tuple(scene + ending for ending in AGGREGATIONS)).read_text())[
            "segGroups"
        ]
        members = {
            int(group["objectId"]): (str(group["label"]), np.array(group["segments"], np.int64))
            for group in groups
        }
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"The annotation of {scene} is damaged ({error!r}): copy it again.") from error
    if len(segments) != len(raw.positions):
        raise UserError(
            f"{scene} has {len(raw.positions)} vertices but segments for {len(segments)}: copy it again."
        )
    table = _label_table(folder)
    instance = np.full(len(segments), -1, np.int32)
    semantic = np.full(len(segments), -1, np.int32)
    names = {}
    for identity, (label, parts) in members.items():
        number, name = table.get(label, (-1, label))
        inside = np.isin(segments, parts)
        instance[inside], semantic[inside] = identity, number
        names[identity] = name
    return build_scan(RawScan(raw.positions, raw.colors, instance, semantic if table else None, names), scene)


def _existing(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise UserError(f"{folder} lacks {names[0]}: copy the whole scene folder.")


def _label_table(folder: Path) -> dict[str, tuple[int, str]]:
    for place in (folder.parent, folder.parent.parent):
        if (place / LABEL_TABLE).exists():
            return _read_table(place / LABEL_TABLE)
    return {}


@lru_cache(maxsize=4)
def _read_table(path: Path) -> dict[str, tuple[int, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines, delimiter="\t")
        return {row["raw_category"]: (int(row["nyu40id"] or -1), row["nyu40class"]) for row in rows}
