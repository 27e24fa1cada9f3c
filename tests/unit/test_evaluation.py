"""The evaluation from scans to figures, with methods whose answers are known."""

import csv
import json
import queue
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from inference_server.__main__ import app
from inference_server.data.scans import Scan, read_scan, write_ply
from inference_server.errors import TooFarApart, UserError
from inference_server.evaluation import workers
from inference_server.evaluation.classes import ClassList, read_classes
from inference_server.evaluation.objects import (
    ObjectResult,
    SceneTrial,
    choose_objects,
    crop_around,
    given_until_done,
    object_class,
    overlaps,
    override_cubes,
)
from inference_server.evaluation.plan import Task
from inference_server.evaluation.settings import Settings
from inference_server.evaluation.sources import find_scenes
from inference_server.evaluation.store import append_result, read_results
from inference_server.evaluation.summary import summarise
from inference_server.evaluation.workers import run_tasks
from inference_server.predictor import Prediction
from inference_server.wire.protocol import Click


class Balls:
    """A method whose mask is what lies within `radius` of a positive click and not of a negative one."""

    def __init__(self, radius):
        self.radius, self.scenes, self.calls = radius, [], 0

    def set_scene(self, positions, colors, voxel_size):
        self.scenes.append(positions)

    def predict(self, clicks):
        self.calls += 1
        mask = np.zeros(len(self.scenes[-1]), bool)
        for click in clicks:
            mask[np.linalg.norm(self.scenes[-1] - click.position, axis=1) <= self.radius] = click.positive
        return Prediction(mask, mask.astype(np.uint8) * 204)


def line_scan(*instance, step=1.0, **more):
    positions = np.zeros((len(instance), 3), np.float32)
    positions[:, 0] = np.arange(len(instance)) * step
    return Scan(positions, None, np.array(instance, np.int32), **more)


def test_a_curve_computed_by_hand():
    # Object 5 is at x = 2..6. Click 1 in its middle (x = 4) gives 3, 4, 5: IoU 3/5. Missed 2 and 6 lie 1 m
    # deep; the first, 2, is clicked: adds 1 (wrong) and 2: IoU 4/6. Then wrong 1 and
    # missed 6 are both 1 m deep: the missed one wins the draw and adds 6 and 7: IoU 5/7. Then 1 and 7 are
    # wrong: the click on 1 takes away 1 and 2: IoU 4/6.
    scan = line_scan(-1, -1, 5, 5, 5, 5, 5, -1, -1, -1)
    assert SceneTrial(Balls(1.1), scan, 0.05).run(5, 4).ious == pytest.approx([3 / 5, 4 / 6, 5 / 7, 4 / 6])


def test_where_no_error_is_left_the_iou_carries_over():
    method = Balls(1.1)
    scan = line_scan(-1, 3, 3, 3, -1)
    result = SceneTrial(method, scan, 0.05).run(3, clicks=20)
    assert result.ious == [1.0] * 20
    assert (len(result.clicks), method.calls) == (1, 1)
    assert result.clicks[0] == Click((2.0, 0.0, 0.0), True, 2)


def test_an_object_whose_clicks_get_too_far_apart_keeps_its_last_iou():
    class Near(Balls):
        def predict(self, clicks):
            if len(clicks) > 2:
                raise TooFarApart("This object's clicks lie too far apart.")
            return super().predict(clicks)

    result = SceneTrial(Near(0.5), line_scan(0, 0, 0, 0, 0, 0), 0.05).run(0, 5)
    assert result.ious == pytest.approx([1 / 6, 2 / 6, 2 / 6, 2 / 6, 2 / 6])
    assert len(result.clicks) == 2 and result.ended == "This object's clicks lie too far apart."


def test_unlabelled_points_are_background():
    scan = line_scan(-1, -1, 0, 0, -1, -1)
    assert SceneTrial(Balls(99), scan, 0.05).run(0, 1).ious == [2 / 6]


def test_the_scene_is_set_once_for_all_of_its_objects():
    method = Balls(0.5)
    trial = SceneTrial(method, line_scan(0, 0, 1, 1, 2, 2), 0.05)
    for identity in range(3):
        trial.run(identity, 2)
    assert len(method.scenes) == 1


def test_every_instance_from_zero_on_with_enough_points_counts_largest_first():
    scan = line_scan(*[-1] * 30, *[4] * 12, *[0] * 15, *[7] * 9, *[2] * 12)
    assert choose_objects(scan) == [0, 2, 4]
    assert choose_objects(scan, min_points=1) == [0, 2, 4, 7]
    assert choose_objects(scan, every=2) == [0, 4]
    with pytest.raises(UserError, match="no instance labels"):
        choose_objects(Scan(scan.positions, name="bare"))


def test_the_class_of_an_object():
    scan = line_scan(0, 0, 0, 1, 2, names={1: "lamp"}, semantic=np.array([8, 8, -1, 3, -1]))
    assert object_class(scan, 0) == "class 8"
    assert object_class(scan, 0, {8: "chair"}) == "chair"
    assert object_class(scan, 1) == "lamp"
    assert object_class(scan, 2) is None


def test_a_crop_is_a_square_around_the_middle_of_the_true_object():
    method = Balls(99)
    scan = line_scan(*[-1] * 10, *[0] * 4, *[-1] * 10)  # object at x = 10..13: middle 11.5
    scan.positions[:, 2] = np.arange(24) * 100  # all heights are in it
    result = SceneTrial(method, scan, 0.05, crop=7).run(0, clicks=1)
    np.testing.assert_array_equal(method.scenes[-1][:, 0], np.arange(8, 16))
    assert result.ious == [1 / 4]  # points are 100 m apart in height: only the clicked one is reached
    assert len(result.mask) == 8


def test_cubes_of_clicks_are_overridden_only_when_asked():
    positions = np.array([[0, 0, 0], [0.04, 0.05, 0], [0.06, 0, 0]], np.float32)
    mask = np.array([False, False, True])
    clicks = [Click((0.0, 0.0, 0.0), True), Click((0.1, 0.0, 0.0), False)]
    np.testing.assert_array_equal(override_cubes(mask, positions, clicks, 0.0501), [True, True, False])
    np.testing.assert_array_equal(mask, [False, False, True])
    on_one = [Click((0.0, 0.0, 0.0), False), Click((0.01, 0.0, 0.0), True)]
    overridden = override_cubes(mask, positions, on_one, 0.05)
    assert not overridden[0], "as in the released code a negative cube wins, whichever came first"


def test_overlaps_with_every_object_met():
    instance = np.array([-1, -1, 0, 0, 0, 0, 1, 1, 2])
    mask = np.array([0, 1, 1, 1, 1, 0, 1, 0, 0], bool)
    assert overlaps(mask, instance) == {0: 3 / 6}  # with 1: 1/6, too small to matter
    assert overlaps(instance == 2, instance) == {2: 1.0}


def test_positive_clicks_of_other_objects_near_by_are_told_as_negatives_with_the_own_ones():
    told = []

    class Listening(Balls):
        def predict(self, clicks):
            told.append([(click.vertex, click.positive) for click in clicks])
            return super().predict(clicks)

    trial = SceneTrial(Listening(0.04), line_scan(0, 0, 0, 1, 1, 1, step=0.1), voxel_size=0.05)
    first = trial.run(0, clicks=1)
    trial.run(1, clicks=1, others=given_until_done(first))
    first_vertex = first.clicks[0].vertex
    assert told[0] == [(first_vertex, True)]
    assert told[1][0] == (first_vertex, False) and told[1][1] in [(4, True), (5, True)]


def test_clicks_given_until_an_object_is_done():
    clicks = [Click((0.0, 0.0, 0.0), positive, i) for i, positive in enumerate((True, False, True, True))]
    curve = ObjectResult("a", 0, None, 10, [0.5, 0.6, 0.95, 0.97], clicks=clicks)
    assert [click.vertex for click in given_until_done(curve)] == [0, 2]


def result(scene, identity, curve, class_name=None, confidence=0.8, **more):
    count = len(curve)
    return ObjectResult(
        scene, identity, class_name, 10, list(curve), [confidence] * count,
        [{identity: value} for value in curve], [0.1] * count,
        [Click((0.0, 0.0, 0.0), True, 0)] * count, **more,
    )  # fmt: skip


def test_a_summary_by_hand():
    results = [
        result("a", 0, [0.5, 0.82, 0.9], "chair"),
        result("a", 1, [0.9, 0.9, 0.9], "floor"),
        result("b", 0, [0.1, 0.2, 0.3], "lamp"),
    ]
    summary = summarise(results, ClassList(seen=frozenset({"chair", "floor"})))
    groups = summary["groups"]
    assert groups["all"]["NoC@80"] == pytest.approx((2 + 1 + 3) / 3)
    assert groups["all"]["NoC@90"] == pytest.approx((3 + 1 + 3) / 3)
    assert groups["all"]["IoU@2"] == pytest.approx((0.82 + 0.9 + 0.2) / 3)
    assert "IoU@5" not in groups["all"]
    assert groups["all"]["reached@80"] == pytest.approx(2 / 3)
    assert groups["without structure"]["objects"] == 2
    assert groups["structure"]["IoU@1"] == pytest.approx(0.9)
    assert groups["seen"]["IoU@1"] == pytest.approx(0.7)
    assert groups["unseen"]["IoU@3"] == pytest.approx(0.3)
    assert summary["by_class"]["lamp"]["objects"] == 1
    assert summary["by_scene"]["a"]["clicks to 80"] == 3
    assert summary["clicks_per_scene"]["NoC@80"] == pytest.approx((3 + 3) / 2)
    assert summary["ap"]["all"]["3"]["AP25"] == pytest.approx(1.0)
    assert summary["ap"]["seen"]["1"]["AP50"] == pytest.approx(ap_of_seen_after_one_click())


def ap_of_seen_after_one_click():
    # Both have confidence 0.8: one threshold. The chair's IoU 0.5 does not exceed 0.5: false, missed.
    # recall 0.5, 0 at precision 0.5, 1: central steps 0.25, 0.25
    return 0.25 * 0.5 + 0.25


def test_agile3d_ranks_by_the_true_iou():
    results = [result("a", 0, [0.9], confidence=0.1), result("a", 1, [0.3], confidence=0.9)]
    by_probability = summarise(results, ClassList())["ap"]["all"]["1"]["AP50"]
    by_iou = summarise(results, ClassList(), "agile3d")["ap"]["all"]["1"]["AP50"]
    assert by_probability == pytest.approx(0.125)
    assert by_iou == pytest.approx(0.5)


def test_without_class_names_there_is_no_structure_to_leave_out():
    assert list(summarise([result("a", 0, [0.5])], ClassList())["groups"]) == ["all"]


def test_class_lists(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("chair\n\noffice desk\n")
    assert read_classes(path).seen == {"chair", "office desk"}
    path.write_text(json.dumps({"seen": ["chair"], "structure": ["road"], "names": {"5": "chair"}}))
    read = read_classes(path)
    assert (read.seen, read.structure, read.names) == ({"chair"}, {"road"}, {5: "chair"})
    path.write_text("chair\nrefrigerator\nsofa\n", encoding="utf-8-sig")
    read = read_classes(path)
    assert read.is_seen("chair") and read.is_seen("refridgerator") and not read.is_seen("lamp")
    assert read.missing(["chair", "refridgerator", None, "lamp"]) == ["sofa"]
    path.write_text(json.dumps({"structure": ["floor", "tabel"]}))
    read = read_classes(path)
    assert read.is_structure("floor") and not read.is_structure("wall") and not read.is_structure(None)
    assert read.missing(["floor", "table"]) == ["tabel"]
    for wrong in ('{"seen": "chair"}', '{"saen": []}', "{", '{"names": {"five": "chair"}}', ""):
        path.write_text(wrong)
        with pytest.raises(UserError, match="class list"):
            read_classes(path)


def test_settings_name_their_differences_and_their_protocol():
    assert Settings().differences(Settings(clicks=10, crop=5.0).to_json()) == ["clicks", "crop"]
    assert "whole scans" in Settings().protocol()
    assert "5 m crops around the true object" in Settings(crop=5.0).protocol()
    assert "every 3rd object" in Settings(every=3).protocol()
    assert "graph-cut" in Settings(method="graph-cut").protocol()


# The command, with a baseline on a small scan: a floor with two boxes and a crumb of three points.


@pytest.fixture
def scan_file(tmp_path):
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(0, 3, (4000, 2)), np.zeros(4000)])
    boxes = [rng.uniform(0, 0.4, (800, 3)) + (0.5, 0.5 + 1.2 * i, 0.01) for i in range(2)]
    crumb = np.full((3, 3), 2.5) + rng.uniform(0, 0.01, (3, 3))
    positions = np.concatenate([floor, *boxes, crumb]).astype(np.float32)
    instance = np.repeat([0, 1, 2, 3], [4000, 800, 800, 3]).astype(np.int32)
    instance[:200] = -1
    colors = np.array([[90, 90, 90], [200, 40, 40], [40, 40, 200], [0, 200, 0]], np.uint8)
    scan = Scan(positions, colors[np.maximum(instance, 0)], instance, None, {0: "floor", 1: "box", 2: "box"})
    write_ply(tmp_path / "room.ply", scan)
    return tmp_path / "room.ply"


def evaluate(*arguments):
    outcome = CliRunner().invoke(app, ["evaluate", "--method", "graph-cut", "--jobs", "1", *map(str, arguments)])
    if outcome.exception and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


def test_the_command_writes_results_summary_plot_and_pictures(scan_file, tmp_path):
    out = tmp_path / "out"
    printed = evaluate(scan_file, "--clicks", 5, "--out", out, "--json", tmp_path / "copy.json")
    with (out / "results.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["scene", "object", "clicks", "iou"]
    assert [(r["scene"], r["object"], r["clicks"]) for r in rows] == [
        ("room", str(i), str(k)) for i in (0, 1, 2) for k in range(1, 6)
    ]
    assert all(0 <= float(r["iou"]) <= 1 for r in rows)
    summary = json.loads((out / "summary.json").read_text())
    assert json.loads((tmp_path / "copy.json").read_text()) == summary
    last = [float(r["iou"]) for r in rows if r["clicks"] == "5"]
    assert summary["groups"]["all"]["IoU@5"] == pytest.approx(np.mean(last), abs=1e-6)
    assert min(last[1:]) > 0.8  # boxes of another colour than the floor are easy for a graph cut
    assert summary["plan"]["left_out_too_few_points"] == 1
    assert summary["plan"]["unlabelled_points"] == 200
    assert {path.suffix for path in (out / "worst").iterdir()} == {".png"}
    assert len(list((out / "worst").iterdir())) == 3
    assert (out / "iou_over_clicks.png").stat().st_size > 5000
    assert "whole scans" in printed
    assert "1 of 4 instances" in " ".join(printed.split())


def test_a_rerun_goes_on_where_the_last_one_stopped(scan_file, tmp_path):
    out = tmp_path / "out"
    evaluate(scan_file, "--clicks", 3, "--out", out)
    whole = (out / "results.csv").read_bytes()
    lines = (out / "objects.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 3
    # killed while it wrote the second object
    (out / "objects.jsonl").write_text(lines[0] + lines[1][:100])
    (out / "results.csv").unlink()
    evaluate(scan_file, "--clicks", 3, "--out", out)
    assert (out / "results.csv").read_bytes() == whole
    again = (out / "objects.jsonl").read_text().splitlines(keepends=True)
    assert again[0] == lines[0]
    assert len(again) == 4  # the first, the torn line, the second, the third
    assert len(read_results(out)) == 3


def test_a_rerun_with_other_settings_is_refused(scan_file, tmp_path):
    out = tmp_path / "out"
    evaluate(scan_file, "--clicks", 2, "--out", out)
    with pytest.raises(UserError, match="other settings .clicks 2 there, 3 now"):
        evaluate(scan_file, "--clicks", 3, "--out", out)


def test_another_scan_of_the_same_name_is_refused(scan_file, tmp_path):
    out, other = tmp_path / "out", tmp_path / "other" / "room.ply"
    evaluate(scan_file, "--clicks", 2, "--out", out)
    other.parent.mkdir()
    other.write_bytes(scan_file.read_bytes())
    with pytest.raises(UserError, match="another scan called room"):
        evaluate(other, "--clicks", 2, "--out", out)


def test_a_scan_that_was_changed_is_refused(scan_file, tmp_path):
    evaluate(scan_file, "--clicks", 2, "--out", tmp_path / "out")
    content = bytearray(scan_file.read_bytes())
    content[-4:] = (2).to_bytes(4, "little")  # another label, the same size
    scan_file.write_bytes(content)
    with pytest.raises(UserError, match="before it was changed"):
        evaluate(scan_file, "--clicks", 2, "--out", tmp_path / "out")


def test_a_rerun_with_class_names_gives_them_to_what_was_done_before(scan_file, tmp_path):
    classes = tmp_path / "classes.json"
    classes.write_text(json.dumps({"seen": ["crate"], "names": {"5": "crate"}}))
    scan = replace(read_scan(scan_file), names={})
    scan.semantic = np.where(scan.instance == 1, 5, 6).astype(np.int32)
    write_ply(scan_file, scan)
    out = tmp_path / "out"
    evaluate(scan_file, "--clicks", 2, "--out", out)
    evaluate(scan_file, "--clicks", 2, "--out", out, "--classes", classes)
    groups = json.loads((out / "summary.json").read_text())["groups"]
    assert groups["seen"]["objects"] == 1 and groups["unseen"]["objects"] == 2


def test_scans_of_a_folder_that_differ_in_their_ending_are_two(scan_file, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    scan = read_scan(scan_file)
    write_ply(folder / "room.ply", scan)
    np.savez(folder / "room.npz", positions=scan.positions, instance=scan.instance)
    names = [source.name for source in find_scenes([folder])]
    assert sorted(names) == ["room.npz", "room.ply"]
    (tmp_path / "other").mkdir()
    write_ply(tmp_path / "other" / "room.ply", scan)
    names = [source.name for source in find_scenes([folder / "room.ply", tmp_path / "other"])]
    assert names == ["scans/room", "other/room"]


def test_what_is_no_labelled_scan_in_a_folder_is_left_out_and_told(scan_file, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    scan = read_scan(scan_file)
    write_ply(folder / "room.ply", scan)
    write_ply(folder / "unlabelled.ply", Scan(scan.positions))
    (folder / "README.txt").write_text("What this is.\n")
    for _ in range(2):  # the second time beside what the first one wrote
        printed = evaluate(folder, "--clicks", 1, "--out", folder)
        assert "3 objects" in printed
        assert "README.txt is not a table" in printed and "unlabelled has no instance labels" in printed
        assert "results" not in printed.split("unlabelled has")[0]
    assert json.loads((folder / "summary.json").read_text())["plan"]["left_out_no_labelled_scans"] == 2
    with pytest.raises(UserError, match="no instance labels"):
        evaluate(folder / "unlabelled.ply", "--clicks", 1)


def test_data_sets_beside_the_scans_of_a_folder_are_named(scan_file):
    other = scan_file.parent / "KITTI" / "sequences" / "08"
    for name, part in (("velodyne/000000.bin", 16), ("labels/000000.label", 4)):
        (other / name).parent.mkdir(parents=True)
        (other / name).write_bytes(bytes(part))
    printed = " ".join(evaluate(scan_file.parent, "--clicks", 1, "--every", 3).split())
    assert "Left out, as there are scans beside:" in printed and "KITTI. Give the folders" in printed
    assert "Left out, as" not in evaluate(scan_file, "--clicks", 1, "--every", 3)


def test_a_folder_of_an_evaluation_that_came_to_nothing_takes_other_settings(scan_file, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(UserError, match="lower --min-points"):
        evaluate(scan_file, "--clicks", 2, "--min-points", 100_000, "--out", out)
    evaluate(scan_file, "--clicks", 2, "--out", out)
    assert len(read_results(out)) == 3


def test_why_an_object_ended_early_is_kept_and_in_the_summary(tmp_path):
    early = result("room", 3, [0.5, 0.5], ended="The clicks lie too far apart.")
    early.seconds = [0.1]
    append_result(tmp_path, early)
    (read,) = read_results(tmp_path)
    (told,) = summarise([read], ClassList())["ended_early"]
    assert (told["scene"], told["object"], told["why"]) == ("room", 3, "The clicks lie too far apart.")


def test_pictures_of_the_worst_are_this_run_s(scan_file, tmp_path):
    out = tmp_path / "out"
    evaluate(scan_file, "--clicks", 1, "--out", out)
    (out / "worst" / "1-gone-7.png").write_bytes(b"")
    evaluate(scan_file, "--clicks", 1, "--out", out)
    assert sorted(path.name[0] for path in (out / "worst").iterdir()) == ["1", "2", "3"]


def test_where_the_summary_cannot_be_written_nothing_is_clicked(scan_file, tmp_path):
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be"):
        evaluate(scan_file, "--clicks", 2, "--out", tmp_path / "out", "--json", tmp_path / "taken" / "summary.json")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="nothing at"):
        evaluate(tmp_path / "gone.ply", "--json", tmp_path / "summary.json")
    assert not (tmp_path / "summary.json").exists(), "nothing is left of the trial"


def test_scans_without_the_colours_that_weights_need_are_named_before_the_first_click(scan_file, tmp_path):
    folder = tmp_path / "scans"
    folder.mkdir()
    scan = read_scan(scan_file)
    write_ply(folder / "plain.ply", replace(scan, colors=None))
    network = ("--method", "network", "--weights", "rooms-small-rgb", "--device", "cpu", "--clicks", 1, "--every", 3)
    with pytest.raises(UserError, match="plain has no colours, which the weights 'rooms-small-rgb' need"):
        evaluate(folder / "plain.ply", *network)
    write_ply(folder / "room.ply", scan)
    assert "Left out: plain has no colours" in evaluate(folder, *network)
    with pytest.raises(UserError, match="has no colours, which"):
        evaluate(folder, *network, "--no-colours")


def test_scans_are_tried_as_if_they_had_no_colours(scan_file, tmp_path):
    bare = replace(read_scan(scan_file), colors=None)
    write_ply(tmp_path / "bare.ply", bare)
    told = []
    for path, *options in ((tmp_path / "bare.ply",), (scan_file, "--no-colours")):
        printed = evaluate(path, *options, "--clicks", 2, "--every", 3, "--method", "network", "--json", tmp_path / "s")
        told.append(json.loads((tmp_path / "s").read_text())["groups"])
        assert ("without the scans' colours" in printed) == bool(options)
    assert told[0] == told[1]


def test_names_with_brackets_are_told_as_they_are(scan_file, tmp_path):
    room, out = tmp_path / "a[b].ply", tmp_path / "o[/b]ut"
    write_ply(room, replace(read_scan(scan_file), names={0: "floor", 1: "lamp [red]", 2: "box"}))
    printed = evaluate(room, "--clicks", 1, "--out", out)
    assert "o[/b]ut" in printed.replace("\n", "") and "lamp [red]" in printed
    for mask in (out / "masks").iterdir():
        mask.unlink()
    assert "of a[b]: its mask file is gone" in evaluate(room, "--clicks", 1, "--out", out)
    for content in (b"", b"PK\x03\x04", b"abc"):
        for mask in (out / "masks").iterdir():
            mask.write_bytes(content)
        assert "is gone or damaged" in evaluate(room, "--clicks", 1, "--out", out)


def test_results_whose_settings_are_gone_are_not_taken_for_one_s_own(scan_file, tmp_path):
    out = tmp_path / "out"
    evaluate(scan_file, "--clicks", 2, "--out", out)
    (out / "settings.json").unlink()
    with pytest.raises(UserError, match="cannot be read"):
        evaluate(scan_file, "--clicks", 3, "--out", out)


def test_an_evaluation_of_another_version_is_told_from_one_with_other_options(scan_file, tmp_path):
    out = tmp_path / "out"
    evaluate(scan_file, "--clicks", 2, "--out", out)
    content = json.loads((out / "settings.json").read_text())
    content["settings"]["version"] = "0.0.1"
    (out / "settings.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="by another Scanpick.*version.*give another --out"):
        evaluate(scan_file, "--clicks", 2, "--out", out)


def test_results_that_come_after_the_end_of_their_task_are_waited_for(scan_file, monkeypatch):
    """A process hands its results to a thread that a busy machine may leave waiting."""

    class Late(queue.Queue):
        def get_nowait(self):
            raise queue.Empty

    class Context:
        Queue, Event = Late, threading.Event

    monkeypatch.setattr(workers.multiprocessing, "get_context", lambda _: Context)
    pool = lambda jobs, _, start, arguments, __: ThreadPoolExecutor(jobs, initializer=start, initargs=arguments)  # noqa: E731
    monkeypatch.setattr(workers, "worker_pool", pool)
    (source,) = find_scenes([scan_file])
    tasks = [Task(source, ((1, "box"),)), Task(source, ((2, "box"),))]
    got = list(run_tasks(tasks, Settings(method="region-growing", clicks=1), None, 2))
    assert sorted(result.object for result in got) == [1, 2]


def test_two_jobs_give_what_one_gives(scan_file, tmp_path):
    evaluate(scan_file, "--clicks", 2, "--out", tmp_path / "one")
    evaluate(scan_file, "--clicks", 2, "--out", tmp_path / "two", "--jobs", 2)
    assert (tmp_path / "one/results.csv").read_bytes() == (tmp_path / "two/results.csv").read_bytes()


def test_with_other_clicks_a_scene_stays_together_and_is_done_again_where_it_is_not_whole(scan_file, tmp_path):
    out = tmp_path / "out"
    printed = evaluate(scan_file, "--clicks", 2, "--other-clicks", "--jobs", 2, "--out", out)
    assert "clicks on earlier objects near by as negatives" in " ".join(printed.split())
    whole = (out / "results.csv").read_bytes()
    first, *_ = (out / "objects.jsonl").read_text().splitlines(keepends=True)
    (out / "objects.jsonl").write_text(first)
    evaluate(scan_file, "--clicks", 2, "--other-clicks", "--out", out)
    assert (out / "results.csv").read_bytes() == whole
    assert len((out / "objects.jsonl").read_text().splitlines()) == 4


def test_a_crop_is_named_in_every_table(scan_file):
    printed = " ".join(evaluate(scan_file, "--clicks", 2, "--crop", 1.5, "--every", 3).split())
    assert printed.count("1.5 m crops around the true object") == 3  # the line, the means, AP


def test_a_crop_around_a_wide_ring_holds_the_part_of_it_nearest_to_its_middle():
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ring = np.stack([4.0 * np.cos(turn), 4.5 * np.sin(turn), 0 * turn], 1).astype(np.float32)
    box = np.random.default_rng(0).random((50, 3), np.float32)
    scan = Scan(np.concatenate([ring, box]), instance=np.repeat(np.array([0, 1], np.int32), [400, 50]))
    part = crop_around(scan, 0, 5.0)
    assert 0 < (part.instance == 0).sum() < 200
    assert np.ptp(part.positions[:, :2], axis=0).max() <= 5.0
    assert np.array_equal(crop_around(scan, 1, 5.0).positions, box)


@pytest.mark.parametrize(
    "options, words",
    [
        (["--method", "magic"], "choose one of network, region-growing, graph-cut"),
        (["--ap", "best"], "choose one of probability, agile3d"),
        (["--adaptation", "fast"], "choose one of best, ours, strong, paper"),
        (["--adaptation", "paper"], "give --adapt as well"),
        (["--adapt"], "--method graph-cut has no network: leave out --adapt."),
        (["--adapt", "--engine", "minkowski"], "has no network: leave out --adapt, --engine"),
        (["--weights", "rooms-small-rgb"], "has no network: leave out --weights"),
        (["--other-clicks", "--crop", "5"], "needs whole scans"),
        (["--voxel-size", "0"], "positive number of metres"),
        (["--crop", "-5"], "positive number of metres"),
        (["--min-points", "99999"], "no object to evaluate: 4 instances, none with at least 99999"),
        (["--method", "network", "--weights", "nothing-like-it"], "There are no weights 'nothing-like-it'"),
        (["--classes", "/nowhere/classes.txt"], "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(scan_file, options, words):
    with pytest.raises(UserError, match=words):
        evaluate(scan_file, "--clicks", 2, *options)


def test_a_scan_without_labels_or_with_nothing_but_background(tmp_path):
    bare = Scan(np.random.default_rng(0).random((50, 3), np.float32))
    write_ply(tmp_path / "bare.ply", bare)
    with pytest.raises(UserError, match="bare has no instance labels"):
        evaluate(tmp_path / "bare.ply")
    bare.instance = np.full(50, -1, np.int32)
    write_ply(tmp_path / "background.ply", bare)
    with pytest.raises(UserError, match="no object to evaluate: 0 instances"):
        evaluate(tmp_path / "background.ply")


def test_one_object_that_is_the_whole_colourless_scan(tmp_path):
    scan = Scan(np.random.default_rng(0).random((500, 3), np.float32), instance=np.zeros(500, np.int32))
    write_ply(tmp_path / "one.ply", scan)
    evaluate(tmp_path / "one.ply", "--clicks", 3, "--out", tmp_path / "out")
    assert len((tmp_path / "out" / "results.csv").read_text().splitlines()) == 4


def test_a_full_disk_stops_with_a_sentence_and_keeps_what_was_written(tmp_path):
    resource = pytest.importorskip("resource", reason="only POSIX can limit the size of files")
    append_result(tmp_path, result("a", 0, [0.5] * 20))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "objects.jsonl").stat().st_size + 50, before[1]))
    try:
        with pytest.raises(UserError, match="Free some space and run it again: it goes on where it stopped"):
            append_result(tmp_path, result("a", 1, [0.5] * 20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [r.object for r in read_results(tmp_path)] == [0]
    append_result(tmp_path, result("a", 1, [0.5] * 20))
    assert [r.object for r in read_results(tmp_path)] == [0, 1]


# Study sessions


def write_session(path, scan_file, vertices, *clicks, instance=1, **more):
    recorded = [
        {"position": [0, 0, 0], "positive": positive, "vertex": vertex, "seconds": 2.5 * number}
        for number, (vertex, positive) in enumerate(clicks, 1)
    ]
    content = {
        "format": "scanpick-study",
        "version": 1,
        "scan": scan_file.name,
        "vertices": vertices,
        "objects": [{"instance": instance, "clicks": recorded, **more}],
    }
    path.write_text(json.dumps(content))
    return path


def test_a_session_is_replayed_beside_the_simulator(scan_file, tmp_path):
    # A human who clicks a corner of the first box and submits at once; vertices of the box are 4000..4799.
    session = write_session(tmp_path / "anna.json", scan_file, 5603, (4000, True))
    printed = evaluate("--replay", session, scan_file, tmp_path / "hall.ply", "--json", tmp_path / "replay.json")
    assert printed.count("is left out") == 1 and "No session is of a scan called hall.ply" in printed
    content = json.loads((tmp_path / "replay.json").read_text())
    (row,) = content["sessions"][0]["objects"]
    assert (row["object"], row["class"], row["clicks"], row["seconds"]) == (1, "box", 1, 2.5)
    assert row["human"] == [row["human"][0]] * 10  # submitted after one click: it carries over
    assert len(row["simulator"]) == 10
    assert content["means"]["human IoU@5"] == row["human"][4]
    assert content["means"]["simulator IoU@10"] == row["simulator"][9]
    assert "human @5" in printed


def test_a_replay_refuses_what_it_does_not_take(scan_file, tmp_path):
    session = write_session(tmp_path / "anna.json", scan_file, 5603, (4000, True))
    with pytest.raises(UserError, match="leave out --crop, --every"):
        evaluate("--replay", session, "--crop", 5, "--every", 2)
    with pytest.raises(UserError, match="leave out --clicks, --min-points, --ap"):
        evaluate("--replay", session, "--clicks", 3, "--min-points", 1, "--ap", "agile3d")


def test_a_replay_works_with_the_voxel_size_of_the_session(scan_file, tmp_path):
    def replayed(*options, **recorded):
        session = write_session(tmp_path / "anna.json", scan_file, 5603, (4000, True), **recorded)
        evaluate("--replay", session, "--json", tmp_path / "replay.json", *options)
        (row,) = json.loads((tmp_path / "replay.json").read_text())["sessions"][0]["objects"]
        return row["voxel_size"], row["human"]

    assert replayed()[0] == 0.05, "sessions of older versions do not tell it"
    assert replayed(voxel_size=0.1) == replayed("--voxel-size", 0.1) != replayed()
    assert replayed("--voxel-size", 0.05, voxel_size=0.1) == replayed()
    with pytest.raises(UserError, match="no study session"):
        replayed(voxel_size=0)


def test_human_clicks_are_taken_at_their_vertices_and_in_their_order(scan_file, tmp_path):
    one = write_session(tmp_path / "one.json", scan_file, 5603, (4000, True), (4000, False))
    other = write_session(tmp_path / "other.json", scan_file, 5603, (4000, False), (4000, True))
    evaluate("--replay", one, "--replay", other, "--json", tmp_path / "replay.json")
    first, second = json.loads((tmp_path / "replay.json").read_text())["sessions"]
    assert first["objects"][0]["human"][1] == 0
    assert second["objects"][0]["human"][0] == 0
    assert second["objects"][0]["human"][1] > 0


@pytest.mark.parametrize(
    "change, words",
    [
        ({"format": "something else"}, "not of scanpick-study 1"),
        ({"objects": []}, "no object with a click"),
        ({"objects": [{"instance": 1, "clicks": []}]}, "no study session"),
        ({"objects": [{"instance": 1}]}, "no study session"),
        ({"vertices": 12}, "has 5603 vertices, the scan of .* had 12"),
        ({"scan": "gone.ply"}, "no scan file at"),
    ],
)
def test_a_session_that_does_not_fit_is_refused(scan_file, tmp_path, change, words):
    session = write_session(tmp_path / "anna.json", scan_file, 5603, (4000, True))
    session.write_text(json.dumps(json.loads(session.read_text()) | change))
    with pytest.raises(UserError, match=words):
        evaluate("--replay", session)


def test_a_session_of_an_object_or_vertex_that_the_scan_lacks(scan_file, tmp_path):
    with pytest.raises(UserError, match="has no object 77"):
        evaluate("--replay", write_session(tmp_path / "a.json", scan_file, 5603, (4000, True), instance=77))
    with pytest.raises(UserError, match="vertex that .* does not have"):
        evaluate("--replay", write_session(tmp_path / "b.json", scan_file, 5603, (5603, True)))
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        evaluate("--replay", tmp_path / "c.json")
    with pytest.raises(UserError, match="nothing to evaluate"):
        evaluate("--clicks", 2)
