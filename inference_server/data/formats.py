"""Parsers of the scan file formats: each takes a path and returns a RawScan, or raises UserError.

Parsers of files that may be very large report the share they have read.
"""

import json
import re
import zipfile
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np

from inference_server.errors import UserError

from . import e57, pcd
from .scans import Color, RawScan, Report, silent

LAS_CHUNK = 1_000_000
LONGEST_HEADER = 1_000_000
RGB_NAMES = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))


def read_ply(path: Path, report: Report = silent) -> RawScan:
    """The vertices of a PLY (text or binary): colours, `instance`, and `semantic` or `label` properties; its faces."""
    from plyfile import PlyData, PlyParseError

    try:
        ply = PlyData.read(_ascii_header(path) or str(path))
    except (PlyParseError, ValueError, EOFError, MemoryError, OverflowError) as error:
        raise UserError(f"{path.name} is no whole PLY file ({error}): copy or export it again.") from error
    if "vertex" not in ply:
        raise UserError(f"{path.name} has no vertices.")
    vertices = ply["vertex"]
    have = {prop.name for prop in vertices.properties}
    if not {"x", "y", "z"} <= have:
        raise UserError(f"{path.name} has vertices without x, y and z.")

    def column(*choices: str) -> np.ndarray | None:
        return next((np.array(vertices[name]) for name in choices if name in have), None)

    rgb = next((names for names in RGB_NAMES if set(names) <= have), None)
    names, palette = _label_comments(ply.comments)
    return RawScan(
        positions=np.stack([vertices[axis] for axis in "xyz"], 1),
        colors=np.stack([vertices[channel] for channel in rgb], 1) if rgb else None,
        instance=column("instance"),
        semantic=column("semantic", "label"),
        names=names,
        palette=palette,
        faces=_triangles(ply["face"]) if "face" in ply else None,
    )


def _triangles(element: object) -> np.ndarray | None:
    """The triangles (F, 3) int64 of a PLY's faces, polygons cut up as fans; None where there is none."""
    from plyfile import PlyListProperty

    lists = {prop.name for prop in element.properties if isinstance(prop, PlyListProperty)}
    name = next((name for name in ("vertex_indices", "vertex_index") if name in lists), None)
    if name is None or not len(element.data):
        return None
    polygons = element[name]
    corners = np.fromiter(map(len, polygons), np.int64, len(polygons))
    flat = np.concatenate(polygons).astype(np.int64)
    count = np.maximum(corners - 2, 0)
    first = np.repeat(np.cumsum(corners) - corners, count)
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    triangles = np.stack([flat[first], flat[first + place + 1], flat[first + place + 2]], 1)
    return triangles if len(triangles) else None


def _ascii_header(path: Path) -> BytesIO | None:
    """A PLY with a comment in other letters, such as a picture's name, without those; None where there is none."""
    header, changed = b"", False
    with path.open("rb") as file:
        for line in iter(partial(file.readline, LONGEST_HEADER), b""):
            if line.startswith((b"comment", b"obj_info")) and not line.isascii():
                line = line.decode("ascii", errors="replace").replace("\ufffd", "?").encode("ascii")
                changed = True
            header += line
            if line.strip() == b"end_header" or len(header) >= LONGEST_HEADER:
                break
        return BytesIO(header + file.read()) if changed else None


def _label_comments(comments: list[str]) -> tuple[dict[int, str], dict[int, Color]]:
    """Names and colours of the instances, as `write_ply` writes them."""
    names, palette = {}, {}
    for comment in comments:
        if match := re.fullmatch(r"instance_name (-?\d+) (.+)", comment):
            names[int(match[1])] = _unquoted(match[2])
        elif match := re.fullmatch(r"instance_color (-?\d+) (\d+) (\d+) (\d+)", comment):
            palette[int(match[1])] = (int(match[2]), int(match[3]), int(match[4]))
    return names, palette


def _unquoted(name: str) -> str:
    try:
        return str(json.loads(name)) if name.startswith('"') else name
    except ValueError:
        return name


def read_las(path: Path, report: Report = silent) -> RawScan:
    """A LAS or LAZ file; colours where there are any that are not all zero, classes as `semantic`."""
    import laspy

    broken = (laspy.errors.LaspyException, ValueError, EOFError, RuntimeError, OverflowError, MemoryError)
    try:
        with laspy.open(path) as file:
            count, have = file.header.point_count, set(file.header.point_format.dimension_names)
            pieces, read = [_las_columns(None, have)], 0
            for chunk in file.chunk_iterator(LAS_CHUNK):
                pieces.append(_las_columns(chunk, have))
                read += len(chunk)
                report(read / max(count, 1))
        columns = {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}
    except broken as error:
        raise UserError(f"{path.name} is no whole LAS or LAZ file ({error}): copy it again.") from error
    if read != count:
        raise UserError(f"{path.name} holds {read} points where its header says {count}: copy it again.")
    colors, semantic = columns.get("colors"), columns["semantic"]
    if colors is not None and not colors.any():
        colors = None
    if "semantic" not in have and not semantic.any():
        semantic = None
    return RawScan(columns["positions"], colors, columns.get("instance"), semantic)


def _las_columns(chunk: object | None, have: set[str]) -> dict[str, np.ndarray]:
    """What is kept of a piece of a LAS file; of None, the same columns without points."""
    semantic = "semantic" if "semantic" in have else "classification"
    wanted = {"positions": ("x", "y", "z"), "semantic": (semantic,)}
    if {"red", "green", "blue"} <= have:
        wanted["colors"] = ("red", "green", "blue")
    if "instance" in have:
        wanted["instance"] = ("instance",)
    columns = {}
    for key, names in wanted.items():
        values = [np.empty(0, np.uint8) if chunk is None else np.asarray(chunk[name]) for name in names]
        columns[key] = np.stack(values, 1) if len(names) > 1 else values[0]
    return columns


def read_npz(path: Path, report: Report = silent) -> RawScan:
    """A numpy archive: positions; optional colors, instance, semantic, offset, overlaps, faces, names.

    `names` is JSON: names by instance, or `{"names": {...}, "colors": {"3": [255, 128, 0], ...}}`.
    """
    arrays, names, palette = open_npz(path)
    if "positions" not in arrays:
        raise UserError(f"{path.name} has no array called positions.")
    wanted = ("positions", "colors", "instance", "semantic", "offset", "overlaps", "faces")
    return RawScan(names=names, palette=palette, **{key: arrays.get(key) for key in wanted})


def open_npz(path: Path) -> tuple[dict[str, np.ndarray], dict[int, str], dict[int, Color]]:
    """All arrays of a numpy archive, and what its `names` say: names and colours by instance."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        said = arrays.pop("names", None)
        if said is not None and said.ndim:  # as `segment` writes them: one name for each mask
            return arrays, {number: str(name) for number, name in enumerate(said)}, {}
        text = json.loads(str(said)) if said is not None else {}
        names = {int(key): str(value) for key, value in text.get("names", text).items()}
        colors = text.get("colors", {}) if "names" in text else {}
        palette = {int(key): (int(r), int(g), int(b)) for key, (r, g, b) in colors.items()}
    except (ValueError, OSError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise UserError(f"{path.name} is no whole numpy archive ({error}): write it again.") from error
    return arrays, names, palette


def read_text(path: Path, report: Report = silent) -> RawScan:
    """XYZ, PTS, TXT or CSV: one vertex a line, numbers split by blanks, commas or semicolons.

    A first line of words, in quotes or not, names the columns (x y z red green blue instance semantic ...); a PTS file
    starts with the count. Without names, columns 4 to 6 are colours if they look like it (of 6, 7 or 9), or 7 to 9
    after normals; of seven first of all 5 to 7, after an intensity, unless the seventh has far fewer values, as labels
    do.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="strict") as lines:
            head = [line.strip() for _, line in zip(range(20), lines, strict=False)]
        content = [line for line in head if line]
        if not content:
            raise UserError(f"{path.name} has no vertices.")
        first = content[0]
        separator = next((mark for mark in ",;" if mark in first), None)
        words = first.lstrip("#/ ").translate(str.maketrans(',;"', "   ")).lower().split()
        names = words if {"x", "y", "z"} <= set(words) else None
        is_comment = first.startswith(("#", "//"))
        skip = head.index(first) + 1 if names or is_comment or _is_count(words) else 0
        style = {"comments": ("#", "//"), "delimiter": separator, "encoding": "utf-8-sig"}
        table = np.loadtxt(path, np.float64, skiprows=skip, ndmin=2, **style)
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name} is not a table of numbers, one vertex a line ({error}).") from error
    if _is_count(words) and not names and int(words[0]) != len(table):
        raise UserError(f"{path.name} says {words[0]} points and holds {len(table)}: copy it again.")
    if not table.size:
        raise UserError(f"{path.name} has no vertices.")
    if table.shape[1] < 3:
        raise UserError(f"{path.name} has {table.shape[1]} columns; x, y and z are needed.")
    if names:
        return _named_columns(path, table, names)
    places = {6: (3,), 7: (4, 3), 9: (3, 6)}.get(table.shape[1], ())
    if table.shape[1] == 7 and _like_labels(table):
        places = (3, 4)
    found = (table[:, start : start + 3] for start in places)
    return RawScan(table[:, :3], next((columns for columns in found if _like_colors(columns)), None))


def _is_count(words: list[str]) -> bool:
    return len(words) == 1 and words[0].isdigit()


def _like_labels(table: np.ndarray) -> bool:
    """Whether the last column has far fewer values than the one before it."""
    return 4 * len(np.unique(table[:, -1])) <= len(np.unique(table[:, -2]))


def _like_colors(columns: np.ndarray) -> bool:
    if not np.isfinite(columns).all() or columns.min() < 0 or columns.max() > 255:
        return False
    return columns.max() <= 1 or bool((columns == np.round(columns)).all())


def _named_columns(path: Path, table: np.ndarray, names: list[str]) -> RawScan:
    if len(names) != table.shape[1]:
        raise UserError(f"{path.name} names {len(names)} columns and has {table.shape[1]}.")

    def column(*choices: str) -> np.ndarray | None:
        return next((table[:, names.index(name)] for name in choices if name in names), None)

    rgb = next((choice for choice in RGB_NAMES if set(choice) <= set(names)), None)
    return RawScan(
        positions=np.stack([column(axis) for axis in "xyz"], 1),
        colors=np.stack([column(channel) for channel in rgb], 1) if rgb else None,
        instance=column("instance"),
        semantic=column("semantic", "label"),
    )


def read_mesh(path: Path, report: Report = silent) -> RawScan:
    """The vertices and triangles of an OBJ, glTF, STL or OFF mesh, coloured by vertex or by texture.

    glTF is y up by its standard and is turned to z up; the others stand as they are.
    """
    import trimesh

    try:
        scene = trimesh.load_scene(path, process=False)
        parts = scene.dump()
    except Exception as error:  # trimesh raises whatever its parsers meet
        kind = path.suffix[1:].upper()
        raise UserError(f"{path.name} is no whole {kind} file ({error}): export it again.") from error
    parts = [part for part in parts if len(getattr(part, "vertices", ()))]
    if not parts:
        raise UserError(f"{path.name} has no vertices.")
    positions = np.concatenate([np.asarray(part.vertices, np.float64) for part in parts])
    if path.suffix.lower() in (".glb", ".gltf"):
        positions = positions[:, [0, 2, 1]] * (1, -1, 1)
    colors = [_mesh_colors(part) for part in parts]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [
        np.asarray(part.faces) + start for part, start in zip(parts, starts, strict=False) if hasattr(part, "faces")
    ]
    return RawScan(
        positions,
        np.concatenate(colors) if all(c is not None for c in colors) else None,
        faces=np.concatenate(faces) if faces else None,
    )


def _mesh_colors(part: object) -> np.ndarray | None:
    kind = getattr(part.visual, "kind", "points")  # trimesh's "kind" is None for a mesh without colours
    if kind == "points":
        colors = part.colors
    elif kind == "texture":
        colors = None if part.visual.uv is None else part.visual.to_color().vertex_colors
    else:
        colors = part.visual.vertex_colors if kind else None
    usable = colors is not None and np.ndim(colors) == 2 and len(colors) == len(part.vertices)
    return np.asarray(colors, np.uint8)[:, :3] if usable else None


READERS = {
    ".ply": read_ply,
    ".las": read_las,
    ".laz": read_las,
    ".e57": e57.read,
    ".pcd": pcd.read,
    ".npz": read_npz,
    **dict.fromkeys((".xyz", ".pts", ".txt", ".csv"), read_text),
    **dict.fromkeys((".obj", ".glb", ".gltf", ".off", ".stl"), read_mesh),
}
"""Extension -> parser."""
