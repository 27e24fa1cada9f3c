"""One interface to a mesh or a point cloud, in Object Mode and in Edit Mode.

In Edit Mode Blender hides the attributes behind the edit mesh: reading goes through a copy that is not being edited
(arrays at C speed), writing through bmesh layers (the only thing that Edit Mode undo restores).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import bmesh
import bpy
import numpy as np

SCAN_TYPES = ("MESH", "POINTCLOUD")
"""Kinds of Blender objects that can be scans."""
INSTANCE = "instance"
"""Point attribute with the number of each vertex's object."""
SEMANTIC = "semantic"
"""Point attribute with the classes that came with the scan."""
IMPORTED = ".imported"
"""Behind the names of attributes that came with the scan where ours have theirs."""
LABEL_NAMES = "scanpick_label_names"
"""Custom property of a mesh: names and colours of the labels in `instance.imported`."""
REVISION = ".scanpick_revision"  # a leading dot keeps it out of exports and of Blender's lists
REVISION_SAMPLES = 257
UNSAID = -1
"""Revision of a mesh of ours on which nothing was written down yet; joining gives vertices from elsewhere 0."""


class Geometry:
    """The mesh or point cloud of `obj`. Make a new one for each use: undo kills every Blender reference."""

    def __init__(self, obj: bpy.types.Object):
        self.obj = obj
        self.data = obj.data
        self.is_mesh = obj.type == "MESH"
        self.editing = self.is_mesh and self.data.is_editmode
        self._bm = None
        if self.editing:
            self._bm = bmesh.from_edit_mesh(self.data)

    @property
    def count(self) -> int:
        """Number of vertices or points."""
        if self.editing:
            return len(self._bm.verts)
        return len(self.data.vertices) if self.is_mesh else len(self.data.points)

    @property
    def materials(self) -> list[bpy.types.Material | None]:
        """What its faces look like, by slot: materials of the mesh, or of the object in place of those."""
        return [slot.material for slot in self.obj.material_slots]

    @property
    def bm(self) -> bmesh.types.BMesh:
        """The edit mesh, ready to be indexed."""
        self._bm.verts.ensure_lookup_table()
        return self._bm

    @contextmanager
    def snapshot(self) -> Iterator[bpy.types.Mesh | bpy.types.PointCloud]:
        """The data with readable attributes: itself, or in Edit Mode a copy that lives as long as the block.

        The copy is not in `bpy.data`: adding or removing data-blocks makes Blender store the whole file with the next
        undo step of Edit Mode.
        """
        if not self.editing:
            yield self.data
            return
        self.obj.update_from_editmode()
        copy = self.obj.to_mesh()
        try:
            yield copy
        finally:
            self.obj.to_mesh_clear()

    def read_int(self, name: str) -> np.ndarray | None:
        """The INT point attribute `name` as int32 (N,), or None where there is none."""
        if self.editing:
            layer = self._bm.verts.layers.int.get(name)
            if layer is None:
                return None
            return np.fromiter((v[layer] for v in self._bm.verts), dtype=np.int32, count=len(self._bm.verts))
        attribute = self.data.attributes.get(name)
        if attribute is None or attribute.domain != "POINT" or attribute.data_type != "INT":
            return None
        values = np.empty(self.count, dtype=np.int32)
        attribute.data.foreach_get("value", values)
        return values

    def write_int(self, name: str, values: np.ndarray, changed: np.ndarray, default: int) -> None:
        """Set the INT point attribute `name`, making it with `default` everywhere where there is none.

        Args:
            values: int32 (N,), the whole attribute as it shall be.
            changed: the indices where it differs from what is there (Edit Mode writes no others).
        """
        if self.editing:
            layer = self._bm.verts.layers.int.get(name)
            if layer is None:
                layer = self._bm.verts.layers.int.new(name)
                for vertex in self._bm.verts:
                    vertex[layer] = default
            vertices = self.bm.verts
            for index, value in zip(changed.tolist(), values[changed].tolist(), strict=True):
                vertices[index][layer] = value
            return
        attribute = self.data.attributes.get(name)
        if attribute is None:
            attribute = self.data.attributes.new(name, "INT", "POINT")
        attribute.data.foreach_set("value", np.ascontiguousarray(values, dtype=np.int32))

    def set_aside_foreign(self, name: str) -> str | None:
        """Rename an attribute `name` that is not an INT per point, so that ours can have the name.

        Returns its new name, or None where nothing was in the way.
        """
        attribute = self.data.attributes.get(name)
        if attribute is None or (attribute.domain == "POINT" and attribute.data_type == "INT"):
            return None
        attribute.name = name + IMPORTED
        return attribute.name

    @property
    def claimed(self) -> bool:
        """Whether the add-on has written to this mesh: else an attribute `instance` came from elsewhere."""
        if self.editing:
            return self._bm.verts.layers.int.get(REVISION) is not None
        return REVISION in self.data.attributes

    def claim(self) -> None:
        """Before the first write: give `instance` of others another name, and leave the mark of ours."""
        if self.claimed:
            return
        foreign = self.data.attributes.get(INSTANCE)
        if foreign is not None:
            foreign.name = INSTANCE + IMPORTED
            if self.editing:
                self._bm = bmesh.from_edit_mesh(self.data)
        self.write_int(REVISION, np.full(self.count, UNSAID, dtype=np.int32), np.empty(0, dtype=np.int64), UNSAID)

    def revisions(self, everywhere: bool = False) -> np.ndarray:
        """Distinct values of the revision layer: at evenly spread vertices, or `everywhere`. Empty without layer."""
        count = self.count
        sample = _spread_indices(count)
        if self.editing:
            layer = self._bm.verts.layers.int.get(REVISION)
            if layer is None or not count:
                return np.empty(0, dtype=np.int32)
            if everywhere:
                return np.unique(np.fromiter((v[layer] for v in self._bm.verts), np.int32, count))
            vertices = self.bm.verts
            return np.unique([vertices[i][layer] for i in sample.tolist()])
        attribute = self.data.attributes.get(REVISION)
        if attribute is None or not count:
            return np.empty(0, dtype=np.int32)
        if everywhere:
            return np.unique(self.read_int(REVISION))
        return np.unique([attribute.data[i].value for i in sample.tolist()])

    def write_revision(self, revision: int) -> None:
        """Make `revision` the mesh's current journal entry; undo moves it back with the mesh.

        Edit Mode writes all vertices the first time, and then evenly spread ones only (a loop over a million takes a
        tenth of a second); the largest value found counts, so the others need not be touched.
        """
        self.claim()
        values = np.full(self.count, revision, dtype=np.int32)
        whole = self.editing and self._unsaid()
        self.write_int(REVISION, values, np.arange(self.count) if whole else _spread_indices(self.count), UNSAID)

    def _unsaid(self) -> bool:
        """Whether an edit mesh may have vertices without a revision: told by one that is not among the samples."""
        if self.count <= 2 * REVISION_SAMPLES:
            return True
        return self.bm.verts[1][self._bm.verts.layers.int[REVISION]] == UNSAID

    def changed(self) -> None:
        """Tell Blender that the data was written to."""
        if self.editing:
            bmesh.update_edit_mesh(self.data, loop_triangles=False, destructive=False)
        elif self.is_mesh:
            self.data.update()
        else:
            self.data.update_tag()


def _spread_indices(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, REVISION_SAMPLES)).astype(np.int64))


def triangle_count(data: bpy.types.Mesh | bpy.types.PointCloud) -> int:
    """Triangles that the faces fall into, without making them."""
    return len(data.loops) - 2 * len(data.polygons) if isinstance(data, bpy.types.Mesh) else 0


def triangles_of(data: bpy.types.Mesh | bpy.types.PointCloud) -> np.ndarray | None:
    """Triangles int32 (T, 3) of the faces, None where there are no faces; not for a mesh being edited."""
    if not isinstance(data, bpy.types.Mesh) or not len(data.polygons):
        return None
    data.calc_loop_triangles()
    flat = np.empty(len(data.loop_triangles) * 3, dtype=np.int32)
    data.loop_triangles.foreach_get("vertices", flat)
    return flat.reshape(-1, 3)


def position_of(data: bpy.types.Mesh | bpy.types.PointCloud, vertex: int) -> tuple[float, float, float]:
    """A vertex's own coordinates, outside Edit Mode."""
    return tuple(data.attributes["position"].data[vertex].vector)


def coordinates(data: bpy.types.Mesh | bpy.types.PointCloud) -> np.ndarray:
    """Positions (N, 3) float32 in the data's own coordinates; not for a mesh being edited (use a snapshot)."""
    count = len(data.vertices) if isinstance(data, bpy.types.Mesh) else len(data.points)
    flat = np.empty(count * 3, dtype=np.float32)
    if count:
        data.attributes["position"].data.foreach_get("vector", flat)
    return flat.reshape(-1, 3)


def same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two float32 arrays are the same in every bit, NaNs too; several times faster than comparing numbers."""
    return one.shape == other.shape and bool((one.view(np.uint32) == other.view(np.uint32)).all())


def read_bool(data: bpy.types.Mesh | bpy.types.PointCloud, name: str) -> np.ndarray | None:
    """The BOOLEAN point attribute `name` as bool (N,), or None where there is none."""
    attribute = data.attributes.get(name)
    if attribute is None or attribute.domain != "POINT" or attribute.data_type != "BOOLEAN":
        return None
    values = np.empty(len(attribute.data), dtype=bool)
    attribute.data.foreach_get("value", values)
    return values


def selected_vertices(data: bpy.types.Mesh) -> np.ndarray:
    """Indices of the selected vertices of a snapshot."""
    selection = read_bool(data, ".select_vert")
    if selection is None:
        selection = np.zeros(len(data.vertices), dtype=bool)
        data.vertices.foreach_get("select", selection)
    return np.flatnonzero(selection)


def hidden_vertices(data: bpy.types.Mesh) -> np.ndarray:
    """bool (N,): hidden in Edit Mode."""
    hidden = read_bool(data, ".hide_vert")
    return np.zeros(len(data.vertices), dtype=bool) if hidden is None else hidden
