"""Draw handlers of the 3D viewport. They never let an error out: one would be printed with every frame."""

import time

import bpy
import gpu
import numpy as np

from ..scan.geometry import SCAN_TYPES, Geometry
from ..session import journal, object_list, watch
from ..session.session import session
from ..tool.seeing import is_shown, view_of
from . import hidden, markers, settings, shader
from .cloud import Cloud

SMALLEST_CLOUD = 500  # face-less meshes with fewer vertices and no colours are no scans, and are left to Blender
# how far points are drawn towards the eye: 2.4 times as far as Blender draws its own dots, which they are to cover
NEARER = 0.003  # share of the depth
NEARER_FLAT = 1.2e-5  # of an orthographic view, which has no such depth: in clip space, for a view distance of 1
DOT_RIM = 2.0  # pixels that Blender's dots are wider than the theme's vertex size
GREY = (0.22, 0.22, 0.22)

_clouds: dict[int, Cloud] = {}
_palettes: dict[int, tuple[tuple, gpu.types.GPUTexture]] = {}
_handles: list[object] = []
_failed = ""


def forget_all() -> None:
    _clouds.clear()
    _palettes.clear()


def _labels_changed(data_uid: int, instance: np.ndarray) -> None:
    cloud = _clouds.get(data_uid)
    if cloud is not None and len(cloud.labels) == len(instance):
        cloud.labels = instance
    elif cloud is not None:
        _clouds.pop(data_uid)


def _cloud(obj: bpy.types.Object) -> Cloud | None:
    uid = obj.data.session_uid
    known, version = _clouds.get(uid), watch.version(uid)
    if known is not None and known.version == version:
        return known
    geometry = Geometry(obj)
    if known is not None and len(known.raw) == geometry.count:
        known.version = version
        # positions and colours are not compared while they are being edited: that would take longer than drawing
        if geometry.editing or known.still_shows(geometry):
            known.look_for_hidden(geometry)
            return known
    _clouds.pop(uid, None)
    if not geometry.count:
        return None
    _clouds[uid] = Cloud(geometry, version)
    return _clouds[uid]


def is_drawn(obj: bpy.types.Object) -> bool:
    """Whether the overlay draws this object: scans that were clicked on, and clouds that Blender shows black."""
    if obj.type not in SCAN_TYPES or obj.data is None:
        return False
    if journal.has_journal(obj.data):
        return True
    if obj.type == "POINTCLOUD" or len(obj.data.polygons):
        return False
    mesh = obj.data
    return mesh.is_editmode or len(mesh.vertices) >= SMALLEST_CLOUD or len(mesh.color_attributes) > 0


def drawn_objects(context: bpy.types.Context) -> list[bpy.types.Object]:
    return [obj for obj in context.view_layer.objects if is_drawn(obj) and is_shown(obj, context.space_data)]


def palette(obj: bpy.types.Object, view: settings.ScanpickView) -> np.ndarray:
    """float32 (K, 4) sRGB: tint of every label; row 0 is for what belongs to nobody. Alpha is the tint's strength,
    negative for what is not drawn at all."""
    scan = obj.data.scanpick
    highest = max((item.number for item in scan.objects), default=0)
    colors = np.zeros((highest + 2, 4), dtype=np.float32)
    active = scan.active_item()
    if view.mode == "LABELS":
        colors[0] = (*GREY, 0.6)
    elif view.mode == "LEFT":
        colors[1:] = (*GREY, 0.92)  # of scans with faces; others are hidden
    for item in scan.objects:
        strength = max(view.opacity, 0.05) if item.visible else 0.0
        is_active = active is not None and item.number == active.number
        if view.mode == "LABELS" or is_active:
            colors[item.number + 1] = (*item.color, strength)
    colors[[number + 1 for number in hidden.numbers(obj)], 3] = -1.0
    return colors


def _palette_texture(obj: bpy.types.Object, view: settings.ScanpickView) -> gpu.types.GPUTexture:
    colors = palette(obj, view)
    key = (colors.shape, colors.tobytes())
    known = _palettes.get(obj.data.session_uid)
    if known is None or known[0] != key:
        known = _palettes[obj.data.session_uid] = (key, shader.palette_texture(colors))
    return known[1]


def _draw_view() -> None:
    context = bpy.context
    view = settings.get()
    if not view.show or not context.space_data.overlay.show_overlays:
        return
    region_3d = context.region_data
    xray = context.space_data.shading.show_xray and context.space_data.shading.type in ("SOLID", "WIREFRAME")
    gpu.state.program_point_size_set(True)
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("NONE" if xray else "LESS_EQUAL")
    gpu.state.depth_mask_set(not xray)
    try:
        for obj in drawn_objects(context):
            cloud = _cloud(obj)
            if cloud is not None:
                _draw_cloud(obj, cloud, view, region_3d, context.region, xray)
    finally:
        gpu.state.program_point_size_set(False)
        gpu.state.blend_set("NONE")
        gpu.state.depth_test_set("NONE")
        gpu.state.depth_mask_set(False)


def _draw_cloud(
    obj: bpy.types.Object,
    cloud: Cloud,
    view: settings.ScanpickView,
    region_3d: bpy.types.RegionView3D,
    region: bpy.types.Region,
    xray: bool,
) -> None:
    program = shader.get()
    program.bind()
    program.uniform_float("matrix", region_3d.perspective_matrix @ obj.matrix_world)
    program.uniform_float("point_size", _point_size(obj, view))
    program.uniform_float("opacity", 0.4 if xray else 1.0)
    faces = cloud.faces()
    program.uniform_bool("faces", [faces is not None])
    program.uniform_bool("masks_only", [False])
    # in Edit Mode Blender's own dots tell what is selected: stay behind them
    program.uniform_float("bias", _bias(region_3d) * (-1 if obj.mode == "EDIT" else 1))
    program.uniform_sampler("palette", _palette_texture(obj, view))
    clip = shader.clip_buffer(view_of(region, region_3d, obj).planes)
    program.uniform_block("clip", clip)
    if faces is not None:
        gpu.state.depth_mask_set(False)
        faces.draw(program)
        gpu.state.depth_mask_set(not xray)
        return
    if not cloud.has_faces:
        cloud.points().draw(program)
    if cloud.has_faces or xray:  # without a depth test, points drawn later have covered the masks
        program.uniform_bool("masks_only", [True])
        cloud.points().draw(program)


def _bias(region_3d: bpy.types.RegionView3D) -> float:
    """How far points are drawn towards the eye, in clip space; by Blender's own rule, see GPU_polygon_offset_calc."""
    window = region_3d.window_matrix
    if region_3d.is_perspective:
        return -NEARER * window[2][3]
    camera = region_3d.view_perspective == "CAMERA"
    return NEARER_FLAT * (1 / max(window[0][0], window[1][1]) if camera else region_3d.view_distance)


def _point_size(obj: bpy.types.Object, view: settings.ScanpickView) -> float:
    """Pixels; never smaller than Blender's own dots for vertices without faces, which would show around ours."""
    preferences = bpy.context.preferences
    dots = preferences.themes[0].view_3d.vertex_size + DOT_RIM if obj.type == "MESH" else 0
    return max(view.point_size, dots) * preferences.system.pixel_size


def _guarded(draw) -> None:
    global _failed
    try:
        draw()
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        if text != _failed:  # once, not with every frame
            _failed = text
            import traceback

            traceback.print_exc()


def _draw_pixels() -> None:
    context = bpy.context
    view = settings.get()
    if view.show and context.space_data.overlay.show_overlays:
        markers.draw(context, view, session, time.monotonic())


def register() -> None:
    settings.register()
    object_list.instance_listeners.append(_labels_changed)
    if not bpy.app.background:
        add = bpy.types.SpaceView3D.draw_handler_add
        _handles.append(add(_guarded, (_draw_view,), "WINDOW", "POST_VIEW"))
        _handles.append(add(_guarded, (_draw_pixels,), "WINDOW", "POST_PIXEL"))


def unregister() -> None:
    for handle in _handles:
        bpy.types.SpaceView3D.draw_handler_remove(handle, "WINDOW")
    _handles.clear()
    object_list.instance_listeners.remove(_labels_changed)
    forget_all()
    shader.release()
    settings.unregister()
