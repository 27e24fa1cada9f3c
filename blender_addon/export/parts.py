"""A part of a mesh or point cloud as a mesh of its own: faces, edges, attributes, materials and normals kept."""

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


@dataclass(frozen=True)
class Topology:
    """The source's connections as arrays, read once for all parts."""

    edge_vertices: np.ndarray  # (E, 2)
    corner_vertex: np.ndarray  # (C,)
    corner_edge: np.ndarray  # (C,)
    face_start: np.ndarray  # (F,)
    face_size: np.ndarray  # (F,)
    corner_face: np.ndarray  # (C,)
    vertex_count: int

    @classmethod
    def of(cls, data: bpy.types.Mesh | bpy.types.PointCloud) -> "Topology":
        if not isinstance(data, bpy.types.Mesh):
            none = np.empty(0, dtype=np.int32)
            return cls(none.reshape(0, 2), none, none, none, none, none, len(data.points))
        edges = np.empty(len(data.edges) * 2, dtype=np.int32)
        data.edges.foreach_get("vertices", edges)
        vertex, edge = np.empty(len(data.loops), dtype=np.int32), np.empty(len(data.loops), dtype=np.int32)
        data.loops.foreach_get("vertex_index", vertex)
        data.loops.foreach_get("edge_index", edge)
        start, size = np.empty(len(data.polygons), np.int32), np.empty(len(data.polygons), np.int32)
        data.polygons.foreach_get("loop_start", start)
        data.polygons.foreach_get("loop_total", size)
        face = np.repeat(np.arange(len(size)), size)
        return cls(edges.reshape(-1, 2), vertex, edge, start, size, face, len(data.vertices))

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

    def select(self, inside: np.ndarray, faces: np.ndarray) -> Selection:
        """The part of the vertices `inside` (bool (N,)) and the faces `faces` (bool (F,)).

        Corners of its faces come along although they are another's; of its own vertices those stay behind that lie
        only on faces of others.
        """
        corners = np.flatnonzero(faces[self.corner_face]) if len(faces) else np.empty(0, dtype=np.int64)
        on_face = np.zeros(self.vertex_count, dtype=bool)
        on_face[self.corner_vertex] = True
        vertices = inside & ~on_face
        vertices[self.corner_vertex[corners]] = True
        edges = np.zeros(len(self.edge_vertices), dtype=bool)
        if len(edges):
            loose = np.ones(len(edges), dtype=bool)
            loose[self.corner_edge] = False
            edges[self.corner_edge[corners]] = True
            edges |= loose & inside[self.edge_vertices].all(axis=1)
            vertices[self.edge_vertices[edges].ravel()] = True
        return Selection(np.flatnonzero(vertices), np.flatnonzero(edges), corners, np.flatnonzero(faces))


def build(
    source: bpy.types.Mesh | bpy.types.PointCloud, topology: Topology, part: Selection, name: str
) -> bpy.types.Mesh:
    """A new mesh of the part, in the source's own coordinates. Scanpick's own data stays behind."""
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(part.vertices))
    if len(part.edges) or len(part.corners):
        _connect(mesh, topology, part)
    positions = _read(source.attributes["position"])[part.vertices]
    mesh.attributes["position"].data.foreach_set("vector", positions.ravel())
    taken = {"POINT": part.vertices, "EDGE": part.edges, "CORNER": part.corners, "FACE": part.faces}
    for attribute in source.attributes:
        if attribute.name in STRUCTURE or attribute.name.startswith((".scanpick", ".select", ".hide", ".a_")):
            continue
        if attribute.data_type in FIELDS and attribute.domain in taken:
            _copy_attribute(mesh, attribute, taken[attribute.domain])
    if isinstance(source, bpy.types.Mesh):
        _copy_settings(mesh, source, part)
    mesh.update()
    return mesh


def _connect(mesh: bpy.types.Mesh, topology: Topology, part: Selection) -> None:
    new_vertex = np.full(topology.vertex_count, -1, dtype=np.int32)
    new_vertex[part.vertices] = np.arange(len(part.vertices))
    new_edge = np.full(len(topology.edge_vertices), -1, dtype=np.int32)
    new_edge[part.edges] = np.arange(len(part.edges))
    mesh.edges.add(len(part.edges))
    mesh.edges.foreach_set("vertices", new_vertex[topology.edge_vertices[part.edges]].ravel())
    if not len(part.faces):
        return
    mesh.loops.add(len(part.corners))
    mesh.polygons.add(len(part.faces))
    sizes = topology.face_size[part.faces]
    mesh.polygons.foreach_set("loop_start", (np.cumsum(sizes) - sizes).astype(np.int32))
    mesh.loops.foreach_set("vertex_index", new_vertex[topology.corner_vertex[part.corners]])
    mesh.loops.foreach_set("edge_index", new_edge[topology.corner_edge[part.corners]])


def _read(attribute: bpy.types.Attribute) -> np.ndarray:
    field, width, dtype = FIELDS[attribute.data_type]
    values = np.empty(len(attribute.data) * width, dtype=dtype)
    attribute.data.foreach_get(field, values)
    return values.reshape(-1, width)


def _copy_attribute(mesh: bpy.types.Mesh, attribute: bpy.types.Attribute, indices: np.ndarray) -> None:
    values = _read(attribute)
    if len(values) == 0:
        return
    target = mesh.attributes.get(attribute.name)
    if target is None or target.data_type != attribute.data_type or target.domain != attribute.domain:
        target = mesh.attributes.new(attribute.name, attribute.data_type, attribute.domain)
    if target is not None and len(target.data) == len(indices):
        target.data.foreach_set(FIELDS[attribute.data_type][0], values[indices].ravel())


def _copy_settings(mesh: bpy.types.Mesh, source: bpy.types.Mesh, part: Selection) -> None:
    for material in source.materials:
        mesh.materials.append(material)
    if source.color_attributes.active_color is not None:
        active = mesh.color_attributes.get(source.color_attributes.active_color.name)
        if active is not None:
            mesh.color_attributes.active_color = active
            mesh.color_attributes.render_color_index = mesh.color_attributes.active_color_index
    if source.uv_layers.active is not None and source.uv_layers.active.name in mesh.uv_layers:
        mesh.uv_layers.active = mesh.uv_layers[source.uv_layers.active.name]
    if source.has_custom_normals and len(part.corners) and "custom_normal" not in mesh.attributes:
        normals = np.empty(len(source.corner_normals) * 3, dtype=np.float32)
        source.corner_normals.foreach_get("vector", normals)
        mesh.normals_split_custom_set(normals.reshape(-1, 3)[part.corners])
