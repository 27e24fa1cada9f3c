"""What the overlay shows where the view leaves something out: orthographic, X-ray, clipped, in local view, hidden."""

import bpy
import numpy as np
from scene_edit_mode import SIDE, members, open_scan

TOP = (0.1, -0.1, 0.8)  # on the box's lid
FLOOR = (-1.8, -1.8, 0.0)


def hovered(stage, name: str, world: tuple[float, float, float]):
    """Note whether a point of the scan lights up under the mouse."""
    yield from stage.move(stage.middle())
    yield from stage.move(stage.place_of(world))
    yield from stage.pause(0.5)
    stage.facts.setdefault("hovered", {})[name] = stage.module("tool.hover").current is not None


def looked_at(stage, name: str):
    """Take a picture of the viewport and count the pixels in which the mask is seen: reddish on a blue box."""
    picture = yield from stage.picture(name)
    x, y = (int(v) for v in stage.place_of(TOP))
    seen = picture[y - 60 : y + 60, x - 60 : x + 60]
    reddish = (seen[..., 0] > seen[..., 2] + 0.15) & (seen[..., 0] > seen[..., 1] + 0.15)
    stage.facts.setdefault("mask_seen", {})[name] = int(reddish.sum())


def play(stage):
    open_scan(stage)
    scan = bpy.data.objects["scan"]
    scan.data.scanpick.voxel_size = 0.04
    other = bpy.data.objects.new("other", None)
    bpy.context.scene.collection.objects.link(other)
    other.location = (3, 0, 0)
    space = stage.view[0].spaces.active
    yield
    yield from stage.sidebar()
    yield from stage.take_click_tool()
    yield from stage.move(stage.middle())
    yield from stage.tap("NUMPAD_5")
    yield from stage.until(lambda: not space.region_3d.is_perspective, "the orthographic view")
    yield from stage.pause(1.0)
    yield from hovered(stage, "orthographic", TOP)
    yield from stage.click(stage.place_of(TOP))
    yield from stage.until(lambda: bool(members("Object 1")), "the mask")
    yield from stage.move(stage.place_of(FLOOR))
    yield from looked_at(stage, "orthographic")

    yield from stage.tap("Z", alt=True)
    yield from stage.until(lambda: space.shading.show_xray, "X-ray")
    yield from looked_at(stage, "xray")
    yield from stage.tap("Z", alt=True)

    yield from stage.tap("B", alt=True)
    x, y = stage.place_of(TOP)
    yield from stage.drag((x - 90, y - 70), (x + 90, y + 70))
    yield from stage.until(lambda: space.region_3d.use_clip_planes, "the clipping")
    yield from hovered(stage, "inside_clipping", TOP)
    yield from hovered(stage, "outside_clipping", FLOOR)
    yield from looked_at(stage, "clipped")
    yield from stage.tap("B", alt=True)
    yield from stage.until(lambda: not space.region_3d.use_clip_planes, "the end of clipping")

    yield from local_view(stage, space, True)
    yield from hovered(stage, "in_local_view", TOP)
    yield from stage.shot("local_view")
    yield from local_view(stage, space, False)
    scan.select_set(False)
    other.select_set(True)
    yield from local_view(stage, space, True)
    yield from hovered(stage, "outside_local_view", TOP)
    yield from looked_at(stage, "not_in_local_view")
    yield from local_view(stage, space, False)

    scan.select_set(True)
    add_faces(scan.data)
    yield from looked_at(stage, "with_faces")
    stage.module("overlay.cloud").MAX_POINTS = len(scan.data.vertices) // 3
    stage.module("overlay.draw").forget_all()
    yield from looked_at(stage, "too_large_for_faces")

    yield from stage.tap("H")
    yield from stage.until(lambda: scan.hide_get(), "the scan to be hidden")
    yield from hovered(stage, "hidden", TOP)
    yield from looked_at(stage, "hidden")


def add_faces(mesh: bpy.types.Mesh):
    """Make squares of the floor's and the lid's grids."""
    squares = []
    for first, side in ((0, SIDE), (SIDE * SIDE, 40)):
        corner = (first + np.arange(side * side).reshape(side, side)[:-1, :-1]).ravel()
        squares.append(np.stack([corner, corner + 1, corner + side + 1, corner + side], axis=1))
    corners = np.concatenate(squares).astype(np.int32)
    mesh.loops.add(corners.size)
    mesh.loops.foreach_set("vertex_index", corners.ravel())
    mesh.polygons.add(len(corners))
    mesh.polygons.foreach_set("loop_start", np.arange(0, corners.size, 4, dtype=np.int32))
    mesh.update(calc_edges=True)


def local_view(stage, space: bpy.types.SpaceView3D, on: bool):
    """Go to local view of what is selected, or leave it."""
    yield from stage.move(stage.middle())
    yield from stage.tap("NUMPAD_SLASH")
    yield from stage.until(lambda: (space.local_view is not None) == on, "local view")
    yield from stage.pause(1.0)
