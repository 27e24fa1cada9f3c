"""ScanNet in its original layout: `scans/sceneXXXX_XX/` with mesh, segments and aggregation."""

import csv
import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from inference_server.errors import UserError
from inference_server.files import replacing

from .formats import read_ply
from .scans import Labels, Scan, build_scan

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
    them (then `semantic` holds their numbers), else the annotators' words; for a scene that is a link,
    it may lie beside the link or beside its target. Raises UserError if a file is missing or damaged, or if they do not
    belong together.
    """
    meshes = sorted(folder.glob(f"scene*{MESH}"))
    scene = meshes[0].name.removesuffix(MESH) if meshes else folder.name
    raw = read_ply(_existing(folder, (f"{scene}{MESH}",)))
    labels = read_labels(folder, scene)
    if len(labels.instance) != len(raw.positions):
        raise UserError(
            f"{scene} has {len(raw.positions)} vertices but segments for {len(labels.instance)}: copy it again."
        )
    raw.instance, raw.semantic, raw.names = labels.instance, labels.semantic, labels.names
    raw.palette, raw.overlaps = labels.palette, labels.overlaps
    return build_scan(raw, scene)


def read_labels(folder: Path, scene: str) -> Labels:
    """Segments and aggregation of `scene` in `folder`; a segment of several groups makes them overlap.

    Raises UserError if a file is missing or damaged.
    """
    try:
        segments = np.array(
            json.loads(_existing(folder, (f"{scene}{SEGMENTS}",)).read_text(encoding="utf-8"))["segIndices"], np.int64
        )
        found = _existing(folder, tuple(scene + ending for ending in AGGREGATIONS))
        content = json.loads(found.read_text(encoding="utf-8"))
        if not str(content.get("segmentsFile", SEGMENTS)).endswith(SEGMENTS):
            raise UserError(f"{found.name} is of another mesh than {scene}{MESH}: copy {scene}{AGGREGATIONS[0]}.")
        groups = [
            (int(group["objectId"]), str(group["label"]), np.array(group["segments"], np.int64), group.get("color"))
            for group in content["segGroups"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The annotation of {scene} is damaged ({error!r}): copy it again.") from error
    file = label_table(folder)
    table = {} if file is None else _read_table(file)
    instance = np.full(len(segments), -1, np.int32)
    semantic = np.full(len(segments), -1, np.int32)
    labels = Labels(instance, semantic if table else None)
    for identity, label, _, color in groups:
        labels.names[identity] = table.get(label, (-1, label))[1]
        if color is not None:
            labels.palette[identity] = tuple(int(channel) for channel in color)
    pairs = []
    for identity, label, parts, _ in reversed(groups):  # the first of the list shows
        inside = np.flatnonzero(np.isin(segments, parts))
        taken = inside[instance[inside] >= 0]
        pairs.append(np.stack([taken, instance[taken]], 1))
        instance[inside], semantic[inside] = identity, table.get(label, (-1,))[0]
    whole = np.concatenate(pairs) if pairs else np.empty((0, 2), np.int64)
    labels.overlaps = whole.astype(np.int64) if len(whole) else None
    return labels


def write_labels(path: Path, labels: Labels) -> None:
    """Write `SCENE.aggregation.json` to `path` and `SCENE_vh_clean_2.0.010000.segs.json` beside it.

    A segment is what belongs to the same objects. Raises UserError.
    """
    scene = path.name.removesuffix(AGGREGATIONS[0])
    segments = labels.instance.astype(np.int64)
    members: dict[int, list[int]] = {identity: [] for identity in labels.identities()}
    for identity in np.unique(segments[segments >= 0]).tolist():
        members[identity].append(identity)
    segments[segments < 0] = free = max(members, default=0) + 1
    if labels.overlaps is not None:
        order = np.lexsort((labels.overlaps[:, 1], labels.overlaps[:, 0]))
        vertices, starts = np.unique(labels.overlaps[order, 0], return_index=True)
        parts: dict[tuple[int, ...], int] = {}
        for vertex, others in zip(vertices.tolist(), np.split(labels.overlaps[order, 1], starts[1:]), strict=True):
            key = (int(segments[vertex]), *others.tolist())
            if key not in parts:
                parts[key] = free + 1 + len(parts)
                for identity in key:
                    if identity != free:
                        members[identity].append(parts[key])
            segments[vertex] = parts[key]
    groups = []
    for place, (identity, own) in enumerate(members.items()):
        name = labels.names.get(identity, "object")
        groups.append({"id": place, "objectId": identity, "segments": own, "label": name})
        if identity in labels.palette:
            groups[-1]["color"] = list(labels.palette[identity])
    about = {"sceneId": f"scannet.{scene}", "appId": "Aggregator.v2", "segGroups": groups}
    about["segmentsFile"] = f"scannet.{scene}{SEGMENTS}"
    for file, content in (
        (path.with_name(scene + SEGMENTS), {"params": {}, "sceneId": scene, "segIndices": segments.tolist()}),
        (path, about),
    ):
        with replacing(file) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")


def _existing(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise UserError(f"{folder} lacks {names[0]}: copy the whole scene folder.")


def label_table(folder: Path) -> Path | None:
    """The table of class names for a scene's folder, None where there is none."""
    beside = [place / LABEL_TABLE for own in (folder, folder.resolve()) for place in own.parents[:2]]
    return next((table for table in beside if table.exists()), None)


@lru_cache(maxsize=4)
def _read_table(path: Path) -> dict[str, tuple[int, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines, delimiter="\t", restval="")
            table = {row["raw_category"]: (int(row["nyu40id"] or -1), row["nyu40class"]) for row in rows}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise UserError(f"{path} is damaged ({error!r}): copy it again from the data set.") from error
    if not table:
        raise UserError(f"{path} has no line with a class: copy it again from the data set.")
    return table
