"""Objects leave the scan: as Blender objects with everything they had, and as files."""

import json
import signal
import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import add_mesh, grid_points, show_picture

SIDE = 20
POINTS = grid_points(SIDE)
LEFT = [i for i in range(SIDE * SIDE) if i % SIDE < 8]
RIGHT = [i for i in range(SIDE * SIDE) if i % SIDE > 12]


def quads():
    corner = [r * SIDE + c for r in range(SIDE - 1) for c in range(SIDE - 1)]
    return np.array([[i, i + 1, i + SIDE + 1, i + SIDE] for i in corner])


def labelled(blender, module, faces, groups):
    """A grid with colours, UVs, a material and two objects made by hand."""
    obj = add_mesh(POINTS, quads() if faces else None)
    mesh = obj.data
    colors = mesh.color_attributes.new("Col", "BYTE_COLOR", "POINT")
    ramp = np.linspace(0, 1, len(POINTS), dtype=np.float32)
    colors.data.foreach_set("color_srgb", np.stack([ramp, ramp[::-1], ramp * 0, ramp * 0 + 1], axis=1).ravel())
    if faces:
        layer = mesh.uv_layers.new(name="UVMap")
        layer.uv.foreach_set("vector", np.linspace(0, 1, len(mesh.loops) * 2, dtype=np.float32))
        mesh.materials.append(blender.data.materials.new("Paint"))
        mesh.attributes.new("crease", "FLOAT", "EDGE").data.foreach_set("value", np.arange(len(mesh.edges)) / 1e3)
    edits, object_list, geometry = module("session.edits"), module("session.object_list"), module("scan.geometry")
    masks, journal = module("scan.masks"), module("session.journal")
    for name, members in groups.items():
        shape = geometry.Geometry(obj)
        number = edits.create(shape, name)
        before = masks.read_instance(shape)
        after = before.copy()
        after[members] = number
        masks.apply(shape, [masks.Difference(name, np.array(members), np.empty(0, int))], before, after)
        shape.changed()
        object_list.refresh(shape)
    assert journal.state(geometry.Geometry(obj)).objects
    return obj


def test_separate_keeps_faces_uvs_colours_materials_and_places(blender, module, capfd):
    scan = labelled(blender, module, True, {"left": LEFT, "right": RIGHT})
    scan.location = (1, 2, 3)
    scan.rotation_euler = (0.3, 0.2, 0.1)
    blender.context.view_layer.update()
    assert blender.ops.scanpick.separate(origin="KEEP", rest=True) == {"FINISHED"}
    assert "3 objects were made where they lie in the scan: hide it (H) to see them" in capfd.readouterr().out
    left, right, rest = (blender.data.objects[n] for n in ("left", "right", "scan rest"))
    assert len(left.data.polygons) + len(right.data.polygons) + len(rest.data.polygons) == len(quads())
    # a face with half of its corners on an object and half on none goes with the object
    assert len(left.data.polygons) == 8 * 19 and len(right.data.polygons) == 7 * 19
    mesh, source = left.data, scan.data
    found = {tuple(np.round(v.co, 5)): i for i, v in enumerate(mesh.vertices)}
    for index in (0, 5, 140):
        here = found[tuple(np.round(source.vertices[index].co, 5))]
        assert mesh.color_attributes["Col"].data[here].color_srgb[:] == pytest.approx(
            source.color_attributes["Col"].data[index].color_srgb[:], abs=1e-3
        )
    assert mesh.materials[0].name == "Paint"
    assert mesh.uv_layers["UVMap"].uv[0].vector[:] == source.uv_layers["UVMap"].uv[0].vector[:]
    assert np.allclose(left.matrix_world, scan.matrix_world, atol=1e-6)
    assert not mesh.validate(verbose=True), "the new mesh is sound"
    assert len(blender.data.objects["scan"].data.vertices) == len(POINTS), "the scan is unchanged"


def test_separate_to_the_bottom_centre_leaves_points_in_place(blender, module):
    scan = labelled(blender, module, True, {"left": LEFT})
    scan.location, scan.scale = (10, 0, 5), (2, 2, -2)
    blender.context.view_layer.update()
    blender.ops.scanpick.separate(origin="BOTTOM", rest=False)
    left = blender.data.objects["left"]
    assert left.location[:] == pytest.approx((10 + 0.4, 0.95, 5.0), abs=1e-4)
    corner = min((left.matrix_world @ v.co for v in left.data.vertices), key=lambda p: p.x + p.y)
    assert corner[:] == pytest.approx((10, 0, 5), abs=1e-4)
    assert left.data.polygons[0].normal.z < 0, "a mirrored scan's faces still look the same way"


def test_separate_a_point_cloud_without_faces(blender, module):
    labelled(blender, module, False, {"left": LEFT, "right": RIGHT})
    blender.ops.scanpick.separate(rest=True)
    counts = [len(blender.data.objects[n].data.vertices) for n in ("left", "right", "scan rest")]
    assert counts == [len(LEFT), len(RIGHT), len(POINTS) - len(LEFT) - len(RIGHT)]


def test_small_clouds_with_colours_are_drawn_as_scans_are(blender, module):
    is_drawn = module("overlay.draw").is_drawn
    labelled(blender, module, False, {"left": LEFT})
    blender.ops.scanpick.separate(rest=False)
    left = blender.data.objects["left"]
    assert len(left.data.vertices) < 500
    assert is_drawn(left), "Blender shows it black"
    left.data.color_attributes.remove(left.data.color_attributes[0])
    assert not is_drawn(left)


@pytest.mark.parametrize("format", ["GLB", "PLY", "OBJ", "FBX", "USD"])
@pytest.mark.parametrize("faces", [True, False])
def test_every_object_becomes_a_file_that_comes_back(blender, module, tmp_path, format, faces):
    labelled(blender, module, faces, {"left": LEFT, "right": RIGHT, "empty": []})
    before = set(blender.data.objects.keys())
    result = blender.ops.scanpick.export_objects(directory=str(tmp_path), format=format, pattern="{scan}-{object}")
    assert result == {"FINISHED"}
    written = sorted(p for p in tmp_path.iterdir() if p.suffix != ".mtl")
    assert [p.stem for p in written] == ["scan-left", "scan-right"]
    assert set(blender.data.objects.keys()) == before, "nothing is left behind in the scene"
    assert blender.context.object.name == "scan"
    load = {
        "GLB": lambda p: blender.ops.import_scene.gltf(filepath=p),
        "PLY": lambda p: blender.ops.wm.ply_import(filepath=p),
        "OBJ": lambda p: blender.ops.wm.obj_import(filepath=p),
        "FBX": lambda p: blender.ops.import_scene.fbx(filepath=p),
        "USD": lambda p: blender.ops.wm.usd_import(filepath=p),
    }[format]
    blender.ops.wm.read_homefile(use_factory_startup=False, use_empty=True)
    load(str(written[0]))
    meshes = [o for o in blender.data.objects if o.type in ("MESH", "POINTCLOUD")]
    count = sum(len(o.data.vertices) if o.type == "MESH" else len(o.data.points) for o in meshes)
    on_shared_faces = SIDE if faces else 0
    if faces and format in ("GLB", "PLY"):
        assert count >= len(LEFT) + on_shared_faces, "corners with their own UVs may come apart"
    else:
        assert count == len(LEFT) + on_shared_faces


def glb(path):
    """The description in a GLB file."""
    data = path.read_bytes()
    (length,) = struct.unpack("<I", data[12:16])
    return json.loads(data[20 : 20 + length])


def paint(blender, obj, name="photo"):
    """Put a picture of 8 x 4 pixels on the object's first material, packed into the file."""
    image = blender.data.images.new(name, 8, 4)
    image.pixels[:] = [0.5] * 8 * 4 * 4
    image.pack()
    assert image.packed_file
    show_picture(obj.data.materials[0], image)
    return image


def test_a_piece_has_the_materials_of_its_faces_only(blender, module):
    scan = labelled(blender, module, True, {"left": LEFT, "right": RIGHT})
    for name in ("Left", "Right", "Nowhere"):
        scan.data.materials.append(blender.data.materials.new(name))
    column = quads()[:, 0] % SIDE
    scan.data.polygons.foreach_set("material_index", np.where(column < 10, 1, 2).astype(np.int32))
    blender.ops.scanpick.separate(origin="KEEP", rest=True)
    for name, wanted in {"left": ["Left"], "right": ["Right"], "scan rest": ["Left", "Right"]}.items():
        assert [material.name for material in blender.data.objects[name].data.materials] == wanted
    rest = blender.data.objects["scan rest"].data
    for polygon in rest.polygons:
        assert rest.materials[polygon.material_index].name == ("Left" if polygon.center.x < 0.5 else "Right")


@pytest.mark.parametrize("format", ["GLB", "PLY", "OBJ", "FBX", "USD"])
def test_what_is_selected_but_hidden_is_not_exported(blender, module, tmp_path, format):
    scan = labelled(blender, module, True, {"left": LEFT})
    other = add_mesh(POINTS, quads(), name="other scan")
    other.select_set(True)
    collection = blender.data.collections.new("put aside")
    blender.context.scene.collection.children.link(collection)
    collection.objects.link(other)
    blender.context.collection.objects.unlink(other)
    other.select_set(True)
    blender.context.view_layer.layer_collection.children["put aside"].hide_viewport = True
    assert other not in blender.context.selected_objects and other.select_get()
    blender.context.view_layer.objects.active = scan
    (path,) = module("export.files").export_objects(scan, tmp_path, format)
    if format == "GLB":
        assert [node["name"] for node in glb(path)["nodes"]] == ["left"]
    assert other.select_get(), "it is still selected"


@pytest.mark.parametrize("format", ["GLB", "OBJ", "FBX", "USD"])
def test_packed_pictures_come_along(blender, module, tmp_path, format):
    scan = labelled(blender, module, True, {"left": LEFT, "right": RIGHT})
    image = paint(blender, scan)
    path = image.filepath_raw
    module("export.files").export_objects(scan, tmp_path, format)
    assert image.packed_file and image.filepath_raw == path
    blender.ops.wm.read_homefile(use_factory_startup=False, use_empty=True)
    load = {
        "GLB": lambda p: blender.ops.import_scene.gltf(filepath=p),
        "OBJ": lambda p: blender.ops.wm.obj_import(filepath=p),
        "FBX": lambda p: blender.ops.import_scene.fbx(filepath=p),
        "USD": lambda p: blender.ops.wm.usd_import(filepath=p),
    }[format]
    load(str(next(path for path in tmp_path.iterdir() if path.stem == "left" and path.suffix != ".mtl")))
    assert [tuple(image.size) for image in blender.data.images if image.has_data or image.size[0]] == [(8, 4)]


def test_packed_pictures_whose_names_differ_in_what_files_cannot_show_are_told_apart(blender, module, tmp_path):
    packed = module("export.packed")
    scan = labelled(blender, module, True, {"left": LEFT})
    pictures = [paint(blender, scan, name) for name in ("A", "A_2", "a", "a:", "a?")]
    for picture in pictures[:-1]:
        scan.data.materials.append(blender.data.materials.new(picture.name))
        show_picture(scan.data.materials[-1], picture)
    with packed.as_files(scan, tmp_path):
        assert len({picture.filepath_raw.lower() for picture in pictures}) == 5
    assert len(list(tmp_path.iterdir())) == 5


def test_packed_udim_tiles_come_along_in_glb(blender, module, tmp_path):
    scan = labelled(blender, module, True, {"left": LEFT})
    for tile in (1001, 1002):
        image = paint(blender, scan, f"wall.{tile}")
        image.save(filepath=str(tmp_path / f"wall.{tile}.png"))
    image = blender.data.images.load(str(tmp_path / "wall.1001.png"))
    image.source = "TILED"
    image.pack()
    (tmp_path / "wall.1002.png").unlink()
    nodes = scan.data.materials[0].node_tree.nodes
    for node in [node for node in nodes if node.type == "TEX_IMAGE"]:
        node.image = image
    (path,) = module("export.files").export_objects(scan, tmp_path, "GLB")
    assert glb(path)["images"]


def test_a_cloud_that_loses_its_colours_is_told_what_keeps_them(blender, module, tmp_path):
    loses = module("export.files").loses_colours
    cloud = labelled(blender, module, False, {"left": LEFT})
    assert [format for format in ("GLB", "PLY", "OBJ", "FBX", "USD") if loses(cloud, format)] == ["GLB", "FBX", "USD"]
    blender.ops.scanpick.export_objects(directory=str(tmp_path), format="PLY")
    blender.ops.wm.read_homefile(use_factory_startup=False, use_empty=True)
    blender.ops.wm.ply_import(filepath=str(tmp_path / "left.ply"))
    assert len(blender.context.object.data.color_attributes) == 1
    assert not loses(labelled(blender, module, True, {"left": LEFT}), "GLB")


def test_a_textured_object_is_not_darkened_by_its_vertex_colours(blender, module, tmp_path):
    scan = labelled(blender, module, True, {"left": LEFT})
    write = module("export.files").export_objects
    attributes = [glb(path)["meshes"][0]["primitives"][0]["attributes"] for path in write(scan, tmp_path, "GLB")]
    paint(blender, scan)
    attributes += [glb(path)["meshes"][0]["primitives"][0]["attributes"] for path in write(scan, tmp_path, "GLB")]
    assert ["COLOR_0" in each for each in attributes] == [True, False]


def test_pieces_are_rendered_with_the_uv_map_and_the_materials_that_the_scan_is(blender, module):
    scan = labelled(blender, module, True, {"left": LEFT})
    baked = scan.data.uv_layers.new(name="Bake")
    baked.active_render = True
    scan.data.uv_layers.active = scan.data.uv_layers["UVMap"]
    scan.material_slots[0].link = "OBJECT"
    scan.material_slots[0].material = blender.data.materials.new("Of the object")
    blender.ops.scanpick.separate(rest=False)
    piece = blender.data.objects["left"]
    assert [layer.name for layer in piece.data.uv_layers if layer.active_render] == ["Bake"]
    assert piece.data.uv_layers.active.name == "UVMap"
    assert [material.name for material in piece.data.materials] == ["Of the object"]


def test_attributes_with_spaces_in_their_names_are_no_reason_to_fail(blender, module, tmp_path):
    scan = labelled(blender, module, False, {"left": LEFT})
    scan.data.attributes.new("Scan angle", "FLOAT", "POINT")
    (path,) = module("export.files").export_objects(scan, tmp_path, "PLY")
    assert b"property float Scan_angle\n" in path.read_bytes() and "Scan angle" in scan.data.attributes


def test_usd_holds_the_object_and_no_lamp(blender, module, tmp_path):
    scan = labelled(blender, module, True, {"left": LEFT})
    blender.context.scene.world = blender.data.worlds.new("World")
    (path,) = module("export.files").export_objects(scan, tmp_path, "USD")
    assert b"DomeLight" not in path.read_bytes() and sorted(tmp_path.iterdir()) == [path]


def test_glb_holds_the_scene_of_the_object_alone(blender, module, tmp_path):
    scan = labelled(blender, module, True, {"left": LEFT})
    blender.data.scenes.new("Another")
    (path,) = module("export.files").export_objects(scan, tmp_path, "GLB")
    assert len(glb(path)["scenes"]) == 1


def test_pieces_far_from_the_origin_are_where_the_scan_is(blender, module):
    scan = labelled(blender, module, True, {"left": LEFT})
    scan.location = (500_000, 5_000_000, 0)
    scan.rotation_euler = (0, 0, 0.3)
    blender.context.view_layer.update()
    blender.ops.scanpick.separate(origin="KEEP")
    piece = blender.data.objects["left"]
    local = np.array([vertex.co for vertex in piece.data.vertices])
    away = np.abs(local[:, None] - POINTS[None]).max(axis=2).min(axis=1)
    assert away.max() < 1e-6, "the points of the scan, to the bit or nearly"


@pytest.mark.parametrize("origin", ["KEEP", "BOTTOM"])
def test_a_sheared_scan_gives_sheared_objects(blender, module, origin):
    scan = labelled(blender, module, False, {"left": LEFT})
    parent = blender.data.objects.new("parent", None)
    blender.context.collection.objects.link(parent)
    parent.scale, scan.parent, scan.rotation_euler = (1, 3, 1), parent, (0, 0, 0.8)
    blender.context.view_layer.update()
    wanted = np.array([scan.matrix_world @ scan.data.vertices[i].co for i in LEFT])
    assert blender.ops.scanpick.separate(origin=origin, rest=False) == {"FINISHED"}
    blender.context.view_layer.update()
    left = blender.data.objects["left"]
    there = np.array([left.matrix_world @ vertex.co for vertex in left.data.vertices])
    assert np.allclose(there, wanted, atol=1e-5)


def test_two_scans_of_one_file_do_not_take_each_others_file_names(blender, module, tmp_path, capfd):
    for name in ("room A", "room B"):
        labelled(blender, module, False, {"chair": LEFT}).name = name
    file = tmp_path / "two.blend"
    blender.ops.wm.save_as_mainfile(filepath=str(file))
    assert module("command").run([str(file), "--out", str(tmp_path / "out"), "--format", "PLY"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["chair.ply", "chair_1.ply"]


def test_nor_those_of_their_labels(blender, module, tmp_path, capfd):
    for name in ("Room?", "room:"):
        labelled(blender, module, False, {"chair": LEFT}).name = name
    file = tmp_path / "two.blend"
    blender.ops.wm.save_as_mainfile(filepath=str(file))
    assert module("command").run([str(file), "--out", str(tmp_path / "out"), "--labels", "NPZ"]) == 0
    written = sorted(path.name.lower() for path in (tmp_path / "out").iterdir())
    assert written == ["room_.npz", "room__1.npz"]


def test_names_are_made_safe(module):
    files = module("export.files")
    taken = set()
    names = ["a/b", "a\\b", "chair 🪑", "con", "...", "A/B"]
    safe = [files.file_name("{object}", "scan", n, 1, taken) for n in names]
    assert safe == ["a_b", "a_b_1", "chair 🪑", "_con", "object", "A_B_2"]


def test_a_pattern_that_is_none_and_a_folder_that_cannot_be_written(blender, module, session, tmp_path):
    scan = labelled(blender, module, False, {"left": LEFT})
    assert blender.ops.scanpick.export_objects(directory=str(tmp_path), pattern="{what}") == {"CANCELLED"}
    assert "naming pattern" in session.notice_of(scan.data.session_uid).text
    file = tmp_path / "file"
    file.write_text("x")
    assert blender.ops.scanpick.export_objects(directory=str(file / "below"), format="PLY") == {"CANCELLED"}
    assert "choose another" in session.notice_of(scan.data.session_uid).text
    assert set(blender.data.objects.keys()) == {"scan"}


@pytest.mark.parametrize("format", ["GLB", "PLY", "OBJ", "FBX", "USD"])
def test_a_full_disk_leaves_nothing_half_written(blender, module, session, tmp_path, format):
    resource = pytest.importorskip("resource", reason="only POSIX can limit the size of files")
    scan = labelled(blender, module, True, {"left": LEFT})
    blender.ops.scanpick.export_objects(directory=str(tmp_path), format=format)
    (whole,) = [p for p in tmp_path.iterdir() if p.suffix != ".mtl"]
    before, size = whole.read_bytes(), whole.stat().st_size
    limit, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limit[1]))
    try:
        result = blender.ops.scanpick.export_objects(directory=str(tmp_path), format=format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert result == {"CANCELLED"}
    assert "could not be written" in session.notice_of(scan.data.session_uid).text
    assert [p for p in tmp_path.iterdir() if p.suffix != ".mtl"] == [whole]
    assert whole.read_bytes() == before, "the older file is whole"
    assert set(blender.data.objects.keys()) == {"scan"}


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder that nobody may write to")
def test_a_read_only_folder_is_a_sentence(blender, module, session):
    scan = labelled(blender, module, False, {"left": LEFT})
    assert blender.ops.scanpick.export_objects(directory="/sys/kernel", format="PLY") == {"CANCELLED"}
    assert "/sys/kernel cannot be written to" in session.notice_of(scan.data.session_uid).text


@pytest.mark.parametrize("format", ["GLB", "OBJ"])
def test_names_with_slashes_and_emoji_become_files(blender, module, tmp_path, format):
    names = {"chair 🪑/old": LEFT, "chair 🪑\\old": RIGHT}
    labelled(blender, module, True, names)
    pattern = "{number}/{object}"
    assert blender.ops.scanpick.export_objects(directory=str(tmp_path), format=format, pattern=pattern) == {"FINISHED"}
    ending = {"GLB": ".glb", "OBJ": ".obj"}[format]
    assert sorted(p.name for p in tmp_path.glob(f"*{ending}")) == [f"1_chair 🪑_old{ending}", f"2_chair 🪑_old{ending}"]
    if format == "OBJ":
        text = (tmp_path / "1_chair 🪑_old.obj").read_text(encoding="utf-8")
        assert "mtllib 1_chair 🪑_old.mtl" in text and (tmp_path / "1_chair 🪑_old.mtl").is_file()


def test_what_was_put_into_a_group_by_hand_is_exported(blender, module):
    scan = labelled(blender, module, False, {"left": LEFT})
    scan.vertex_groups["left"].add([RIGHT[0]], 1.0, "REPLACE")
    scan.vertex_groups["left"].remove([LEFT[0]])
    blender.ops.scanpick.separate(rest=True)
    assert len(blender.data.objects["left"].data.vertices) == len(LEFT)
    assert len(blender.data.objects["scan rest"].data.vertices) == len(POINTS) - len(LEFT)


def test_giving_up_half_way_leaves_the_scene_as_it_was(blender, module, tmp_path):
    scan = labelled(blender, module, True, {"left": LEFT, "right": RIGHT})
    before = {kind: len(getattr(blender.data, kind)) for kind in ("objects", "meshes", "collections")}
    steps = module("export.files").export_steps(scan, tmp_path, "PLY", "{object}", False, False)
    while (step := next(steps)) is None:
        pass
    assert step[1].name == "left.ply"
    steps.close()
    assert [p.name for p in tmp_path.iterdir()] == ["left.ply"], "what was whole already stays"
    assert {kind: len(getattr(blender.data, kind)) for kind in before} == before
    assert blender.context.object == scan


def test_the_command_exports_a_file_without_a_window(blender, module, tmp_path, capfd):
    labelled(blender, module, True, {"left": LEFT, "right": RIGHT})
    blender.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))
    blender.ops.wm.read_homefile(use_empty=True)
    command, out = module("command"), tmp_path / "out"
    asked = [str(tmp_path / "room.blend"), "--out", str(out), "--format", "PLY", "--pattern", "{scan}_{object}"]
    assert command.run(asked) == 0
    assert sorted(p.name for p in out.iterdir()) == ["scan_left.ply", "scan_right.ply"]
    assert str(out / "scan_left.ply") in capfd.readouterr().out
    assert command.run([*asked[:3], "--labels", "NPZ"]) == 0
    assert sorted(set(np.load(out / "scan.npz")["instance"])) == [-1, 1, 2]
    assert command.run([*asked, "--scan", "other"]) == 2
    assert "no scan “other” with objects" in capfd.readouterr().err
    assert command.run([str(tmp_path / "gone.blend"), "--out", str(out)]) == 2
    assert "could not be opened" in capfd.readouterr().err


@pytest.mark.parametrize("how", ["shown", "switched off", "collection switched off", "excluded", "in another scene"])
def test_the_command_exports_scans_where_they_are_however_they_are_hidden(blender, module, tmp_path, how):
    scan = labelled(blender, module, False, {"left": LEFT})
    scan.location, scan.rotation_euler = (10, 0, 0), (np.pi / 2, 0, 0)
    collection = blender.data.collections.new("scans")
    (blender.data.scenes.new("other") if how == "in another scene" else blender.context.scene).collection.children.link(
        collection
    )
    for former in scan.users_collection:
        former.objects.unlink(scan)
    collection.objects.link(scan)
    scan.hide_viewport = how == "switched off"
    collection.hide_viewport = how == "collection switched off"
    if how == "excluded":
        blender.context.view_layer.layer_collection.children["scans"].exclude = True
    blender.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))
    assert module("command").run([str(tmp_path / "room.blend"), "--out", str(tmp_path), "--format", "PLY"]) == 0
    blender.ops.wm.ply_import(filepath=str(tmp_path / "left.ply"))
    read = np.array([v.co for v in blender.context.object.data.vertices])
    assert read.min(0) == pytest.approx((10, 0, 0), abs=1e-4)
    assert read.max(0) == pytest.approx((10 + POINTS[LEFT][:, 0].max(), 0, POINTS[:, 1].max()), abs=1e-4)
