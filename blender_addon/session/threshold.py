"""The threshold slider: the mask follows at once, out of the network's last answer; no server is asked.

The threshold belongs to the object and holds for later answers as well.
"""

import bpy

from ..scan.geometry import Geometry
from . import application, edits, journal, object_list, starts, surroundings, watch
from .session import session


def is_live(obj: bpy.types.Object) -> bool:
    """Whether the answer to the chosen object's clicks is at hand. Looks at what the list shows, for drawing."""
    state, item = object_list.shown_state(obj.data.session_uid), obj.data.scanpick.active_item()
    known = state.get(item.number) if state is not None and item is not None else None
    return known is not None and session.answers.of(obj.data.session_uid, known) is not None


@watch.own
def moved(item: bpy.types.PropertyGroup) -> None:
    """The artist moved an object's slider. Blender pushes the undo step when it is let go."""
    obj = None if object_list.is_syncing() else edits.object_of(item.id_data)
    if obj is None:
        return
    geometry = Geometry(obj)
    known = journal.state(geometry).get(item.number)
    if known is None:
        return
    if known.locked:
        object_list.refresh(geometry)  # the slider springs back
        session.notice(item.id_data.session_uid, "WARNING", known.locked_message("change"))
        return
    value = round(item.threshold, 4)
    answer = session.answers.of(geometry.data.session_uid, known)
    scan = session.known_scan(obj)
    if answer is None or scan is None or not len(answer.probabilities) == geometry.count == scan.count:
        edits.change(geometry, {known.number: {"threshold": value}})
        return
    mask = application.decided(answer.probabilities, value)
    if known.starts:
        voxel_size = journal.state(geometry).voxel_size_of(scan.proposal)
        mask = starts.corrected(known, mask, surroundings.of(scan, voxel_size), scan)
    changes = [("set", known.number, {"threshold": value})]
    result = application.write_mask(geometry, known.number, mask, application.Noticed(), changes)
    session.notice(item.id_data.session_uid, "INFO", f"{known.name}: {result.vertices:,} vertices.")
