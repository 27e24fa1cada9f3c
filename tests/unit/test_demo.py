"""The demo's choices: which objects, which clicks, from where the picture is taken, what the report says."""

import json

import numpy as np
import pytest

from inference_server.data.scans import Scan
from inference_server.demo import artist, report, tasks, views
from inference_server.errors import UserError
from inference_server.simulation import ClickSimulator
from inference_server.wire.protocol import Click


def scan_of(sizes: dict[int, int], names: dict[int, str] | None = None) -> Scan:
    """A scan whose instances have these sizes, each a cluster of its own."""
    rng = np.random.default_rng(0)
    instance = np.repeat(np.int32(list(sizes)), list(sizes.values()))
    positions = (rng.random((len(instance), 3)) + instance[:, None] * 3.0).astype(np.float32)
    return Scan(positions, None, instance, names=names or {}, name="test scan")


class TestObjectsFromLabels:
    def test_every_nth_by_size_is_taken(self):
        scan = scan_of({number: 1000 - 10 * number for number in range(40)})
        chosen = tasks.from_labels(scan)
        assert [int(task.truth.sum()) for task in chosen] == [1000 - 40 * k for k in range(10)]

    def test_structure_small_and_unlabelled_parts_are_left_out(self):
        scan = scan_of({-1: 900, 0: 800, 1: 700, 2: 200, 3: 201}, {0: "floor", 1: "chair", 3: "cup"})
        assert [task.name for task in tasks.from_labels(scan)] == ["chair", "cup"]

    def test_names_are_told_apart(self):
        scan = scan_of({1: 500, 2: 400, 3: 300}, {1: "chair", 2: "chair"})
        assert [task.name for task in tasks.from_labels(scan)] == ["chair", "chair 2", "object 3"]

    def test_without_labels_clicks_are_asked_for(self):
        with pytest.raises(UserError, match="--clicks"):
            tasks.from_labels(Scan(np.zeros((5, 3), np.float32)))

    def test_without_a_large_object_another_scan_is_asked_for(self):
        with pytest.raises(UserError, match="another scan"):
            tasks.from_labels(scan_of({1: 50}))


class TestClicksFromAFile:
    @pytest.fixture
    def scan(self):
        return scan_of({1: 500})

    def write(self, folder, clicks):
        file = folder / "clicks.json"
        file.write_text(json.dumps({"voxel_size": 0.02, "objects": [{"name": "lamp", "clicks": clicks}]}))
        return file

    def test_positions_go_to_the_nearest_vertex(self, scan, tmp_path):
        near = (scan.positions[17].astype(float) + 1e-4).tolist()
        file = self.write(tmp_path, [{"position": near, "positive": True}, {"vertex": 3, "positive": False}])
        found, voxel_size = tasks.from_file(scan, file)
        assert voxel_size == 0.02
        assert [(click.vertex, click.positive) for click in found[0].clicks] == [(17, True), (3, False)]

    def test_a_click_far_from_the_scan_is_a_sentence(self, scan, tmp_path):
        file = self.write(tmp_path, [{"position": [99, 0, 0], "positive": True}])
        with pytest.raises(UserError, match="another scan"):
            tasks.from_file(scan, file)


class TestArtist:
    @pytest.fixture
    def scan(self):
        return scan_of({1: 400, 2: 400})

    def work(self, scan, masks, clicks=()):
        """What comes of it, and the clicks, where these masks are the answers and then the truth."""
        truth = scan.instance == 1
        pressed, answers = [], list(masks)

        def press(click):
            pressed.append(click)
            mask = answers.pop(0) if answers else truth
            return {"mask": tasks.packed(mask), "seconds": 0.1, "voxel_size": 0.05}

        task = tasks.Task("chair", clicks=list(clicks)) if clicks else tasks.Task("chair", truth=truth)
        return pressed, list(artist.work_on(task, press, ClickSimulator(scan.positions), len(scan)))[-1]

    def test_goes_on_to_ten_clicks_while_the_mask_is_bad(self, scan):
        bad = [np.arange(len(scan)) < 100 + n for n in range(20)]
        _, outcome = self.work(scan, bad)
        assert len(outcome.iou) == len(outcome.seconds) == len(outcome.clicks) == artist.MOST
        assert outcome.iou == pytest.approx([(100 + n) / 400 for n in range(10)])

    def test_stops_after_five_when_it_is_good(self, scan):
        good = [np.arange(len(scan)) < 390] * 20
        _, outcome = self.work(scan, good)
        assert len(outcome.iou) == artist.FEWEST

    def test_the_first_click_is_positive_and_lies_on_the_object(self, scan):
        pressed, _ = self.work(scan, [])
        assert pressed[0].positive
        assert scan.instance[pressed[0].vertex] == 1

    def test_an_object_without_labels_gets_the_files_clicks(self, scan):
        clicks = [Click((0.0, 0.0, 0.0), True, 5), Click((0.0, 0.0, 0.0), False, 9)]
        pressed, outcome = self.work(scan, [], clicks)
        assert pressed == clicks
        assert outcome.iou == []
        assert outcome.vertices == 400


class TestReport:
    outcomes = [
        artist.Outcome(
            "chair",
            [0.2, 0.4, 0.6, 0.7, 0.8, 0.9],
            [0.1] * 6,
            [Click((0, 0, 0), True, 1)] * 6,
            np.ones(10, bool),
        ),
        artist.Outcome("cup", [0.5, 1.0], [0.1] * 2, [Click((0, 0, 0), True, 1)] * 2, np.ones(5, bool)),
    ]

    def test_an_object_finished_early_keeps_its_last_iou(self):
        assert report.mean_at(self.outcomes, 1) == pytest.approx(0.35)
        assert report.mean_at(self.outcomes, 5) == pytest.approx(0.9)

    def test_without_labels_there_is_no_mean(self):
        assert report.mean_at([artist.Outcome("lamp", [], [0.1])], 5) is None

    def test_the_file_holds_what_was_measured(self, tmp_path):
        report.write_report(tmp_path / "report.json", self.outcomes, {"device": "cpu"})
        found = json.loads((tmp_path / "report.json").read_text())
        assert found["device"] == "cpu"
        assert found["mean_iou_at_5"] == pytest.approx(0.9)
        assert found["objects"][0]["name"] == "chair"
        assert found["objects"][0]["clicks"] == 6
        assert found["objects"][0]["iou"] == [0.2, 0.4, 0.6, 0.7, 0.8, 0.9]
        assert found["objects"][1]["vertices"] == 5


class TestView:
    @pytest.fixture
    def room(self):
        """Floor, ceiling and four walls of 4 m x 3 m x 2.5 m, and a cube near one corner."""
        rng = np.random.default_rng(0)
        sides = []
        for axis, value in ((2, 0.0), (2, 2.5), (0, 0.0), (0, 4.0), (1, 0.0), (1, 3.0)):
            points = rng.random((4000, 3)) * [4.0, 3.0, 2.5]
            points[:, axis] = value
            sides.append(points)
        cube = rng.random((2000, 3)) * 0.5 + [0.6, 0.6, 0.0]
        positions = np.concatenate([*sides, cube]).astype(np.float32)
        return positions, np.arange(len(positions)) >= len(positions) - 2000

    def test_ceiling_and_near_walls_are_cut_away_from_a_room(self, room):
        positions, matters = room
        view = views.choose_view(positions, matters)
        assert view.hidden[positions[:, 2] > 2.4].all()
        assert not view.hidden[matters].any()
        towards = view.eye - view.target
        axis = int(np.abs(towards[:2]).argmax())
        edge = [4.0, 3.0][axis] if towards[axis] > 0 else 0.0
        near_wall = np.isclose(positions[:, axis], edge) & (positions[:, 2] > 0.3) & (positions[:, 2] < 2.2)
        assert view.hidden[near_wall].mean() > 0.9

    def test_everything_shown_is_in_the_picture(self, room):
        positions, matters = room
        view = views.choose_view(positions, matters)
        back = (view.eye - view.target) / np.linalg.norm(view.eye - view.target)
        right = np.cross([0, 0, 1], back)
        right /= np.linalg.norm(right)
        away = positions[~view.hidden] - view.eye
        across = np.abs(away @ right / (away @ back))
        assert np.quantile(across, 0.99) <= 18 / views.LENS

    def test_a_small_scan_is_shown_whole(self):
        positions = np.random.default_rng(0).random((500, 3)).astype(np.float32)
        assert not views.choose_view(positions, np.ones(500, bool)).hidden.any()
