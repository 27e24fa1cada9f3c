"""A part of a mesh or point cloud as a mesh of its own: faces, edges, attributes, materials and normals kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np

FIELDS = {
    "FLOAT": ("value", 1, np.float32),
    "INT": ("value", 1, np.int32),
    "INT8": ("value", 1, np.int8),
    "BOOLEAN": ("value", 1, bool),
    "FLOAT2": ("vector", 2, np.float32),
    "FLOAT_VECTOR": ("vector", 3, np.float32),
    "INT16_2D": ("value", 2, np.int16),
    "INT32_2D": ("value", 2, np.int32),
    "FLOAT_COLOR": ("color", 4, np.float32),
    "BYTE_COLOR": ("color_srgb", 4, np.float32),
    "QUATERNION": ("value", 4, np.float32),
    "FLOAT4X4": ("value", 16, np.float32),
}
"""Attribute type -> name of its field, numbers per element, dtype. Strings are left out."""

STRUCTURE = {"position", ".edge_verts", ".corner_vert", ".corner_edge"}


@dataclass(frozen=True)
class Selection:
    """Which elements of the source a part takes: sorted int64 indices."""

    vertices: np.ndarray
    edges: np.ndarray
    corners: np.ndarray
    faces: np.ndarray


class Source:
    """The mesh or point cloud that parts are taken from, every array of it read once. `topology` of it, too.

    Connections are read and written as the attributes they are, a hundred times faster than by edges and loops.
    """

    def __init__(self, data: bpy.types.Mesh | bpy.types.PointCloud):
        self.data = data
        self._read: dict[str, np.ndarray] = {}
        self.topology = Topology.of(self)

    def read(self, name: str) -> np.ndarray:
        """The attribute `name` as an array (elements, numbers per element)."""
        if name not in self._read:
            attribute = self.data.attributes[name]
            field, width, dtype = FIELDS[attribute.data_type]
            values = np.empty(len(attribute.data) * width, dtype=dtype)
            attribute.data.foreach_get(field, values)
            self._read[name] = values.reshape(-1, width)
        return self._read[name]


@dataclass(frozen=True)
class Topology:
    """The source's connections as arrays."""

    edge_vertices: np.ndarray  # (E, 2)
    corner_vertex: np.ndarray  # (C,)
    corner_edge: np.ndarray  # (C,)
    face_start: np.ndarray  # (F,)
    face_size: np.ndarray  # (F,)
    corner_face: np.ndarray  # (C,)
    loose_edges: np.ndarray  # indices of those without a face
    loose: np.ndarray  # bool (N,): vertices without a face
    vertex_count: int

    @classmethod
    def of(cls, source: Source) -> "Topology":
        data, none = source.data, np.empty(0, dtype=np.int32)
        if not isinstance(data, bpy.types.Mesh):
            loose = np.ones(len(data.points), dtype=bool)
            return cls(none.reshape(0, 2), none, none, none, none, none, none, loose, len(data.points))
        edges = source.read(".edge_verts") if len(data.edges) else none.reshape(0, 2)
        vertex = source.read(".corner_vert").ravel() if len(data.loops) else none
        edge = source.read(".corner_edge").ravel() if len(data.loops) else none
        start = np.empty(len(data.polygons), np.int32)
        data.polygons.foreach_get("loop_start", start)
        size = np.diff(start, append=np.int32(len(vertex)))
        face = np.repeat(np.arange(len(size), dtype=np.int32), size)
        loose, edge_loose = np.ones(len(data.vertices), dtype=bool), np.ones(len(edges), dtype=bool)
        loose[vertex] = False
        edge_loose[edge] = False
        return cls(edges, vertex, edge, start, size, face, np.flatnonzero(edge_loose), loose, len(data.vertices))

    def owners(self, instance: np.ndarray) -> np.ndarray:
        """int32 (F,): the object that most corners of each face belong to. A tie goes to an object before nobody, and
        to the lower number."""
        if not len(self.face_size):
            return np.empty(0, dtype=np.int32)
        labels = instance[self.corner_vertex].astype(np.int64)
        first = labels[self.face_start]
        same = np.bincount(self.corner_face, weights=labels == first[self.corner_face]) == self.face_size
        owners = first.copy()
        mixed = np.flatnonzero(~same)
        if mixed.size:
            chosen = np.flatnonzero(~same[self.corner_face])
            base = labels.max() + 2
            pairs, votes = np.unique(self.corner_face[chosen] * base + labels[chosen] + 1, return_counts=True)
            face, label = pairs // base, pairs % base - 1
            order = np.lexsort((-label, label >= 0, votes, face))  # the last of each face wins
            last = np.flatnonzero(np.diff(face[order], append=-1))
            owners[face[order][last]] = label[order][last]
        return owners.astype(np.int32)

    def select(self, vertices: np.ndarray, faces: np.ndarray) -> Selection:
        """The part of these vertices and these faces, sorted indices.

        Corners of its faces come along although they are another's; of its own vertices those stay behind that lie
        only on faces of others.
        """
        sizes = self.face_size[faces]
        shift = self.face_start[faces].astype(np.int64) - (np.cumsum(sizes) - sizes)
        corners = np.repeat(shift, sizes) + np.arange(int(sizes.sum()))
        taken = np.zeros(self.vertex_count, dtype=bool)
        taken[vertices[self.loose[vertices]]] = True
        taken[self.corner_vertex[corners]] = True
        used = np.zeros(len(self.edge_vertices), dtype=bool)
        used[self.corner_edge[corners]] = True
        if len(self.loose_edges):
            inside = np.zeros(self.vertex_count, dtype=bool)
            inside[vertices] = True
            loose = self.loose_edges[inside[self.edge_vertices[self.loose_edges]].all(axis=1)]
            taken[self.edge_vertices[loose].ravel()] = True
            used[loose] = True
        return Selection(np.flatnonzero(taken), np.flatnonzero(used), corners, faces)


def build(source: Source, part: Selection, name: str, materials: Sequence[bpy.types.Material | None]) -> bpy.types.Mesh:
    """A new mesh of the part with some materials, in the source's own coordinates. Scanpick's own data stays behind."""
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(part.vertices))
    if len(part.edges) or len(part.corners):
        _connect(mesh, source.topology, part)
    positions = source.read("position")[part.vertices]
    mesh.attributes["position"].data.foreach_set("vector", positions.ravel())
    taken = {"POINT": part.vertices, "EDGE": part.edges, "CORNER": part.corners, "FACE": part.faces}
    for attribute in source.data.attributes:
        if attribute.name in STRUCTURE or attribute.name.startswith((".scanpick", ".select", ".hide", ".a_")):
            continue
        if attribute.data_type in FIELDS and attribute.domain in taken:
            _copy_attribute(mesh, attribute, source.read(attribute.name)[taken[attribute.domain]])
    if isinstance(source.data, bpy.types.Mesh):
        _copy_settings(mesh, source.data, part)
    _show(mesh, materials)
    mesh.update()
    return mesh


def _show(mesh: bpy.types.Mesh, materials: Sequence[bpy.types.Material | None]) -> None:
    """Give a mesh those materials that its faces have: exporters write all slots, or the first one for all faces."""
    if len(mesh.polygons) and materials:
        slots = np.empty(len(mesh.polygons), dtype=np.int32)
        mesh.polygons.foreach_get("material_index", slots)
        used, slots = np.unique(slots.clip(0, len(materials) - 1), return_inverse=True)
        mesh.polygons.foreach_set("material_index", slots.astype(np.int32))
        materials = [materials[slot] for slot in used]
    for material in materials:
        mesh.materials.append(material)


def _connect(mesh: bpy.types.Mesh, topology: Topology, part: Selection) -> None:
    new_vertex = np.empty(topology.vertex_count, dtype=np.int32)
    new_vertex[part.vertices] = np.arange(len(part.vertices), dtype=np.int32)
    mesh.edges.add(len(part.edges))
    ends = new_vertex[topology.edge_vertices[part.edges]]
    mesh.attributes[".edge_verts"].data.foreach_set("value", ends.ravel())
    if not len(part.faces):
        return
    mesh.loops.add(len(part.corners))
    mesh.polygons.add(len(part.faces))
    sizes = topology.face_size[part.faces]
    mesh.polygons.foreach_set("loop_start", (np.cumsum(sizes) - sizes).astype(np.int32))
    new_edge = np.searchsorted(part.edges, topology.corner_edge[part.corners]).astype(np.int32)
    mesh.attributes[".corner_vert"].data.foreach_set("value", new_vertex[topology.corner_vertex[part.corners]])
    mesh.attributes[".corner_edge"].data.foreach_set("value", new_edge)


def _copy_attribute(mesh: bpy.types.Mesh, attribute: bpy.types.Attribute, values: np.ndarray) -> None:
    if len(values) == 0:
        return
    target = mesh.attributes.get(attribute.name)
    if target is None or target.data_type != attribute.data_type or target.domain != attribute.domain:
        target = mesh.attributes.new(attribute.name, attribute.data_type, attribute.domain)
    if target is not None and len(target.data) == len(values):
        target.data.foreach_set(FIELDS[attribute.data_type][0], values.ravel())


def _copy_settings(mesh: bpy.types.Mesh, source: bpy.types.Mesh, part: Selection) -> None:
    if source.color_attributes.active_color is not None:
        active = mesh.color_attributes.get(source.color_attributes.active_color.name)
        if active is not None:
            mesh.color_attributes.active_color = active
            mesh.color_attributes.render_color_index = mesh.color_attributes.active_color_index
    if source.uv_layers.active is not None and source.uv_layers.active.name in mesh.uv_layers:
        mesh.uv_layers.active = mesh.uv_layers[source.uv_layers.active.name]
    rendered = next((layer.name for layer in source.uv_layers if layer.active_render), "")
    if rendered in mesh.uv_layers:
        mesh.uv_layers[rendered].active_render = True
    if source.has_custom_normals and len(part.corners) and "custom_normal" not in mesh.attributes:
        normals = np.empty(len(source.corner_normals) * 3, dtype=np.float32)
        source.corner_normals.foreach_get("vector", normals)
        mesh.normals_split_custom_set(normals.reshape(-1, 3)[part.corners])
