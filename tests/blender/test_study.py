"""Study mode: objects are asked for one by one, clicks are kept with their times, and the file replays."""

import json
import subprocess
import time

import numpy as np
import pytest
from conftest import (
    REPOSITORY,
    add_mesh,
    free_address,
    grid_points,
    listed,
    notice,
    preferences,
    pump,
    select,
    server_python,
)
from mathutils import Matrix

SIDE = 40
POINTS = grid_points(SIDE)
TRUTH = np.full(len(POINTS), -1, dtype=np.int32)
TRUTH[:200], TRUTH[600:900], TRUTH[1500:1510] = 4, 9, 11


def labelled(blender):
    obj = add_mesh(POINTS)
    obj.data.attributes.new("instance", "INT", "POINT").data.foreach_set("value", TRUTH)
    obj.data["scanpick_label_names"] = json.dumps({"names": {"4": "lamp"}, "colors": {}})
    return obj


def click(blender, session, vertex, positive=True):
    assert blender.ops.scanpick.click(vertex=int(vertex), positive=positive) == {"FINISHED"}
    pump(session, 90)


@pytest.fixture
def study(module):
    running = module("study.study")
    yield running
    running.stop()


def test_clicks_are_kept_with_their_times_until_submit_comes(connected, blender, session, study, module, tmp_path):
    obj, path = labelled(blender), tmp_path / "anna.json"
    started = time.time()
    assert blender.ops.scanpick.study_start(filepath=str(path), attribute="instance", count=5) == {"FINISHED"}
    recording = study.running()
    assert sorted(recording.tasks) == [4, 9], "what has too few vertices is not asked for"
    frame = np.array(module("study.target").corners())
    wanted = POINTS[recording.task == TRUTH]
    np.testing.assert_allclose((frame.min(0), frame.max(0)), (wanted.min(0), wanted.max(0)), atol=1e-6)
    first = recording.task
    inside = np.flatnonzero(first == TRUTH)
    click(blender, session, inside[10])
    time.sleep(0.2)
    click(blender, session, inside[50])
    blender.ops.scanpick.take_back()
    pump(session)
    click(blender, session, 1200, positive=False)
    assert blender.ops.scanpick.study_submit() == {"FINISHED"}
    content = json.loads(path.read_text())
    assert (content["format"], content["version"], content["vertices"]) == ("scanpick-study", 1, len(POINTS))
    (entry,) = content["objects"]
    assert entry["instance"] == first
    assert [(c["vertex"], c["positive"]) for c in entry["clicks"]] == [(inside[10], True), (1200, False)]
    seconds = [c["seconds"] for c in entry["clicks"]]
    assert 0 <= seconds[0] < seconds[1] - 0.2 and seconds[1] <= entry["submitted"] <= time.time() - started
    with np.load(path.with_name("anna.scan.npz")) as scan:
        np.testing.assert_allclose(np.ptp(scan["positions"], axis=0), np.ptp(POINTS, axis=0), atol=1e-5)
        np.testing.assert_allclose(entry["clicks"][1]["position"], scan["positions"][1200], atol=1e-6)
    assert not obj.data.scanpick.objects[0].vertices, "the next object starts from nothing"
    click(blender, session, np.flatnonzero(recording.task == TRUTH)[0])
    blender.ops.scanpick.study_submit()
    assert study.running() is None and module("study.target").corners() is None
    assert [e["instance"] for e in json.loads(path.read_text())["objects"]] == recording.tasks


def test_submit_counts_a_click_whose_mask_is_on_its_way(connected, blender, session, study, tmp_path):
    labelled(blender)
    blender.ops.scanpick.study_start(filepath=str(tmp_path / "a.json"), attribute="instance", count=1)
    blender.ops.scanpick.click(vertex=700, positive=True)
    assert session.pending.items
    blender.ops.scanpick.study_submit()
    (entry,) = json.loads((tmp_path / "a.json").read_text())["objects"]
    assert [c["vertex"] for c in entry["clicks"]] == [700]
    pump(session)


def test_a_study_is_in_metres_whatever_the_scale_and_the_units(connected, blender, session, study, tmp_path):
    obj, path = add_mesh(POINTS * 1000), tmp_path / "a.json"
    obj.data.attributes.new("instance", "INT", "POINT").data.foreach_set("value", TRUTH)
    obj.scale, obj.rotation_euler = (0.01,) * 3, (np.pi / 2, 0, 0)
    blender.context.scene.unit_settings.scale_length = 0.1
    obj.data.scanpick.voxel_size = 0.021
    blender.context.view_layer.update()
    blender.ops.scanpick.study_start(filepath=str(path), attribute="instance.imported", count=2)
    for _ in range(2):
        for vertex in (700, 701):
            click(blender, session, vertex)
        obj.data.scanpick.voxel_size = 0.03
        blender.ops.scanpick.study_submit()
    with np.load(tmp_path / "a.scan.npz") as scan:
        positions = scan["positions"]
    x, y, z = np.ptp(POINTS, axis=0)
    np.testing.assert_allclose(np.ptp(positions, axis=0), (x, z, y), atol=1e-4)
    first, second = json.loads(path.read_text())["objects"]
    assert (first["voxel_size"], second["voxel_size"]) == (0.03, 0.03)
    np.testing.assert_allclose([c["position"] for c in first["clicks"]], positions[[700, 701]], atol=1e-5)


def test_what_cannot_be_is_a_sentence(connected, blender, session, study, tmp_path):
    obj = labelled(blender)
    start = blender.ops.scanpick.study_start
    assert start(filepath="/dev/full/a.json", attribute="instance") == {"CANCELLED"}
    assert "choose another folder" in notice(blender, session)
    obj.data.attributes.new("few", "INT", "POINT").data[3].value = -1
    obj.data.attributes["few"].data.foreach_set("value", np.where(TRUTH == 11, 0, -1).astype(np.int32))
    assert start(filepath=str(tmp_path / "few.json"), attribute="few") == {"CANCELLED"}
    assert "no labelled object has 50 vertices" in notice(blender, session)
    blender.ops.ed.undo_push(message="Labels")
    start(filepath=str(tmp_path / "a.json"), attribute="instance")
    assert blender.ops.scanpick.study_submit() == {"CANCELLED"}
    assert "at least once" in notice(blender, session)
    assert not (tmp_path / "a.json").exists()
    blender.ops.ed.undo_push(message="Start Study")
    blender.ops.ed.undo()
    assert not listed(blender).objects
    assert blender.ops.scanpick.study_submit() == {"CANCELLED"}
    assert "is gone" in notice(blender, session)
    assert blender.ops.scanpick.click(vertex=700) == {"CANCELLED"}
    assert "is gone" in notice(blender, session)
    blender.ops.scanpick.study_stop()
    (tmp_path / "a.json").write_text("{}")
    assert start(filepath=str(tmp_path / "a.json"), attribute="instance") == {"CANCELLED"}
    assert "study at" in notice(blender, session)
    blender.data.objects.remove(blender.data.objects["scan"])
    assert not blender.ops.scanpick.study_submit.poll()


def test_stopping_leaves_no_empty_object(connected, blender, session, study, tmp_path):
    obj = labelled(blender)
    blender.ops.scanpick.study_start(filepath=str(tmp_path / "a.json"), attribute="instance")
    assert [row.clicks for row in obj.data.scanpick.objects] == [0]
    assert blender.ops.scanpick.study_stop() == {"FINISHED"}
    assert not obj.data.scanpick.objects and study.running() is None


def test_stopping_says_what_is_saved(connected, blender, session, study, tmp_path):
    labelled(blender)
    blender.ops.scanpick.study_start(filepath=str(tmp_path / "a.json"), attribute="instance", count=5)
    click(blender, session, np.flatnonzero(study.running().task == TRUTH)[10])
    blender.ops.scanpick.study_submit()
    blender.ops.scanpick.study_stop()
    assert notice(blender, session).startswith("1 of 2 objects saved to ")


def test_all_clicks_belong_to_the_task(connected, blender, session, study, tmp_path):
    labelled(blender)
    path, operators = tmp_path / "a.json", blender.ops.scanpick
    operators.study_start(filepath=str(path), attribute="instance", count=2)
    first = np.flatnonzero(study.running().task == TRUTH)
    clicked = first[[10, 60, 110, 160]]
    click(blender, session, clicked[0])
    for accept in (False, True):
        assert operators.next_object(accept=accept) == {"CANCELLED"}
        assert "yellow frame" in notice(blender, session)
        click(blender, session, clicked[1 + accept])
    for other in ("object_new", "object_delete", "object_duplicate", "object_merge", "objects_from_labels"):
        assert not getattr(operators, other).poll(), other
    listed(blender).active = 1
    blender.ops.object.mode_set(mode="EDIT")
    select([int(clicked[3])])
    assert operators.click_selection(positive=True) == {"FINISHED"}
    pump(session)
    blender.ops.object.mode_set(mode="OBJECT")
    assert [(row.clicks, row.locked) for row in listed(blender).objects] == [(4, False)]
    operators.study_submit()
    (entry,) = json.loads(path.read_text())["objects"]
    assert [c["vertex"] for c in entry["clicks"]] == clicked.tolist()
    assert [(row.clicks, row.vertices) for row in listed(blender).objects] == [(0, 0)]
    operators.study_stop()
    assert operators.object_new() == {"FINISHED"}
    assert not operators.study_start.poll(), "objects that are there already would help or hinder"


def test_undo_takes_clicks_back_and_not_what_was_submitted(connected, blender, session, study, tmp_path):
    labelled(blender)
    blender.ops.scanpick.study_start(filepath=str(tmp_path / "a.json"), attribute="instance", count=2)
    blender.ops.ed.undo_push(message="Start Study")
    task = study.running().task
    click(blender, session, np.flatnonzero(task == TRUTH)[0])
    click(blender, session, np.flatnonzero(task == TRUTH)[1])
    blender.ops.ed.undo()
    blender.ops.scanpick.study_submit()
    blender.ops.ed.undo_push(message="Submit")
    blender.ops.ed.undo()
    (entry,) = json.loads((tmp_path / "a.json").read_text())["objects"]
    assert entry["instance"] == task and len(entry["clicks"]) == 1
    assert study.running().task != task


def test_a_session_on_the_sample_replays_beside_the_simulator(blender, session, study, module, tmp_path):
    location = module("wire.location")
    location.write(location.Installation(server_python(), str(REPOSITORY)))
    settings = preferences()
    settings.address, settings.start_server = free_address(), True
    try:
        blender.ops.scanpick.open_sample()
        obj = blender.context.object
        truth = np.empty(len(obj.data.vertices), dtype=np.int32)
        obj.data.attributes["instance.imported"].data.foreach_get("value", truth)
        obj.data.transform(Matrix.Scale(1000, 4))
        obj.scale = (0.001,) * 3
        blender.context.view_layer.update()
        path = tmp_path / "anna.json"
        blender.ops.scanpick.study_start(filepath=str(path), attribute="instance.imported", count=2, seed=1)
        for clicks in (2, 1):  # submit may come at any click
            inside = np.flatnonzero(truth == study.running().task)
            for place in range(clicks):
                click(blender, session, inside[len(inside) // (place + 2)])
            blender.ops.scanpick.study_submit()
    finally:
        session.connection.shut_down()
        location.record_file().unlink()
    command = [server_python(), "-m", "inference_server", "evaluate", "--replay", str(path)]
    command += ["--json", str(tmp_path / "replay.json")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    replayed = json.loads((tmp_path / "replay.json").read_text())
    rows = replayed["sessions"][0]["objects"]
    assert [row["clicks"] for row in rows] == [2, 1]
    assert all(len(row["human"]) == len(row["simulator"]) == 10 and row["class"] for row in rows)
    assert max(row["human"][0] for row in rows) > 0.1, "the replayed clicks fall on the objects"
    assert set(replayed["means"]) == {f"{who} IoU@{n}" for who in ("human", "simulator") for n in (5, 10)}
    print(done.stdout)
