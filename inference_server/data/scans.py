"""Scans in memory and on disk: the `Scan` that everything here works on, `read_scan`, `write_ply`.

The parsers of the single file formats are in `formats.py`; here is what holds for all of them: positions near
the origin in float32 with the rest in a float64 offset, byte colours, int32 labels, and the checks.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inference_server.errors import UserError
from inference_server.files import replacing

Color = tuple[int, int, int]
Report = Callable[[float], None]

STRUCTURE = frozenset({"floor", "wall", "ceiling"})
"""Classes that are a room and not things in it."""
FAR = 1e4
"""Metres from the origin beyond which float32 positions get coarser than a millimetre and are moved."""
FARTHEST = 32768.0
"""Metres up to which float32 positions are no more than a millimetre off."""


@dataclass
class Labels:
    """What is said about the points of a scan.

    instance and semantic: (N,) int32 or None, -1 = unlabelled; names: class name by instance (or {});
    palette: display colour by instance, sRGB bytes; overlaps: (M, 2) int64 or None, vertex and instance of
    every membership that `instance` cannot tell, since the vertex is another's there.
    """

    instance: np.ndarray | None = None
    semantic: np.ndarray | None = None
    names: dict[int, str] = field(default_factory=dict)
    palette: dict[int, Color] = field(default_factory=dict)
    overlaps: np.ndarray | None = None

    def identities(self) -> list[int]:
        """All instances, named ones without points as well: the named in their order, then the rest."""
        here = np.empty(0, np.int64) if self.instance is None else self.instance[self.instance >= 0]
        if self.overlaps is not None:
            here = np.append(here, self.overlaps[:, 1])
        return [*self.names, *(identity for identity in np.unique(here).tolist() if identity not in self.names)]


@dataclass
class Scan:
    """One scan in metres, z up.

    positions: (N, 3) float32; colors: (N, 3) uint8 or None; instance, semantic, names, palette, overlaps: see
    `Labels`; name: what to call the scan in tables; offset: (3,) float64 in metres, to be added to positions
    for the coordinates of the file; faces: (F, 3) int32 triangles or None.
    """

    positions: np.ndarray
    colors: np.ndarray | None = None
    instance: np.ndarray | None = None
    semantic: np.ndarray | None = None
    names: dict[int, str] = field(default_factory=dict)
    name: str = "scan"
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    palette: dict[int, Color] = field(default_factory=dict)
    overlaps: np.ndarray | None = None
    faces: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def labels(self) -> Labels:
        """What is said about its points."""
        return Labels(self.instance, self.semantic, self.names, self.palette, self.overlaps)


@dataclass
class RawScan:
    """What a parser found, in the file's own types; `build_scan` checks and converts it."""

    positions: np.ndarray
    colors: np.ndarray | None = None
    instance: np.ndarray | None = None
    semantic: np.ndarray | None = None
    names: dict[int, str] = field(default_factory=dict)
    offset: np.ndarray | None = None
    palette: dict[int, Color] = field(default_factory=dict)
    overlaps: np.ndarray | None = None
    faces: np.ndarray | None = None


def silent(share: float) -> None:
    """The progress report of callers that want none."""


def read_scan(path: str | Path, report: Report = silent) -> Scan:
    """Read a scan by its file name extension (see `formats.READERS`).

    report: called with the share that is read, 0..1, by the readers of formats that come in pieces.

    Raises UserError if the file is missing, of an unknown format, damaged, without vertices, with NaN or
    infinite coordinates, or with labels that are no int32 numbers.
    """
    from .formats import READERS

    path = Path(path)
    reader: Callable[[Path, Report], RawScan] | None = READERS.get(path.suffix.lower())
    if path.is_dir() or not path.exists():
        raise UserError(f"There is no scan file at {path}.")
    if reader is None:
        known = " ".join(sorted(READERS))
        raise UserError(f"{path.name} has a format that is not known here: give one of {known}.")
    try:
        raw = reader(path, report)
    except PermissionError as error:
        raise UserError(f"{path} may not be read: change its permissions.") from error
    return build_scan(raw, path.stem, source=path.name)


def build_scan(raw: RawScan, name: str, source: str | None = None) -> Scan:
    """Check and convert a parser's arrays into a Scan; `source` names the file in errors (default `name`)."""
    source = source or name
    positions = _numbers(raw.positions, 3, "positions", source)
    if not len(positions):
        raise UserError(f"{source} has no vertices.")
    bad = np.flatnonzero(~np.isfinite(positions).all(1))
    if len(bad):
        raise UserError(
            f"{source} has {len(bad)} of {len(positions)} vertices with NaN or infinite coordinates "
            f"(the first is vertex {bad[0]}): delete them and read it again."
        )
    positions, offset = split_offset(positions, source)
    if raw.offset is not None:
        offset = offset + _numbers(np.atleast_2d(raw.offset), 3, "an offset", source)[0].astype(np.float64)
        if not np.isfinite(offset).all():
            raise UserError(f"{source} has an offset that is NaN or infinite: the file is damaged.")
    count = len(positions)
    scan = Scan(
        positions=positions,
        colors=byte_colors(raw.colors, source),
        instance=int32_labels(raw.instance, "instance", source),
        semantic=int32_labels(raw.semantic, "semantic", source),
        names={int(key): str(value) for key, value in raw.names.items()},
        name=name,
        offset=offset,
        palette={int(key): tuple(int(c) for c in color) for key, color in raw.palette.items()},
        overlaps=_pairs(raw.overlaps, count, source),
        faces=_faces(raw.faces, count, source),
    )
    for label in ("colors", "instance", "semantic"):
        values = getattr(scan, label)
        if values is not None and len(values) != count:
            raise UserError(f"{source} has {count} positions but {len(values)} {label}: the file is damaged.")
    return scan


def _numbers(array: np.ndarray, width: int, what: str, source: str) -> np.ndarray:
    """An array as numbers (N, width). Raises UserError where it is none."""
    array = np.asarray(array)
    if array.ndim != 2 or array.shape[1] != width or array.dtype.kind not in "buif":
        raise UserError(
            f"{source} has {what} of shape {array.shape} and type {array.dtype}; N x {width} numbers are needed."
        )
    return array


def _pairs(overlaps: np.ndarray | None, count: int, source: str) -> np.ndarray | None:
    if overlaps is None or not len(overlaps):
        return None
    pairs = _numbers(overlaps, 2, "overlaps", source).astype(np.int64)
    if pairs.min() < 0 or pairs[:, 0].max() >= count:
        raise UserError(f"{source} has overlaps at vertices that it does not have: the file is damaged.")
    return pairs


def _faces(faces: np.ndarray | None, count: int, source: str) -> np.ndarray | None:
    if faces is None:
        return None
    faces = _numbers(faces, 3, "faces", source)
    if not len(faces):
        return None
    if not (faces.min() >= 0 and faces.max() < count):
        raise UserError(f"{source} has faces between vertices that it does not have: the file is damaged.")
    return faces.astype(np.int32)


def split_offset(positions: np.ndarray, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 3) as float32 near the origin and the float64 offset (3,) that was taken away.

    The offset is zero but along axes whose median lies beyond FAR: there the median, in whole metres, whatever stray
    vertices there are. Raises UserError where float32 cannot hold the positions, or most of them not to a millimetre.
    """
    largest = np.abs(positions).max(0)
    offset = np.zeros(3)
    for axis in np.flatnonzero(largest > FAR):
        middle = float(np.partition(positions[:, axis], (len(positions) - 1) // 2)[(len(positions) - 1) // 2])
        offset[axis] = np.floor(middle) if abs(middle) > FAR else 0.0
    if offset.any():
        positions = positions.astype(np.float64) - offset
    with np.errstate(over="ignore"):  # what is too large is told below
        near = np.ascontiguousarray(positions, np.float32)
    if largest.max() > FARTHEST:
        beyond = np.count_nonzero(~np.isfinite(near).all(1))
        coarse = np.count_nonzero((np.abs(near) > FARTHEST).any(1))
        if beyond:
            raise UserError(f"{source} has {beyond} of {len(near)} vertices too far away for float32: delete them.")
        if coarse > len(near) / 2:
            raise UserError(
                f"{source} is wider than float32 can tell to a millimetre, {coarse} of {len(near)} vertices lie more "
                f"than {FARTHEST:,.0f} m from its middle: scale it to metres, or read it in parts."
            )
    return near, offset


def byte_colors(colors: np.ndarray | None, source: str) -> np.ndarray | None:
    """Colours (N, 3) as uint8: bytes as they are, 16-bit ones scaled, floats 0..1 (or 0..255 if far above 1)."""
    if colors is None:
        return None
    colors = np.asarray(colors)
    colors = _numbers(colors[:, :3] if colors.ndim == 2 else colors, 3, "colours", source)
    if colors.dtype == np.uint8:
        return np.ascontiguousarray(colors)
    if not np.isfinite(colors).all():
        raise UserError(f"{source} has colours that are NaN or infinite: repair or remove its colours.")
    low, high = (colors.min(), colors.max()) if len(colors) else (0, 0)
    if low < 0 or high > 65535:
        raise UserError(
            f"{source} has colours from {low} to {high}: give bytes 0..255, 16 bits 0..65535 or floats 0..1."
        )
    if np.issubdtype(colors.dtype, np.floating):  # arithmetic may have gone a little beyond white
        if high <= 1.5:
            return np.round(np.minimum(colors, 1) * 255).astype(np.uint8)
        if high < 256:
            return np.round(np.minimum(colors, 255)).astype(np.uint8)
    if high > 255:
        return (colors.astype(np.uint32) >> 8).astype(np.uint8)
    return np.round(colors).astype(np.uint8)


def int32_labels(labels: np.ndarray | None, what: str, source: str) -> np.ndarray | None:
    """Labels (N,) as int32; whole-numbered floats are taken (Blender writes them); negatives become -1."""
    if labels is None:
        return None
    labels = np.asarray(labels).reshape(-1)
    way_out = "store integers, -1 = unlabelled"
    if np.issubdtype(labels.dtype, np.floating):
        if not np.isfinite(labels).all() or (labels != np.floor(labels)).any():
            raise UserError(f"{source} has '{what}' labels that are no whole numbers: {way_out}.")
    elif not np.issubdtype(labels.dtype, np.integer) and labels.dtype != bool:
        raise UserError(f"{source} has '{what}' labels of type {labels.dtype}: {way_out}.")
    if len(labels) and (int(labels.max()) > 2**31 - 1 or int(labels.min()) < -(2**31)):
        raise UserError(
            f"{source} has '{what}' labels from {int(labels.min())} to {int(labels.max())}, beyond int32: "
            "renumber them below 2147483648."
        )
    return np.maximum(labels.astype(np.int32), -1)


def write_ply(path: str | Path, scan: Scan) -> None:
    """Write a binary little endian PLY: x y z; red green blue, instance, semantic, faces where the scan has them.

    Coordinates are float32, or float64 with the offset added where there is one. Comments hold names and
    colours of the instances: `instance_name ID NAME` (a name that is more than plain words as a JSON string)
    and `instance_color ID R G B`. Raises UserError if it cannot be written; an older file then stays whole.
    """
    from plyfile import PlyData, PlyElement

    moved = bool(np.any(scan.offset))
    real = "f8" if moved else "f4"
    columns = [(axis, real) for axis in "xyz"]
    if scan.colors is not None:
        columns += [(channel, "u1") for channel in ("red", "green", "blue")]
    columns += [(label, "i4") for label in ("instance", "semantic") if getattr(scan, label) is not None]
    vertices = np.empty(len(scan), columns)
    positions = scan.positions.astype(np.float64) + scan.offset if moved else scan.positions
    for i, axis in enumerate("xyz"):
        vertices[axis] = positions[:, i]
    for i, channel in enumerate(("red", "green", "blue")):
        if scan.colors is not None:
            vertices[channel] = scan.colors[:, i]
    for label in ("instance", "semantic"):
        if getattr(scan, label) is not None:
            vertices[label] = getattr(scan, label)
    elements = [PlyElement.describe(vertices, "vertex")]
    if scan.faces is not None and len(scan.faces):
        faces = np.empty(len(scan.faces), [("vertex_indices", "i4", (3,))])
        faces["vertex_indices"] = scan.faces
        elements.append(PlyElement.describe(faces, "face"))
    comments = [f"instance_name {key} {_comment(name)}" for key, name in scan.names.items()]
    comments += ["instance_color {} {} {} {}".format(key, *color) for key, color in scan.palette.items()]
    with replacing(path) as temporary:
        PlyData(elements, byte_order="<", comments=comments).write(str(temporary))


def _comment(name: str) -> str:
    """A name as a PLY comment can hold it: one line of ASCII."""
    plain = name.isascii() and name.isprintable() and name == " ".join(name.split()) and not name.startswith('"')
    return name if plain and name else json.dumps(name)
