"""What is saved in the .blend file: the journal, and a list of the objects for Blender's own list widget."""

import bpy
from bpy.props import BoolProperty, CollectionProperty, FloatProperty, FloatVectorProperty, IntProperty, StringProperty

from .session import edits, threshold
from .session.session import session


class ScanpickJournalLine(bpy.types.PropertyGroup):
    """One entry of the click journal; never changed once written."""

    entry: IntProperty()
    parent_entry: IntProperty()
    kind: StringProperty()
    number: IntProperty()
    data: StringProperty()


def _renamed(item: "ScanpickObject", context: bpy.types.Context) -> None:
    edits.list_item_changed(item, "name")


def _recolored(item: "ScanpickObject", context: bpy.types.Context) -> None:
    edits.list_item_changed(item, "color")


def _shown(item: "ScanpickObject", context: bpy.types.Context) -> None:
    edits.list_item_changed(item, "visible")


def _lock_changed(item: "ScanpickObject", context: bpy.types.Context) -> None:
    edits.list_item_changed(item, "locked")


def _threshold_changed(item: "ScanpickObject", context: bpy.types.Context) -> None:
    threshold.moved(item)


def _another_chosen(scan: "ScanpickScan", context: bpy.types.Context) -> None:
    session.notice(scan.id_data.session_uid, "INFO", "")


def _voxel_changed(scan: "ScanpickScan", context: bpy.types.Context) -> None:
    edits.scan_setting_changed(scan, "voxel_size")


def _adapt_changed(scan: "ScanpickScan", context: bpy.types.Context) -> None:
    edits.scan_setting_changed(scan, "adapt")


def _overlap_changed(scan: "ScanpickScan", context: bpy.types.Context) -> None:
    edits.scan_setting_changed(scan, "overlap")


class ScanpickObject(bpy.types.PropertyGroup):
    """A row of the object list. Derived from the journal; changing a row appends to the journal."""

    number: IntProperty(name="Number", description="The object's value in the attribute “instance”")
    name: StringProperty(name="Name", description="Name of the object and of its vertex group", update=_renamed)
    color: FloatVectorProperty(
        name="Colour",
        description="Colour of the object's mask in the viewport",
        subtype="COLOR_GAMMA",  # sRGB, as the overlay and the files have it
        min=0.0,
        max=1.0,
        default=(1.0, 0.5, 0.1),
        update=_recolored,
    )
    visible: BoolProperty(
        name="Show",
        description="Show the object in the viewport; of a scan with faces, its mask",
        default=True,
        update=_shown,
    )
    locked: BoolProperty(
        name="Lock",
        description="Keep the object as it is: clicks on it change nothing, and no other object takes its vertices",
        update=_lock_changed,
    )
    threshold: FloatProperty(
        name="Threshold",
        description="How sure the network has to be of a vertex: higher for less, lower for more. Vertices that you "
        "clicked on or edited by hand stay as you had them",
        subtype="FACTOR",
        min=0.02,
        max=0.98,
        default=0.5,
        update=_threshold_changed,
    )
    vertices: IntProperty(name="Vertices", description="How many vertices are in the mask")
    clicks: IntProperty(name="Clicks", description="How many clicks the object has")


class ScanpickScan(bpy.types.PropertyGroup):
    """Everything Scanpick knows about one mesh or point cloud."""

    journal: CollectionProperty(type=ScanpickJournalLine, description="All that was said about the scan")
    objects: CollectionProperty(type=ScanpickObject, description="The objects that were clicked out of the scan")
    active: IntProperty(name="Object", description="The object that clicks belong to", min=0, update=_another_chosen)
    voxel_size: FloatProperty(
        name="Voxel Size (m)",
        description="Size of the smallest things that the network tells apart, in metres. 0.05 suits rooms, 0.01 a "
        "table top. The wire cube in the viewport shows it",
        min=0.0,
        soft_min=0.002,
        soft_max=0.5,
        max=100.0,
        precision=3,
        update=_voxel_changed,
    )
    overlap: BoolProperty(
        name="Allow Overlap",
        description=(
            "Let a vertex belong to several objects; else the newest click takes it, except from locked ones. Switched "
            "off, a locked object keeps what is shared, or the upper one of the list"
        ),
        update=_overlap_changed,
    )

    adapt: BoolProperty(
        name="Learn from Clicks",
        description="Let the network learn from an object's own clicks, from the second one on, and forget it again "
        "after the mask. For scans unlike rooms, such as streets; a click takes several times as long",
        update=_adapt_changed,
    )

    def active_item(self) -> ScanpickObject | None:
        return self.objects[self.active] if self.active < len(self.objects) else None


CLASSES = (ScanpickJournalLine, ScanpickObject, ScanpickScan)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Mesh.scanpick = bpy.props.PointerProperty(type=ScanpickScan)
    bpy.types.PointCloud.scanpick = bpy.props.PointerProperty(type=ScanpickScan)


def unregister() -> None:
    del bpy.types.PointCloud.scanpick
    del bpy.types.Mesh.scanpick
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
