"""The frozen test set and the demo's sample room: promises that later changes of the simulator must not break."""

import copy
import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from inference_server.data.rooms import frozen
from inference_server.data.scans import Scan, read_scan
from inference_server.errors import UserError


@pytest.fixture(scope="module")
def record():
    return json.loads(frozen.RECORD.read_text(encoding="utf-8"))


@pytest.fixture
def scan():
    rng = np.random.default_rng(1)
    instance = rng.integers(-1, 3, 3000).astype(np.int32)
    colors = rng.integers(0, 255, (3000, 3)).astype(np.uint8)
    return Scan(rng.random((3000, 3)).astype(np.float32), colors, instance, names={0: "floor", 1: "book", 2: "chair"})


def entry_of(scan: Scan) -> dict:
    """What the record would hold of a room."""
    instances = [[scan.names[k], int((scan.instance == k).sum())] for k in range(3)]
    return {"name": "room", "sha256": frozen.digest(scan), "instances": instances}


def test_it_has_twenty_rooms_with_small_flat_and_touching_things(record):
    counts = np.array([count for room in record["rooms"] for _, count in room["instances"]])
    names = [name for room in record["rooms"] for name, _ in room["instances"]]
    assert len(record["rooms"]) == 20
    assert record["split"] == "test"
    assert len({room["seed"] for room in record["rooms"]}) == 20
    assert (counts < 2000).mean() >= 0.30
    assert record["objects"] == len(counts)
    for name in ("picture", "book", "books", "box", "door", "curtain", "cabinet", "whiteboard", "floor", "wall"):
        assert name in names


def test_its_generator_is_the_recorded_one(record):
    assert hashlib.sha256(frozen.GENERATOR.read_bytes()).hexdigest() == record["generator_sha256"]
    rooms, catalogue, _ = frozen.load_generator()
    assert record["generator_version"] == rooms.GENERATOR_VERSION
    assert str(frozen.GENERATOR) in rooms.__file__, "the frozen source must run, not today's"
    assert str(frozen.GENERATOR) in catalogue.__file__


def test_a_room_is_known_by_its_millimetres_colours_and_labels(scan):
    entry = entry_of(scan)
    assert frozen.verify(scan, entry) is True
    same = replace(scan, positions=(np.round(scan.positions * 1000) / 1000).astype(np.float32))
    assert frozen.verify(same, entry) is True
    moved = replace(scan, positions=scan.positions + np.float32(0.002))
    assert frozen.verify(moved, entry) is False, "other arithmetic: the same objects with as many vertices"


def test_another_room_is_refused(scan):
    entry = entry_of(scan)
    fewer = copy.copy(scan)
    fewer.instance = np.where(scan.instance == 1, np.where(np.arange(3000) % 2, 1, 2), scan.instance).astype(np.int32)
    with pytest.raises(UserError, match="came out differently"):
        frozen.verify(fewer, entry)
    with pytest.raises(UserError, match="came out differently"):
        frozen.verify(replace(scan, names={**scan.names, 1: "box"}), entry)


@pytest.mark.slow
def test_a_frozen_room_comes_out_as_it_was_frozen(record, package_folder):
    entry = min(record["rooms"], key=lambda room: room["vertices"])
    scan, _ = frozen.generate_frozen(entry, package_folder)
    assert len(scan) == pytest.approx(entry["vertices"], rel=0.01)


def test_the_sample_room_is_small_labelled_and_free(repository):
    folder = repository / "inference_server/demo"
    assert (folder / "sample_room.ply").stat().st_size < 2_000_000
    scan = read_scan(folder / "sample_room.ply")
    about = json.loads((folder / "sample_room.json").read_text(encoding="utf-8"))
    ids, counts = np.unique(scan.instance[scan.instance >= 0], return_counts=True)
    assert (counts > 200).sum() >= 25
    assert {str(k) for k in ids} <= set(about["names"])
    assert len(scan) == about["vertices"]
    assert about["models"]
    assert {model["licence"] for model in about["models"].values()} == {"CC0-1.0"}


def test_the_sample_rooms_models_were_never_trained_on(repository, package_models):
    about = json.loads((repository / "inference_server/demo/sample_room.json").read_text(encoding="utf-8"))
    models = {model.key: model for model in package_models}
    for key in about["models"]:
        assert models[key].split == "test"
        assert models[key].licence == "CC0-1.0"
    frozen_seeds = {room["seed"] for room in json.loads(frozen.RECORD.read_text(encoding="utf-8"))["rooms"]}
    assert about["seed"] not in frozen_seeds
