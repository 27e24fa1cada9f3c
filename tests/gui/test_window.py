"""What an artist does in Blender's window, by simulated mouse and keys; see the scene_*.py beside this file."""


def test_selection_to_vertex_group_in_edit_mode(play, sphere_address):
    facts = play("scene_edit_mode", sphere_address)
    assert facts["selected"] > 0
    assert facts["members"] > facts["selected"]
    assert facts["selected_after_undo"] == facts["selected"], "undo took back the click, not the selection"
    assert facts["instance_agrees"]


def test_click_tool_in_object_mode(play, sphere_address):
    facts = play("scene_tool", sphere_address)
    assert facts["removed"] > 0
    assert "is locked" in facts["locked_notice"]
    assert facts["first_kept"]
    assert facts["objects"] == ["Object 1", "Object 2"]
