"""The list in the sidebar: shows what the journal says, and which object clicks belong to."""

from collections.abc import Callable
from typing import Any

import bpy
import numpy as np

from ..scan import masks
from ..scan.geometry import Geometry
from . import journal
from .state import ScanState

_syncing = False

_shown: dict[int, ScanState] = {}

instance_listeners: list[Callable[[int, np.ndarray], None]] = []
"""Called with a mesh's session id and its `instance` values whenever these may have changed."""


def refresh(geometry: Geometry, instance: np.ndarray | None = None) -> None:
    """Bring the list in line with the journal, touching only rows that differ.

    Args:
        instance: int32 (N,) where the caller has it at hand; counts are then taken from it, else read.
    """
    global _syncing
    state = journal.state(geometry)
    if instance is None:
        instance = masks.read_instance(geometry)
    owned = instance[instance >= 0]
    counts = np.bincount(owned) if owned.size else np.zeros(1, dtype=np.int64)
    scan = geometry.data.scanpick
    active = scan.active_item()
    active_number = active.number if active is not None else -1
    none_chosen = active is None and len(scan.objects) > 0  # the next click starts a new object
    _syncing = True
    try:
        while len(scan.objects) > len(state.objects):
            scan.objects.remove(len(scan.objects) - 1)
        while len(scan.objects) < len(state.objects):
            scan.objects.add()
        for item, known in zip(scan.objects, state.objects, strict=True):
            _set(item, "number", known.number)
            _set(item, "name", known.name)
            _set(item, "visible", known.visible)
            _set(item, "locked", known.locked)
            if abs(item.threshold - known.threshold) > 1e-6:
                item.threshold = known.threshold
            if max(abs(a - b) for a, b in zip(item.color, known.color, strict=True)) > 1e-4:
                item.color = known.color
            _set(item, "clicks", known.click_count)
            _set(item, "vertices", int(counts[known.number]) if known.number < len(counts) else 0)
        if abs(scan.voxel_size - state.voxel_size) > 1e-7:
            scan.voxel_size = state.voxel_size
        _set(scan, "overlap", state.overlap)
        _set(scan, "adapt", state.adapt)
        position = next((i for i, o in enumerate(state.objects) if o.number == active_number), None)
        if position is None and none_chosen:
            position = len(state.objects)
        elif position is None:
            position = max(0, min(scan.active, len(state.objects) - 1))
        _set(scan, "active", position)
    finally:
        _syncing = False
    _shown[geometry.data.session_uid] = state
    for listener in instance_listeners:
        listener(geometry.data.session_uid, instance)


def is_syncing() -> bool:
    """Whether the list is being brought in line right now: its changes are not the artist's."""
    return _syncing


def shown_state(data_uid: int) -> ScanState | None:
    """The state that a scan's list shows, without reading the mesh: for drawing."""
    return _shown.get(data_uid)


def forget_all() -> None:
    """Another file was opened."""
    _shown.clear()


def _set(item: bpy.types.PropertyGroup, field: str, value: Any) -> None:
    if getattr(item, field) != value:
        setattr(item, field, value)


def activate(geometry: Geometry, number: int) -> None:
    """Make an object the one that clicks belong to."""
    scan = geometry.data.scanpick
    for position, item in enumerate(scan.objects):
        if item.number == number:
            _set(scan, "active", position)


def choose_none(geometry: Geometry) -> None:
    """Have no object chosen: the next click starts a new one."""
    _set(geometry.data.scanpick, "active", len(geometry.data.scanpick.objects))


def mask_missing(geometry: Geometry) -> bool:
    """Whether an object that the list shows with vertices has no mask any more: it was renamed or deleted by hand."""
    present = masks.taken_names(geometry.obj)
    return any(item.vertices and item.name not in present for item in geometry.data.scanpick.objects)
