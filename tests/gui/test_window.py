"""What an artist does in Blender's window, by simulated mouse and keys; see the scene_*.py beside this file."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from inference_server.data.scans import read_scan, write_ply

SAMPLE = Path(__file__).parents[2] / "inference_server" / "demo" / "sample_room.ply"


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
    assert facts["view_moved"] and facts["colours"] == "LEFT", "Shift+J shows what is left"
    assert facts["objects"] == ["Object 1", "Object 2"]


def sample_room(out: Path) -> None:
    """The demo's room as an artist has it, without labels, and the labels that a person sees."""
    scan = read_scan(SAMPLE)
    structure = [number for number, name in scan.names.items() if name in ("floor", "wall", "ceiling")]
    np.save(out / "labels.npy", np.where(np.isin(scan.instance, structure), -1, scan.instance))
    write_ply(out / "room.ply", replace(scan, instance=None, names={}))


def test_ten_objects_of_a_room_clicked_out_saved_reopened_and_exported(play, network_address):
    facts = play("scene_artist", network_address, sample_room)
    assert facts["undone_and_redone"]
    assert facts["kept"] == [True] * 10
    assert facts["names"] == [f"Object {number}" for number in range(1, 11)]
    assert len(facts["files"]) == 10
    assert np.mean([curve[-1] for curve in facts["curves"]]) >= 0.6, facts["curves"]
