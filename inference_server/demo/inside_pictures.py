"""Pictures of a face-less scan from inside Blender: Cycles draws its points as small spheres."""

import bpy

# isort: split
import numpy as np
from mathutils import Color, Vector

LENS = 50.0  # as in views.py
SIZE = (960, 720)
_SAMPLES = 12


def point_colours(obj: bpy.types.Object, objects: bool) -> np.ndarray:
    """(N, 4) float32, linear: the scan's own colours, or each object's colour over its vertices."""
    mesh = obj.data
    colours = np.ones((len(mesh.vertices), 4), np.float32)
    own = mesh.color_attributes.active_color or (mesh.color_attributes[0] if mesh.color_attributes else None)
    if own is not None:
        own.data.foreach_get("color", colours.ravel())
    else:
        colours[:, :3] = 0.35
    if not objects:
        return colours
    grey = colours[:, :3] @ np.float32([0.2126, 0.7152, 0.0722])
    result = colours.copy()
    result[:, :3] = 0.55 * grey[:, None]
    instance = np.empty(len(mesh.vertices), np.int32)
    mesh.attributes["instance"].data.foreach_get("value", instance)
    for item in mesh.scanpick.objects:
        inside = instance == item.number
        light = 0.45 + 0.9 * np.sqrt(np.clip(grey[inside], 0, 1))
        color = Color(item.color[:3]).from_srgb_to_scene_linear()
        result[inside, :3] = np.clip(np.float32(color) * light[:, None], 0, 1)
    return result


def render(
    obj: bpy.types.Object,
    colours: np.ndarray,
    shown: np.ndarray,
    eye: list[float],
    target: list[float],
    path: str,
) -> None:
    """Write a PNG of the points where `shown` (N,) is true; eye and target in the object's own frame."""
    positions = np.empty((len(obj.data.vertices), 3), np.float32)
    obj.data.attributes["position"].data.foreach_get("vector", positions.ravel())
    scene = bpy.data.scenes.new("picture")
    try:
        cloud = _cloud(positions[shown], colours[shown])
        scene.collection.objects.link(cloud)
        scene.camera = _camera(scene, eye, target)
        scene.world = bpy.data.worlds.new("picture")
        scene.world.use_nodes = True
        scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.012, 0.012, 0.014, 1)
        scene.render.engine = "CYCLES"
        scene.cycles.device = "CPU"
        scene.cycles.samples = _SAMPLES
        scene.cycles.use_denoising = False
        scene.cycles.max_bounces = 0
        scene.render.resolution_x, scene.render.resolution_y = SIZE
        scene.view_settings.view_transform = "Standard"
        scene.render.image_settings.file_format = "PNG"
        scene.render.filepath = path
        bpy.ops.render.render(write_still=True, scene=scene.name)
    finally:
        bpy.data.scenes.remove(scene)


def _cloud(positions: np.ndarray, colours: np.ndarray) -> bpy.types.Object:
    """An object that geometry nodes turn into points as large as the scan's spacing."""
    mesh = bpy.data.meshes.new("points")
    mesh.vertices.add(len(positions))
    mesh.attributes["position"].data.foreach_set("vector", positions.ravel())
    shown = mesh.attributes.new("shown", "FLOAT_COLOR", "POINT")
    shown.data.foreach_set("color", np.ascontiguousarray(colours).ravel())
    cloud = bpy.data.objects.new("points", mesh)
    group = bpy.data.node_groups.new("points", "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    names = ("NodeGroupInput", "GeometryNodeMeshToPoints", "GeometryNodeSetMaterial", "NodeGroupOutput")
    nodes = [group.nodes.new(name) for name in names]
    for left, right in zip(nodes, nodes[1:], strict=False):
        group.links.new(left.outputs[0], right.inputs[0])
    nodes[1].inputs["Radius"].default_value = 0.9 * _spacing(positions)
    nodes[2].inputs["Material"].default_value = _material()
    cloud.modifiers.new("points", "NODES").node_group = group
    return cloud


def _spacing(positions: np.ndarray) -> float:
    """A typical distance between neighbouring points of a surface, in metres, from a grid's cells."""
    extent = float(np.ptp(positions, axis=0).max()) or 1.0
    edge = extent / 200
    cells = np.unique(np.floor(positions / edge).astype(np.int32), axis=0)
    return edge / max(1.0, np.sqrt(len(positions) / len(cells)))


def _material() -> bpy.types.Material:
    material = bpy.data.materials.new("points")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    attribute, emission, output = (
        nodes.new(name) for name in ("ShaderNodeAttribute", "ShaderNodeEmission", "ShaderNodeOutputMaterial")
    )
    attribute.attribute_name = "shown"
    links.new(attribute.outputs["Color"], emission.inputs["Color"])
    links.new(emission.outputs["Emission"], output.inputs["Surface"])
    return material


def _camera(scene: bpy.types.Scene, eye: list[float], target: list[float]) -> bpy.types.Object:
    camera = bpy.data.objects.new("picture", bpy.data.cameras.new("picture"))
    camera.data.lens = LENS
    camera.data.clip_end = 1e4
    camera.location = eye
    camera.rotation_euler = (Vector(target) - Vector(eye)).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(camera)
    return camera
