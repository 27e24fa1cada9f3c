"""Clicks files: what they may say, and a clear sentence for everything else."""

import json
from pathlib import Path

import numpy as np
import pytest

from inference_server.clicks_file import NOWHERE, read_clicks
from inference_server.data.scans import Scan
from inference_server.errors import UserError
from inference_server.wire.protocol import Click

SCAN = Scan(np.arange(12, dtype=np.float32).reshape(4, 3), offset=np.array([100.0, 0.0, 0.0]))
LAMP = {"name": "lamp", "clicks": [{"position": [101, 2, 3]}, {"vertex": 2, "positive": False}]}


def written(folder: Path, content: object) -> Path:
    file = folder / "clicks.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return file


def test_clicks_come_in_their_order_and_in_the_scans_frame(tmp_path):
    file = written(tmp_path, {"voxel_size": 0.01, "objects": [LAMP, LAMP | {"name": "Büste"}]})
    found = read_clicks(file, SCAN)
    assert found.voxel_size == 0.01 and [entry.name for entry in found.objects] == ["lamp", "Büste"]
    assert found.objects[0].clicks == [Click((1.0, 2.0, 3.0), True), Click((6.0, 7.0, 8.0), False, 2)]


def test_without_a_scan_a_vertex_has_no_place(tmp_path):
    found = read_clicks(written(tmp_path, {"objects": [LAMP]}))
    assert found.voxel_size is None
    assert found.objects[0].clicks[0] == Click((101.0, 2.0, 3.0), True)
    assert found.objects[0].clicks[1].vertex == 2 and found.objects[0].clicks[1].position is NOWHERE


def click(**changes: object) -> dict:
    return {"objects": [{"name": "lamp", "clicks": [changes]}]}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ([], 'a list "objects"'),
        ({"objects": {}}, 'a list "objects"'),
        ({"objects": []}, '"objects" is empty'),
        ({"objects": [3]}, "object 1 must be an object"),
        ({"objects": [{"clicks": []}]}, 'object 1 has no "name"'),
        ({"objects": [{"name": " ", "clicks": []}]}, 'object 1 has no "name"'),
        ({"objects": [{"name": "lamp"}]}, "'lamp' has no list \"clicks\""),
        ({"objects": [{"name": "lamp", "clicks": []}]}, "'lamp' has no list \"clicks\""),
        ({"objects": [LAMP, LAMP]}, "two objects are named 'lamp'"),
        ({"objects": [{"name": "lamp", "clicks": [[1, 2, 3]]}]}, "click 1 of 'lamp' must be an object"),
        (click(), 'needs either a "position" or a "vertex"'),
        (click(position=[1, 2, 3], vertex=1), 'needs either a "position" or a "vertex"'),
        (click(position=[1, 2]), "three finite numbers"),
        (click(position=[1, 2, None]), "three finite numbers"),
        (click(position=[1, 2, float("nan")]), "three finite numbers"),
        (click(position="1 2 3"), "three finite numbers"),
        (click(position=[1, 2, 10**400]), "three finite numbers"),
        (click(position=[1, -1e300, 3]), "three finite numbers"),
        ({"objects": [LAMP], "voxel_size": 10**400}, '"voxel_size" must be metres'),
        (click(position=[1, 2, 3], positive=1), "must be true or false"),
        (click(vertex=1.5), "a whole number from 0"),
        (click(vertex=-1), "a whole number from 0"),
        (click(vertex=True), "a whole number from 0"),
        (click(vertex=4), "click 1 of 'lamp' is on vertex 4, and the scan has 4"),
        ({"objects": [LAMP], "voxel_size": 0}, '"voxel_size" must be metres'),
        ({"objects": [LAMP], "voxel_size": "5cm"}, '"voxel_size" must be metres'),
    ],
)
def test_what_is_wrong_and_where(tmp_path, content, words):
    with pytest.raises(UserError, match="clicks.json is no ") as caught:
        read_clicks(written(tmp_path, content), SCAN)
    assert words in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="can't be read"):
        read_clicks(tmp_path / "none.json")


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "clicks.json").write_bytes(b"\xff\xfe\x00ply")
    with pytest.raises(UserError, match="it is not JSON"):
        read_clicks(tmp_path / "clicks.json")


def test_the_file_kept_with_the_tests_is_a_good_one():
    found = read_clicks(Path(__file__).parents[1] / "data" / "living_room_clicks.json")
    assert [entry.name for entry in found.objects] == ["lamp", "picture frame"]
