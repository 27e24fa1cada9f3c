"""The half of `benchmark separate` that runs in Blender: makes a mesh with objects, separates them, times it.

python inside_separate.py GRID.npz ZIP OBJECTS OUT.json
"""

import json
import sys
import time
from pathlib import Path

import bpy  # first: in a bpy wheel it makes mathutils importable

# isort: split
import numpy as np
from inside_blender import install, module


def grid(positions: np.ndarray) -> bpy.types.Object:
    """A square of points, row after row, with quads, a UV layer, a colour attribute and two materials."""
    side = round(len(positions) ** 0.5)
    mesh = bpy.data.meshes.new("scan")
    mesh.vertices.add(side * side)
    mesh.attributes["position"].data.foreach_set("vector", positions.ravel())
    first = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).ravel()
    corners = np.stack([first, first + 1, first + side + 1, first + side], axis=1).astype(np.int32)
    mesh.loops.add(corners.size)
    mesh.loops.foreach_set("vertex_index", corners.ravel())
    mesh.polygons.add(len(corners))
    mesh.polygons.foreach_set("loop_start", np.arange(len(corners), dtype=np.int32) * 4)
    mesh.update(calc_edges=True)
    uv = mesh.uv_layers.new(name="UVMap")
    uv.uv.foreach_set("vector", np.random.default_rng(0).random(corners.size * 2, dtype=np.float32))
    colors = mesh.color_attributes.new("Col", "BYTE_COLOR", "POINT")
    colors.data.foreach_set("color_srgb", np.random.default_rng(1).random(side * side * 4, dtype=np.float32))
    for name in ("Paint", "Wood"):
        mesh.materials.append(bpy.data.materials.new(name))
    mesh.polygons.foreach_set("material_index", (np.arange(len(corners)) % 2).astype(np.int32))
    obj = bpy.data.objects.new("scan", mesh)
    bpy.context.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    return obj


def main(scan: str, zip_file: str, objects: int) -> dict:
    install(zip_file)
    obj = grid(np.load(scan)["positions"])
    mesh = obj.data
    place = np.arange(len(mesh.vertices)) * (objects * 5 // 4) // len(mesh.vertices)  # a fifth is nobody's
    labels = module("labels.labels").Labels(np.where(place < objects, place, -1).astype(np.int32))
    geometry = module("scan.geometry").Geometry(obj)
    module("labels.objects").make_objects(geometry, labels)
    separate = module("export.separate")
    started, busy = time.perf_counter(), time.process_time()
    last = started
    longest, made = 0.0, 0
    parts = separate.parts_of(geometry, True)
    collection = separate.new_collection(bpy.context.scene, "objects")
    for step in separate.separate(geometry, parts, collection, separate.BOTTOM):
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
        made += step is not None and step[1] is not None
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    faces = sum(len(piece.data.polygons) for piece in collection.objects)
    if made != objects + 1 or faces != len(mesh.polygons):
        raise SystemExit(f"{made} objects with {faces} of {len(mesh.polygons)} faces were made")
    return {
        "blender": bpy.app.version_string,
        "vertices": len(mesh.vertices),
        "faces": faces,
        "objects": objects,
        "seconds": seconds,
        "processor_seconds": busy,
        "longest_step": longest,
    }


if __name__ == "__main__":
    scan, zip_file, objects, out = sys.argv[-4:]
    Path(out).write_text(json.dumps(main(scan, zip_file, int(objects))), encoding="utf-8")
