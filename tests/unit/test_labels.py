"""Labels in every format come back as they were; what a format cannot hold is said in the table of `labels`."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from inference_server.__main__ import app
from inference_server.data import labels, semantickitti
from inference_server.data.scans import Labels, Scan, read_scan
from inference_server.data.thinning import thin
from inference_server.errors import UserError

RNG = np.random.default_rng(3)
COUNT = 300
INSTANCE = RNG.choice([-1, 1, 5, 70], COUNT).astype(np.int32)
OVERLAPS = np.stack([np.flatnonzero(INSTANCE == 5)[:20], np.full(20, 70)], 1).astype(np.int64)
NAMES = {5: "chair 🪑/old", 1: 'a "quoted"\nname', 70: "car.001", 9: "an object without vertices"}
PALETTE = {1: (255, 0, 7), 5: (1, 2, 3), 70: (0, 0, 0), 9: (9, 9, 9)}


def a_scan(**more) -> Scan:
    positions = RNG.normal(0, 3, (COUNT, 3)).astype(np.float32)
    colors = RNG.integers(0, 256, (COUNT, 3), dtype=np.uint8)
    semantic = np.where(INSTANCE == 1, 40, np.where(INSTANCE == -1, 70, 3)).astype(np.int32)
    return Scan(positions, colors, INSTANCE.copy(), semantic, dict(NAMES), palette=dict(PALETTE), **more)


def far_away() -> Scan:
    return a_scan(offset=np.array([431_234.0, 5_412_345.0, 0.0]), faces=np.array([[0, 1, 2], [2, 1, 3]], np.int32))


def the_same(found: Labels, wanted: Labels) -> None:
    np.testing.assert_array_equal(found.instance, wanted.instance)
    assert found.names == wanted.names
    assert found.palette == wanted.palette


def as_sets(found: Labels) -> dict[int, set[int]]:
    """Every object's vertices, overlaps with them."""
    members = {identity: set(np.flatnonzero(found.instance == identity).tolist()) for identity in found.identities()}
    for vertex, identity in found.overlaps.tolist() if found.overlaps is not None else ():
        members[identity].add(vertex)
    return members


@pytest.mark.parametrize("name", ["scan.ply", "scan.npz", "scan.aggregation.json", "scan.label"])
def test_instances_names_and_colours_come_back(tmp_path, name):
    scan = far_away()
    labels.write(tmp_path / name, scan)
    found = labels.read_labels(tmp_path / name)
    the_same(found, scan.labels)
    assert list(found.names) == list(NAMES), "in the order of the list"


@pytest.mark.parametrize("name", ["scan.npz", "scan.aggregation.json"])
def test_objects_that_share_vertices_come_back(tmp_path, name):
    scan = a_scan(overlaps=OVERLAPS)
    labels.write(tmp_path / name, scan)
    found = labels.read_labels(tmp_path / name)
    assert as_sets(found) == as_sets(scan.labels)
    np.testing.assert_array_equal(found.instance >= 0, INSTANCE >= 0)


def test_an_object_that_is_under_others_everywhere_and_has_no_name_is_one_still(tmp_path):
    scan = a_scan(overlaps=np.array([[1, 77]]))
    assert scan.labels.identities()[-1] == 77
    labels.write(tmp_path / "scan.aggregation.json", scan)
    assert {1} in as_sets(labels.read_labels(tmp_path / "scan.aggregation.json")).values()


@pytest.mark.parametrize("name", ["scan.ply", "scan.npz"])
def test_georeferenced_positions_colours_and_classes_come_back(tmp_path, name):
    scan = far_away()
    labels.write(tmp_path / name, scan)
    found = read_scan(tmp_path / name)
    np.testing.assert_allclose(found.positions + found.offset, scan.positions + scan.offset, atol=1e-6)
    np.testing.assert_array_equal(found.colors, scan.colors)
    np.testing.assert_array_equal(found.semantic, scan.semantic)


def test_scannet_gets_the_mesh_with_its_faces_and_one_that_is_there_stays(tmp_path):
    from plyfile import PlyData

    labels.write(tmp_path / "room.aggregation.json", far_away())
    mesh = tmp_path / "room_vh_clean_2.ply"
    faces = PlyData.read(str(mesh))["face"].data["vertex_indices"]
    np.testing.assert_array_equal(np.stack(faces), [[0, 1, 2], [2, 1, 3]])
    mesh.write_text("the original")
    labels.write(tmp_path / "room.aggregation.json", far_away())
    assert mesh.read_text() == "the original"


def test_semantickitti_classes_are_the_names_where_they_are_classes(tmp_path):
    scan = a_scan()
    labels.write(tmp_path / "0.label", scan)
    raw = np.fromfile(tmp_path / "0.label", "<u4")
    np.testing.assert_array_equal(raw >> 16, np.maximum(INSTANCE, 0))
    assert set(raw[INSTANCE == 70] & 0xFFFF) == {10}, "car.001 is a car"
    assert set(raw[INSTANCE == 1] & 0xFFFF) == {40}, "a name that is no class: that of most of its points"
    assert set(raw[INSTANCE == -1] & 0xFFFF) == {70}, "what is no object keeps its class"


def test_semantickitti_of_the_data_set_comes_back_bit_by_bit(tmp_path):
    # as in the data set: numbers count within a class, moving things have classes of their own
    values = np.array([(1 << 16) | 10, (2 << 16) | 252, 40, (3 << 16) | 30, 0, (1 << 16) | 10], "<u4")
    values.tofile(tmp_path / "0.label")
    found = labels.read_labels(tmp_path / "0.label")
    assert found.names == {1: "car", 2: "car", 3: "person"}
    semantickitti.write_labels(tmp_path / "1.label", found)
    assert (tmp_path / "1.label").read_bytes() == (tmp_path / "0.label").read_bytes()


def test_numbers_that_a_label_file_cannot_hold_are_counted_anew(tmp_path):
    scan = Scan(np.zeros((3, 3), np.float32), None, np.array([0, 70_000, -1], np.int32), names={0: "a", 70_000: "b"})
    labels.write(tmp_path / "0.label", scan)
    found = labels.read_labels(tmp_path / "0.label")
    np.testing.assert_array_equal(found.instance, [1, 2, -1])
    assert found.names == {1: "a", 2: "b"}


def test_classes_that_a_label_file_cannot_hold_are_refused(tmp_path):
    scan = Scan(np.zeros((2, 3), np.float32), None, np.array([1, -1], np.int32), np.array([70_000, 3], np.int32))
    with pytest.raises(UserError, match="classes up to 65535, and there is 70000"):
        labels.write(tmp_path / "0.label", scan)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_under_a_label_file_is_told_by_the_system_s_reason(tmp_path):
    code = "import resource, sys, numpy as np; from pathlib import Path; "
    code += "from inference_server.data import semantickitti; from inference_server.data.scans import Labels; "
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
    code += "semantickitti.write_labels(Path(sys.argv[1]), Labels(np.ones(9999, 'i4')))"
    command = [sys.executable, "-c", code, tmp_path / "0.label"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "File too large. Free some space" in done.stderr, done.stderr


def test_masks_of_the_segment_command_are_labels(tmp_path):
    np.savez(tmp_path / "m.npz", names=np.array(["lamp", "bed"]), masks=np.zeros((2, 4), bool), instance=[0, 1, -1, 1])
    found = labels.read_labels(tmp_path / "m.npz")
    np.testing.assert_array_equal(found.instance, [0, 1, -1, 1])
    assert found.names == {0: "lamp", 1: "bed"}


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("gone.label", None, "no file at"),
        ("cut.label", b"12345", "cut off"),
        ("cut.aggregation.json", b"{", "lacks cut_vh_clean_2"),
        ("bare.xyz", b"0 0 0\n1 1 1\n", "no instance labels"),
        ("cut.npz", b"PK\x03\x04", "no whole numpy archive"),
        ("what.doc", b"", "format that is not known"),
    ],
)
def test_what_holds_no_labels_is_refused_with_its_name(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=words):
        labels.read_labels(tmp_path / name)


def test_labels_and_names_that_do_not_belong_together_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", instance=np.zeros(3, np.int32), overlaps=[[7, 1]])
    with pytest.raises(UserError, match="overlaps at vertices that it does not have"):
        labels.read_labels(tmp_path / "bad.npz")
    (tmp_path / "0.label").write_bytes(bytes(8))
    (tmp_path / "0.label.json").write_text("{}")
    with pytest.raises(UserError, match=r"0\.label\.json is damaged"):
        labels.read_labels(tmp_path / "0.label")


def test_thinning_keeps_the_first_vertex_of_each_cube_with_all_it_has():
    scan = far_away()
    scan.overlaps = OVERLAPS
    part = thin(scan, 1.0)
    low = scan.positions.min(0)
    cubes = np.floor((scan.positions.astype(np.float64) - low) / 1.0)
    assert len(part) == len(np.unique(cubes, axis=0)) < COUNT
    where = {tuple(p): i for i, p in enumerate(scan.positions.tolist())}
    kept = [where[tuple(p)] for p in part.positions.tolist()]
    assert kept == sorted(kept)
    np.testing.assert_array_equal(part.instance, INSTANCE[kept])
    np.testing.assert_array_equal(part.colors, scan.colors[kept])
    assert {(kept[v], i) for v, i in part.overlaps.tolist()} == {(v, i) for v, i in OVERLAPS.tolist() if v in kept}
    assert thin(scan, 1e-6).positions.shape == scan.positions.shape


def test_thinning_counts_the_cells_of_a_scan_with_strays():
    near = np.random.default_rng(0).uniform(0, 3, (2000, 3)).astype(np.float32)
    wanted = len(np.unique(np.floor(near.astype(np.float64) / 0.5), axis=0))
    scan = Scan(np.vstack([[[0, 0, 0], [3e9, 3e9, 3e9], [3e9, 0, 3e9]], near]).astype(np.float32))
    assert len(thin(scan, 0.5)) == wanted + 2
    with pytest.raises(UserError, match="too wide to be thinned to 1e-12 m"):
        thin(scan, 1e-12)


# The command


def convert(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["convert", *map(str, arguments)], catch_exceptions=False, standalone_mode=False)
    if isinstance(done.exception, UserError):
        raise done.exception
    return done.output


def test_convert_writes_what_the_ending_says_and_prints_what_it_did(tmp_path):
    labels.write(tmp_path / "a.npz", far_away())
    assert "300 vertices" in convert(tmp_path / "a.npz", "--out", tmp_path / "a.ply")
    the_same(labels.read_labels(tmp_path / "a.ply"), a_scan().labels)


def test_convert_reports_progress_in_lines_of_json(tmp_path):
    labels.write(tmp_path / "a.ply", a_scan())
    lines = convert(tmp_path / "a.ply", "--out", tmp_path / "a.npz", "--thin", 1, "--progress").splitlines()
    said = [json.loads(line) for line in lines]
    shares = [line["share"] for line in said[:-1]]
    assert shares == sorted(shares) and shares[0] == 0
    assert said[-1]["done"]["read"] == COUNT > said[-1]["done"]["vertices"] == len(read_scan(tmp_path / "a.npz"))


def test_convert_puts_labels_of_another_file_on_a_scan(tmp_path):
    scan = a_scan()
    labels.write(tmp_path / "bare.ply", Scan(scan.positions, scan.colors))
    labels.write(tmp_path / "truth.label", scan)
    convert(tmp_path / "bare.ply", "--labels", tmp_path / "truth.label", "--out", tmp_path / "all.ply")
    the_same(labels.read_labels(tmp_path / "all.ply"), scan.labels)
    labels.write(tmp_path / "two.ply", Scan(scan.positions[:2]))
    with pytest.raises(UserError, match="labels 300 vertices, and the scan has 2"):
        convert(tmp_path / "two.ply", "--labels", tmp_path / "truth.label", "--out", tmp_path / "bad.ply")


def test_convert_of_labels_only_gives_an_npz(tmp_path):
    scan = a_scan()
    labels.write(tmp_path / "x.aggregation.json", scan)
    convert(tmp_path / "x.aggregation.json", "--out", tmp_path / "x.npz")
    the_same(labels.read_labels(tmp_path / "x.npz"), scan.labels)
    labels.write(tmp_path / "y.ply", scan)
    convert(tmp_path / "y.ply", "--labels-only", "--out", tmp_path / "y.npz")
    the_same(labels.read_labels(tmp_path / "y.npz"), scan.labels)
    assert "positions" not in np.load(tmp_path / "y.npz")
    with pytest.raises(UserError, match="Labels without a scan go into an .npz"):
        convert(tmp_path / "x.aggregation.json", "--out", tmp_path / "x.ply")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["gone.ply", "--out", "x.npz"], "no scan file at"),
        (["a.ply", "--out", "x.doc"], "ending that is not known"),
        (["a.ply", "--out", "x.npz", "--thin", "-1"], "positive number of metres"),
        (["a.ply", "--out", "x.npz", "--thin", "1e-300"], "positive number of metres, 1e-06 or more"),
        (["a.ply", "--out", "/dev/full/x.npz"], "Cannot write"),
        (["a.ply", "--out", "x.label"], "no instance labels"),
    ],
)
def test_convert_says_what_is_wrong_and_leaves_nothing(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    labels.write("a.ply", Scan(np.zeros((2, 3), np.float32)))
    with pytest.raises(UserError, match=words):
        convert(*arguments)
    assert [path.name for path in Path().iterdir()] == ["a.ply"]
