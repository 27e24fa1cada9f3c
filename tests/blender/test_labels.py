"""Labels out of Blender and back into it, through the server environment's own formats: nothing gets lost."""

import subprocess

import numpy as np
import pytest
from conftest import REPOSITORY, add_mesh, edit_mode, grid_points, group, instance, pump, select, server_python

SIDE = 20
POINTS = grid_points(SIDE)
COUNT = len(POINTS)
GROUPS = {"chair 🪑/old": list(range(60)), "lamp": list(range(100, 130)), "empty": [], "box.001": [399, 7 * 40]}
FORMATS = {"PLY": "room.ply", "NPZ": "room.npz", "SCANNET": "room.aggregation.json", "KITTI": "room.label"}


@pytest.fixture
def environment(blender, module):
    """The record of where the server environment is, as the installer leaves it."""
    location = module("wire.location")
    location.write(location.Installation(server_python(), str(REPOSITORY)))
    yield
    location.record_file().unlink(missing_ok=True)


def labelled(blender, module, groups=GROUPS, faces=None, overlap=False):
    """A scan with colours and these objects."""
    obj = add_mesh(POINTS, faces)
    layer = obj.data.color_attributes.new("Col", "BYTE_COLOR", "POINT")
    values = np.linspace(0, 1, COUNT * 4, dtype=np.float32).reshape(-1, 4)
    values[:, 3] = 1
    layer.data.foreach_set("color_srgb", values.ravel())
    for name in groups:
        blender.ops.scanpick.object_new(name=name)
    for name, members in groups.items():
        obj.vertex_groups.get(name) or obj.vertex_groups.new(name=name)
        obj.vertex_groups[name].add(members, 1.0, "REPLACE")  # by hand, as an artist may
    obj.data.scanpick.overlap = overlap
    return obj


def listed(blender, name="scan"):
    """Name, number and colour (as bytes hold it) of every row of the list."""
    rows = blender.data.objects[name].data.scanpick.objects
    return [(row.name, row.number, tuple(int(c * 255 + 0.501) for c in row.color)) for row in rows]


def another_scan(blender):
    """The same scan without any label, in place of the first."""
    blender.data.objects.remove(blender.data.objects["scan"])
    return add_mesh(POINTS)


def told(session, obj):
    return session.notice_of(obj.data.session_uid).text


@pytest.mark.parametrize("format", list(FORMATS))
def test_labels_go_out_and_come_back_as_the_same_objects(blender, module, environment, tmp_path, format):
    labelled(blender, module)
    before, path = listed(blender), tmp_path / FORMATS[format]
    assert blender.ops.scanpick.export_labels(filepath=str(path), format=format) == {"FINISHED"}
    another_scan(blender)
    assert blender.ops.scanpick.import_labels(filepath=str(path)) == {"FINISHED"}
    assert listed(blender) == before
    for name, members in GROUPS.items():
        assert group(name) == set(members), "what was put into a group by hand counts"
    (chair, lamp) = (next(row[1] for row in before if row[0] == name) for name in ("chair 🪑/old", "lamp"))
    assert set(np.flatnonzero(instance() == chair)) == set(GROUPS["chair 🪑/old"])
    assert set(np.flatnonzero(instance() == lamp)) == set(GROUPS["lamp"])


@pytest.mark.parametrize("format", ["NPZ", "SCANNET"])
def test_objects_that_overlap_come_back_overlapping(blender, module, environment, tmp_path, format):
    groups = {"whole": list(range(80)), "part": list(range(20, 40)), "other": list(range(70, 90))}
    labelled(blender, module, groups, overlap=True)
    path = tmp_path / FORMATS[format]
    blender.ops.scanpick.export_labels(filepath=str(path), format=format)
    another_scan(blender)
    blender.ops.scanpick.import_labels(filepath=str(path))
    assert {name: group(name) for name in groups} == {name: set(members) for name, members in groups.items()}
    assert blender.data.objects["scan"].data.scanpick.overlap


def test_a_format_of_one_label_says_what_it_leaves_out(blender, module, session, environment, tmp_path):
    obj = labelled(blender, module, {"whole": list(range(80)), "part": list(range(20, 40))}, overlap=True)
    blender.ops.scanpick.export_labels(filepath=str(tmp_path / "a.ply"), format="PLY")
    assert "20 vertices of several objects have the upper one's label" in told(session, obj)


def test_the_ply_is_the_scan_with_colours_faces_and_its_georeferenced_place(blender, module, environment, tmp_path):
    obj = labelled(blender, module, faces=[[0, 1, SIDE + 1, SIDE]])
    obj["scanpick_offset"] = [431_234.0, 5_412_345.0, 0.5]
    obj.location = (0.25, 0, 0)
    blender.context.view_layer.update()
    blender.ops.scanpick.export_labels(filepath=str(tmp_path / "a.ply"), format="PLY")
    script = (
        "import sys, numpy as np; from plyfile import PlyData; p = PlyData.read(sys.argv[1]); v = p['vertex'];"
        "np.savez(sys.argv[2], xyz=np.stack([v[a] for a in 'xyz'], 1), red=v['red'], instance=v['instance'],"
        "faces=np.stack(p['face']['vertex_indices']), kind=str(v['instance'].dtype))"
    )
    subprocess.run([server_python(), "-c", script, tmp_path / "a.ply", tmp_path / "b.npz"], check=True)
    back = np.load(tmp_path / "b.npz")
    np.testing.assert_allclose(back["xyz"], POINTS + np.array([431_234.25, 5_412_345.0, 0.5]), atol=1e-6)
    assert str(back["kind"]) == "int32"
    np.testing.assert_array_equal(back["faces"].shape, (2, 3))
    np.testing.assert_allclose(back["red"], np.linspace(0, 255, COUNT * 4).reshape(-1, 4)[:, 0], atol=1)


def test_imported_labels_are_corrected_by_clicks(connected, blender, module, session, environment, tmp_path):
    labelled(blender, module, {"thing": list(range(60))})
    blender.ops.scanpick.export_labels(filepath=str(tmp_path / "a.npz"), format="NPZ")
    another_scan(blender)
    blender.ops.scanpick.import_labels(filepath=str(tmp_path / "a.npz"))
    edit_mode()
    select([205])
    blender.ops.scanpick.click_selection(positive=True)
    pump(session)
    assert {205, *range(60)} <= group("thing"), "the click adds to the label"
    select([5])
    blender.ops.scanpick.click_selection(positive=False)
    pump(session)
    assert 5 not in group("thing") and 205 in group("thing")


def test_import_is_one_undo_step_and_survives_saving(blender, module, session, environment, tmp_path):
    labelled(blender, module)
    blender.ops.scanpick.export_labels(filepath=str(tmp_path / "a.npz"), format="NPZ")
    another_scan(blender)
    blender.ops.ed.undo_push(message="Another scan")
    blender.ops.scanpick.import_labels(filepath=str(tmp_path / "a.npz"))
    blender.ops.ed.undo_push(message="Import Labels")
    before = listed(blender)
    blender.ops.ed.undo()
    assert listed(blender) == [] and group("lamp") == set()
    blender.ops.ed.redo()
    assert listed(blender) == before and group("lamp") == set(GROUPS["lamp"])
    blender.ops.wm.save_as_mainfile(filepath=str(tmp_path / "a.blend"))
    blender.ops.wm.open_mainfile(filepath=str(tmp_path / "a.blend"))
    assert listed(blender) == before and group("lamp") == set(GROUPS["lamp"])


def test_vertices_of_objects_that_are_there_stay_theirs(blender, module, session, environment, tmp_path):
    labelled(blender, module, {"a": list(range(60))})
    blender.ops.scanpick.export_labels(filepath=str(tmp_path / "a.npz"), format="NPZ")
    another_scan(blender)
    labelled_again = {"mine": list(range(50, 70))}
    blender.data.objects.remove(blender.data.objects["scan"])
    obj = labelled(blender, module, labelled_again)
    blender.context.view_layer.update()
    blender.ops.scanpick.object_new(name="a")
    blender.ops.scanpick.import_labels(filepath=str(tmp_path / "a.npz"))
    assert group("mine") == set(range(50, 70))
    assert group("a.001") == set(range(50)), "a name that is taken gets a number"
    assert "10 vertices stay with the objects that had them" in told(session, obj)


@pytest.mark.parametrize("kind", ["FLOAT", "INT", "INT8"])
def test_labels_in_an_attribute_become_objects(blender, module, session, kind):
    obj = add_mesh(POINTS)
    values = np.full(COUNT, -1.0, dtype=np.float32)
    values[:40], values[40:60] = 3, 7
    types = {"FLOAT": np.float32, "INT": np.int32, "INT8": np.int8}
    obj.data.attributes.new("instance", kind, "POINT").data.foreach_set("value", values.astype(types[kind]))
    assert blender.ops.scanpick.objects_from_labels(attribute="instance") == {"FINISHED"}
    assert [row[:2] for row in listed(blender)] == [("Object 3", 3), ("Object 7", 7)]
    assert group("Object 3") == set(range(40)) and group("Object 7") == set(range(40, 60))
    np.testing.assert_array_equal(instance(), np.where(values < 0, -1, values))
    assert obj.data.attributes["instance.imported"].data_type == kind, "the scan's own labels are kept"


def test_labels_of_a_ply_that_blender_imported(blender, module, environment, tmp_path):
    labelled(blender, module)
    blender.ops.scanpick.export_labels(filepath=str(tmp_path / "a.ply"), format="PLY")
    blender.ops.wm.ply_import(filepath=str(tmp_path / "a.ply"))
    assert blender.context.object.data.attributes["instance"].data_type == "FLOAT"
    blender.ops.scanpick.objects_from_labels(attribute="instance")
    counts = {row.number: row.vertices for row in blender.context.object.data.scanpick.objects}
    assert counts == {1: 60, 2: 30, 4: 2}


def test_a_foreign_instance_attribute_is_no_object_of_ours(connected, blender, session):
    obj = add_mesh(POINTS)
    values = np.full(COUNT, 1, dtype=np.int32)
    obj.data.attributes.new("instance", "INT", "POINT").data.foreach_set("value", values)
    blender.ops.scanpick.object_new(name="mine")
    edit_mode()
    select([5])
    blender.ops.scanpick.click_selection(positive=True)
    pump(session)
    assert 0 < len(group("mine")) < COUNT
    blender.ops.object.mode_set(mode="OBJECT")
    assert set(np.flatnonzero(instance() == 1)) == group("mine")
    kept = np.empty(COUNT, dtype=np.int32)
    obj.data.attributes["instance.imported"].data.foreach_get("value", kept)
    assert (kept == 1).all()


def test_a_thousand_labels_with_the_same_long_name(blender, module, environment, tmp_path):
    labels = module("labels.labels")
    values = np.arange(COUNT, dtype=np.int32)
    long = "Stuhl mit 🪑 und sehr langem Namen, der in keine Vertexgruppe passt"
    found = labels.Labels(values, names=dict.fromkeys(range(COUNT), long))
    labels.write_archive(tmp_path / "a.npz", found)
    add_mesh(POINTS)
    blender.ops.scanpick.import_labels(filepath=str(tmp_path / "a.npz"))
    rows = listed(blender)
    assert len({row[0] for row in rows}) == len(rows) == COUNT
    assert all(group(row[0]) == {row[1]} for row in rows[::57])


def test_what_cannot_be_done_is_a_sentence_and_changes_nothing(blender, module, session, environment, tmp_path):
    obj = labelled(blender, module)
    before = listed(blender)
    (tmp_path / "file").write_text("")
    cases = [
        (blender.ops.scanpick.export_labels, {"filepath": "/dev/full/a.ply", "format": "PLY"}, "Cannot write"),
        (blender.ops.scanpick.export_labels, {"filepath": "/dev/full/a.npz", "format": "NPZ"}, "cannot be written to"),
        (blender.ops.scanpick.import_labels, {"filepath": str(tmp_path / "gone.ply")}, "no file at"),
        (blender.ops.scanpick.import_labels, {"filepath": str(tmp_path / "file")}, "format that is not known"),
    ]
    labels = module("labels.labels")
    labels.write_archive(tmp_path / "small.npz", labels.Labels(np.zeros(3, np.int32)))
    cases.append((blender.ops.scanpick.import_labels, {"filepath": str(tmp_path / "small.npz")}, "for 3 vertices"))
    labels.write_archive(tmp_path / "none.npz", labels.Labels(np.full(COUNT, -1, np.int32)))
    cases.append((blender.ops.scanpick.import_labels, {"filepath": str(tmp_path / "none.npz")}, "no labels"))
    for operator, arguments, words in cases:
        assert operator(**arguments) == {"CANCELLED"}, arguments
        assert words in told(session, obj), arguments
        assert listed(blender) == before
    obj.data.attributes.new("weight", "FLOAT", "POINT").data.foreach_set("value", np.linspace(0, 1, COUNT))
    assert blender.ops.scanpick.objects_from_labels(attribute="weight") == {"CANCELLED"}
    assert "no whole numbers" in told(session, obj)


def test_without_the_server_environment_numpy_still_works_and_the_rest_says_why(blender, module, session, tmp_path):
    obj = labelled(blender, module)
    assert blender.ops.scanpick.export_labels(filepath=str(tmp_path / "a.npz"), format="NPZ") == {"FINISHED"}
    assert blender.ops.scanpick.export_labels(filepath=str(tmp_path / "a.ply"), format="PLY") == {"CANCELLED"}
    assert "python install.py blender" in told(session, obj)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_the_ending_follows_the_format(module):
    files, path = module("export.labels"), __import__("pathlib").Path
    names = ["a.ply", "a.aggregation.json", "a", "a.b"]
    assert [files.with_ending(path(n), "KITTI").name for n in names] == ["a.label", "a.label", "a.label", "a.b.label"]
