"""Scans that Blender cannot read come in through the server environment; the sample opens with one click."""

import subprocess
import time

import numpy as np
import pytest
from conftest import REPOSITORY, add_mesh, server_python, show_picture

WRITE = """
import sys, numpy as np
points = np.load(sys.argv[1])
place = sys.argv[2]
if place.endswith(".laz"):
    import laspy
    las = laspy.LasData(laspy.LasHeader(point_format=7, version="1.4"))
    las.header.scales, las.header.offsets = [0.001] * 3, points.min(0)
    las.x, las.y, las.z = points.T
    las.red = las.green = las.blue = np.arange(len(points)) % 256 * 257
    las.write(place)
elif place.endswith(".e57"):
    import pye57
    file = pye57.E57(place, mode="w")
    file.write_scan_raw({f"cartesian{a}": points[:, i] for i, a in enumerate("XYZ")})
    file.close()
elif place.endswith(".pcd"):
    head = f"FIELDS x y z\\nSIZE 8 8 8\\nTYPE F F F\\nPOINTS {len(points)}\\nDATA binary\\n"
    open(place, "wb").write(head.encode() + points.astype("<f8").tobytes())
else:
    np.savetxt(place, points, fmt="%.4f", header=str(len(points)) if place.endswith(".pts") else "", comments="")
"""


@pytest.fixture
def environment(blender, module):
    """The record of where the server environment is, as the installer leaves it."""
    location = module("wire.location")
    location.write(location.Installation(server_python(), str(REPOSITORY)))
    yield location
    location.record_file().unlink(missing_ok=True)


@pytest.fixture
def far_points():
    """Georeferenced points, in file order, to the millimetre."""
    return np.round(np.random.default_rng(0).random((500, 3)) * 10, 3) + [431_234.0, 5_412_345.0, 0.0]


def written(tmp_path, points, name):
    np.save(tmp_path / "points.npy", points)
    subprocess.run([server_python(), "-c", WRITE, tmp_path / "points.npy", tmp_path / name], check=True)
    return tmp_path / name


def positions(obj):
    flat = np.empty(len(obj.data.vertices) * 3, dtype=np.float32)
    obj.data.attributes["position"].data.foreach_get("vector", flat)
    return flat.reshape(-1, 3)


@pytest.mark.parametrize("name", ["site.laz", "site.e57", "site.pcd", "site.xyz", "site.pts"])
def test_a_georeferenced_scan_comes_in_near_the_origin_and_goes_out_where_it_was(
    blender, module, environment, tmp_path, far_points, name
):
    path = written(tmp_path, far_points, name)
    assert blender.ops.scanpick.import_scan(filepath=str(path)) == {"FINISHED"}
    obj = blender.context.object
    assert obj.name == "site" and obj.select_get()
    assert np.abs(positions(obj)).max() < 20
    offset = np.array(obj["scanpick_offset"])
    assert offset.dtype == np.float64
    np.testing.assert_allclose(positions(obj) + offset, far_points, atol=2e-3)
    if name == "site.laz":
        assert obj.data.color_attributes.active_color.name == "Col"
        assert obj.data.color_attributes["Col"].data[100].color_srgb[0] == pytest.approx(100 / 255, abs=1e-3)
    obj.location = (0, 0, 2)  # moved by the artist
    blender.context.view_layer.update()
    blender.ops.scanpick.object_new(name="thing")
    blender.ops.scanpick.export_labels(filepath=str(tmp_path / "out.npz"), format="NPZ")
    back = np.load(tmp_path / "out.npz")
    np.testing.assert_allclose(back["positions"] + back["offset"], far_points + [0, 0, 2], atol=2e-3)


def test_two_scans_of_one_survey_lie_beside_each_other_as_in_their_files(blender, environment, tmp_path, far_points):
    for name, points in (("west", far_points), ("east", far_points + [100.0, 0, 0])):
        blender.ops.scanpick.import_scan(filepath=str(written(tmp_path, points, f"{name}.xyz")))
    blender.context.view_layer.update()
    west, east = (blender.data.objects[name] for name in ("west", "east"))
    assert list(west["scanpick_offset"]) == list(east["scanpick_offset"])
    np.testing.assert_allclose(
        positions(east) + np.array(east.location) - positions(west), [[100, 0, 0]] * 500, atol=2e-3
    )


def test_separated_objects_keep_the_offset(blender, environment, tmp_path, far_points):
    blender.ops.scanpick.import_scan(filepath=str(written(tmp_path, far_points, "site.xyz")))
    scan = blender.context.object
    blender.ops.scanpick.object_new(name="thing")
    scan.vertex_groups.new(name="thing").add(list(range(10)), 1.0, "REPLACE")
    blender.ops.scanpick.separate(rest=False)
    assert list(blender.data.objects["thing"]["scanpick_offset"]) == list(scan["scanpick_offset"])


def test_thinning_on_request(blender, environment, tmp_path, far_points):
    path = written(tmp_path, far_points, "site.xyz")
    blender.ops.scanpick.import_scan(filepath=str(path), thin=5.0)
    assert len(blender.context.object.data.vertices) == 8


def test_import_is_undone_in_one_step(blender, environment, tmp_path, far_points):
    blender.ops.scanpick.import_scan(filepath=str(written(tmp_path, far_points, "site.xyz")))
    blender.ops.ed.undo_push(message="Import Scan")
    blender.ops.ed.undo()
    assert not blender.data.objects
    blender.ops.ed.redo()
    assert len(blender.data.objects["site"].data.vertices) == 500


def test_the_sample_opens_with_its_labels_kept_apart(blender, environment):
    assert blender.ops.scanpick.open_sample() == {"FINISHED"}
    obj = blender.context.object
    assert obj.name == "sample_room" and len(obj.data.vertices) == 76_945
    assert not obj.data.scanpick.objects, "the labels are no objects yet"
    assert blender.ops.scanpick.objects_from_labels(attribute="instance.imported") == {"FINISHED"}
    names = [row.name for row in obj.data.scanpick.objects]
    assert "sofa" in names and "sofa.001" in names and len(names) == 42


def test_cancelling_ends_the_process_and_leaves_nothing(blender, module, environment, tmp_path, far_points):
    path = written(tmp_path, np.tile(far_points, (2000, 1)), "large.laz")
    conversion = module("server.conversion").Conversion
    with conversion() as running:
        steps = running.run(path, "--out", running.folder / "scan.npz")
        next(steps)
        process, folder = running._process, running.folder
        assert process.poll() is None
        steps.close()
    assert process.poll() is not None
    assert not folder.exists()


def test_progress_is_told_while_a_large_scan_is_read(blender, module, environment, tmp_path, far_points):
    path = written(tmp_path, np.tile(far_points, (5000, 1)), "large.laz")
    with module("server.conversion").Conversion() as running:
        shares, longest = [], 0.0
        for share in running.run(path, "--out", running.folder / "scan.npz"):
            started = time.perf_counter()
            shares += [share] if share is not None else []
            time.sleep(0.01)
            longest = max(longest, time.perf_counter() - started)
        assert shares == sorted(shares) and len(shares) >= 2
        assert any(0 < share < 0.7 for share in shares), "between the pieces of the file"


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("gone.laz", None, "no scan file at"),
        ("bad.laz", b"LASF and then nothing", "no whole LAS or LAZ file"),
        ("bad.e57", b"ASTM-E57", "no whole E57 file"),
        ("a.doc", b"", "format that is not known"),
    ],
)
def test_a_file_that_is_none_is_a_sentence(blender, session, environment, tmp_path, name, content, words):
    scan = add_mesh(np.zeros((3, 3)))
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert blender.ops.scanpick.import_scan(filepath=str(tmp_path / name)) == {"CANCELLED"}
    assert words in session.notice_of(scan.data.session_uid).text
    assert set(blender.data.objects.keys()) == {"scan"}


def test_where_the_server_is_not_installed_or_moved_the_sample_says_so(blender, session, module, tmp_path):
    scan, location = add_mesh(np.zeros((3, 3))), module("wire.location")
    assert blender.ops.scanpick.open_sample() == {"CANCELLED"}
    assert "python install.py blender" in session.notice_of(scan.data.session_uid).text
    location.write(location.Installation(server_python(), str(tmp_path)))
    try:
        assert blender.ops.scanpick.open_sample() == {"CANCELLED"}
        assert "sample scan is not in the server's folder" in session.notice_of(scan.data.session_uid).text
    finally:
        location.record_file().unlink()


def test_without_any_scan_the_sentence_is_in_the_sidebar(blender, session, environment, tmp_path):
    assert blender.ops.scanpick.import_scan(filepath=str(tmp_path / "gone.laz")) == {"CANCELLED"}
    assert "no scan file at" in session.notice_of(0).text
    blender.ops.scanpick.open_sample()
    assert session.notice_of(0) is None


def test_the_first_read_tells_how_far_it_is_and_later_ones_nothing(scan, module):
    scans, geometry = module("scan.scan"), module("scan.geometry").Geometry(scan.data.objects["scan"])
    told = []
    read = scans.read(geometry, scan.context.scene, None, lambda _: 0.05, tell=told.append)
    assert len(told) > 3 and told == sorted(told) and told[0] > 0 and told[-1] <= 1
    told.clear()
    assert scans.read(geometry, scan.context.scene, read, lambda _: 0.05, tell=told.append) is read
    assert not told


def test_progress_ends_with_what_it_is_of_even_where_that_fails(blender, module):
    shown = module("session.progress").shown
    for share in (0.0, 0.5):  # the second time begins anew
        with pytest.raises(ZeroDivisionError), shown() as tell:
            tell(share)
            raise ZeroDivisionError


@pytest.mark.parametrize("kind", ["FLOAT_COLOR", "BYTE_COLOR"])
def test_the_colours_of_a_large_scan_are_read_in_blocks_and_each_is_told(blender, module, kind):
    count = 600_000
    data = blender.data.meshes.new("large")
    data.vertices.add(count)
    colors = np.random.default_rng(0).integers(0, 256, (count, 4), dtype=np.uint8)
    layer = data.color_attributes.new("Col", kind, "POINT")
    layer.data.foreach_set("color_srgb", (colors / 255).astype(np.float32).ravel())
    told = []
    read = module("scan.colors").read_colors(data, tell=told.append)
    assert (read.values == colors[:, :3]).all()
    assert len(told) > 2 and told == sorted(told) and told[-1] == 1


def saved_picture(blender, path, name, pixels):
    """A picture of 2 x 2 pixels (4, 4), in Blender and on disk."""
    image = blender.data.images.new(name, 2, 2)
    image.pixels[:] = np.ravel(pixels)
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    return image


@pytest.fixture
def textured(blender, tmp_path):
    """A square of two triangles whose corners lie in a red, green, blue and white pixel of a picture on disk."""
    pixels = [[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]]
    image = saved_picture(blender, tmp_path / "photo.png", "photo", pixels)
    material = blender.data.materials.new("photo")
    show_picture(material, image)
    obj = add_mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], [[0, 1, 2], [1, 3, 2]])
    obj.data.materials.append(material)
    layer = obj.data.uv_layers.new()
    places = np.array([[0.2, 0.2], [0.8, 0.2], [0.2, 0.8], [0.8, 0.8]])
    layer.uv.foreach_set("vector", places[[0, 1, 2, 1, 3, 2]].astype(np.float32).ravel())
    return obj, image


def test_colours_of_a_textured_mesh_are_those_of_its_picture(textured, module):
    read = module("scan.colors").read_colors(textured[0].data, textured[0].data.materials)
    assert read.values.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
    assert read.source == "texture “photo”"


@pytest.fixture
def tiled(textured, blender, tmp_path):
    """That square with its right triangle in a second UDIM tile, of one dark colour, up to the border of both tiles."""
    obj, photo = textured
    saved_picture(blender, tmp_path / "wall.1001.png", "first", np.array(photo.pixels))
    saved_picture(blender, tmp_path / "wall.1002.png", "second", [[0.2, 0.4, 0.6, 1]] * 4)
    image = blender.data.images.load(str(tmp_path / "wall.1001.png"))
    image.source = "TILED"
    obj.data.materials[0].node_tree.nodes["Image Texture"].image = image
    corners = np.array([[0.2, 0.2], [1.0, 0.2], [0.2, 0.8], [1.0, 0.2], [1.8, 0.8], [1.0, 0.8]])
    obj.data.uv_layers[0].uv.foreach_set("vector", corners.astype(np.float32).ravel())
    return obj, image


@pytest.mark.parametrize("packed", [False, True])
def test_each_udim_tile_is_looked_at_where_faces_lie_in_it(tiled, blender, module, tmp_path, packed):
    obj, image = tiled
    assert [tile.number for tile in image.tiles] == [1001, 1002]
    if packed:
        image.pack()
        (tmp_path / "wall.1002.png").unlink()
    pictures = len(blender.data.images)
    read = module("scan.colors").read_colors(obj.data, obj.data.materials)
    dark = np.array([51, 102, 153])
    assert read.values[0].tolist() == [255, 0, 0] and read.values[3].tolist() == dark.tolist()
    assert np.abs(read.values[1] - (dark + [0, 255, 0]) / 2).max() <= 1, "one corner in each tile, at their border"
    assert read.source.startswith("texture “wall.") and len(blender.data.images) == pictures


def test_a_tile_that_was_changed_on_disk_is_seen_and_a_missing_one_is_grey(tiled, blender, module, tmp_path):
    obj, _ = tiled

    def read(data):
        return module("scan.colors").read_colors(data, data.materials)

    assert read(obj.data).values[3].tolist() == [51, 102, 153]
    saved_picture(blender, tmp_path / "wall.1002.png", "other", [[1, 1, 0, 1]] * 4)
    assert read(obj.data).values[3].tolist() == [255, 255, 0]
    (tmp_path / "wall.1002.png").unlink()
    assert read(obj.data).values[3].tolist() == [128, 128, 128]


def test_a_picture_lies_on_the_uv_map_that_its_node_names(textured, module):
    obj, _ = textured
    nodes = obj.data.materials[0].node_tree
    baked = obj.data.uv_layers.new(name="Bake")
    baked.uv.foreach_set("vector", np.full(12, 0.8, np.float32))
    read = module("scan.colors").read_colors
    assert read(obj.data, obj.data.materials).values[0].tolist() == [255, 0, 0]
    node = nodes.nodes.new("ShaderNodeUVMap")
    node.uv_map = "Bake"
    nodes.links.new(node.outputs["UV"], nodes.nodes["Image Texture"].inputs["Vector"])
    assert (read(obj.data, obj.data.materials).values == 255).all()


def test_a_picture_is_found_behind_what_mixes_it_and_a_mask_is_not(textured, blender, module, tmp_path):
    obj, _ = textured
    nodes = obj.data.materials[0].node_tree
    mask, mix = nodes.nodes.new("ShaderNodeTexImage"), nodes.nodes.new("ShaderNodeMixRGB")
    mask.image = saved_picture(blender, tmp_path / "mask.png", "mask", [[0, 0, 0, 1]] * 4)
    shader = next(node for node in nodes.nodes if node.type == "BSDF_PRINCIPLED")
    nodes.links.new(mask.outputs["Color"], mix.inputs["Fac"])
    tint = nodes.nodes.new("ShaderNodeVertexColor")
    nodes.links.new(tint.outputs["Color"], mix.inputs["Color1"])
    nodes.links.new(nodes.nodes["Image Texture"].outputs["Color"], mix.inputs["Color2"])
    nodes.links.new(mix.outputs["Color"], shader.inputs["Base Color"])
    assert module("scan.colors").read_colors(obj.data, obj.data.materials).source == "texture “photo”"


def test_materials_of_the_object_are_looked_at_and_pictures_that_come_later(textured, blender, session):
    obj, image = textured
    texture = obj.data.materials[0].node_tree.nodes["Image Texture"]
    obj.material_slots[0].link = "OBJECT"
    assert session.scan_of(obj, blender.context.scene).color_source == "none: only the shape is used"
    obj.material_slots[0].material = obj.data.materials[0]
    assert session.scan_of(obj, blender.context.scene).color_source == "texture “photo”"
    texture.image = None
    assert session.scan_of(obj, blender.context.scene).color_source == "none: only the shape is used"
    known = session.scan_of(obj, blender.context.scene)
    assert session.scan_of(obj, blender.context.scene) is known
    texture.image = image
    assert session.scan_of(obj, blender.context.scene).color_source == "texture “photo”"


def test_pictures_that_look_the_same_are_looked_at_once(textured, blender, module, session, tmp_path, monkeypatch):
    obj, image = textured
    colors = module("scan.colors")
    known = session.scan_of(obj, blender.context.scene)
    reads = []
    read = colors.read_colors
    monkeypatch.setattr(colors, "read_colors", lambda *given: reads.append(1) or read(*given))

    def looks():
        reads.clear()
        for _ in range(3):
            assert session.scan_of(obj, blender.context.scene) is known
        return len(reads)

    assert looks() == 0
    before = module("scan.textures").mark(image)
    blender.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))
    assert image.filepath.startswith("//") and module("scan.textures").mark(image) == before
    assert looks() <= 1
    obj.data.materials.append(None)
    assert looks() <= 1
    image.pixels[0] = image.pixels[0]
    assert image.is_dirty and looks() <= 1


def test_a_picture_is_found_behind_a_ramp(textured, module):
    obj, _ = textured
    nodes = obj.data.materials[0].node_tree
    ramp = nodes.nodes.new("ShaderNodeValToRGB")
    shader = next(node for node in nodes.nodes if node.type == "BSDF_PRINCIPLED")
    nodes.links.new(nodes.nodes["Image Texture"].outputs["Color"], ramp.inputs["Fac"])
    nodes.links.new(ramp.outputs["Color"], shader.inputs["Base Color"])
    nodes.nodes.new("ShaderNodeTexImage").image = nodes.nodes["Image Texture"].image
    assert module("scan.textures").picture_of(obj.data.materials[0]).image.name == "photo"


def test_a_picture_is_looked_at_again_only_when_it_was_changed(textured, blender, module, monkeypatch):
    colors, textures = module("scan.colors"), module("scan.textures")
    obj, image = textured
    looks = []
    look = textures.pixels
    monkeypatch.setattr(textures, "pixels", lambda image, tile: looks.append(image.name) or look(image, tile))

    def read():
        data = blender.data.objects["scan"].data
        return colors.read_colors(data, data.materials).values

    first = read()
    blender.ops.ed.undo_push(message="Something else")
    assert (read() == first).all()
    assert len(looks) == 1
    image.pixels[:4] = [0, 0, 0, 1]
    assert read()[0].tolist() == [0, 0, 0]
    image.save()
    assert read()[0].tolist() == [0, 0, 0]
    obj.data.uv_layers[0].uv[0].vector = (0.8, 0.8)
    assert read()[0].tolist() == [255, 255, 255]
