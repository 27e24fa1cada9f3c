"""Blender's events: undo, redo, load, save, changes of data and preferences; and the timer that polls."""

import traceback

import bpy
from bpy.app.handlers import persistent

from . import preferences
from .overlay import draw, hidden
from .scan import masks
from .scan.geometry import SCAN_TYPES, Geometry
from .session import journal, object_list, watch
from .session.session import redraw, session
from .tool import click_tool, seeing

INTERVAL_IDLE = 0.25
INTERVAL_BUSY = 0.03
UNDO_RESTORES_GROUP_NAMES = (4, 3, 0)


def _scans_with_journal() -> list[Geometry]:
    seen: set[int] = set()
    found = []
    for obj in bpy.data.objects:
        if obj.type not in SCAN_TYPES or obj.data is None or obj.data.session_uid in seen:
            continue
        if journal.has_journal(obj.data) and obj.data.library is None:
            seen.add(obj.data.session_uid)
            found.append(Geometry(obj))
    return found


def synchronise() -> None:
    """After undo, redo, load or enabling: bring journal, group names and list in line with what the meshes say."""
    watch.all_changed()
    for geometry in _scans_with_journal():
        journal.restore(geometry)
        if geometry.editing and bpy.app.version < UNDO_RESTORES_GROUP_NAMES:
            names = journal.group_names_at(geometry.data, journal.revision(geometry))
            if names is not None:
                masks.match_names(geometry.obj, names, journal.names_ever(geometry.data))
        watch.touch(geometry.data.session_uid)
        object_list.refresh(geometry)
        session.tell_unpredicted(geometry)
    hidden.synchronise()
    session.renumber()
    redraw()


@persistent
def _undone(*_: object) -> None:
    # A click whose mask has not arrived is the newest thing the artist did, though Blender does not know it:
    # the step that was undone instead is put back by the next pump().
    if session.cancel_latest():
        session.redo_due += 1
    synchronise()


@persistent
def _redone(*_: object) -> None:
    synchronise()


@persistent
def _loaded(*_: object) -> None:
    session.forget_file()
    seeing.forget_all()
    draw.forget_all()
    hidden.forget_all()
    synchronise()


@persistent
def _saving(*_: object) -> None:
    for geometry in _scans_with_journal():
        journal.restore(geometry)
        journal.prune(geometry)
    hidden.give_back()


@persistent
def _saved(*_: object) -> None:
    hidden.synchronise()


@persistent
def _updated(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    watch.updated(depsgraph)


_said = ""  # about the server, at the last tick


def _tick() -> float:
    global _said
    try:
        busy = session.pump()
        hidden.follow()
    except Exception:  # Blender ends a timer that raises, and nothing would be heard any more
        traceback.print_exc()
        return INTERVAL_IDLE
    before, _said = _said, session.connection.text
    if session.pending.items or _said != before:
        redraw()  # rings spread around the clicks that wait
    click_tool.update_status()
    client = session.connection.client
    if busy or (client is not None and client.busy):
        return INTERVAL_BUSY
    return INTERVAL_IDLE


def wake() -> None:
    """Poll soon: called when something was asked for."""
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    bpy.app.timers.register(_tick, first_interval=INTERVAL_BUSY, persistent=True)


def _server_changed() -> None:
    session.cancel_all()
    session.connection.reconnect()


_HANDLERS = (
    ("undo_post", _undone),
    ("redo_post", _redone),
    ("load_post", _loaded),
    ("save_pre", _saving),
    ("save_post", _saved),
    ("save_post_fail", _saved),
    ("depsgraph_update_post", _updated),
)


def register() -> None:
    for name, handler in _HANDLERS:
        getattr(bpy.app.handlers, name).append(handler)
    preferences.on_server_changed = _server_changed
    bpy.app.timers.register(synchronise)  # a file may be open already, and at Blender's start cannot be looked at yet
    wake()


def unregister() -> None:
    for timer in (_tick, synchronise):
        if bpy.app.timers.is_registered(timer):
            bpy.app.timers.unregister(timer)
    for name, handler in _HANDLERS:
        handlers = getattr(bpy.app.handlers, name)
        if handler in handlers:
            handlers.remove(handler)
    seeing.forget_all()
