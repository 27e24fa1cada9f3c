"""What is left: the vertices that belong to no object, largest pieces first."""

import math
from collections.abc import Iterator

import bpy
import numpy as np
from mathutils import Vector

from ..overlay import settings
from ..scan import masks
from ..scan.geometry import Geometry
from ..session import application, finishing
from ..session.session import redraw, session
from .common import fail, poll_scan, scan_object
from .steps import InSteps

LARGE = 1e-3  # share of the scan's vertices
FEWEST = 20
VIEW_SENSOR = 72.0  # millimetres that a viewport's focal length is meant for

_seen: dict[int, set[int]] = {}


def large_pieces(pieces: np.ndarray) -> list[tuple[int, int]]:
    """First vertex and size of every large piece, the largest first.

    Args:
        pieces: int32 (N,), -1 for vertices that belong to an object.
    """
    left = np.flatnonzero(pieces >= 0)
    _, first, sizes = np.unique(pieces[left], return_index=True, return_counts=True)
    large = sizes >= max(FEWEST, LARGE * len(pieces))
    found = sorted(zip(sizes[large].tolist(), left[first[large]].tolist(), strict=True), key=lambda f: (-f[0], f[1]))
    return [(vertex, size) for size, vertex in found]


class SCANPICK_OT_next_left(InSteps, bpy.types.Operator):
    """Show what belongs to no object yet, and move the view to the next large piece of it"""

    bl_idname = "scanpick.next_left"
    bl_label = "Next Unassigned Piece"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_scan(cls, context)

    def steps(self, context: bpy.types.Context) -> Iterator[None]:
        self._told = ""
        obj = scan_object(context)
        self._uids = obj.session_uid, obj.data.session_uid
        scan = session.scan_of(obj, context.scene)
        left = masks.read_instance(Geometry(obj)) == masks.NONE
        pieces = yield from finishing.among_neighbours(obj, context.scene, lambda around: around.pieces(left))
        obj = application.geometry_of(*self._uids).obj
        large = large_pieces(pieces)
        if not large:
            return
        seen = _seen.setdefault(self._uids[1], set())
        unseen = [place for place, (vertex, _) in enumerate(large) if vertex not in seen]
        if not unseen:
            seen.clear()
        place = unseen[0] if unseen else 0
        vertex, size = large[place]
        seen.add(vertex)
        settings.get().mode = "LEFT"
        frame(context, obj, scan.raw[pieces == pieces[vertex]])
        self._told = (
            f"Piece {place + 1} of {len(large)}: {size:,} vertices. In all {left.mean():.0%} of the scan belongs to "
            "no object."
        )

    def finished(self, context: bpy.types.Context) -> set[str]:
        if not self._told:
            obj = application.find_object(self._uids[0])
            return fail(self, obj.data, "There is no large piece left: nearly every vertex belongs to an object.")
        session.notice(self._uids[1], "INFO", self._told)
        self.report({"INFO"}, self._told)
        redraw()
        return {"FINISHED"}


def frame(context: bpy.types.Context, obj: bpy.types.Object, positions: np.ndarray) -> None:
    """Move the 3D viewport so that these positions (K, 3) of the object fill it; nothing where there is none."""
    region_3d, positions = context.region_data, positions[np.isfinite(positions).all(axis=1)]
    if region_3d is None or not len(positions):
        return
    low, high = positions.min(axis=0), positions.max(axis=0)
    corners = [obj.matrix_world @ Vector(np.where(side, high, low).tolist()) for side in np.ndindex(2, 2, 2)]
    middle = sum(corners, Vector()) / len(corners)
    radius = max((corner - middle).length for corner in corners)
    half_angle = math.atan(VIEW_SENSOR / 2 / context.space_data.lens)
    narrow = min(1.0, context.region.height / max(context.region.width, 1))
    if region_3d.view_perspective == "CAMERA":
        region_3d.view_perspective = "PERSP"
    region_3d.view_location = middle
    region_3d.view_distance = 1.1 * radius / math.sin(half_angle) / narrow


CLASSES = (SCANPICK_OT_next_left,)
