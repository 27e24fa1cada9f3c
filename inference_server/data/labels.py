"""Labels in and out: PLY, npz, ScanNet's segments and aggregation, SemanticKITTI's `.label`.

What of a `Labels` each format holds:

| | instances | overlaps | names | colours | semantic | positions |
|---|---|---|---|---|---|---|
| npz | yes | yes | yes | yes | yes | yes |
| PLY | yes | the upper one | in comments | in comments | yes | yes |
| ScanNet | yes | yes | yes | yes | no | in the mesh beside it |
| `.label` | yes | the upper one | beside it | beside it | yes | no |
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from inference_server.errors import UserError
from inference_server.files import replacing

from . import scannet, semantickitti
from .formats import open_npz
from .scans import Labels, RawScan, Report, Scan, build_scan, read_scan, silent, write_ply

LABEL = ".label"


def read_labels(path: str | Path, report: Report = silent) -> Labels:
    """The labels of a file: of any scan that has some, or of a file of labels only. Raises UserError."""
    path = Path(path)
    ending = next((ending for ending in scannet.AGGREGATIONS if path.name.endswith(ending)), None)
    if not path.is_file():
        raise UserError(f"There is no file at {path}.")
    if ending:
        labels = scannet.read_labels(path.parent, path.name.removesuffix(ending))
    elif path.suffix.lower() == LABEL:
        labels = semantickitti.read_labels(path)
    elif path.suffix.lower() == ".npz":
        labels = _npz_labels(path)
    else:
        labels = read_scan(path, report).labels
    if labels.instance is None:
        raise UserError(f"{path.name} has no instance labels: it needs an integer property 'instance'.")
    return labels


def _npz_labels(path: Path) -> Labels:
    arrays, names, palette = open_npz(path)
    some = arrays.get("positions", arrays.get("instance"))
    count = 0 if some is None or not some.ndim else len(some)
    # the checks of a scan, of which only the labels are wanted
    raw = RawScan(np.zeros((max(count, 1), 3), np.float32), None, arrays.get("instance"), arrays.get("semantic"), names)
    raw.palette, raw.overlaps = palette, arrays.get("overlaps")
    return build_scan(raw, path.stem, path.name).labels


def write_npz(path: str | Path, scan: Scan) -> None:
    """Write everything of a scan as a numpy archive (see `formats.read_npz`). Raises UserError."""
    more = {"positions": scan.positions, "offset": scan.offset, "colors": scan.colors, "faces": scan.faces}
    write_labels_npz(path, scan.labels, **more)


def write_labels_npz(path: str | Path, labels: Labels, **more: np.ndarray | None) -> None:
    """Write labels, and what else is given and not None, as a numpy archive. Raises UserError."""
    arrays = {**more, "instance": labels.instance, "semantic": labels.semantic, "overlaps": labels.overlaps}
    arrays = {key: values for key, values in arrays.items() if values is not None}
    text = json.dumps({"names": labels.names, "colors": labels.palette})
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, names=np.array(text), **arrays)


def write_scannet(path: str | Path, scan: Scan) -> None:
    """Write `SCENE.aggregation.json` to `path`, its segments beside it, and `SCENE_vh_clean_2.ply` where there
    is none yet. Raises UserError."""
    path = Path(path)
    scannet.write_labels(path, _labelled(scan))
    mesh = path.with_name(path.name.removesuffix(scannet.AGGREGATIONS[0]) + scannet.MESH)
    if not mesh.exists():
        write_ply(mesh, Scan(scan.positions, scan.colors, offset=scan.offset, faces=scan.faces))


def write_label(path: str | Path, scan: Scan) -> None:
    """Write a `.label` file (see `semantickitti.write_labels`). Raises UserError."""
    semantickitti.write_labels(Path(path), _labelled(scan))


def _labelled(scan: Scan) -> Labels:
    if scan.instance is None:
        raise UserError(f"{scan.name} has no instance labels: there is nothing to write.")
    return scan.labels


WRITERS: dict[str, Callable[[str | Path, Scan], None]] = {
    ".ply": write_ply,
    ".npz": write_npz,
    scannet.AGGREGATIONS[0]: write_scannet,
    LABEL: write_label,
}
"""Ending of the file's name -> writer."""


def write(path: str | Path, scan: Scan) -> None:
    """Write a scan in the format that the ending names. Raises UserError."""
    ending = next((ending for ending in WRITERS if Path(path).name.lower().endswith(ending)), None)
    if ending is None:
        raise UserError(f"{Path(path).name} has an ending that is not known here: give one of {' '.join(WRITERS)}.")
    WRITERS[ending](path, scan)
