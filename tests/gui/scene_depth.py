"""The overlay's points lie over Blender's own orange dots, and behind what is in front of them, from near and far."""

import bpy
import numpy as np
from mathutils import Vector
from scene_edit_mode import open_scan

OPAQUE = 0.12  # metres between the plane and the floor behind it


def floor() -> bpy.types.Object:
    """A blue floor, finer towards its middle; its points are never side by side without a gap."""
    parts = []
    for spacing, reach in ((0.002, 0.05), (0.01, 0.3), (0.1, 5.0)):
        across = np.arange(-reach, reach, spacing)
        parts.append(np.stack([*(axis.ravel() for axis in np.meshgrid(across, across)), np.zeros(across.size**2)], 1))
    points = np.concatenate(parts).astype(np.float32)
    mesh = bpy.data.meshes.new("floor")
    mesh.vertices.add(len(points))
    mesh.vertices.foreach_set("co", points.ravel())
    layer = mesh.color_attributes.new("Col", "FLOAT_COLOR", "POINT")
    layer.data.foreach_set("color", np.tile(np.array([0.02, 0.1, 0.8, 1], np.float32), (len(points), 1)).ravel())
    layer.data[0].color = (0.02, 0.1, 0.79, 1)  # an attribute all alike says nothing, and would not be read
    obj = bpy.data.objects.new("floor", mesh)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def play(stage):
    open_scan(stage, floor)
    space = stage.view[0].spaces.active
    region_3d = space.region_3d
    space.clip_end = 1000
    space.overlay.show_floor = space.overlay.show_axis_x = space.overlay.show_axis_y = False
    region_3d.view_rotation = (1, 0, 0, 0)
    region_3d.view_location = (0, 0, 0)
    corners = [(x, y, OPAQUE) for x, y in ((-9, -9), (9, -9), (9, 9), (-9, 9))]
    mesh = bpy.data.meshes.new("plane")
    mesh.from_pydata(corners, [], [(0, 1, 2, 3)])
    plane = bpy.data.objects.new("plane", mesh)
    bpy.context.scene.collection.objects.link(plane)
    yield

    def look(name: str):
        """Shares of the middle of the viewport that are the scan's blue, and the orange of Blender's dots."""
        yield from stage.pause(0.3)
        picture = yield from stage.picture(name)
        x, y = (int(v) for v in stage.middle())
        red, _, blue = np.moveaxis(picture[y - 150 : y + 150, x - 150 : x + 150, :3], 2, 0)
        return float((blue > red + 0.3).mean()), float((red > blue + 0.3).mean())

    for perspective in ("PERSP", "ORTHO"):
        region_3d.view_perspective = perspective
        for clip_start in (0.01, 0.5):
            space.clip_start = clip_start
            for distance in (0.15, 0.5, 8, 12):
                if perspective == "PERSP" and distance <= clip_start:
                    continue
                region_3d.view_distance = distance
                name = f"{perspective}_{clip_start}_{distance}"
                plane.hide_set(True)
                stage.facts[name] = yield from look(name)
                if distance >= 8:
                    plane.hide_set(False)
                    stage.facts[f"{name}_behind"] = yield from look(f"{name}_behind")
    plane.hide_set(True)
    camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    camera.location = Vector((0, 0, 8))
    camera.data.clip_start, camera.data.clip_end = 0.1, 100
    region_3d.view_perspective = "CAMERA"
    for kind in ("PERSP", "ORTHO"):
        camera.data.type = kind
        stage.facts[f"camera_{kind}"] = yield from look(f"camera_{kind}")
