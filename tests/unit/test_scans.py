"""Scans in and out: every format gives the same Scan, and every damaged file gives a sentence."""

import json

import laspy
import numpy as np
import pytest
import trimesh
from plyfile import PlyData, PlyElement

from inference_server.data.scans import RawScan, Scan, build_scan, read_scan, write_ply
from inference_server.errors import UserError

POSITIONS = np.array([[0, 0, 0], [1.5, 0, 0], [0, 2.25, -1], [0.5, 0.5, 3]], np.float32)
COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 0], [10, 20, 30]], np.uint8)
INSTANCE = np.array([-1, 0, 7, 7], np.int32)


def ply(path, **columns):
    types = [(name, values.dtype) for name, values in columns.items()]
    vertices = np.empty(len(columns["x"]), types)
    for name, values in columns.items():
        vertices[name] = values
    PlyData([PlyElement.describe(vertices, "vertex")]).write(str(path))
    return path


def xyz(**more):
    return {axis: POSITIONS[:, i] for i, axis in enumerate("xyz")} | more


def test_a_scan_comes_back_from_a_ply_as_it_was_written(tmp_path):
    scan = Scan(POSITIONS, COLORS, INSTANCE, np.array([3, -1, 0, 2], np.int32), {7: "floor lamp"})
    write_ply(tmp_path / "lamp.ply", scan)
    back = read_scan(tmp_path / "lamp.ply")
    for field in ("positions", "colors", "instance", "semantic"):
        np.testing.assert_array_equal(getattr(back, field), getattr(scan, field))
        assert getattr(back, field).dtype == getattr(scan, field).dtype
    assert back.names == {7: "floor lamp"}
    assert back.name == "lamp"


def test_coordinates_of_a_million_metres_keep_their_millimetres(tmp_path):
    far = POSITIONS.astype(np.float64) + (431_234.567, 5_412_345.678, 0)
    path = ply(tmp_path / "far.ply", x=far[:, 0], y=far[:, 1], z=far[:, 2])
    scan = read_scan(path)
    assert scan.positions.dtype == np.float32
    np.testing.assert_array_equal(scan.offset, [431_234, 5_412_345, 0])
    np.testing.assert_allclose(scan.positions + scan.offset, far, atol=1e-6)
    write_ply(tmp_path / "again.ply", scan)
    again = read_scan(tmp_path / "again.ply")
    np.testing.assert_allclose(again.positions + again.offset, far, atol=1e-6)


@pytest.mark.parametrize("stray", [(0, 0, 0), (1e9, 0, 0), (431_000, -1e30, 250)])
def test_a_stray_vertex_takes_no_precision_from_the_others(stray):
    site = np.random.default_rng(0).uniform(0, 50, (1000, 3)) + (431_234.567, 5_412_345.678, 300)
    scan = build_scan(RawScan(np.vstack([[stray], site])), "site")
    np.testing.assert_allclose(scan.positions[1:] + scan.offset, site, atol=1e-4)
    room = site - (431_234.567, 5_412_345.678, 300)
    scan = build_scan(RawScan(np.vstack([[stray], room])), "room")
    np.testing.assert_array_equal(scan.positions[1:], room.astype(np.float32))
    assert not scan.offset.any()


def test_of_two_places_far_apart_one_is_kept_whole():
    places = np.array([[0, 0, 0], [0, 5_412_345.678, 0]])
    scan = build_scan(RawScan(places), "two")
    assert (np.abs(scan.positions + scan.offset - places).max(1) < 1e-3).any()


@pytest.mark.parametrize(
    "positions, offset, words",
    [
        (np.array([[0, 0, 0], [1e39, 0, 0], [1, 0, 0]]), None, "1 of 3 vertices too far away"),
        (np.array([[0, 0, 0], [0, -1e300, 0], [1, 0, 0]]), None, "1 of 3 vertices too far away"),
        (np.linspace((0, 0, 0), (1e6, 0, 0), 101), None, "9[0-9] of 101 vertices lie more than 32,768 m"),
        (POSITIONS, np.array([np.nan, 0, 0]), "an offset that is NaN"),
        (POSITIONS, np.array([0, np.inf, 0]), "an offset that is NaN or infinite"),
    ],
)
def test_positions_that_float32_cannot_hold_are_refused(positions, offset, words):
    with pytest.raises(UserError, match=words):
        build_scan(RawScan(positions, offset=offset), "scan")


def test_float_colours_and_16_bit_colours_become_bytes(tmp_path):
    ones = {name: COLORS[:, i] / np.float32(255) for i, name in enumerate(("red", "green", "blue"))}
    np.testing.assert_array_equal(read_scan(ply(tmp_path / "f.ply", **xyz(**ones))).colors, COLORS)
    shorts = {name: COLORS[:, i].astype(np.uint16) * 257 for i, name in enumerate("rgb")}
    np.testing.assert_array_equal(read_scan(ply(tmp_path / "s.ply", **xyz(**shorts))).colors, COLORS)


def test_whole_numbered_float_labels_are_taken_and_all_negative_ones_mean_unlabelled(tmp_path):
    labels = np.array([-100, -1, 0, 5], np.float32)
    scan = read_scan(ply(tmp_path / "f.ply", **xyz(instance=labels)))
    np.testing.assert_array_equal(scan.instance, [-1, -1, 0, 5])
    assert scan.instance.dtype == np.int32


@pytest.mark.parametrize(
    "labels, words",
    [
        (np.array([0, 1, 2, 3_000_000_000], np.uint32), "beyond int32"),
        (np.array([0, 0.5, 1, 2]), "no whole numbers"),
        (np.array([0, np.nan, 1, 2]), "no whole numbers"),
    ],
)
def test_labels_that_are_no_int32_are_refused(tmp_path, labels, words):
    with pytest.raises(UserError, match=words):
        read_scan(ply(tmp_path / "bad.ply", **xyz(instance=labels)))


def test_nan_positions_are_refused_with_their_number_and_the_first_one(tmp_path):
    columns = xyz()
    columns["y"] = np.array([0, 1, np.nan, np.inf], np.float32)
    with pytest.raises(UserError, match=r"2 of 4 vertices .*first is vertex 2"):
        read_scan(ply(tmp_path / "nan.ply", **columns))


@pytest.mark.parametrize("text", [True, False])
def test_a_truncated_ply_is_refused(tmp_path, text):
    vertices = np.zeros(1000, [("x", "f4"), ("y", "f4"), ("z", "f4")])
    path = tmp_path / "cut.ply"
    PlyData([PlyElement.describe(vertices, "vertex")], text=text).write(str(path))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UserError, match="no whole PLY"):
        read_scan(path)


@pytest.mark.parametrize(
    "name, content",
    [
        ("empty.ply", b""),
        ("huge.ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 99999999999999\n"
                     b"property float x\nproperty float y\nproperty float z\nend_header\n"),
        ("none.ply", b"ply\nformat ascii 1.0\nelement vertex 0\nproperty float x\nproperty float y\n"
                     b"property float z\nend_header\n"),
        ("faces.ply", b"ply\nformat ascii 1.0\nelement face 0\nproperty list uchar int v\nend_header\n"),
        ("no_z.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n"),
        ("words.xyz", b"once upon a time\nthere was no scan\n"),
        ("empty.xyz", b""),
        ("two.txt", b"1 2\n3 4\n"),
        ("short.pts", b"5\n1 2 3\n4 5 6\n"),
        ("binary.xyz", bytes(range(256))),
        ("cut.npz", b"PK\x03\x04 and then nothing"),
        ("cut.las", b"LASF and then nothing"),
        ("cut.glb", b"glTF\x02\x00\x00\x00"),
        ("none.obj", b"# nothing\n"),
        ("scan.doc", b"what"),
    ],
)  # fmt: skip
def test_a_damaged_or_unknown_file_is_refused_with_its_name(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=name):
        read_scan(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="no scan file at"):
        read_scan(tmp_path / "missing.ply")


@pytest.mark.parametrize("suffix", [".las", ".laz"])
def test_las_gives_positions_colours_classes_and_an_offset(tmp_path, suffix):
    header = laspy.LasHeader(point_format=7, version="1.4")
    header.scales, header.offsets = [0.001] * 3, [400_000, 5_000_000, 0]
    las = laspy.LasData(header)
    las.x, las.y, las.z = POSITIONS[:, 0] + 400_000.0, POSITIONS[:, 1] + 5_000_000.0, POSITIONS[:, 2]
    las.red, las.green, las.blue = (COLORS[:, i].astype(np.uint16) * 257 for i in range(3))
    las.classification = [2, 2, 6, 6]
    las.write(tmp_path / f"site{suffix}")
    scan = read_scan(tmp_path / f"site{suffix}")
    expected = POSITIONS + (400_000.0, 5_000_000.0, 0)
    np.testing.assert_allclose(scan.positions + scan.offset, expected, atol=1e-4)
    np.testing.assert_array_equal(scan.colors, COLORS)
    np.testing.assert_array_equal(scan.semantic, [2, 2, 6, 6])


def test_npz_of_the_simulated_rooms(tmp_path):
    path = tmp_path / "room.npz"
    names = np.array(json.dumps({0: "floor", 7: "chair"}))
    np.savez_compressed(path, positions=POSITIONS, colors=COLORS, instance=INSTANCE, names=names)
    scan = read_scan(path)
    np.testing.assert_array_equal(scan.positions, POSITIONS)
    np.testing.assert_array_equal(scan.instance, INSTANCE)
    assert scan.names == {0: "floor", 7: "chair"}


@pytest.mark.parametrize(
    "arrays",
    [
        {"colors": np.zeros(4, np.uint8)},
        {"colors": np.uint8(3)},
        {"colors": np.zeros((4, 2), np.uint8)},
        {"colors": np.full((4, 3), "red")},
        {"positions": np.full((4, 3), "here")},
        {"offset": np.zeros(2)},
        {"overlaps": np.zeros(3, np.int64)},
        {"faces": np.zeros((1, 2), np.int32)},
    ],
)
def test_arrays_that_are_none_of_a_scan_are_a_sentence(tmp_path, arrays):
    np.savez(tmp_path / "odd.npz", **{"positions": POSITIONS} | arrays)
    with pytest.raises(UserError, match="odd.npz has .* numbers are needed"):
        read_scan(tmp_path / "odd.npz")


@pytest.mark.parametrize(
    "name, content, colors, instance",
    [
        ("plain.xyz", "0 0 0\n1 0 0\n", None, None),
        ("bytes.xyz", "0 0 0 255 0 0\n1 0 0 0 1 2\n", [[255, 0, 0], [0, 1, 2]], None),
        ("normals.xyz", "0 0 0 -1 0 0\n1 0 0 0 0 1\n", None, None),
        ("scanner.pts", "2\n0 0 0 -120 255 0 0\n1 0 0 -90 0 1 2\n", [[255, 0, 0], [0, 1, 2]], None),
        ("labels.txt", "0 0 0 255 0 0 5\n1 0 0 0 1 2 300\n", [[255, 0, 0], [0, 1, 2]], None),
        ("strength.txt", "0 0 0 -12 255 0 0\n1 0 0 90 0 1 2\n", [[255, 0, 0], [0, 1, 2]], None),
        ("before.txt", "0 0 0 255 0 0 0 0 -1\n1 0 0 0 1 2 1 0 0\n", [[255, 0, 0], [0, 1, 2]], None),
        ("after.txt", "0 0 0 0 0 -1 255 0 0\n1 0 0 1 0 0 0 1 2\n", [[255, 0, 0], [0, 1, 2]], None),
        ("comma.csv", "0,0,0\n1,0,0\n", None, None),
        ("cloud.txt", "//X Y Z R G B instance\n0 0 0 255 0 0 4\n1 0 0 0 1 2 -1\n",
         [[255, 0, 0], [0, 1, 2]], [4, -1]),
    ],
)  # fmt: skip
def test_tables_of_numbers(tmp_path, name, content, colors, instance):
    (tmp_path / name).write_text(content)
    scan = read_scan(tmp_path / name)
    np.testing.assert_array_equal(scan.positions, [[0, 0, 0], [1, 0, 0]])
    for found, expected in ((scan.colors, colors), (scan.instance, instance)):
        assert (found is None) == (expected is None)
        if expected is not None:
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("last", ["labels", "colours after an intensity"])
def test_seven_columns_end_in_labels_or_begin_with_an_intensity(tmp_path, last):
    random = np.random.default_rng(0)
    colors, intensity = random.integers(0, 256, (200, 3)), random.integers(0, 256, (200, 1))
    labels = random.integers(0, 9, (200, 1))
    columns = [colors, labels] if last == "labels" else [intensity, colors]
    np.savetxt(tmp_path / "scan.txt", np.column_stack([random.random((200, 3)), *columns]), fmt="%g")
    assert (read_scan(tmp_path / "scan.txt").colors == colors).all()


@pytest.mark.parametrize(
    "given, expected",
    [([0.0, 0.5, 1.02], [0, 128, 255]), ([0.0, 128.0, 255.4], [0, 128, 255]), ([0.0, 32768.0, 65535.0], [0, 128, 255])],
)
def test_colours_a_little_beyond_white_are_white(given, expected):
    scan = build_scan(RawScan(POSITIONS[:1], np.array([given], np.float32)), "scan")
    assert scan.colors.tolist() == [expected]


@pytest.mark.parametrize("text", [True, False])
def test_a_ply_with_a_comment_in_any_letters_is_read(tmp_path, text):
    write_ply(tmp_path / "scan.ply", Scan(POSITIONS, COLORS, np.arange(len(POSITIONS), dtype=np.int32)))
    plain = PlyData.read(str(tmp_path / "scan.ply"))
    plain.text = text
    plain.write(str(tmp_path / "plain.ply"))
    start, rest = (tmp_path / "plain.ply").read_bytes().split(b"element", 1)
    letters = "comment TextureFile плитка.png\nobj_info Müller\n".encode()
    (tmp_path / "scan.ply").write_bytes(start + letters + b"element" + rest)
    scan = read_scan(tmp_path / "scan.ply")
    np.testing.assert_allclose(scan.positions, POSITIONS, atol=1e-5)
    assert (scan.colors == COLORS).all() and (scan.instance == np.arange(len(POSITIONS))).all()


def test_gltf_is_turned_from_y_up_to_z_up_and_obj_is_not(tmp_path):
    mesh = trimesh.Trimesh(POSITIONS[:3], [[0, 1, 2]], vertex_colors=COLORS[:3], process=False)
    mesh.export(tmp_path / "m.glb")
    mesh.export(tmp_path / "m.obj")
    up = read_scan(tmp_path / "m.glb")
    np.testing.assert_allclose(up.positions[2], [0, 1, 2.25])
    np.testing.assert_array_equal(up.colors, COLORS[:3])
    np.testing.assert_allclose(read_scan(tmp_path / "m.obj").positions, POSITIONS[:3])


def test_faces_come_along_and_polygons_are_cut_into_triangles(tmp_path):
    header = "ply\nformat ascii 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\n"
    header += "element face 3\nproperty list uchar int vertex_index\nend_header\n"
    corners = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n-1 1 0\n"
    (tmp_path / "a.ply").write_text(header + corners + "3 0 1 2\n2 0 1\n5 0 1 2 3 4\n")
    scan = read_scan(tmp_path / "a.ply")
    assert scan.faces.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3], [0, 3, 4]] and scan.faces.dtype == np.int32
    write_ply(tmp_path / "b.ply", scan)
    np.testing.assert_array_equal(read_scan(tmp_path / "b.ply").faces, scan.faces)
    (tmp_path / "c.ply").write_text(header + corners + "3 0 1 2\n3 0 1 5\n3 0 1 2\n")
    with pytest.raises(UserError, match="c.ply has faces between vertices that it does not have"):
        read_scan(tmp_path / "c.ply")
    (tmp_path / "d.ply").write_text(header.replace("face 3", "face 0") + corners)
    assert read_scan(tmp_path / "d.ply").faces is None


def test_faces_of_all_parts_of_a_mesh_come_along(tmp_path):
    parts = [trimesh.Trimesh(POSITIONS[:3] + shift, [[0, 1, 2]], process=False) for shift in (0, 5)]
    trimesh.Scene(parts).export(tmp_path / "two.glb")
    scan = read_scan(tmp_path / "two.glb")
    assert scan.faces.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (np.ptp(scan.positions[scan.faces], axis=1) <= 2.25).all()


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf1 2 3\n4 5 6\n",
        b"\xef\xbb\xbfx,y,z\n1,2,3\n4,5,6\n",
        b'"x","y","z"\n1,2,3\n4,5,6\n',
        b'\xef\xbb\xbf"X";"Y";"Z"\r\n1;2;3\r\n4;5;6\r\n',
    ],
)
def test_tables_as_excel_writes_them_are_read(tmp_path, content):
    (tmp_path / "scan.csv").write_bytes(content)
    np.testing.assert_array_equal(read_scan(tmp_path / "scan.csv").positions, [[1, 2, 3], [4, 5, 6]])


def test_a_full_disk_leaves_the_old_file_whole():
    scan = Scan(POSITIONS, COLORS)
    with pytest.raises(UserError, match="Cannot write /dev/full"):
        write_ply("/dev/full/scan.ply", scan)


def test_an_interrupted_write_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "scan.ply"
    write_ply(path, Scan(POSITIONS))
    before = path.read_bytes()

    def full(self, stream):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PlyData, "write", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_ply(path, Scan(POSITIONS + 1))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["scan.ply"]
