"""Objects of the list as labels, and labels as objects of the list."""

import bpy
import numpy as np

from ..scan import masks, vertex_set
from ..scan.geometry import IMPORTED, INSTANCE, LABEL_NAMES, SEMANTIC, Geometry
from ..scan.steps import Steps
from ..session import application, edits, journal, object_list, watch
from ..session.pending import upcoming
from ..session.session import session
from ..session.state import ScanState, fitting_name, free_name
from .labels import LARGEST_KEPT, LabelError, Labels, whole_numbers


def labels_of_objects(geometry: Geometry) -> Steps[Labels]:
    """The objects as labels, from their masks as they are now, hand edits with them.

    Where objects share a vertex, the upper one of the list has it, and `overlaps` tells the rest.
    """
    bpy.context.view_layer.update()  # so that it is known who has changed the masks
    noticed = yield from session.noticing(geometry)
    state = journal.preview(journal.state(geometry), noticed.changes)
    labels = Labels(application.instance_with_edits(masks.read_instance(geometry), noticed))
    if state.overlap:
        members = yield from masks.read_members(geometry, [known.name for known in state.objects])
        _put_overlapping(labels, [(known.number, members[known.name]) for known in state.objects])
    for known in state.objects:
        labels.names[known.number] = known.name
        labels.palette[known.number] = tuple(int(channel * 255 + 0.5) for channel in known.color)
    labels.semantic = read_attribute(geometry, SEMANTIC) if geometry.data.attributes.get(SEMANTIC) else None
    return labels


def _put_overlapping(labels: Labels, members: list[tuple[int, np.ndarray]]) -> None:
    """Labels of objects that may share vertices: number and sorted vertices of each, in the order of the list."""
    labels.instance[:] = masks.topmost(len(labels.instance), members)
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for number, inside in members:
        below = inside[labels.instance[inside] != number]
        pairs.append(np.stack([below, np.full_like(below, number)], axis=1))
    labels.overlaps = np.concatenate(pairs)


def label_attributes(data: bpy.types.Mesh | bpy.types.PointCloud, ours: bool) -> list[str]:
    """Names of the point attributes that can hold labels, the likeliest first.

    Args:
        ours: whether `instance` is the add-on's own, which is no label to be taken.
    """
    names = [
        a.name
        for a in data.attributes
        if a.domain == "POINT" and a.data_type in ("INT", "FLOAT", "INT8") and not a.name.startswith(".")
    ]
    likely = (INSTANCE, INSTANCE + IMPORTED, "objectid", "object_id", "label", SEMANTIC)
    names = [name for name in names if not (ours and name == INSTANCE) and name != "radius"]
    return sorted(names, key=lambda name: likely.index(name) if name in likely else len(likely))


def read_attribute(geometry: Geometry, name: str) -> np.ndarray:
    """The labels in a point attribute, int32 (N,). Raises LabelError."""
    attribute = geometry.data.attributes.get(name)
    types = {"INT": np.int32, "FLOAT": np.float32, "INT8": np.int8}
    if attribute is None or attribute.domain != "POINT" or attribute.data_type not in types:
        raise LabelError(f"There is no attribute “{name}” with one number for each vertex.")
    values = np.empty(geometry.count, dtype=types[attribute.data_type])
    attribute.data.foreach_get("value", values)
    return whole_numbers(values, name)


def labels_of_attribute(geometry: Geometry, name: str) -> Labels:
    """An attribute's labels with the names that an import left on the mesh. Raises LabelError."""
    labels = Labels(read_attribute(geometry, name))
    about = geometry.data.get(LABEL_NAMES)
    if isinstance(about, str) and name in (INSTANCE, INSTANCE + IMPORTED):
        labels.set_about(about)
    return labels


@watch.own
def make_objects(geometry: Geometry, labels: Labels) -> int:
    """Make every label an object with its mask, for clicks to correct. Returns how many vertices stayed with the
    objects that had them before. The caller pushes the undo step; call it in Object Mode.

    An empty list takes over the labels' numbers. Vertices of other objects are taken only where overlap is allowed.
    Raises LabelError.
    """
    if len(labels.instance) != geometry.count:
        raise LabelError(
            f"The labels are for {len(labels.instance):,} vertices, and “{geometry.obj.name}” has {geometry.count:,}: "
            "choose the scan that was labelled."
        )
    members = labels.members()
    if not members:
        raise LabelError("There are no labels: every vertex is unlabelled.")
    session.settle(geometry)
    before = masks.read_instance(geometry)
    changes: list[journal.Change] = []
    state = journal.state(geometry)
    overlap = state.overlap or bool(len(labels.overlaps))
    if overlap != state.overlap:
        changes.append(("scan", -1, {"overlap": True}))
    later = upcoming(geometry)
    numbers = _numbers(list(members), later)
    taken = {known.name for known in later.objects} | masks.taken_names(geometry.obj) | {INSTANCE}
    free = before == masks.NONE
    after = before.copy()
    differences, kept = [], 0
    for label, inside in members.items():
        number = numbers[label]
        name = free_name(fitting_name(labels.names.get(label, "")) or f"Object {number}", taken)
        taken.add(name)
        mine = inside if state.overlap else inside[free[inside]]
        kept += len(inside) - len(mine)
        color = labels.palette.get(label)
        color = [c / 255 for c in color] if color else edits.palette_color(number)
        changes.append(("create", number, {"name": name, "color": [round(c, 4) for c in color]}))
        changes.append(("start", number, {"members": vertex_set.pack(mine), "n": geometry.count}))
        differences.append(masks.Difference(name, mine, np.empty(0, dtype=np.int64)))
        showing = mine[labels.instance[mine] == label]
        after[showing[free[showing]]] = number
    masks.apply(geometry, differences, before, after)
    if labels.semantic is not None:
        geometry.set_aside_foreign(SEMANTIC)
        geometry.write_int(SEMANTIC, labels.semantic, np.arange(geometry.count), masks.NONE)
    journal.write(geometry, changes)
    geometry.changed()
    object_list.refresh(geometry, after)
    object_list.activate(geometry, numbers[next(iter(members))])
    session.groups_read[geometry.data.session_uid] = watch.version(geometry.data.session_uid)
    return kept


def _numbers(labels: list[int], state: ScanState) -> dict[int, int]:
    """The object number of every label: the label itself in a scan without objects, else counted on."""
    if not state.objects and not state.last_number and max(labels) < LARGEST_KEPT:
        return {label: label for label in labels}
    return {label: state.last_number + place for place, label in enumerate(labels, 1)}
