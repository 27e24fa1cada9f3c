"""Who changed a scan's data: the add-on, or somebody else, after whom everything read before must be looked at again.

Blender tells the same for a moved vertex, a painted group and our own mask, so our writes are told apart by when they
happen.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import bpy

T = TypeVar("T")

_versions: dict[int, int] = {}
_touched: set[int] = set()
_everything = 0
_own = 0


def version(data_uid: int) -> tuple[int, int]:
    """Changes whenever somebody else may have changed the mesh or point cloud with this session id."""
    return _everything, _versions.get(data_uid, 0)


def changes() -> int:
    """Grows with every change of somebody else, of whatever scan."""
    return _everything + sum(_versions.values())


def foreign_change(data_uid: int) -> None:
    _versions[data_uid] = _versions.get(data_uid, 0) + 1
    touch(data_uid)


def touch(data_uid: int) -> None:
    """Have it among those that `take_touched` tells."""
    _touched.add(data_uid)


def take_touched() -> set[int]:
    """The session ids of what somebody else has changed since this was last asked."""
    taken = set(_touched)
    _touched.clear()
    return taken


def all_changed() -> None:
    """Undo, redo or another file: nothing read before can be trusted."""
    global _everything
    _everything += 1


@contextmanager
def own_writes() -> Iterator[None]:
    """What Blender reports as changed within the block was written by the add-on."""
    global _own
    bpy.context.view_layer.update()  # what others did before is reported as theirs
    _own += 1
    try:
        yield
    finally:
        bpy.context.view_layer.update()
        _own -= 1


def own(function: Callable[..., T]) -> Callable[..., T]:
    """For a function whose writes are the add-on's own."""

    @wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> T:
        with own_writes():
            return function(*arguments, **named)

    return wrapped


def updated(depsgraph: bpy.types.Depsgraph) -> None:
    """From the handler of depsgraph updates."""
    if _own:
        return
    for update in depsgraph.updates:
        if not update.is_updated_geometry:
            continue
        found = update.id.original
        if isinstance(found, bpy.types.Object):
            found = found.data
        if isinstance(found, (bpy.types.Mesh, bpy.types.PointCloud)):
            foreign_change(found.session_uid)
