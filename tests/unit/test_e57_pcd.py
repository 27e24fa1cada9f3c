"""E57 and PCD: every kind of file that scanners and the point cloud library write."""

import struct

import numpy as np
import pytest

from inference_server.data.scans import read_scan
from inference_server.errors import UserError

POSITIONS = np.array([[0, 0, 0], [1.5, 0, 0], [0, 2.25, -1], [0.5, 0.5, 3]], np.float32)
COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 0], [10, 20, 30]], np.uint8)
HEADER = """# .PCD v0.7 - Point Cloud Data file format
VERSION 0.7
FIELDS x y z rgb normal _ label
SIZE 4 4 4 4 4 1 4
TYPE F F F F F U U
COUNT 1 1 1 1 3 4 1
WIDTH {n}
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS {n}
DATA {data}
"""


def packed(colors: np.ndarray) -> np.ndarray:
    wide = colors.astype("<u4")
    return (wide[:, 0] << 16 | wide[:, 1] << 8 | wide[:, 2]).view("<f4")


def pcd(path, data: str, body: bytes, count: int = 4):
    path.write_bytes(HEADER.format(n=count, data=data).encode() + body)
    return path


def binary_rows() -> bytes:
    rows = b""
    for place, color, label in zip(POSITIONS, packed(COLORS), [3, 3, 7, 0], strict=True):
        rows += struct.pack("<3f", *place) + color.tobytes() + struct.pack("<3f4xI", 0, 0, 1, label)
    return rows


def columns() -> bytes:
    labels = np.array([3, 3, 7, 0], "<u4").tobytes()
    normals = np.tile(np.array([0, 0, 1], "<f4"), 4).tobytes()
    return POSITIONS.T.astype("<f4").tobytes() + packed(COLORS).tobytes() + normals + bytes(16) + labels


def lzf(content: bytes) -> bytes:
    """Compressed with literals and with references to the three bytes before where these repeat."""
    out, literal, place = b"", b"", 0

    def flush():
        nonlocal out, literal
        for start in range(0, len(literal), 32):
            piece = literal[start : start + 32]
            out += bytes([len(piece) - 1]) + piece
        literal = b""

    while place < len(content):
        length = 0
        while place >= 4 and length < 264 and content[place + length : place + length + 1]:
            if content[place + length] != content[place + length - 4]:
                break
            length += 1
        if length < 3:
            literal += content[place : place + 1]
            place += 1
            continue
        flush()
        out += bytes([(length - 2) << 5, 3]) if length < 9 else bytes([7 << 5, length - 9, 3])
        place += length
    flush()
    return out


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_pcd_gives_positions_colours_and_labels(tmp_path, data):
    if data == "ascii":
        rows = [
            f"{x:g} {y:g} {z:g} {rgb:.9g} 0 0 1 0 0 0 0 {label}"
            for (x, y, z), rgb, label in zip(POSITIONS, packed(COLORS), [3, 3, 7, 0], strict=True)
        ]
        body = "\n".join(rows).encode()
    elif data == "binary":
        body = binary_rows()
    else:
        small = lzf(columns())
        assert len(small) < len(columns()), "the test's compressor finds repetitions"
        body = struct.pack("<II", len(small), len(columns())) + small
    scan = read_scan(pcd(tmp_path / "a.pcd", data, body))
    np.testing.assert_array_equal(scan.positions, POSITIONS)
    np.testing.assert_array_equal(scan.colors, COLORS)
    np.testing.assert_array_equal(scan.semantic, [3, 3, 7, 0])


def test_pcd_points_without_a_position_are_left_out(tmp_path):
    rows = b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 3\nHEIGHT 1\nDATA ascii\n0 0 0\nnan nan nan\n1 2 3\n"
    (tmp_path / "organised.pcd").write_bytes(rows)
    np.testing.assert_array_equal(read_scan(tmp_path / "organised.pcd").positions, [[0, 0, 0], [1, 2, 3]])


@pytest.mark.parametrize(
    "data, body",
    [
        ("binary", binary_rows()[:-1]),
        ("ascii", b"1 2 3\n"),
        ("binary_compressed", struct.pack("<II", 3, len(columns())) + b"\x20\x00\x00"),
        ("binary_compressed", struct.pack("<II", 30, 7) + bytes(30)),
        ("zipped", b""),
    ],
)
def test_a_damaged_pcd_is_refused_with_its_name(tmp_path, data, body):
    with pytest.raises(UserError, match=r"bad\.pcd is no whole PCD file"):
        read_scan(pcd(tmp_path / "bad.pcd", data, body))


def test_a_pcd_that_is_none_or_has_no_positions(tmp_path):
    (tmp_path / "none.pcd").write_bytes(b"what is this")
    with pytest.raises(UserError, match="no whole PCD"):
        read_scan(tmp_path / "none.pcd")
    (tmp_path / "flat.pcd").write_bytes(b"FIELDS x y\nSIZE 4 4\nTYPE F F\nPOINTS 1\nDATA ascii\n1 2\n")
    with pytest.raises(UserError, match="without x, y and z"):
        read_scan(tmp_path / "flat.pcd")


def test_e57_scans_are_joined_in_the_place_of_their_poses(tmp_path):
    pye57 = pytest.importorskip("pye57", reason="there is no pye57 for this machine")
    file = pye57.E57(str(tmp_path / "site.e57"), mode="w")
    for move in ([400_000, 0, 0], [400_010, 0, 0]):
        data = {f"cartesian{axis}": POSITIONS[:, i].astype(np.float64) for i, axis in enumerate("XYZ")}
        data |= {f"color{name}": COLORS[:, i] for i, name in enumerate(("Red", "Green", "Blue"))}
        file.write_scan_raw(data, translation=np.array(move, np.float64))
    file.close()
    shares = []
    scan = read_scan(tmp_path / "site.e57", shares.append)
    expected = np.concatenate([POSITIONS + (400_000.0, 0, 0), POSITIONS + (400_010.0, 0, 0)])
    np.testing.assert_allclose(scan.positions + scan.offset, expected, atol=1e-4)
    np.testing.assert_array_equal(scan.colors, np.concatenate([COLORS, COLORS]))
    assert shares == [0, 0.5]


def test_a_damaged_e57_is_refused_with_its_name(tmp_path):
    pytest.importorskip("pye57", reason="there is no pye57 for this machine")
    (tmp_path / "bad.e57").write_bytes(b"ASTM-E57 and then nothing")
    with pytest.raises(UserError, match=r"bad\.e57 is no whole E57 file"):
        read_scan(tmp_path / "bad.e57")
