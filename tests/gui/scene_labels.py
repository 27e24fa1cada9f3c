"""Labels from a file become objects: found by search, chosen in the file browser.

Search and Return are simulated; which file is chosen is set in the file browser, whose list cannot be aimed at.
"""

import numpy as np
from scene_artist import look_down, mask_of, open_scan, scan


def play(stage):
    labels = open_scan(stage)
    yield
    yield from stage.sidebar()
    yield from look_down(stage)
    yield from stage.tap("F3")
    yield from stage.pause(0.6)
    yield from stage.write("Import Labels")
    yield from stage.pause(0.6)
    yield from stage.shot("1_search")
    yield from stage.tap("RET")
    browser = yield from stage.file_browser()
    chosen = browser.spaces.active.params
    chosen.directory, chosen.filename = bytes(stage.out), "labels.ply"
    yield from stage.pause(1.0)
    yield from stage.shot("2_browser")
    yield from stage.tap("RET")
    yield from stage.until(lambda: len(scan().data.scanpick.objects) > 0, "the objects", 90)
    yield from stage.tap("L")
    yield from stage.shot("3_objects")
    names = [item.name for item in scan().data.scanpick.objects]
    stage.facts["objects"] = len(names)
    stage.facts["names"] = names
    numbers = {item.number for item in scan().data.scanpick.objects}
    stage.facts["same"] = all(
        len(np.unique(labels[mask_of(number)])) == 1 and mask_of(number).any() for number in numbers
    )
