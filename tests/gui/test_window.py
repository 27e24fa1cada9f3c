"""What an artist does in Blender's window, by simulated mouse and keys; see the scene_*.py beside this file."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference_server.data.scans import read_scan, write_ply

SAMPLE = Path(__file__).parents[2] / "inference_server" / "demo" / "sample_room.ply"


def test_selection_to_vertex_group_in_edit_mode(play, sphere_address):
    facts = play("scene_edit_mode", sphere_address)
    assert facts["selected"] > 0
    assert facts["members"] > facts["selected"]
    assert facts["selected_after_undo"] == facts["selected"], "undo took back the click, not the selection"
    assert facts["instance_agrees"]
    before, hidden, again = facts["floor_seen"]
    assert before > 1000 and again > 1000
    assert hidden == 0, "what is hidden in Edit Mode is not drawn"


def test_click_tool_in_object_mode(play, sphere_address):
    facts = play("scene_tool", sphere_address)
    assert facts["removed"] > 0
    assert "is locked" in facts["locked_notice"]
    assert facts["first_kept"]
    assert facts["last_operator"] == "SCANPICK_OT_step_click", "Adjust Last Operation has nothing to undo clicks with"
    assert facts["view_moved"] and facts["colours"] == "LEFT", "Shift+J shows what is left"
    assert facts["objects"] == ["Object 1", "Object 2"]


def test_finishing_panel(play, sphere_address):
    facts = play("scene_finish", sphere_address)
    assert facts["threshold_takes_away"] and facts["threshold_undone"] == 0.5
    assert facts["grown"] and facts["shrunk"]
    assert facts["filled"] and facts["kept_connected"]
    assert facts["view_moved"]


def test_the_overlay_where_the_view_leaves_something_out(play, sphere_address):
    facts = play("scene_overlay", sphere_address)
    lit = {name for name, hovered in facts["hovered"].items() if hovered}
    assert lit == {"orthographic", "inside_clipping", "in_local_view"}, facts["hovered"]
    seen = facts["mask_seen"]
    assert seen["xray"] >= 0.8 * seen["orthographic"], "X-ray shows the mask through what lies before it"
    assert seen["clipped"] == pytest.approx(seen["orthographic"], rel=0.1)
    assert seen["with_faces"] > 0.3 * seen["orthographic"], "the lid has faces, the sides have none"
    assert seen["too_large_for_faces"] > 0.1 * seen["orthographic"], "every third of the mask's vertices"
    assert max(seen["hidden"], seen["not_in_local_view"]) < 0.05 * seen["orthographic"]  # an axis of the grid is red


def test_the_points_lie_over_blenders_dots_and_behind_what_is_in_front(play, sphere_address):
    facts = play("scene_depth", sphere_address)  # orange is the dot of the object's origin, too
    for name, (scan, dots) in facts.items():
        if name.endswith("behind"):
            assert scan == 0, f"{name}: the scan shines through, {facts}"
        else:
            assert scan > 0.02 and dots < 0.002, f"{name}: Blender's dots are seen, {facts}"


def test_the_status_bar_stays_blenders_but_for_the_keys(play, sphere_address):
    facts = play("scene_status", sphere_address)
    assert facts["at_rest"] > 0.02 and facts["again"] == 0, "the tool's keys are told"
    assert max(facts[name] for name in ("moving", "edit_mode", "elsewhere")) < 0.001, facts
    assert facts["statistics"] > 0.02 and facts["report"] > 0.02, facts


def test_a_click_on_a_scan_that_is_not_the_active_object(play, sphere_address):
    facts = play("scene_other_scan", sphere_address)
    for clicked in ("clicked_from_a_cube", "click_undone", "clicked_from_a_light"):
        assert facts[clicked] == ["scan", "scan"], facts
    select_first = "Clicks go to “{}”; to click on “{}”, select it first".format
    assert facts["removed_from_a_cube"] == ["cube", "WARNING", select_first("cube", "scan")]
    assert facts["nothing_clicked"] == ["cube", "WARNING", "There is no point of “cube” under the cursor"]
    assert facts["scan_behind_a_cube"] == ["other", "WARNING", select_first("other", "cube")]


def test_a_room_is_clicked_on_through_a_ceiling_whose_back_is_not_shown(play, sphere_address):
    facts = play("scene_dollhouse", sphere_address)
    assert facts["ceiling_hovered"] == pytest.approx(0.8) and facts["floor_hovered"] == pytest.approx(0, abs=1e-4)
    assert facts["heights"] == [0.0], "the mask is of the floor alone"
    assert "texture" in facts["source"]
    assert [204, 153, 77] in facts["colours"] and [51, 128, 179] in facts["colours"], "both tiles of the texture"


def test_a_room_without_faces_is_looked_into_and_clicked_on_when_its_ceiling_is_hidden(play, sphere_address):
    facts = play("scene_ceiling", sphere_address)
    assert facts["hovered"] == {"ceiling": 2.4, "eye_closed": 0.8, "left_chosen": 0.8, "left": 0.0}
    assert facts["heights"] == [0.8], "the mask is of the table alone"
    seen = facts["seen"]
    assert seen["1_ceiling"]["floor"]["yellow"] > 0.9 and seen["1_ceiling"]["table"]["yellow"] > 0.9
    for name, table in (("2_eye_closed", "green"), ("4_left", "blue")):
        assert seen[name]["floor"]["blue"] > 0.98 and seen[name]["floor"]["black"] == 0, "not even Blender's dots"
        assert seen[name]["table"][table] > 0.9 and seen[name]["table"]["yellow"] < 0.05
    assert seen["5_edit_mode"]["floor"]["blue"] < 0.1, "in Edit Mode all vertices are there"
    assert facts["alone"] == ["ceiling"] and facts["all"] == ["ceiling", "Object 2"]
    assert facts["display"] == ["TEXTURED", "BOUNDS", "TEXTURED", "TEXTURED"]
    assert not facts["unsaved"]


def test_one_scan_in_two_windows(play, sphere_address):
    facts = play("scene_windows", sphere_address)
    assert facts["clicks"] == 4


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


def labelled_room(out: Path) -> None:
    """The room with its labels, and the labels that a person sees."""
    shutil.copy(SAMPLE, out / "room.ply")
    np.save(out / "labels.npy", read_scan(SAMPLE).instance)


def test_a_study_is_recorded_and_replayed(play, network_address, tmp_path):
    facts = play("scene_study", network_address, labelled_room)
    assert facts["clicks"] == [len(curve) for curve in facts["curves"]] and len(facts["clicks"]) == 2
    summary = tmp_path / "summary.json"
    command = [sys.executable, "-m", "inference_server", "evaluate", "--replay", facts["session"], "--json", summary]
    command += ["--voxel-size", "0.1"]  # coarse, since it is for the figures' being there
    done = subprocess.run(command, cwd=SAMPLE.parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (session,) = json.loads(summary.read_text())["sessions"]
    assert [row["clicks"] for row in session["objects"]] == facts["clicks"], session
    assert all(0 < row[side][-1] <= 1 for row in session["objects"] for side in ("human", "simulator")), session


def unlabelled_room_and_labels(out: Path) -> None:
    """The room without labels, and a file with them."""
    sample_room(out)
    shutil.copy(SAMPLE, out / "labels.ply")
    np.save(out / "labels.npy", read_scan(SAMPLE).instance)


def test_labels_of_a_file_become_objects(play, installed_server, sphere_address):
    facts = play("scene_labels", sphere_address, unlabelled_room_and_labels)
    truth = read_scan(SAMPLE)
    assert facts["objects"] == len(np.unique(truth.instance[truth.instance >= 0]))
    assert facts["same"] and "sofa" in facts["names"]


def test_a_key_is_changed_in_the_preferences_and_brought_back(play, sphere_address):
    facts = play("scene_preferences", sphere_address)
    assert facts["keys"] == ["U", "Y", "U"]
