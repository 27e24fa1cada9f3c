"""PCD, the point cloud library's format: text, binary and compressed (LZF).

Format: https://pointclouds.org/documentation/tutorials/pcd_file_format.html
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference_server.errors import UserError

from .scans import RawScan, Report, silent

LABELS = {"instance": "instance", "label": "semantic", "semantic": "semantic"}


@dataclass(frozen=True)
class _Header:
    """`dtype`: one packed point; `points`: how many; `data`: ascii, binary or binary_compressed."""

    dtype: np.dtype
    points: int
    data: str


def read(path: Path, report: Report = silent) -> RawScan:
    """Positions, colours (packed `rgb` or `rgba`, or r g b) and labels of a PCD file.

    Points without a position (NaN, as organised clouds have them) are left out. Raises UserError.
    """
    content = path.read_bytes()
    try:
        header, start = _header(content)
        table = _table(header, content[start:], report)
    except (ValueError, KeyError, IndexError, OverflowError, MemoryError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name} is no whole PCD file ({error}): copy or export it again.") from error
    have = table.dtype.names
    if not {"x", "y", "z"} <= set(have):
        raise UserError(f"{path.name} has points without x, y and z.")
    positions = np.stack([table[axis] for axis in "xyz"], 1)
    valid = np.isfinite(positions).all(1)
    table, positions = table[valid], positions[valid]
    labels = {wanted: table[name] for name, wanted in LABELS.items() if name in have}
    return RawScan(positions, _colors(table), labels.get("instance"), labels.get("semantic"))


def _header(content: bytes) -> tuple[_Header, int]:
    """The header and where the data begins."""
    values: dict[str, list[str]] = {}
    start = 0
    while "DATA" not in values:
        end = content.index(b"\n", start)
        words = content[start:end].decode("ascii").split()
        start = end + 1
        if words and not words[0].startswith("#"):
            values[words[0].upper()] = words[1:]
    counts = [int(n) for n in values.get("COUNT", ["1"] * len(values["FIELDS"]))]
    kinds = [f"<{kind.lower()}{size}" for kind, size in zip(values["TYPE"], values["SIZE"], strict=True)]
    columns = [
        (f"{name}#{place}" if name == "_" else name, kind) if count == 1 else (f"{name}#{place}", kind, (count,))
        for place, (name, kind, count) in enumerate(zip(values["FIELDS"], kinds, counts, strict=True))
    ]
    points = int(values["POINTS"][0]) if "POINTS" in values else int(values["WIDTH"][0]) * int(values["HEIGHT"][0])
    return _Header(np.dtype(columns), points, values["DATA"][0].lower()), start


def _table(header: _Header, data: bytes, report: Report) -> np.ndarray:
    """The points as a structured array (N,)."""
    if header.data == "ascii":
        numbers = np.loadtxt(io.BytesIO(data), np.float64, ndmin=2)
        if len(numbers) != header.points:
            raise ValueError(f"{header.points} points are announced, {len(numbers)} are there")
        table = np.empty(header.points, header.dtype)
        place = 0
        for name in header.dtype.names:
            kind, shape = header.dtype[name].base, header.dtype[name].shape
            width = int(np.prod(shape))
            table[name] = numbers[:, place : place + width].reshape(-1, *shape).astype(kind)
            place += width
        return table
    if header.data == "binary":
        return np.frombuffer(data, header.dtype, header.points)
    if header.data != "binary_compressed":
        raise ValueError(f"DATA {header.data} is not known")
    packed, unpacked = np.frombuffer(data, "<u4", 2).tolist()
    if unpacked != header.points * header.dtype.itemsize or packed > len(data) - 8:
        raise ValueError("the compressed part has another size than announced")
    columns = memoryview(_decompress(data[8 : 8 + packed], unpacked, report))
    table = np.empty(header.points, header.dtype)
    start = 0
    for name in header.dtype.names:  # column after column
        kind = header.dtype[name]
        size = kind.itemsize * header.points
        table[name] = np.frombuffer(columns[start : start + size], kind)
        start += size
    return table


def _decompress(packed: bytes, size: int, report: Report) -> bytearray:
    """LZF (Marc Lehmann's liblzf): runs of literal bytes, and references to bytes already there."""
    out = bytearray()
    place, end, told = 0, len(packed), 0
    while place < end:
        if place - told > 1_000_000:
            told = place
            report(place / end)
        control = packed[place]
        place += 1
        if control < 32:
            out += packed[place : place + control + 1]
            place += control + 1
            continue
        length = control >> 5
        if length == 7:
            length += packed[place]
            place += 1
        distance = ((control & 31) << 8) + packed[place] + 1
        place += 1
        start, length = len(out) - distance, length + 2
        if start < 0 or len(out) > size:
            raise ValueError("the compressed part is damaged")
        if distance >= length:
            out += out[start : start + length]
        else:  # the reference reaches into what it writes: a repetition
            piece = out[start:]
            out += (piece * (length // distance + 1))[:length]
    if len(out) != size:
        raise ValueError("the compressed part is damaged")
    return out


def _colors(table: np.ndarray) -> np.ndarray | None:
    have = table.dtype.names
    packed = next((name for name in ("rgb", "rgba") if name in have), None)
    if packed is not None:
        bits = np.ascontiguousarray(table[packed])
        bits = bits.view("<u4") if bits.dtype.itemsize == 4 else bits.astype("<u4")
        return np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], 1).astype(np.uint8)
    if {"r", "g", "b"} <= set(have):
        return np.stack([table[channel] for channel in "rgb"], 1)
    return None
