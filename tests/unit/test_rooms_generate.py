"""Simulated scans: what every one of them promises, whatever its kind, split and seed."""

import numpy as np
import pytest
from typer.testing import CliRunner

from inference_server.__main__ import app
from inference_server.data.rooms import KINDS, generate, iterate, load_catalogue
from inference_server.data.rooms.command import load_npz, save_npz
from inference_server.data.rooms.rooms import MIN_VERTICES, fill, random_plan
from inference_server.data.rooms.scene import Scene
from inference_server.errors import UserError


@pytest.fixture(scope="module")
def catalogue(furniture):
    return load_catalogue(furniture, workers=1, progress=False)


@pytest.fixture(scope="module", params=sorted(KINDS))
def scan(request, catalogue):
    return generate(request.param, catalogue, "train", 5)


def test_arrays_have_their_types_and_fit_together(scan):
    count = len(scan.positions)
    assert count > 3000
    assert scan.positions.dtype == np.float32
    assert scan.positions.shape == (count, 3)
    assert np.isfinite(scan.positions).all()
    assert scan.instance.dtype == np.int32
    assert scan.instance.shape == (count,)
    if scan.name.startswith("street"):
        assert scan.colors is None, "a laser scan has no colours, and fake ones would be learned"
    else:
        assert scan.colors.dtype == np.uint8
        assert scan.colors.shape == (count, 3)
        assert scan.colors.std() > 5


def test_instances_are_numbered_from_zero_named_and_large_enough_to_be_seen(scan):
    ids, counts = np.unique(scan.instance[scan.instance >= 0], return_counts=True)
    assert (ids == np.arange(len(ids))).all()
    assert set(scan.names) == set(ids.tolist())
    assert counts.min() >= MIN_VERTICES


def test_a_room_stands_on_its_floor_and_has_structure_and_things(catalogue):
    scan = generate("room", catalogue, "train", 8)
    names = list(scan.names.values())
    assert names.count("floor") == 1
    assert "wall" in names
    assert len(set(names) - {"floor", "wall", "ceiling"}) > 5
    floor = scan.positions[scan.instance == names.index("floor")]
    assert abs(np.median(floor[:, 2])) < 0.05
    assert 2.0 < scan.positions[:, 2].max() < 4.5
    assert 30_000 < len(scan) < 400_000


def test_the_same_seed_gives_the_same_scan_and_another_seed_another(catalogue):
    first, again, other = (generate("room", catalogue, "train", seed) for seed in (31, 31, 32))
    assert np.array_equal(first.positions, again.positions)
    assert np.array_equal(first.colors, again.colors)
    assert np.array_equal(first.instance, again.instance)
    assert len(first) != len(other) or not np.array_equal(first.positions, other.positions)


def test_seeds_are_iterated_upwards(catalogue):
    names = [scan.name for scan, _ in zip(iterate("tabletop", catalogue, "test", 3), range(2), strict=False)]
    assert names == ["tabletop-test-3", "tabletop-test-4"]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_rooms_show_models_of_their_own_split_only(catalogue, split):
    splits = {model.key: model.split for model in catalogue.models}
    shown = set()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        plan = random_plan("living", rng)
        scene = Scene(catalogue, split, rng, 300.0)
        fill(scene, plan, "living")
        shown |= set(scene.models.values())
    assert shown, "no catalogue model was placed, so this would test nothing"
    assert {splits[key] for key in shown} == {split}


def test_a_saved_scan_is_read_back(catalogue, tmp_path):
    for kind in ("tabletop", "street"):
        scan = generate(kind, catalogue, "train", 1)
        save_npz(tmp_path / f"{kind}.npz", scan)
        back = load_npz(tmp_path / f"{kind}.npz")
        assert np.array_equal(back.positions, scan.positions)
        assert np.array_equal(back.instance, scan.instance)
        assert back.names == scan.names
        assert back.name == scan.name
        assert (back.colors is None) == (scan.colors is None)


def rooms(furniture, out, *more):
    command = ["rooms", "--furniture", str(furniture), "--out", str(out), *more]
    done = CliRunner().invoke(app, command, catch_exceptions=False, standalone_mode=False)
    if isinstance(done.exception, UserError):
        raise done.exception
    return " ".join(done.output.split())


def test_damaged_scans_are_made_again_and_others_of_their_name_stay(furniture, tmp_path):
    command = ("--kind", "object", "--count", "2")
    assert "were damaged" not in rooms(furniture, tmp_path, *command)
    first, second = sorted(tmp_path.glob("*.npz"))
    whole = second.read_bytes()
    first.write_bytes(b"")
    second.write_bytes(whole[: len(whole) // 2])
    assert "2 of the scans that were there were damaged, and were made again" in rooms(furniture, tmp_path, *command)
    assert len(load_npz(first)) and len(load_npz(second))
    np.savez(second, positions=np.zeros((3, 3), np.float32))
    foreign = second.read_bytes()
    with pytest.raises(UserError, match="000001.npz is no scan of this command: move it away"):
        rooms(furniture, tmp_path, *command)
    assert second.read_bytes() == foreign


@pytest.mark.parametrize("more", [("--seed", "3"), ("--count", "2"), ("--kind", "street"), ("--split", "test")])
def test_the_frozen_test_set_takes_no_choices(furniture, tmp_path, more):
    with pytest.raises(UserError, match="leave out --count, --kind, --split and --seed"):
        rooms(furniture, tmp_path, "--frozen-test", *more)
