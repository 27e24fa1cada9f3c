"""The shipped weights on real rooms: three scans whose objects were labelled by hand, labels in data/real_rooms."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inference_server.__main__ import app

LABELS = Path(__file__).parent / "data" / "real_rooms"
SCANS = Path(__file__).parents[2] / "shared" / "scans"


def run(*arguments: object) -> None:
    done = CliRunner().invoke(app, [str(part) for part in arguments])
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A folder with the scans, labelled."""
    missing = [file.stem for file in LABELS.glob("*.npz") if not (SCANS / f"{file.stem}.ply").exists()]
    if missing:
        pytest.skip(f"the scans {', '.join(missing)} are not at {SCANS}")
    folder = tmp_path_factory.mktemp("labelled")
    for labels in LABELS.glob("*.npz"):
        scan = SCANS / f"{labels.stem}.ply"
        run("convert", scan, "--labels", labels, "--out", folder / scan.name)
    return folder


@pytest.mark.parametrize(
    ("weights", "wanted"),
    [("rooms-lite-rgb", {1: 45, 3: 70, 5: 78}), ("rooms-small-xyz", {1: 40, 3: 65, 5: 72})],
)
def test_few_clicks_find_most_of_an_object(labelled, tmp_path, weights, wanted):
    # a third of the objects; docs/evaluation.md has the figures of all
    run("evaluate", labelled, "--weights", weights, "--every", 3, "--clicks", 5, "--out", tmp_path)
    means = json.loads((tmp_path / "summary.json").read_text())["groups"]["all"]
    for clicks, least in wanted.items():
        assert 100 * means[f"IoU@{clicks}"] >= least
