"""A textured room seen from above through its ceiling, whose back is not shown: what is clicked is what is seen."""

from pathlib import Path

import bpy
import numpy as np
from scene_edit_mode import members, open_scan

SIDE = 60  # vertices along an edge of floor and ceiling
HEIGHT = 0.8
PLACE = (0.4, 0.3, 0.0)


def build_room(folder: Path) -> bpy.types.Object:
    """A floor in two UDIM tiles, of one colour each, and a ceiling; both look into the room."""
    x, y = np.meshgrid(np.linspace(-2, 2, SIDE), np.linspace(-2, 2, SIDE))
    level = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    points = np.concatenate([level, level + [0, 0, HEIGHT]])
    corner = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)[:-1, :-1].ravel()
    floor = np.stack([corner, corner + 1, corner + SIDE + 1, corner + SIDE], axis=1)
    faces = np.concatenate([floor, floor[:, ::-1] + SIDE * SIDE])
    mesh = bpy.data.meshes.new("scan")
    mesh.from_pydata(points.tolist(), [], faces.tolist())
    layer = mesh.uv_layers.new(name="UVMap")
    places = points[faces.ravel()][:, :2] / 4 * [2, 1] + [1, 0.5]
    layer.uv.foreach_set("vector", places.astype(np.float32).ravel())
    for tile, color in ((1001, (0.8, 0.6, 0.3, 1)), (1002, (0.2, 0.5, 0.7, 1))):
        picture = bpy.data.images.new(f"tile {tile}", 4, 4)
        picture.pixels[:] = color * 16
        picture.filepath_raw, picture.file_format = str(folder / f"floor.{tile}.png"), "PNG"
        picture.save()
    image = bpy.data.images.load(str(folder / "floor.1001.png"))
    image.source = "TILED"
    material = bpy.data.materials.new("room")
    material.use_nodes = True
    nodes = material.node_tree.nodes
    nodes.active = nodes.new("ShaderNodeTexImage")  # what solid shading shows
    nodes.active.image = image
    mesh.materials.append(material)
    obj = bpy.data.objects.new("scan", mesh)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def play(stage):
    open_scan(stage, lambda: build_room(stage.out))
    obj = bpy.data.objects["scan"]
    obj.data.scanpick.voxel_size = 0.04
    shading = stage.view[0].spaces.active.shading
    shading.color_type = "TEXTURE"
    yield
    yield from stage.sidebar()
    yield from stage.take_click_tool()
    for name, culled in (("ceiling", False), ("floor", True)):
        shading.show_backface_culling = culled
        yield from stage.move(stage.middle())
        yield from stage.move(stage.place_of(PLACE))
        yield from stage.pause(1.0)
        hover = stage.module("tool.hover").current
        stage.facts[f"{name}_hovered"] = None if hover is None else hover.local[2]
        yield from stage.shot(f"looking_at_the_{name}")
    yield from stage.click(stage.place_of(PLACE))
    yield from stage.until(lambda: bool(members("Object 1")), "the mask")
    yield from stage.shot("clicked")
    heights = {round(obj.data.vertices[index].co.z, 3) for index in members("Object 1")}
    scan = stage.session.known_scan(obj)
    stage.facts["heights"] = sorted(heights)
    stage.facts["colours"] = sorted({tuple(row) for row in scan.vertex_colors.values.tolist()})
    stage.facts["source"] = scan.color_source
