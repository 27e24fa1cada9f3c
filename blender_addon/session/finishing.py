"""Changes of a mask by hand, in steps that never hold the window up: read, compute in a thread, write in the end."""

from collections.abc import Callable

import bpy
import numpy as np

from ..scan.geometry import Geometry
from ..scan.neighbours import Neighbours
from ..scan.steps import Steps
from . import application, journal, surroundings
from .application import ApplicationError, Result
from .background import in_background
from .session import session
from .state import ObjectState

Work = Steps[np.ndarray]
"""Ends with the mask as it shall be, bool (N,)."""


def change_by_hand(
    obj: bpy.types.Object,
    number: int,
    changes: list[journal.Change],
    work: Callable[[ObjectState, np.ndarray], Work],
) -> Steps[tuple[ObjectState, Result]]:
    """Change an object's mask; the caller pushes the undo step.

    Args:
        changes: what comes before, as the object's creation.
        work: given the object and its mask, bool (N,), the mask that it shall have.
    Raises:
        ApplicationError: locked, or something else has changed the mask in the meantime; nothing was changed then.
    """
    geometry = Geometry(obj)
    uids = obj.session_uid, geometry.data.session_uid
    if session.pending.of_object(uids[1], number):
        raise ApplicationError("A mask is still on its way: wait for it, or take the click back.")
    known = journal.preview(journal.state(geometry), changes).get(number)
    if known is None:
        raise ApplicationError("The object is gone, so nothing was changed: undo or redo until it is back.")
    if known.locked:
        raise ApplicationError(known.locked_message("change"))
    before = journal.revision(geometry)
    noticed = yield from session.noticing(geometry)
    mask = application.mask_of(geometry, number, noticed)
    wanted = yield from work(known, mask)
    geometry = application.geometry_of(*uids)
    if geometry.count != len(mask) or journal.revision(geometry) != before:
        raise ApplicationError("The mask changed in the meantime, so nothing was done: do it again.")
    return known, application.write_by_hand(geometry, number, wanted, noticed, changes)


def among_neighbours(
    obj: bpy.types.Object, scene: bpy.types.Scene, compute: Callable[[Neighbours], np.ndarray]
) -> Work:
    """What `compute` makes of the scan's neighbours, in a thread. Raises ScanError."""
    scan = session.scan_of(obj, scene)
    voxel_size = journal.state(Geometry(obj)).voxel_size_of(scan.proposal)
    return (yield from in_background(lambda: compute(surroundings.of(scan, voxel_size))))
