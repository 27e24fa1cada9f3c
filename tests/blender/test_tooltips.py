"""What is told where the mouse pointer rests on a button or a field."""

from conftest import ADDON


def shown_types(blender):
    """Name and RNA of every class of the add-on whose properties are shown or used by scripts."""
    for base in (blender.types.Operator, blender.types.PropertyGroup, blender.types.AddonPreferences):
        for cls in base.__subclasses__():
            if cls.__module__.startswith(ADDON) and cls.is_registered:
                operator = base is blender.types.Operator
                name = cls.bl_idname.partition(".")[2] if operator else ""
                yield cls.__name__, getattr(blender.ops.scanpick, name).get_rna_type() if operator else cls.bl_rna


def test_everything_has_a_tooltip(blender):
    types = dict(shown_types(blender))
    assert {"SCANPICK_OT_separate", "ScanpickScan", "ScanpickView", "ScanpickPreferences"} <= types.keys()
    types.pop("ScanpickJournalLine")  # nobody but the add-on reads it
    bare = [name for name, rna in types.items() if "_OT_" in name and not rna.description]
    for name, rna in types.items():
        general = {"rna_type", "name", "bl_idname"}
        for field in (p for p in rna.properties if p.identifier not in general and not p.is_hidden):
            if not field.description:
                bare.append(f"{name}.{field.identifier}")
            if field.type == "ENUM":
                bare += [f"{name}.{field.identifier}.{i.identifier}" for i in field.enum_items if not i.description]
    assert not bare, "\n".join(bare)
