"""The click tool's keys beside those that Blender has in Object Mode."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

IN_OBJECT_MODE = (
    "Window", "Screen", "Screen Editing", "Frames", "User Interface", "View2D", "3D View", "3D View Generic",
    "Object Mode", "Object Non-modal",
)  # fmt: skip
MODIFIERS = ("ctrl", "shift", "alt", "oskey")
OF_BUTTONS = "User Interface"  # works over buttons and panels only


@pytest.fixture
def keys(module):
    return module("tool.keys")


def combination(event) -> tuple:
    return event["type"], *(name for name in MODIFIERS if event.get(name))


def blender_keys(blender, configuration: str) -> dict[tuple, set[str]]:
    """Key combinations with their operators that Blender has where the tool is active."""
    sys.path.insert(0, str(Path(blender.utils.system_resource("SCRIPTS")) / "presets" / "keyconfig"))
    from keymap_data import blender_default, industry_compatible_data

    if configuration == "blender":
        keymaps = blender_default.generate_keymaps(blender_default.Params(select_mouse="LEFT"))
    else:
        keymaps = industry_compatible_data.generate_keymaps()
    found: dict[tuple, set[str]] = {}
    for name, _, content in keymaps:
        for idname, event, _ in content["items"] if name in IN_OBJECT_MODE and name != OF_BUTTONS else ():
            found.setdefault(combination(event), set()).add(idname)
    return found


@pytest.mark.parametrize("configuration", ["blender", "industry"])
def test_no_letter_means_something_else_in_object_mode(blender, keys, configuration):
    taken = blender_keys(blender, configuration)
    assert ("LEFTMOUSE",) in taken and len(taken) > 100, "the keymap was read"
    for idname, event, _ in keys.KEYS:
        if event["type"] not in ("MOUSEMOVE", "LEFTMOUSE", "RET", "NUMPAD_ENTER"):
            assert combination(event) not in taken, f"{combination(event)} of {idname}"


def test_return_hides_nothing_that_has_no_other_key(blender, keys):
    assert blender_keys(blender, "blender").get(("RET",), set()) <= {"file.execute"}
    renames = blender_keys(blender, "industry")[("RET",)]
    assert renames <= {"file.execute", "wm.call_panel"}


def test_alt_the_digits_and_hiding_stay_free(keys):
    for _, event, _ in keys.KEYS:
        assert not event.get("alt") and not event.get("oskey"), "Alt-drag orbits with Emulate 3 Button Mouse"
        assert event["type"] not in ("H", "ONE", "TWO", "THREE", "FOUR", "FIVE", "ZERO", "MIDDLEMOUSE")


def test_no_key_has_two_meanings(keys):
    used = [combination(event) for _, event, _ in keys.KEYS]
    assert len(used) == len(set(used))


def test_the_status_bar_tells_the_keys_as_the_artist_has_set_them(blender, keys):
    assert [(icons, text) for icons, _, text in keys.told(blender.context)] == [
        (["MOUSE_LMB"], "Add"),
        (["EVENT_CTRL", "MOUSE_LMB"], "Remove"),
        (["EVENT_SHIFT", "MOUSE_LMB"], "Choose Object"),
        (["EVENT_RETURN"], "Accept"),
        (["EVENT_J"], "Next Object"),
        (["EVENT_U"], "Take Back"),
        (["EVENT_L"], "Colours"),
        (["EVENT_SHIFT", "EVENT_J"], "What Is Left"),
    ]
    items = keys.keymap(blender.context).keymap_items
    back = next(i for i in items if i.idname == "scanpick.take_back")
    colors = next(i for i in items if i.idname == "scanpick.toggle_colors")
    try:
        back.type, colors.type = "NUMPAD_ASTERIX", "F5"
        found = {text: (icons, name) for icons, name, text in keys.told(blender.context)}
        assert found["Take Back"][0] == [] and found["Take Back"][1]
        assert found["Colours"] == (["EVENT_F5"], "")
        back.active = False
        assert "Take Back" not in {text for _, _, text in keys.told(blender.context)}
    finally:
        back.type, colors.type, back.active = "U", "L", True


class Layout:
    """Notes what is drawn."""

    def __init__(self, drawn: list[str]):
        self.drawn = drawn

    def __getattr__(self, name: str):
        def draw(*_, **__):
            self.drawn.append(name)
            return Layout(self.drawn)

        return draw


@pytest.mark.parametrize("active", [True, False])
def test_the_keys_take_the_place_of_blenders_and_of_nothing_else(blender, module, monkeypatch, active):
    from bl_ui.space_statusbar import STATUSBAR_HT_header

    tool = module("tool.click_tool")
    monkeypatch.setattr(tool, "is_active", lambda context, workspace: active)
    monkeypatch.delattr(STATUSBAR_HT_header, "_draw_orig", raising=False)
    drawn = []
    tool._draw_status(SimpleNamespace(layout=Layout(drawn)), blender.context)
    assert ("template_input_status" in drawn) is not active
    assert ("label" in drawn) is active
    assert {"template_reports_banner", "template_running_jobs", "template_status_info"} <= set(drawn)
