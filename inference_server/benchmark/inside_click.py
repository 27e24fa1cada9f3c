"""The half of `benchmark click` that runs in Blender: installs the add-on, opens the scan, clicks and times it.

python inside_click.py SCAN.npz ZIP ADDRESS VERTEX CLICKS OUT.json
"""

import json
import sys
import time
from pathlib import Path

import bpy  # first: in a bpy wheel it makes mathutils importable

# isort: split
sys.path.insert(0, str(Path(__file__).parent))
from inside_blender import install, module, open_scan, wait


def main(scan: str, zip_file: str, address: str, vertex: int, clicks: int) -> list[dict]:
    install(zip_file, address)
    mesh = open_scan(scan).data
    session, object_list = module("session.session").session, module("session.object_list")
    rows = []
    for index in range(clicks + 1):
        bpy.ops.scanpick.object_new(name=f"Object {index}")
        # as after an artist's pause: what Blender and the add-on put off until idle is done
        session.pump()
        before = time.perf_counter()
        if bpy.ops.scanpick.click(vertex=vertex, positive=True) != {"FINISHED"}:
            raise SystemExit(session.notices[mesh.session_uid].text)
        wait()
        total = time.perf_counter() - before
        item = mesh.scanpick.active_item()
        if not item.vertices:
            raise SystemExit(session.notices[mesh.session_uid].text)
        timing = session.answers.of(mesh.session_uid, object_list.shown_state(mesh.session_uid).get(item.number)).timing
        rows.append({**timing, "total": total, "mask": item.vertices})
        bpy.ops.scanpick.object_delete()
        bpy.ops.ed.undo_push(message="Next")
    return rows[1:]  # the first one sends the scan


if __name__ == "__main__":
    scan, zip_file, address, vertex, clicks, out = sys.argv[-6:]
    rows = main(scan, zip_file, address, int(vertex), int(clicks))
    Path(out).write_text(json.dumps(rows), encoding="utf-8")
