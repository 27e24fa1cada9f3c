"""The half of `benchmark seat` that runs in Blender: what an artist waits for, timed in the main thread.

python inside_seat.py SCAN.npz ZIP ADDRESS VERTEX OUT.json
"""

import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import bpy  # first: in a bpy wheel it makes mathutils importable

# isort: split
import numpy as np
from mathutils import Matrix

sys.path.insert(0, str(Path(__file__).parent))
from inside_blender import Clock, install, module, open_scan, wait

VIEWS, MOVES = 50, 10
APPLIED, SLIDES, OBJECTS = 7, 20, 1000
MASK = 300_000
SIZE = (1600, 900)


def main(scan: str, zip_file: str, address: str, vertex: int) -> dict:
    install(zip_file, address)
    obj = open_scan(scan)
    asking, waiting, by_hand, left = Clock(), Clock(), Clock(), Clock()
    clocks = {
        "first read": first_read(obj),
        **hovering(obj),
        "apply 300k": applying(obj),
        "threshold step": sliding(vertex, asking, waiting),
    }
    finishing(obj, by_hand, left)
    clocks |= {"clicking": asking, "mask arriving": waiting, "growing": by_hand, "what is left": left}
    clocks |= thousand_objects(obj)
    return {
        "blender": bpy.app.version_string,
        "overlay buffers": _gpu_works(),
        "figures": {name: clock.figures() for name, clock in clocks.items()},
    }


def first_read(obj: bpy.types.Object) -> Clock:
    clock = Clock()
    with clock.piece():
        module("session.session").session.scan_of(obj, bpy.context.scene)
    return clock


def view(angle: float) -> tuple[SimpleNamespace, SimpleNamespace]:
    """A region and its view, as Blender gives them to the click tool, looking at the room from `angle`."""
    place = Matrix.Translation((2.5 + 7 * math.cos(angle), 2.5 + 7 * math.sin(angle), 4))
    look = (place.translation - Matrix.Translation((2.5, 2.5, 0)).translation).to_track_quat("Z", "Y")
    near, far, width = 0.1, 1000.0, 0.72
    height = width * SIZE[1] / SIZE[0]
    window = Matrix((
        (2 / width, 0, 0, 0),
        (0, 2 / height, 0, 0),
        (0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)),
        (0, 0, -1, 0),
    ))  # fmt: skip
    matrix = window @ (place @ look.to_matrix().to_4x4()).inverted()
    region = SimpleNamespace(width=SIZE[0], height=SIZE[1], as_pointer=lambda: 1)
    return region, SimpleNamespace(perspective_matrix=matrix, use_clip_planes=False)


def hovering(obj: bpy.types.Object) -> dict[str, Clock]:
    seeing = module("tool.seeing")
    begun, changed, unchanged = Clock(), Clock(), Clock()
    with begun.piece():
        seeing.sight(obj, *view(-1.0), (800, 450), 4.0, exact=False)
    found = 0
    for step in range(VIEWS):
        region, region_3d = view(step * 0.05)
        for move in range(MOVES + 1):
            with unchanged.piece() if move else changed.piece():
                seen = seeing.sight(obj, region, region_3d, (700 + 20 * move, 400 + 10 * move), 4.0, exact=False)
            found += seen is not None
    if found < VIEWS * MOVES / 2:
        raise SystemExit("The views of the benchmark do not show the scan.")
    return {"first hover": begun, "hover, new view": changed, "hover": unchanged}


def _gpu_works() -> bool:
    """Whether buffers of the overlay can be made here: without a window only newer Blenders can."""
    import gpu

    if bpy.app.background and hasattr(gpu, "init"):
        try:
            gpu.init()
        except SystemError:
            return False
        return True
    return not bpy.app.background


def applying(obj: bpy.types.Object) -> Clock:
    """Write a new object's mask of 300,000 vertices, with the overlay's buffers where they can be made."""
    application, edits, geometry = module("session.application"), module("session.edits"), module("scan.geometry")
    draw = module("overlay.draw")
    clock = Clock()
    mask = np.zeros(len(obj.data.vertices), dtype=bool)
    mask[:MASK] = True
    cloud = draw._cloud(obj) if _gpu_works() else None
    if cloud is not None:
        cloud.points()
    for _ in range(APPLIED + 1):
        number = edits.create(geometry.Geometry(obj))
        bpy.ops.ed.undo_push(message="New")
        step = module("session.undo").Step.CLICK
        with clock.piece():
            application.apply_mask(geometry.Geometry(obj), number, mask, application.Noticed(), [], step)
            if cloud is not None:
                draw._cloud(obj).points()
        edits.delete(geometry.Geometry(obj), number)
        bpy.ops.ed.undo_push(message="Next")
    clock.wall.pop(0), clock.processor.pop(0)
    return clock


def sliding(vertex: int, asking: Clock, waiting: Clock) -> Clock:
    """Click, and drag the threshold of what came. The click's own pieces go to the other clocks."""
    clock = Clock()
    bpy.ops.scanpick.object_new(name="Clicked")
    for positive, place in ((True, vertex), (False, vertex + 1)):
        with asking.piece():
            if bpy.ops.scanpick.click(vertex=place, positive=positive) != {"FINISHED"}:
                raise SystemExit("The click was refused.")
        wait(waiting)
    item = bpy.context.object.data.scanpick.active_item()
    item.threshold = 0.4
    vertices = set()
    for step in range(SLIDES):
        with clock.piece():
            item.threshold = 0.4 + 0.015 * (step + 1)
        vertices.add(item.vertices)
    if len(vertices) < 3:
        raise SystemExit("The threshold changed nothing.")
    bpy.ops.ed.undo_push(message="Threshold")
    return clock


def finishing(obj: bpy.types.Object, growing: Clock, left: Clock) -> None:
    """Grow, with the neighbours made for it and the groups read, and find what is left."""
    session, by_hand = module("session.session").session, module("session.finishing")
    number = obj.data.scanpick.active_item().number
    session.groups_read.clear()  # as after a hand edit

    def work(known, mask):
        return by_hand.among_neighbours(obj, bpy.context.scene, lambda around: around.grow(mask))

    def pieces(around):
        return around.pieces(np.ones(around.count, bool))

    for clock, steps in (
        (growing, by_hand.change_by_hand(obj, number, [], work)),
        (left, by_hand.among_neighbours(obj, bpy.context.scene, pieces)),
    ):
        while True:
            with clock.piece():
                done = next(steps, steps)
            if done is steps:
                break


def thousand_objects(obj: bpy.types.Object) -> dict[str, Clock]:
    """The list and a mask of 1,000 vertices among a thousand objects."""
    names = ("application", "edits", "journal", "object_list", "undo")
    application, edits, journal, object_list, undo = (module(f"session.{name}") for name in names)
    geometry = module("scan.geometry").Geometry(obj)
    last = journal.state(geometry).last_number + OBJECTS
    numbers = range(last - OBJECTS + 1, last + 1)
    journal.write(geometry, [("create", n, {"name": f"Object {n}", "color": edits.palette_color(n)}) for n in numbers])
    object_list.refresh(geometry)
    bpy.ops.ed.undo_push(message="Objects")
    listing, applying, undoing = Clock(), Clock(), Clock()
    for step in range(APPLIED):
        mask = np.zeros(geometry.count, dtype=bool)
        mask[400_000 + 1000 * step : 401_000 + 1000 * step] = True
        with applying.piece():
            application.apply_mask(geometry, last - step, mask, application.Noticed(), [], undo.Step.CLICK)
        with listing.piece():
            object_list.refresh(geometry)
    for _ in range(3):
        with undoing.piece():
            bpy.ops.ed.undo()
    return {"1000 objects: list": listing, "1000 objects: apply": applying, "1000 objects: undo": undoing}


if __name__ == "__main__":
    scan, zip_file, address, vertex, out = sys.argv[-5:]
    Path(out).write_text(json.dumps(main(scan, zip_file, address, int(vertex))), encoding="utf-8")
