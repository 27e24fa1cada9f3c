"""The demo as a user starts it: a real Blender, the built add-on, the server it starts, two kinds of scans."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference_server.data.scans import Scan, read_scan, write_ply

HERE = Path(__file__).parent
FRAGMENT = HERE.parents[1] / "shared" / "scans" / "living_room_fragment.ply"


def demo(out: Path, *arguments: object, blender: object = None) -> subprocess.CompletedProcess:
    """Run the demo in the first Blender that install.py prepared."""
    environments = [entry.partition("=")[2] for entry in os.environ.get("SCANPICK_BPY", "").split(os.pathsep)]
    extensions = os.environ.get("SCANPICK_EXTENSIONS", str(out))
    command = [sys.executable, "-m", "inference_server.demo", "--extensions", extensions, "--out", out]
    command += ["--blender", blender or environments[0], *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600)


@pytest.fixture
def needs_blender():
    if not os.environ.get("SCANPICK_BPY"):
        pytest.skip("no Blender as a module: run the tests with `python install.py test`")


def check_results(out: Path) -> dict:
    """The report, after looking at everything else that must lie beside it."""
    report = json.loads((out / "report.json").read_text())
    for entry in report["objects"]:
        assert (out / "objects" / f"{entry['name']}.glb").read_bytes()[:4] == b"glTF"
        assert len(read_scan(out / "objects" / f"{entry['name']}.ply")) > 0
    before, after = (np.asarray(Image.open(out / name).convert("RGB"), int) for name in ("before.png", "after.png"))
    assert before.shape == after.shape
    assert before.std() > 10, "the picture of the scan shows nothing"
    assert (np.abs(before - after).max(axis=2) > 40).mean() > 0.01, "no object is seen in the picture"
    assert (out / "segmented.blend").stat().st_size > 10_000
    assert (out / "result.png").exists()
    return report


@pytest.mark.usefixtures("needs_blender")
def test_the_sample_room_reaches_its_score(tmp_path):
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = check_results(tmp_path)
    assert len(report["objects"]) == 10
    for entry in report["objects"]:
        assert 5 <= entry["clicks"] <= 10
        assert len(entry["iou"]) == len(entry["seconds_per_click"]) == entry["clicks"]
        assert all(0 <= value <= 1 for value in entry["iou"])
    assert report["mean_iou_at_5"] >= 0.60
    assert {"device", "engine", "model", "versions"} <= report.keys()


@pytest.mark.usefixtures("needs_blender")
def test_a_real_scan_without_labels_is_clicked_by_a_file(tmp_path):
    if not FRAGMENT.exists():
        assert not os.environ.get("CI"), f"{FRAGMENT} is missing, and in CI nothing is left out"
        pytest.skip(f"{FRAGMENT} is missing")
    done = demo(tmp_path, "--scan", FRAGMENT, "--clicks", HERE / "data" / "living_room_clicks.json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = check_results(tmp_path)
    assert [entry["name"] for entry in report["objects"]] == ["lamp", "picture frame"]
    for entry in report["objects"]:
        assert entry["iou"] == []
        assert 500 < entry["vertices"] < 40_000


@pytest.fixture
def unlabelled(tmp_path):
    file = tmp_path / "unlabelled.ply"
    write_ply(file, Scan(np.random.default_rng(0).random((500, 3), np.float32)))
    return file


class TestWhatCannotBeDone:
    def sentence(self, done: subprocess.CompletedProcess) -> str:
        assert done.returncode == 2
        assert "Traceback" not in done.stdout + done.stderr
        return " ".join(done.stderr.split())

    def test_a_scan_without_labels_and_clicks(self, tmp_path, unlabelled):
        assert "--clicks" in self.sentence(demo(tmp_path, "--scan", unlabelled, blender="python"))

    def test_a_scan_that_is_not_there(self, tmp_path):
        assert "nowhere.ply" in self.sentence(demo(tmp_path, "--scan", "nowhere.ply", blender="python"))

    def test_a_truncated_scan(self, tmp_path, unlabelled):
        broken = tmp_path / "broken.ply"
        broken.write_bytes(unlabelled.read_bytes()[:-1000])
        assert "broken.ply" in self.sentence(demo(tmp_path, "--scan", broken, blender="python"))

    def test_a_clicks_file_that_is_none(self, tmp_path, unlabelled):
        clicks = tmp_path / "clicks.json"
        clicks.write_text("not json")
        done = demo(tmp_path, "--scan", unlabelled, "--clicks", clicks, blender="python")
        assert "clicks.json" in self.sentence(done)

    def test_a_blender_that_is_not_there(self, tmp_path):
        assert "/nowhere/blender" in self.sentence(demo(tmp_path / "out", blender="/nowhere/blender"))

    def test_a_blender_that_is_none(self, tmp_path):
        fake = tmp_path / "blender"
        fake.write_text("#!/bin/sh\necho no\n")
        fake.chmod(0o755)
        assert "did not start" in self.sentence(demo(tmp_path / "out", blender=fake))

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").write_text("")
        assert "--out" in self.sentence(demo(tmp_path / "file" / "out", blender="python"))

    @pytest.mark.usefixtures("needs_blender")
    def test_weights_that_are_not_there(self, tmp_path):
        assert "nonsense" in self.sentence(demo(tmp_path, "--weights", "nonsense"))
