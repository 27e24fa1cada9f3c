"""ScanNet, S3DIS and SemanticKITTI read from tiny files in the exact formats of the data sets."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement
from typer.testing import CliRunner

from inference_server.__main__ import app
from inference_server.data import s3dis, scannet, semantickitti
from inference_server.errors import UserError
from inference_server.evaluation.sources import find_scenes

POSITIONS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], np.float32)


@pytest.fixture
def scannet_root(tmp_path):
    """scene0000_00 with five vertices in three segments: 7 a wall, 9 an office chair, 12 unannotated."""
    root = tmp_path / "scannet"
    folder = root / "scans" / "scene0000_00"
    folder.mkdir(parents=True)
    types = [
        ("x", "f4"),
        ("y", "f4"),
        ("z", "f4"),
        ("red", "u1"),
        ("green", "u1"),
        ("blue", "u1"),
        ("alpha", "u1"),
    ]
    vertices = np.array([(*p, 10 * i, 20, 30, 255) for i, p in enumerate(POSITIONS.tolist())], types)
    faces = np.array([([0, 1, 2],)], [("vertex_indices", "i4", (3,))])
    elements = [PlyElement.describe(vertices, "vertex"), PlyElement.describe(faces, "face")]
    PlyData(elements).write(str(folder / "scene0000_00_vh_clean_2.ply"))
    segments = {"params": {"kThresh": "0.010000"}, "sceneId": "scene0000_00", "segIndices": [7, 7, 9, 9, 12]}
    (folder / "scene0000_00_vh_clean_2.0.010000.segs.json").write_text(json.dumps(segments))
    groups = [
        {"id": 0, "objectId": 0, "segments": [7], "label": "wall"},
        {"id": 1, "objectId": 1, "segments": [9], "label": "office chair"},
    ]
    aggregation = {"sceneId": "scannet.scene0000_00", "appId": "Aggregator.v2", "segGroups": groups}
    (folder / "scene0000_00.aggregation.json").write_text(json.dumps(aggregation))
    return root


def test_scannet_instances_come_from_segments_and_aggregation(scannet_root):
    (source,) = find_scenes([scannet_root])
    scan = source.load()
    assert (source.kind, scan.name) == ("scannet", "scene0000_00")
    np.testing.assert_array_equal(scan.positions, POSITIONS)
    np.testing.assert_array_equal(scan.colors[:, 0], [0, 10, 20, 30, 40])
    np.testing.assert_array_equal(scan.instance, [0, 0, 1, 1, -1])
    assert scan.names == {0: "wall", 1: "office chair"}
    assert scan.semantic is None


def test_scannet_s_label_table_gives_nyu40_classes(scannet_root):
    (scannet_root / "scannetv2-labels.combined.tsv").write_text(
        "id\traw_category\tcategory\tcount\tnyu40id\teigen13id\tnyuClass\tnyu40class\n"
        "1\twall\twall\t8277\t1\t12\twall\twall\n"
        "5\toffice chair\toffice chair\t595\t5\t4\tchair\tchair\n"
    )
    scan = scannet.read(scannet_root / "scans" / "scene0000_00")
    np.testing.assert_array_equal(scan.semantic, [1, 1, 5, 5, -1])
    assert scan.names == {0: "wall", 1: "chair"}


def test_scenes_that_are_links_keep_their_names_and_find_their_labels(scannet_root, tmp_path):
    """ScanNet's table lies beside the links, or beside the scenes themselves; the links may be of other names."""
    scene = scannet_root / "scans" / "scene0000_00"
    stored, links = tmp_path / "store" / "ab12", tmp_path / "validation"
    stored.parent.mkdir()
    scene.rename(stored)
    links.mkdir()
    (links / "scene0000_00").symlink_to(stored, target_is_directory=True)
    table = "id\traw_category\tnyu40id\tnyu40class\n5\toffice chair\t5\tchair\n1\twall\t1\twall\n"
    for beside in (links, stored.parent):
        (beside / scannet.LABEL_TABLE).write_text(table)
        (source,) = find_scenes([links])
        assert source.name == "scene0000_00"
        assert source.load().names == {0: "wall", 1: "chair"}
        (beside / scannet.LABEL_TABLE).unlink()
    assert scannet.label_table(links / "scene0000_00") is None


def test_a_scene_is_found_from_inside_and_by_links_of_other_names(scannet_root, tmp_path, monkeypatch):
    scene = scannet_root / "scans" / "scene0000_00"
    (scene / "sub").mkdir()
    (tmp_path / "first").symlink_to(scene, target_is_directory=True)
    monkeypatch.chdir(scene / "sub")
    for path in (Path(".."), tmp_path / "first"):
        (source,) = find_scenes([path])
        assert set(source.load().names.values()) == {"wall", "office chair"}
    assert find_scenes([Path("..")])[0].name == "scene0000_00"


def test_an_evaluation_says_where_scannet_s_table_of_classes_is_missing(scannet_root):
    options = ["--method", "region-growing", "--clicks", "1", "--jobs", "1", "--min-points", "1"]
    told = "classes are the annotators' words"
    for table in (False, True):
        if table:
            (scannet_root / scannet.LABEL_TABLE).write_text("raw_category\tnyu40id\tnyu40class\nwall\t1\twall\n")
        outcome = CliRunner().invoke(app, ["evaluate", str(scannet_root), *options])
        assert outcome.exit_code == 0, outcome.output
        assert (told in " ".join(outcome.output.split())) != table


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "has no line with a class"),
        (b"a\tb\n1\t2\n", r"is damaged \(KeyError\('raw_category'\)\)"),
        (b"raw_category\tnyu40id\tnyu40class\nwall\tx\twall\n", "is damaged .*'x'"),
        (b"raw_category\tnyu40id\tnyu40class\nwall\t1\tw\xffll\n", "is damaged .*utf-8"),
    ],
)
def test_a_damaged_table_of_classes_is_a_sentence(scannet_root, content, words):
    (scannet_root / scannet.LABEL_TABLE).write_bytes(content)
    with pytest.raises(UserError, match=f"combined.tsv {words}"):
        scannet.read(scannet_root / "scans" / "scene0000_00")


@pytest.mark.parametrize("below", [".", "scans", "scans/scene0000_00"])
def test_scannet_is_found_from_the_root_the_scans_or_one_scene(scannet_root, below):
    assert [path.name for path in scannet.find(scannet_root / below)] == ["scene0000_00"]


def test_scannet_files_that_do_not_belong_together_are_refused(scannet_root):
    folder = scannet_root / "scans" / "scene0000_00"
    segments = folder / "scene0000_00_vh_clean_2.0.010000.segs.json"
    segments.write_text(json.dumps({"segIndices": [1, 2]}))
    with pytest.raises(UserError, match="5 vertices but segments for 2"):
        scannet.read(folder)
    segments.write_text("{")
    with pytest.raises(UserError, match="annotation of scene0000_00 is damaged"):
        scannet.read(folder)
    aggregation = folder / "scene0000_00.aggregation.json"
    other_mesh = {**json.loads(aggregation.read_text()), "segmentsFile": "scannet.scene0000_00_vh_clean.segs.json"}
    (folder / "scene0000_00_vh_clean.aggregation.json").write_text(json.dumps(other_mesh))
    segments.write_text(json.dumps({"segIndices": [7, 7, 9, 9, 12]}))
    aggregation.unlink()
    with pytest.raises(UserError, match="is of another mesh"):
        scannet.read(folder)
    segments.unlink()
    with pytest.raises(UserError, match="lacks scene0000_00_vh_clean_2.0.010000.segs.json"):
        scannet.read(folder)


@pytest.fixture
def s3dis_room(tmp_path):
    room = tmp_path / "Stanford3dDataset_v1.2_Aligned_Version" / "Area_5" / "office_1"
    (room / "Annotations").mkdir(parents=True)
    (room / "office_1.txt").write_text("0 0 0 1 2 3\n")
    (room / "Annotations" / "chair_1.txt").write_text("0.500 -1.000 0.250 10 20 30\n0.6 -1 0.25 255 0 128\n")
    (room / "Annotations" / "ceiling_1.txt").write_text(
        "0 0 3.0 185\x00187 184\n"  # as in Area_5/hallway_6
    )
    (room / "Annotations" / "stairs_1.txt").write_text("1 1 1 5 6 7\n")
    return room


def test_s3dis_annotations_are_instances(s3dis_room):
    scan = s3dis.read(s3dis_room)
    np.testing.assert_allclose(scan.positions, [[0, 0, 3], [0.5, -1, 0.25], [0.6, -1, 0.25], [1, 1, 1]])
    np.testing.assert_array_equal(scan.colors, [[185, 187, 184], [10, 20, 30], [255, 0, 128], [5, 6, 7]])
    np.testing.assert_array_equal(scan.instance, [0, 1, 1, 2])
    np.testing.assert_array_equal(scan.semantic, [0, 8, 8, 12])
    assert scan.names == {0: "ceiling", 1: "chair", 2: "clutter"}


@pytest.mark.parametrize("above", [0, 1, 2])
def test_s3dis_is_found_from_the_root_an_area_or_a_room(s3dis_room, above):
    path = [s3dis_room, s3dis_room.parent, s3dis_room.parent.parent][above]
    (source,) = find_scenes([path])
    assert (source.kind, source.name) == ("s3dis", "office_1")


def test_s3dis_rooms_of_the_same_name_are_told_apart_by_their_area(s3dis_room):
    shutil.copytree(s3dis_room, s3dis_room.parent.parent / "Area_6" / "office_1")
    sources = find_scenes([s3dis_room.parent.parent])
    assert [source.name for source in sources] == ["Area_5/office_1", "Area_6/office_1"]


def test_a_digit_that_s3dis_lost_becomes_zero(s3dis_room):
    (s3dis_room / "Annotations" / "chair_1.txt").write_text("22.350 6.692 103.0\x100000 143 150 152\n")  # office_19
    scan = s3dis.read(s3dis_room)
    chair = scan.positions[scan.instance == 1].astype(np.float64) + scan.offset
    np.testing.assert_allclose(chair, [[22.35, 6.692, 103.0]], atol=1e-4)


def test_hidden_files_are_no_objects_of_s3dis(s3dis_room):
    (s3dis_room / "Annotations" / "._chair_1.txt").write_bytes(b"\x00\x05\x16\x07Mac OS X")
    assert len(s3dis.read(s3dis_room).names) == 3


def test_lines_of_s3dis_are_not_read_across_their_ends(s3dis_room):
    (s3dis_room / "Annotations" / "chair_1.txt").write_text("0 0 0 1 2 3 4\n0 0 1 2 3\n")
    with pytest.raises(UserError, match=r"Line 1 of .*chair_1.txt is not x y z r g b"):
        s3dis.read(s3dis_room)


def test_a_bad_line_of_s3dis_is_named(s3dis_room):
    (s3dis_room / "Annotations" / "chair_1.txt").write_text("0 0 0 1 2 3\n0 0 0 1 2\n")
    with pytest.raises(UserError, match=r"Line 2 of .*chair_1.txt is not x y z r g b"):
        s3dis.read(s3dis_room)


@pytest.fixture
def kitti_root(tmp_path):
    sequence = tmp_path / "dataset" / "sequences" / "08"
    (sequence / "velodyne").mkdir(parents=True)
    (sequence / "labels").mkdir()
    rows = np.concatenate([POSITIONS, np.full((5, 1), 0.5, np.float32)], 1)
    rows.astype("<f4").tofile(sequence / "velodyne" / "000000.bin")
    # two cars (one moving), a road, a pedestrian with the number of the first car, nothing
    labels = np.array([(1 << 16) | 10, (2 << 16) | 252, 40, (1 << 16) | 30, 0], "<u4")
    labels.tofile(sequence / "labels" / "000000.label")
    rows.astype("<f4").tofile(sequence / "velodyne" / "000001.bin")  # without labels: not a scene to evaluate
    return tmp_path


def test_a_semantickitti_sweep_has_changed_when_its_labels_have(kitti_root):
    (source,) = find_scenes([kitti_root])
    labels = semantickitti.label_file(source.path)
    assert source.size == source.path.stat().st_size + labels.stat().st_size
    later = source.changed + 1_000_000_000
    os.utime(labels, ns=(later, later))
    assert source.changed == later


def test_sweeps_behind_a_link_have_their_labels_beside_the_link(kitti_root, tmp_path):
    sequence = kitti_root / "dataset" / "sequences" / "08"
    odometry = tmp_path / "odometry" / "08"
    odometry.mkdir(parents=True)
    (sequence / "velodyne").rename(odometry / "velodyne")
    (sequence / "velodyne").symlink_to(odometry / "velodyne", target_is_directory=True)
    (source,) = find_scenes([kitti_root])
    assert len(source.load().names) == 3


def test_a_link_to_a_sweep_has_the_labels_of_its_target(kitti_root, tmp_path):
    (sweep,) = semantickitti.find(kitti_root)
    (tmp_path / "000000.bin").symlink_to(sweep)
    (source,) = find_scenes([tmp_path / "000000.bin"])
    assert len(source.load().names) == 3


def test_semantickitti_things_are_instances_without_colours(kitti_root):
    (source,) = find_scenes([kitti_root])
    scan = source.load()
    np.testing.assert_array_equal(scan.positions, POSITIONS)
    assert scan.colors is None
    np.testing.assert_array_equal(scan.semantic, [10, 252, 40, 30, 0])
    classes = [scan.names.get(identity) for identity in scan.instance]
    assert classes == ["car", "car", None, "person", None]
    assert len(set(scan.instance[[0, 1, 3]])) == 3
    assert (scan.instance[[2, 4]] == -1).all()


@pytest.mark.parametrize("below", ["dataset", "dataset/sequences", "dataset/sequences/08"])
def test_semantickitti_is_found_at_any_level(kitti_root, below):
    assert [path.name for path in semantickitti.find(kitti_root / below)] == ["000000.bin"]


def test_cut_off_or_mismatched_semantickitti_files_are_refused(kitti_root):
    (path,) = semantickitti.find(kitti_root)
    labels = semantickitti.label_file(path)
    labels.write_bytes(labels.read_bytes()[:-4])
    with pytest.raises(UserError, match="5 points and 4 labels"):
        semantickitti.read(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="cut off"):
        semantickitti.read(path)


def test_a_folder_of_scan_files_gives_each_and_an_empty_one_a_sentence(tmp_path):
    for name in ("b.ply", "a.npz", "notes.pdf"):
        (tmp_path / name).touch()
    assert [(s.kind, s.name) for s in find_scenes([tmp_path])] == [("file", "a"), ("file", "b")]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="holds no scans"):
        find_scenes([empty])
    with pytest.raises(UserError, match="There is nothing at"):
        find_scenes([tmp_path / "gone"])


def test_the_same_file_given_twice_is_one_scene(tmp_path):
    (tmp_path / "a.ply").touch()
    assert len(find_scenes([tmp_path, tmp_path / "a.ply"])) == 1


def test_a_link_to_a_file_without_ending_is_read_by_the_link_s(tmp_path):
    stored = tmp_path / "3f9a"
    stored.touch()
    (tmp_path / "room.ply").symlink_to(stored)
    (source,) = find_scenes([tmp_path / "room.ply"])
    assert (source.name, source.path.suffix) == ("room", ".ply")
    (tmp_path / "latest").symlink_to(tmp_path / "other.ply")
    (tmp_path / "other.ply").touch()
    (source,) = find_scenes([tmp_path / "latest"])
    assert source.path.suffix == ".ply"
