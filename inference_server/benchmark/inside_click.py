"""The half of `benchmark click` that runs in Blender: installs the add-on, opens the scan, clicks and times it.

    python inside_click.py SCAN.npz ZIP ADDRESS VERTEX CLICKS OUT.json
"""

import importlib
import json
import sys
import time

import bpy  # first: in a bpy wheel it makes mathutils importable

# isort: split
import numpy as np

PACKAGE = "bl_ext.user_default.scanpick"
PATIENCE = 300.0


def wait(session) -> None:
    until = time.monotonic() + PATIENCE
    while session.pump():
        if time.monotonic() > until:
            raise SystemExit(f"No mask came: {session.connection.text}")
        time.sleep(0.001)


def main(scan: str, zip_file: str, address: str, vertex: int, clicks: int) -> list[dict]:
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.ops.extensions.package_install_files(repo="user_default", filepath=zip_file, enable_on_install=True)
    settings = bpy.context.preferences.addons[PACKAGE].preferences
    settings.address, settings.start_server = address, False
    session = importlib.import_module(f"{PACKAGE}.session.session").session
    edits = importlib.import_module(f"{PACKAGE}.session.edits")
    points = np.load(scan)
    mesh = bpy.data.meshes.new("scan")
    mesh.vertices.add(len(points["positions"]))
    mesh.vertices.foreach_set("co", points["positions"].ravel())
    colors = mesh.color_attributes.new("Col", "BYTE_COLOR", "POINT")
    rgba = np.concatenate([points["colors"], np.full((len(points["colors"]), 1), 255)], axis=1) / 255
    colors.data.foreach_set("color_srgb", rgba.astype(np.float32).ravel())
    obj = bpy.data.objects.new("scan", mesh)
    bpy.context.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    obj.select_set(True)
    mesh.scanpick.voxel_size = 0.05
    bpy.ops.ed.undo_push(message="Scan")
    rows = []
    for index in range(clicks + 1):
        bpy.ops.scanpick.object_new(name=f"Object {index}")
        # as after an artist's pause: what Blender and the add-on put off until idle is done
        session.pump()
        before = time.perf_counter()
        if bpy.ops.scanpick.click(vertex=vertex, positive=True) != {"FINISHED"}:
            raise SystemExit(session.notices[mesh.session_uid].text)
        wait(session)
        total = time.perf_counter() - before
        item = mesh.scanpick.active_item()
        if not item.vertices:
            raise SystemExit(session.notices[mesh.session_uid].text)
        timing = session.answers.of(mesh.session_uid, edits.shown_state(mesh).get(item.number)).timing
        rows.append({**timing, "total": total, "mask": item.vertices})
        bpy.ops.scanpick.object_delete()
        bpy.ops.ed.undo_push(message="Next")
    return rows[1:]  # the first one sends the scan


if __name__ == "__main__":
    scan, zip_file, address, vertex, clicks, out = sys.argv[-6:]
    rows = main(scan, zip_file, address, int(vertex), int(clicks))
    with open(out, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(rows, file)
