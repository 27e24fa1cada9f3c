"""A day's work: ten objects of a scan clicked out, corrected, reconsidered, saved, reopened and exported.

Mouse and keys only. The artist looks at labels (OUT_DIR/labels.npy) to know what belongs to an object, as a person does
by looking at the scan, and clicks what the eye sees in front.
"""

import time

import bpy
import numpy as np
from eye import Eye, positions_of

OBJECTS = 10
CLICKS = 5
GOOD = 0.85
SMALLEST = 40  # cells of five pixels that must be seen of an object


def scan() -> bpy.types.Object:
    return bpy.data.objects["room"]


def owners() -> np.ndarray:
    """(N,) the number of the object that each vertex belongs to, -1 for none."""
    attribute = scan().data.attributes.get("instance")
    if attribute is None:
        return np.full(len(scan().data.vertices), -1)
    values = np.empty(len(attribute.data), np.int32)
    attribute.data.foreach_get("value", values)
    return values


def mask_of(number: int) -> np.ndarray:
    """(N,) bool: the vertices of an object."""
    return owners() == number


def clicks_of(place: int) -> int:
    """Clicks of an object by its place in the list."""
    objects = scan().data.scanpick.objects
    return objects[place].clicks if place < len(objects) else 0


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def open_scan(stage) -> np.ndarray:
    """The set-up: the room in a saved file, active; its true labels (N,)."""
    for other in list(bpy.data.objects):
        bpy.data.objects.remove(other)
    bpy.ops.wm.ply_import(filepath=str(stage.out / "room.ply"))
    bpy.context.object.name = "room"
    stage.preferences.address = stage.address
    bpy.context.preferences.view.filebrowser_display_type = "SCREEN"
    bpy.ops.wm.save_as_mainfile(filepath=str(stage.out / "work.blend"))
    return np.load(stage.out / "labels.npy")


def click_object(
    stage, target: np.ndarray, number: int | None = None, clicks: int = CLICKS, good: float = GOOD
) -> list[float]:
    """Click one object until it is good: the IoU after each click is returned by `yield from`.

    number: of the object in the list, where it is there already.
    """
    curve: list[float] = []
    for _ in range(clicks):
        mask = mask_of(number) if number else np.zeros(len(target), bool)
        eye = Eye(stage, positions_of(scan()))
        free = owners() < 0  # what belongs to an accepted object is locked
        missed, wrong = eye.aim(target & ~mask & free), eye.aim(mask & ~target)
        adds = wrong is None or (missed is not None and missed[2] >= wrong[2])
        aim = missed if adds else wrong
        if aim is None:
            break
        known = len(scan().data.scanpick.journal)
        yield from stage.click(aim[:2], ctrl=not adds)
        yield from stage.until(lambda known=known: len(scan().data.scanpick.journal) > known, "the mask", 60)
        item = scan().data.scanpick.active_item()
        number = item.number
        curve.append(iou(mask_of(number), target))
        if curve[-1] >= good:
            break
    return curve


def look_down(stage):
    """See the whole scan at a slant, and take the click tool."""
    yield from stage.move(stage.middle())
    yield from stage.tap("NUMPAD_7")
    yield from stage.tap("NUMPAD_PERIOD")
    yield from stage.pause(1.5)  # Blender turns the view smoothly
    for _ in range(2):
        yield from stage.tap("NUMPAD_2")
        yield from stage.pause(0.5)
    yield from stage.take_click_tool()
    yield from stage.move(stage.middle())


def play(stage):
    labels = open_scan(stage)
    yield
    yield from stage.sidebar()
    yield from look_down(stage)
    yield from stage.shot("01_scan")

    eye = Eye(stage, positions_of(scan()))
    areas = {int(n): eye.area_of(labels == n) for n in np.unique(labels[labels >= 0])}
    chosen = sorted((n for n, area in areas.items() if area >= SMALLEST), key=lambda n: -areas[n])[:OBJECTS]
    assert len(chosen) == OBJECTS, f"only {len(chosen)} objects can be seen well enough: {areas}"
    curves = []
    for place, identity in enumerate(chosen):
        started = time.monotonic()
        target = labels == identity
        curve = yield from click_object(stage, target)
        assert curve, f"object {identity} could not be clicked"
        stage.facts.setdefault("seconds", []).append(round(time.monotonic() - started, 1))
        if place == 0:
            yield from stage.shot("02_first_object")
        if place == 2:  # a change of mind: the last click is undone and done again
            mask, clicks = mask_of(place + 1), len(curve)
            yield from stage.tap("Z", ctrl=True)
            yield from stage.until(lambda p=place, c=clicks: clicks_of(p) == c - 1, "undo")
            yield from stage.tap("Z", ctrl=True, shift=True)
            yield from stage.until(lambda p=place, c=clicks: clicks_of(p) == c, "redo")
            stage.facts["undone_and_redone"] = bool(np.array_equal(mask_of(place + 1), mask))
        curves.append(curve)
        stage.facts["curves"] = curves
        yield from stage.tap("RET")
        yield from stage.until(lambda p=place: scan().data.scanpick.objects[p].locked, "accept")
    yield from stage.move(stage.middle())
    yield from stage.shot("03_ten_objects")
    yield from stage.tap("L")
    yield from stage.shot("04_labels")
    yield from stage.tap("L")

    masks = [mask_of(n + 1) for n in range(OBJECTS)]
    yield from stage.tap("S", ctrl=True)
    yield from stage.until(lambda: not bpy.data.is_dirty, "the file to be saved")
    yield from stage.tap("O", ctrl=True, shift=True)
    yield from stage.pause(0.6)
    yield from stage.shot("05_reopen")
    marker = bpy.data.objects["room"].session_uid
    yield from stage.tap("RET")
    yield from stage.until(lambda: bpy.data.objects["room"].session_uid != marker, "the file to be opened again")
    yield from stage.pause(1.0)
    stage.facts["kept"] = [bool(np.array_equal(mask_of(n + 1), masks[n])) for n in range(OBJECTS)]
    stage.facts["names"] = [item.name for item in scan().data.scanpick.objects]
    yield from stage.move(stage.middle())
    yield from stage.shot("06_reopened")

    yield from stage.tap("F3")
    yield from stage.pause(0.6)
    yield from stage.write("Scanpick Objects")
    yield from stage.pause(0.6)
    yield from stage.shot("07_search")
    yield from stage.tap("RET")
    yield from stage.file_browser()
    yield from stage.shot("08_export")
    yield from stage.tap("RET")
    yield from stage.until(lambda: len(list(stage.out.glob("*.glb"))) >= OBJECTS, "the exported files", 60)
    yield from stage.pause(1.0)
    stage.facts["files"] = sorted(path.name for path in stage.out.glob("*.glb"))
    yield from stage.shot("09_done")
