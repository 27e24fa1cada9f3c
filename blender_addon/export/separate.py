"""Objects of a scan as Blender objects: each part with its faces, and what is left as one more.

`separate` is a plain generator; operators and scripts drive it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Matrix, Vector

from ..labels.labels import Labels
from ..scan import masks
from ..scan.files import offset_of, set_offset
from ..scan.geometry import Geometry, coordinates
from .parts import Source, build

KEEP, BOTTOM = "KEEP", "BOTTOM"


@dataclass(frozen=True)
class Part:
    """A part to be: `number` -1 is what belongs to nobody."""

    number: int
    name: str


def parts_of(geometry: Geometry, labels: Labels, rest: bool) -> list[Part]:
    """All objects in list order, and the rest where it is asked for."""
    parts = [Part(number, name) for number, name in labels.names.items()]
    return [*parts, Part(masks.NONE, f"{geometry.obj.name} rest")] if rest else parts


def separate(
    geometry: Geometry, labels: Labels, parts: list[Part], collection: bpy.types.Collection, origin: str
) -> Iterator[tuple[Part, bpy.types.Object | None] | None]:
    """Make the parts one by one, linked to `collection`; yields each part with its object, None in place of an empty
    one, and before the first some None while the scan is read.

    A face goes with most of its corners. The source is left as it is; call it in Object Mode.

    Args:
        labels: of the objects (`labels_of_objects`).
        origin: KEEP leaves every origin where the scan's is, BOTTOM puts it under the middle of each part.
    """
    source = Source(geometry.data)
    topology = source.topology
    yield None
    owners = topology.owners(labels.instance)
    yield None
    faces_of, vertices_of = _by_label(owners), _by_label(labels.instance)
    members = labels.members()
    shared = set(np.unique(labels.overlaps[:, 1]).tolist())
    nothing = np.empty(0, dtype=np.int64)
    for part in parts:
        vertices, faces = vertices_of.get(part.number, nothing), faces_of.get(part.number, nothing)
        if part.number in shared:
            vertices = members[part.number]
            inside = np.zeros(geometry.count, dtype=bool)
            inside[vertices] = True
            share = np.bincount(
                topology.corner_face, weights=inside[topology.corner_vertex], minlength=len(topology.face_size)
            )
            faces = np.flatnonzero(share * 2 > topology.face_size)
        chosen = topology.select(vertices, faces)
        if not len(chosen.vertices):
            yield part, None
            continue
        mesh = build(source, chosen, part.name, geometry.materials)
        obj = bpy.data.objects.new(part.name, mesh)
        _put(obj, geometry.obj.matrix_world)
        set_offset(obj, offset_of(geometry.obj))
        collection.objects.link(obj)
        if origin == BOTTOM:
            to_bottom(obj)
        yield part, obj


def _by_label(labels: np.ndarray) -> dict[int, np.ndarray]:
    """Label -> sorted indices of its elements."""
    order = np.argsort(labels, kind="stable")
    values, starts = np.unique(labels[order], return_index=True)
    return dict(zip(values.tolist(), np.split(order, starts[1:]), strict=True)) if len(values) else {}


def _put(obj: bpy.types.Object, world: Matrix) -> None:
    """Place an object; what location, rotation and scale can't say goes into its points."""
    obj.matrix_world = without_shear = Matrix.LocRotScale(*world.decompose())
    shear = without_shear.to_3x3().inverted_safe() @ world.to_3x3()
    if not np.allclose(shear, np.eye(3), atol=1e-5):
        obj.data.transform(shear.to_4x4())


def to_bottom(obj: bpy.types.Object) -> None:
    """Move the origin under the middle of the object, to its lowest height in the world; the points stay in place."""
    world = np.array(obj.matrix_world, dtype=np.float64)
    local = coordinates(obj.data).astype(np.float64)
    placed = local @ world[:3, :3].T + world[:3, 3]
    finite = placed[np.isfinite(placed).all(axis=1)]
    if not len(finite):
        return
    low, high = finite.min(axis=0), finite.max(axis=0)
    bottom = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    moved = (placed - bottom).astype(np.float32)
    obj.data.attributes["position"].data.foreach_set("vector", moved.ravel())
    if np.linalg.det(world[:3, :3]) < 0:
        obj.data.flip_normals()
    obj.data.update()
    obj.matrix_world = Matrix.Translation(Vector(bottom.tolist()))


def new_collection(scene: bpy.types.Scene, name: str) -> bpy.types.Collection:
    collection = bpy.data.collections.new(name)
    scene.collection.children.link(collection)
    return collection


def discard(collection: bpy.types.Collection) -> None:
    """Remove a collection with the objects and meshes that were made for it."""
    meshes = [obj.data for obj in collection.objects]
    for obj in list(collection.objects):
        bpy.data.objects.remove(obj)
    for mesh in meshes:
        if not mesh.users:
            bpy.data.meshes.remove(mesh)
    bpy.data.collections.remove(collection)
