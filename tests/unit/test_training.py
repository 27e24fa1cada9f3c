"""Training: crops, simulated clicks, the loss, and runs that resume as if nothing had happened."""

import json
import multiprocessing
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inference_server.errors import UserError
from inference_server.files import sha256_of
from inference_server.models.checkpoints import DEFAULT_WEIGHTS, read_weights
from inference_server.models.inputs import channel_slices, hide_colour, input_width
from inference_server.models.registry import ModelConfig, build_model
from inference_server.sparse.kernel_maps import neighbour_table
from inference_server.training import clicks, loop
from inference_server.training.augment import repaint
from inference_server.training.clicked_group import ClickedGroup
from inference_server.training.command import _append
from inference_server.training.command import command as train
from inference_server.training.config import Source, TrainingConfig, read_config
from inference_server.training.crops import Crop, CropGroups, load_arrays
from inference_server.training.loop import Trainer
from inference_server.training.losses import imitation_loss, mask_loss
from inference_server.training.processes import Place


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Two small scans: a floor and three boxes of different colours on it."""
    folder = tmp_path_factory.mktemp("scans")
    for seed in range(2):
        rng = np.random.default_rng(seed)
        floor = np.column_stack([rng.uniform(0, 2, (3000, 2)), np.zeros(3000)])
        positions, instance = [floor], [np.zeros(3000, int)]
        for number in range(1, 4):
            box = rng.uniform(0, 0.4, (600, 3)) + [0.3 + 0.5 * number, rng.uniform(0, 1.5), 0]
            positions.append(box)
            instance.append(np.full(600, number))
        names = {0: "floor", 1: "box", 2: "box", 3: "box"}
        labels = np.concatenate(instance).astype(np.int32)
        np.savez(
            folder / f"scan-{seed}.npz",
            positions=np.concatenate(positions).astype(np.float32),
            instance=labels,
            colors=(np.eye(4, 3)[labels] * 200).astype(np.uint8),
            names=json.dumps({"name": f"scan-{seed}", "names": names}),
        )
    return folder


def config(scans, **changes):
    settings = {"steps": 8, "crops": 2, "rounds": 2, "max_voxels": 900, "warmup": 2} | changes
    return TrainingConfig(ModelConfig("MinkUNetSmall", "rgb-surface"), [Source(scans)], **settings)


def test_a_group_of_crops_depends_on_nothing_but_seed_and_number(scans):
    a, b = (CropGroups(config(scans, crops=3, seed=4))[3] for _ in range(2))
    for one, other in zip(a, b, strict=True):
        assert torch.equal(one.xyz, other.xyz)
        assert (one.rgb is None and other.rgb is None) or torch.equal(one.rgb, other.rgb)
        assert one.targets == other.targets
    c = CropGroups(config(scans, crops=3, seed=5))[3]
    assert [len(crop.xyz) for crop in c] != [len(crop.xyz) for crop in a]


def test_a_crop_has_one_point_per_voxel_inside_that_voxel(scans):
    for crop in CropGroups(config(scans, crops=4, seed=0))[0]:
        cells = torch.floor(crop.xyz / 0.05)
        assert len(torch.unique(cells, dim=0)) == len(crop.xyz)
        assert crop.targets[0] in crop.instance.tolist()
        assert crop.rgb is None or (float(crop.rgb.min()) >= 0 and float(crop.rgb.max()) <= 1)


def test_some_groups_are_one_crop_as_large_as_the_others_together(scans):
    groups = CropGroups(config(scans, crops=3, seed=0, large=0.5))
    sizes = [[len(crop.xyz) for crop in groups[group]] for group in range(10)]
    alone = [size[0] for size in sizes if len(size) == 1]
    assert 1 < len(alone) < 9 and all(len(size) == 3 for size in sizes if len(size) > 1)
    assert np.mean(alone) > 1.5 * np.mean([one for size in sizes if len(size) > 1 for one in size])


def test_some_crops_of_coloured_scans_come_without_colours(scans):
    crops = [c for group in range(10) for c in CropGroups(config(scans, crops=4, seed=0))[group]]
    colourless = sum(crop.rgb is None for crop in crops)
    assert 0 < colourless < 0.4 * len(crops)


def test_paint_changes_parts_of_labelled_things_only():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(0, 1, (4000, 3)).astype(np.float32)
    rgb = np.full((4000, 3), 0.5, np.float32)
    instance = np.repeat([-1, 0, 1, 2], 1000)
    painted = repaint(xyz, rgb, instance, 1.0, rng)
    changed = (painted != rgb).any(1)
    assert not changed[instance < 0].any()
    assert all(0 < changed[instance == number].mean() < 1 for number in (0, 1, 2))
    assert painted.min() >= 0 and painted.max() <= 1
    assert np.array_equal(repaint(xyz, rgb, instance, 0.0, rng), rgb)


def test_a_crop_without_colours_is_all_zero_where_colour_would_be():
    inputs = "rgb-surface"
    channels = torch.ones(5, input_width(inputs))
    hidden = hide_colour(inputs, channels)
    where = channel_slices(inputs)
    assert (hidden[:, where["rgb"]] == 0).all() and (hidden[:, where["click_colour"]] == 0).all()
    assert hidden.sum() == 5 * (input_width(inputs) - 5) and channels.all()


def test_an_empty_folder_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no .npz scans"):
        CropGroups(config(tmp_path))
    with pytest.raises(UserError, match="no .npz scans"):
        Trainer(config(tmp_path), tmp_path / "run", "cpu", workers=1).run(lambda *_: None)


def bad(folder, **arrays):
    folder.mkdir()
    np.savez(folder / "scan.npz", **arrays)
    return folder


@pytest.mark.parametrize(
    "line, says",
    [
        ("steps = 1e4", "steps = 10000.0: give a whole number from 1 on"),
        ("rounds = 0", "rounds = 0: give a whole number"),
        ("learning_rate = '1e-3'", "learning_rate = '1e-3': give a number from 0 to 1"),
        ("cooldown = 2", "cooldown = 2: give a number"),
        ("seed = 100000000000000000000000", "seed = 1.*: give a whole number from 0 on, of at most 18 digits"),
        ("cut = 'no'", "cut = 'no': give true or false"),
        ("layers = 1\nteacher = 'default'", "layers = 1: give true or false"),
        ("teacher = 5", "teacher = 5: give a name or a file"),
    ],
)
def test_settings_that_no_run_can_have_are_a_sentence(scans, tmp_path, line, says):
    path = small_config_file(scans, tmp_path)
    name = line.split(" =")[0]
    lines = [each for each in path.read_text().splitlines() if not each.startswith(f"{name} =")]
    path.write_text("\n".join([line, *lines]))
    with pytest.raises(UserError, match=says):
        read_config(path)


@pytest.mark.parametrize(
    "end, says",
    [
        ("voxel_size = 0", "a source of voxel_size = 0: give metres from 0.0001 to 100"),
        ("voxel_size = 1e300", "a source of voxel_size = 1e\\+300"),
        ("voxel_size = 1e-7", "a source of voxel_size = 1e-07"),
        ("voxel_size = nan", "a source of voxel_size = nan"),
        ("weight = 1e308", "a source of weight = 1e\\+308: give a number above 0"),
        ("weight = true", "a source of weight = True"),
        ("wieght = 2", r"unknown entry 'wieght' in \[\[sources\]\]"),
        ("[[sources]]\nfolder = 5", r"\[\[sources\]\] without a `folder`"),
    ],
)
def test_sources_that_no_run_can_have_are_a_sentence(scans, tmp_path, end, says):
    path = small_config_file(scans, tmp_path)
    path.write_text(path.read_text() + end)
    with pytest.raises(UserError, match=says):
        read_config(path)


@pytest.mark.parametrize(
    "model, says",
    [
        ("voxel_size = -1", "a model of voxel_size = -1: give metres"),
        ("voxel_size = 'a'", "a model of voxel_size = 'a'"),
        ("inputs = ['rgb']", r"a model of inputs = \['rgb'\]"),
        ("layers = 3", r"unknown entry 'layers' in \[model\]"),
    ],
)
def test_models_that_no_run_can_have_are_a_sentence(tmp_path, model, says):
    (tmp_path / "c.toml").write_text(f"[[sources]]\nfolder = 'x'\n[model]\n{model}")
    with pytest.raises(UserError, match=says):
        read_config(tmp_path / "c.toml")


def test_scans_are_trained_on_as_they_are_evaluated(scans, tmp_path):
    with np.load(next(scans.glob("*.npz"))) as file:
        arrays = dict(file)
    odd = {
        "colors": np.column_stack([arrays["colors"] / np.float32(255), np.ones(len(arrays["colors"]))]),
        "positions": arrays["positions"].astype(np.float64) + [500_000.0, 5_000_000.0, 0],
        "instance": arrays["instance"].astype(np.float64),
    }
    bad(tmp_path / "odd", **arrays | odd)
    plain = load_arrays(next(scans.glob("*.npz")))
    read = load_arrays(tmp_path / "odd" / "scan.npz")
    assert (read["colors"] == plain["colors"]).all() and (read["instance"] == plain["instance"]).all()
    shift = read["positions"] - plain["positions"]
    assert np.abs(shift - shift[0]).max() < 1e-3 and np.abs(read["positions"]).max() < 10


def test_scans_that_cannot_be_trained_on_are_a_sentence(scans, tmp_path, monkeypatch):
    monkeypatch.setattr("inference_server.training.crops.MOST_TRIES", 20)
    with np.load(next(scans.glob("*.npz"))) as file:
        arrays = dict(file)
    unlabelled = bad(tmp_path / "unlabelled", **arrays | {"instance": np.full_like(arrays["instance"], -1)})
    with pytest.raises(UserError, match="need 'instance' labels"):
        _ = CropGroups(config(unlabelled))[0]
    bare = bad(tmp_path / "bare", positions=arrays["positions"])
    with pytest.raises(UserError, match="no array called instance"):
        _ = CropGroups(config(bare))[0]
    cut = bad(tmp_path / "cut", **arrays) / "scan.npz"
    cut.write_bytes(cut.read_bytes()[:1000])
    with pytest.raises(UserError, match="no whole numpy archive"):
        _ = CropGroups(config(cut.parent))[0]
    nameless = bad(tmp_path / "nameless", **{key: arrays[key] for key in ("positions", "instance")})
    assert len(CropGroups(config(nameless))[0]) == 2


def test_steps_are_rounded_up_to_whole_groups_and_the_last_ones_move_nothing(scans):
    odd = config(scans, steps=10, rounds=6, batch=2)
    assert odd.last_step == 12 and odd.groups == 4
    assert odd.rate(9) > 0 and odd.rate(11) == 0
    assert config(scans, steps=12, rounds=6).last_step == 12


def test_without_a_warm_up_the_rate_is_there_from_the_first_step(scans):
    assert config(scans, warmup=0).rate(0) == config(scans).learning_rate


def line(count):
    cells = torch.zeros(count, 4, dtype=torch.int32)
    cells[:, 1] = torch.arange(count)
    return cells


def test_erosion_counts_the_voxels_to_the_edge():
    mask = torch.tensor([False, True, True, True, True, True, False])
    depth = clicks.erosion_depth(mask, neighbour_table(line(7), 3))
    assert depth.tolist() == [0, 1, 2, 3, 2, 1, 0]


def test_the_end_of_the_scan_is_no_edge():
    depth = clicks.erosion_depth(torch.tensor([True, True, False]), neighbour_table(line(3), 3))
    assert depth.tolist() == [2, 1, 0]


def test_corrections_fall_into_the_middle_of_the_error_with_the_right_sign():
    cells = line(9)
    crop = Crop(cells[:, 1:].float() * 0.05, torch.zeros(9, 3), torch.tensor([1] * 7 + [0] * 2), [1])
    truth = crop.instance == 1
    predicted = torch.tensor([True] + [False] * 8)
    depth = clicks.erosion_depth(truth & ~predicted, neighbour_table(cells, 3))
    signs, places = set(), []
    for seed in range(30):
        interaction = clicks.Interaction(crop, 1, limit=5)
        assert clicks.correct(interaction, predicted, depth, np.random.default_rng(seed))
        signs.add(interaction.positive[0])
        places.append(interaction.clicked[0])
    assert signs == {True} and max(set(places), key=places.count) in (3, 4)
    assert not clicks.correct(clicks.Interaction(crop, 1, 5), truth, torch.zeros(9), np.random.default_rng(0))


def test_first_clicks_lie_on_the_object_and_negatives_around_it(scans):
    crop = CropGroups(config(scans, crops=1, seed=1))[0][0]
    for seed in range(20):
        depth = (crop.instance == crop.targets[0]).to(torch.int16)
        begun = clicks.begin(crop, crop.targets[0], depth, np.random.default_rng(seed))
        truth = begun.truth[begun.clicked]
        assert truth.tolist() == begun.positive and begun.positive[0]


def test_an_object_that_fills_its_crop_gets_no_negative_clicks(scans):
    whole = Crop(torch.rand(50, 3), None, torch.ones(50, dtype=torch.int64), [1])
    for seed in range(20):
        begun = clicks.begin(whole, 1, torch.ones(50, dtype=torch.int16), np.random.default_rng(seed))
        assert all(begun.positive)


def test_the_loss_falls_with_better_masks_and_ignores_unlabelled_voxels():
    truth = torch.tensor([True, True, False, False])
    labelled = torch.tensor([True, True, True, False])
    good = torch.tensor([[-5.0, 5.0], [-5.0, 5.0], [5.0, -5.0], [-5.0, 5.0]])
    crop = torch.zeros(4, dtype=torch.int64)
    assert mask_loss(good, truth, labelled, crop) < 0.01 < 1 < mask_loss(-good, truth, labelled, crop)


def test_every_crop_counts_alike_in_the_loss():
    truth, labelled = torch.arange(12) % 2 == 0, torch.ones(12, dtype=torch.bool)
    logits = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    crop = (torch.arange(12) >= 9).to(torch.int64)
    parts = [
        mask_loss(*(x[crop == i] for x in (logits, truth, labelled)), torch.zeros_like(crop[crop == i])) for i in (0, 1)
    ]
    assert torch.allclose(mask_loss(logits, truth, labelled, crop), sum(parts) / 2)


def test_imitation_is_best_where_both_say_the_same():
    teacher = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    crop = (torch.arange(12) >= 9).to(torch.int64)
    same = imitation_loss(teacher, teacher, crop)
    assert same < imitation_loss(teacher + torch.tensor([0.0, 0.5]), teacher, crop)
    assert same < imitation_loss(-teacher, teacher, crop)
    parts = [imitation_loss(-teacher[crop == i], teacher[crop == i], crop[crop == i] * 0) for i in (0, 1)]
    assert torch.allclose(imitation_loss(-teacher, teacher, crop), sum(parts) / 2)


def test_a_network_with_a_teacher_comes_nearer_to_what_it_says(scans, tmp_path):
    settings = config(scans, steps=16)
    teacher = build_model(settings.model).eval()
    losses = []
    trainer = Trainer(settings, tmp_path, "cpu", teacher=teacher)
    trainer.run(lambda step, values: values and losses.append(values["loss"]))
    assert min(losses[-2:]) < losses[0]
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_layers_are_imitated_and_the_coarser_ones_are_the_teachers_own(scans, tmp_path):
    settings = replace(config(scans, steps=16), model=ModelConfig("MinkUNetLite", "rgb-surface"), layers=True)
    teacher = build_model(ModelConfig("MinkUNetSmall", "rgb-surface")).eval()
    losses = []
    trainer = Trainer(settings, tmp_path, "cpu", teacher=teacher)
    trainer.run(lambda step, values: values and losses.append(values["loss"]))
    assert min(losses[-2:]) < losses[0]
    state, taught = trainer.average, teacher.state_dict()
    same = {key.split(".")[0] for key in state if torch.equal(state[key], taught.get(key, torch.empty(0)))}
    changed = {key.split(".")[0] for key in state if key.endswith("kernel") and key.split(".")[0] not in same}
    assert {"conv2p2s2", "bn2", "block2", "conv3p4s2", "block3", "conv4p8s2", "block4", "convtr4p16s2"} <= same
    assert {"conv0p1s1", "conv1p1s2", "block1", "block5", "convtr5p8s2", "block6", "block8", "final"} <= changed


def test_layers_of_a_teacher_of_other_widths_are_a_sentence(scans, tmp_path):
    settings = replace(config(scans), model=ModelConfig("MinkUNetLite", "rgb-surface"), layers=True)
    teacher = build_model(ModelConfig("MinkUNet14A", "rgb-surface")).eval()
    with pytest.raises(UserError, match="cannot be imitated: .* of another shape"):
        Trainer(settings, tmp_path, "cpu", teacher=teacher)


def test_a_teacher_of_other_inputs_is_a_sentence(tmp_path):
    text = f'teacher = "{DEFAULT_WEIGHTS}"\n[model]\nname = "MinkUNetSmall"\ninputs = "rgb"\n'
    (tmp_path / "config.toml").write_text(text + '[[sources]]\nfolder = "nowhere"', encoding="utf-8")
    with pytest.raises(UserError, match="take the inputs 'rgb-feedback'"):
        train(tmp_path / "config.toml", tmp_path / "run")


def test_training_learns_something_and_writes_weights(scans, tmp_path):
    figures = []
    trainer = Trainer(config(scans, steps=24), tmp_path, "cpu")
    trainer.run(lambda step, values: values and figures.append(values["loss"]))
    assert len(figures) == 6 and min(figures[-2:]) < figures[0]
    state, model = read_weights(tmp_path / "weights.safetensors")
    assert model == ModelConfig("MinkUNetSmall", "rgb-surface") and len(state) > 50


@pytest.mark.parametrize("cut", [False, True])
def test_a_network_is_told_the_answer_that_its_newest_click_corrects(scans, cut):
    settings = replace(config(scans, cut=cut), model=ModelConfig("MinkUNetSmall", "rgb-feedback"))
    group = ClickedGroup(settings, CropGroups(settings)[0], np.random.default_rng(0))
    channels = channel_slices("rgb-feedback")["previous"]
    rng, turn, corrected = np.random.default_rng(1), group.turn(), 0
    assert not turn.features[:, channels].any()
    for _ in range(6):
        scores = np.where(turn.truth, 1.0, -1.0) + rng.normal(0, 1.5, len(turn.truth))
        answers = group._masks(torch.from_numpy(scores).float())
        before = [len(each.clicked) for each in group._objects]
        turn = group.answer(scores)
        for i, rows in enumerate(group.rows):
            told, clicked = turn.features[rows, channels], len(group._objects[i].clicked)
            if told.any():
                assert np.array_equal(told[:, 0] > 0, answers[i].numpy() > 0)
                assert np.allclose(told[:, 1], np.tanh(answers[i].numpy() / 2), atol=1e-3)
                assert clicked == before[i] + 1
                corrected += 1
    assert corrected > 2


def test_worker_processes_change_nothing(scans, tmp_path):
    alone, helped = (Trainer(config(scans, batch=2), tmp_path / str(n), "cpu", workers=n) for n in (0, 2))
    for trainer in (alone, helped):
        trainer.run(lambda *_: None)
        assert trainer.step == 8 and trainer.group == 8
    for key, value in alone.average.items():
        assert torch.equal(value, helped.average[key]), key


def test_a_worker_that_dies_is_a_sentence(scans, tmp_path):
    def kill(*_):
        for process in multiprocessing.active_children():
            process.kill()

    with pytest.raises(UserError, match="died, most likely for want of memory: run it again with fewer --workers"):
        Trainer(config(scans), tmp_path, "cpu", workers=1).run(kill)


def test_a_resumed_run_continues_as_an_uninterrupted_one(scans, tmp_path):
    straight = Trainer(config(scans), tmp_path / "a", "cpu")
    straight.run(lambda *_: None)

    class Stopped(Exception):
        pass

    stopped = Trainer(config(scans), tmp_path / "b", "cpu")

    def stop(step, figures):
        if figures and step == 4:
            stopped.save()
            raise Stopped

    with pytest.raises(Stopped):
        stopped.run(stop)
    resumed = Trainer(config(scans), tmp_path / "b", "cpu")
    assert resumed.step == 4
    resumed.run(lambda *_: None)
    for key, value in straight.average.items():
        assert torch.equal(value, resumed.average[key]), key


def test_a_folder_with_a_run_of_other_settings_is_a_sentence_but_more_steps_are_not(scans, tmp_path):
    first = Trainer(config(scans), tmp_path, "cpu", origin="first")
    first.run(lambda *_: None)
    for settings, origin, says in (
        (replace(config(scans), seed=77), "first", "another seed"),
        (replace(config(scans), model=ModelConfig("MinkUNetLite", "rgb-surface")), "", "does not fit"),
        (config(scans), "other", "other weights to start from"),
    ):
        with pytest.raises(UserError, match=f"{says}.*train into another folder"):
            Trainer(settings, tmp_path, "cpu", origin=origin)
    longer = replace(config(scans), steps=config(scans).steps + 4)
    assert Trainer(longer, tmp_path, "cpu").step == first.step


def small_config_file(scans, folder):
    text = "steps = 4\nbatch = 2\ncrops = 1\nrounds = 2\nmax_voxels = 400\nwarmup = 2\n"
    text += f"[model]\nname = 'MinkUNetSmall'\ninputs = 'rgb-surface'\n[[sources]]\nfolder = '{scans}'\n"
    (folder / "config.toml").write_text(text)
    return folder / "config.toml"


def test_two_processes_share_a_run(scans, tmp_path):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "-m",
        "inference_server",
        "train",
    ]
    command += [small_config_file(scans, tmp_path), "--out", tmp_path / "run", "--device", "cpu", "--workers", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [4]
    state, _ = read_weights(tmp_path / "run" / "weights.safetensors")
    assert all(value.isfinite().all() for value in state.values())
    with pytest.raises(UserError, match="multiple of their number"):
        Trainer(config(scans), tmp_path / "odd", "cpu", place=Place(world=2))


@pytest.mark.parametrize("seconds", [7, 40, 80])
def test_a_checkpoint_gets_no_older_than_is_said_where_steps_are_slow(scans, tmp_path, monkeypatch, seconds):
    trainer = Trainer(config(scans, steps=160), tmp_path, "cpu")
    clock, saves = [0.0], [0.0]

    def train_lanes(*_):
        clock[0] += seconds
        trainer.group += 2
        return {}

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(trainer, "_train_lanes", train_lanes)
    monkeypatch.setattr(trainer, "save", lambda: saves.append(clock[0]))
    trainer.run(lambda *_: None)
    assert len(saves) > 2 and np.diff(saves).max() <= loop.CHECKPOINT_SECONDS


def test_what_was_logged_after_the_last_checkpoint_is_logged_once(scans, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    lost = [{"step": step, "loss": 1.0} for step in (4, 8)]
    damaged = '[1]\n{"step": "4"}\nabc\n'
    (out / "log.jsonl").write_text(damaged + "".join(json.dumps(row) + "\n" for row in lost) + '{"step": 12, "lo')
    train(small_config_file(scans, tmp_path), out, "cpu", "", 1, 0)
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [4] and rows[0]["loss"] != 1.0


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_in_the_middle_of_a_checkpoint_is_a_sentence_and_the_last_one_stays_whole(scans, tmp_path):
    trainer = Trainer(config(scans, steps=4), tmp_path / "run", "cpu")
    trainer.run(lambda *_: None)
    before = sha256_of(trainer.checkpoint, tmp_path / "run" / "weights.safetensors")
    text = "steps = 8\ncrops = 2\nrounds = 2\nmax_voxels = 900\nwarmup = 2\n[model]\nname = 'MinkUNetSmall'\n"
    text += f"inputs = 'rgb-surface'\n[[sources]]\nfolder = '{scans}'\n"
    (tmp_path / "config.toml").write_text(text)
    code = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    code += "runpy.run_module('inference_server', run_name='__main__')"
    command = [sys.executable, "-c", code, "train", tmp_path / "config.toml", "--out", tmp_path / "run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert f"Cannot write {trainer.checkpoint}: File too large. Free some space" in done.stderr
    assert sha256_of(trainer.checkpoint, tmp_path / "run" / "weights.safetensors") == before
    assert Trainer(config(scans, steps=8), tmp_path / "run", "cpu").step == 4
    assert not list((tmp_path / "run").glob(".*")), "the half-written file is gone"


def test_a_run_whose_last_weights_found_a_full_disk_writes_them_when_started_again(scans, tmp_path, monkeypatch):
    def full(*_):
        raise UserError("Cannot write weights.safetensors: No space left on device.")

    trainer = Trainer(config(scans, steps=4), tmp_path, "cpu")
    with monkeypatch.context() as patch, pytest.raises(UserError, match="No space left"):
        patch.setattr(loop, "save_weights", full)
        trainer.run(lambda *_: None)
    assert trainer.checkpoint.exists() and not (tmp_path / "weights.safetensors").exists()
    again = Trainer(config(scans, steps=4), tmp_path, "cpu")
    again.run(lambda *_: None)
    assert again.step == 4
    read_weights(tmp_path / "weights.safetensors")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_for_the_log_is_a_sentence(scans, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").symlink_to("/dev/full")
    with pytest.raises(UserError, match="Cannot write .*log.jsonl: No space left on device"):
        _append(tmp_path / "run" / "log.jsonl", {"step": 1})


@pytest.mark.parametrize("content", [b"", b"abc", None])
def test_a_damaged_checkpoint_is_a_sentence(scans, tmp_path, content):
    if content is None:
        (tmp_path / "checkpoint.pt").mkdir()
    else:
        (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(UserError, match="damaged or cut short .*: delete it to start anew"):
        Trainer(config(scans), tmp_path, "cpu")
    torch.save([1], tmp_path / "list.pt")
    if content is not None:
        (tmp_path / "list.pt").replace(tmp_path / "checkpoint.pt")
        with pytest.raises(UserError, match="does not fit this run"):
            Trainer(config(scans), tmp_path, "cpu")


def test_ctrl_c_says_from_where_the_run_goes_on(scans, tmp_path, monkeypatch, capsys):
    def interrupted(trainer, report):
        trainer.save()
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(small_config_file(scans, tmp_path), tmp_path / "run", "cpu", "", 1, 0)
    assert "the same command goes on from the last checkpoint, at step 0." in " ".join(capsys.readouterr().out.split())


def test_a_checkpoint_of_another_run_is_a_sentence(scans, tmp_path):
    torch.save({"group": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match="does not fit this run"):
        Trainer(config(scans), tmp_path, "cpu")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("steps = 10", "sources"),
        ("steps == 10", "cannot be read"),
        ("sources = []", r"lacks \[\[sources\]\]"),
        ("[sources]\nfolder = 'x'", r"lacks \[\[sources\]\]"),
        ("sources = ['x']", r"lacks a table of entries in \[\[sources\]\]"),
        ("model = 'x'\n[[sources]]\nfolder = 'x'", r"lacks a table of entries in \[model\]"),
        ("layers = true\nsources = []\n[model]\nname = 'MinkUNetSmall'", "without a `teacher`"),
        ("stepps = 10\nsources = []\n[model]\nname = 'MinkUNetSmall'", "unknown entry 'stepps'"),
    ],
)
def test_a_config_with_mistakes_is_a_sentence(tmp_path, text, sentence):
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_config(tmp_path / "c.toml")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
def test_training_on_a_gpu_learns_and_its_weights_work_on_a_cpu(scans, tmp_path):
    figures = []
    trainer = Trainer(config(scans, steps=32, batch=4), tmp_path, "cuda", workers=2)
    trainer.run(lambda step, values: values and figures.append(values["loss"]))
    assert trainer.dtype == torch.bfloat16 and min(figures[-2:]) < figures[0]
    state, _ = read_weights(tmp_path / "weights.safetensors")
    assert all(value.isfinite().all() for value in state.values())
