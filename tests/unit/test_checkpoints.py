"""Weights on disk: whole, of the right network, and never code."""

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from inference_server.errors import UserError
from inference_server.models.checkpoints import find_weights, load_model, read_weights, save_weights
from inference_server.models.points import Points
from inference_server.models.registry import ModelConfig, build_model
from inference_server.training.initialise import adapt_state

SMALL = ModelConfig("MinkUNetSmall", "rgb")


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_weights(path, build_model(SMALL).state_dict(), SMALL)
    return path


def test_what_was_saved_comes_back_with_its_configuration(small_file):
    model, config = load_model(small_file)
    assert config == SMALL and not model.training
    state, _ = read_weights(small_file)
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())


def test_an_unknown_name_lists_what_there_is():
    with pytest.raises(UserError, match="no weights 'chairs'"):
        find_weights("chairs")


def test_a_truncated_file_is_a_sentence(small_file, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(small_file.read_bytes()[:100_000])
    with pytest.raises(UserError, match="damaged or cut short"):
        load_model(cut)


def test_a_configuration_cut_short_is_a_sentence(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "cut.safetensors", metadata={"config": '{"name": "Mink'})
    with pytest.raises(UserError, match="is damaged"):
        load_model(tmp_path / "cut.safetensors")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pytorch_file_cut_anywhere_is_a_sentence(tmp_path, zipped):
    whole, cut = tmp_path / "whole.pth", tmp_path / "cut.pth"
    state = {"state_dict": {"conv.kernel": torch.zeros(3, 4), "conv.bias": torch.zeros(4)}}
    torch.save(state, whole, _use_new_zipfile_serialization=zipped)
    content = whole.read_bytes()
    for end in range(0, len(content) - 1, 7):
        cut.write_bytes(content[:end])
        with pytest.raises(UserError):
            load_model(cut)
    cut.write_text("hello world")
    with pytest.raises(UserError, match="cannot be read safely"):
        load_model(cut)


def test_weights_of_another_network_are_a_sentence(tmp_path):
    other = tmp_path / "other.safetensors"
    save_weights(other, build_model(ModelConfig("MinkUNetSmall", "xyzrgb")).state_dict(), SMALL)
    with pytest.raises(UserError, match="of another network: 'conv0p1s1.kernel'"):
        load_model(other)


def test_a_file_without_configuration_is_a_sentence(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(UserError, match="not written by Scanpick"):
        load_model(tmp_path / "bare.safetensors")


def test_a_configuration_from_the_future_is_a_sentence(tmp_path):
    metadata = {"config": json.dumps({"name": "MinkUNetSmall", "attention": True})}
    save_file({"a": torch.zeros(1)}, tmp_path / "new.safetensors", metadata=metadata)
    with pytest.raises(UserError, match="newer Scanpick"):
        load_model(tmp_path / "new.safetensors")


@pytest.mark.parametrize(
    "told", [{"inputs": 5}, {"name": None}, {"voxel_size": "x"}, {"voxel_size": -0.05}, {"voxel_size": float("nan")}]
)
def test_a_configuration_of_other_kinds_is_a_sentence(tmp_path, told):
    metadata = {"config": json.dumps({**SMALL.to_dict(), **told})}
    save_file({"a": torch.zeros(1)}, tmp_path / "odd.safetensors", metadata=metadata)
    with pytest.raises(UserError, match="is damaged: "):
        load_model(tmp_path / "odd.safetensors")


def test_weights_that_are_no_numbers_are_a_sentence(tmp_path):
    state = build_model(SMALL).state_dict()
    state["final.bias"] = torch.full_like(state["final.bias"], float("nan"))
    save_weights(tmp_path / "nan.safetensors", state, SMALL)
    with pytest.raises(UserError, match="'final.bias' holds numbers that are not finite"):
        load_model(tmp_path / "nan.safetensors")


class Malicious:
    def __reduce__(self):
        return os.system, ("echo pwned > pwned.txt",)


def test_a_pickle_with_code_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("evil.pth").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(UserError, match="cannot be read safely"):
        load_model("evil.pth")
    assert not (tmp_path / "pwned.txt").exists()


def test_starting_from_narrower_weights_changes_nothing_at_first(small_file):
    state, _ = read_weights(small_file)
    wide = build_model(ModelConfig("MinkUNetSmall", "rgb-context"))
    adapted = adapt_state(state, "rgb", wide.state_dict(), "rgb-context", small_file)["conv0p1s1.kernel"]
    kernel = state["conv0p1s1.kernel"]
    assert torch.equal(adapted[:, :3], kernel[:, :3]) and torch.equal(adapted[:, 6:8], kernel[:, 3:5])
    assert not adapted[:, 3:6].any() and not adapted[:, 8:].any()


def test_a_pointwise_network_starts_as_one_whose_kernels_look_at_no_neighbours(small_file):
    state, _ = read_weights(small_file)
    wide, lite = build_model(SMALL).eval(), build_model(ModelConfig("MinkUNetLite", "rgb")).eval()
    for key, value in lite.state_dict().items():
        if value.ndim < state[key].ndim:
            centre = state[key][13].clone()
            state[key].zero_()[13] = centre
    wide.load_state_dict(state)
    lite.load_state_dict(adapt_state(state, "rgb", lite.state_dict(), "rgb", small_file))
    xyz, features = torch.rand(300, 3), torch.rand(300, 5)
    with torch.inference_mode():
        expected = wide(Points(xyz), features)
        assert torch.allclose(lite(Points(xyz), features), expected, atol=1e-5 * float(expected.abs().max()))


def test_a_pointwise_kernel_starts_with_a_third_of_its_neighbours(small_file):
    state, _ = read_weights(small_file)
    wanted = build_model(ModelConfig("MinkUNetLite", "rgb")).state_dict()
    wide, lite = (
        each["block8.0.conv1.kernel"] for each in (state, adapt_state(state, "rgb", wanted, "rgb", small_file))
    )
    assert torch.allclose(lite, wide[13] + (wide.sum(0) - wide[13]) / 3)


def test_a_network_starts_from_itself_as_it_is(small_file):
    state, config = read_weights(small_file)
    wide = build_model(config)
    adapted = adapt_state(state, config.inputs, wide.state_dict(), config.inputs, small_file)
    wide.load_state_dict(adapted)
    assert all(torch.equal(value, state[key]) for key, value in adapted.items())


def test_starting_from_a_semantic_network_gets_a_fresh_output_layer(small_file):
    state, _ = read_weights(small_file)
    state["final.kernel"], state["final.bias"] = torch.zeros(32, 20), torch.zeros(1, 20)
    wanted = build_model(SMALL).state_dict()
    adapted = adapt_state(state, "rgb", wanted, "rgb", small_file)
    assert torch.equal(adapted["final.kernel"], wanted["final.kernel"])


def foreign(folder, channels, outputs=2):
    """A PyTorch file whose first kernel tells its channels apart."""
    state = build_model(SMALL).state_dict()
    kernel = state["conv0p1s1.kernel"]
    state["conv0p1s1.kernel"] = torch.arange(1.0, channels + 1).view(1, -1, 1).repeat(len(kernel), 1, kernel.shape[2])
    state["final.kernel"], state["final.bias"] = torch.zeros(32, outputs), torch.zeros(1, outputs)
    torch.save({"state_dict": state}, folder / "foreign.pth")
    return folder / "foreign.pth"


@pytest.mark.parametrize(
    "channels, outputs, wanted, expected",
    [
        (3, 20, "rgb", [1, 2, 3, 0, 0]),
        (5, 2, "xyzrgb", [0, 0, 0, 1, 2, 3, 4, 5]),
        (8, 2, "xyzrgb", [1, 2, 3, 4, 5, 6, 7, 8]),
        (8, 2, "rgb", [4, 5, 6, 7, 8]),
        (6, 20, "xyzrgb", [1, 2, 3, 4, 5, 6, 0, 0]),
        (6, 20, "rgb", [4, 5, 6, 0, 0]),
        (3, 20, "xyz", [1, 2, 3, 0, 0]),
        (5, 2, "xyz", [1, 2, 3, 4, 5]),
    ],
)
def test_the_channels_of_a_pytorch_file_are_known_by_their_number_and_by_what_is_started(
    tmp_path, channels, outputs, wanted, expected
):
    path = foreign(tmp_path, channels, outputs)
    state, config = read_weights(path, start_of=wanted)
    fresh = build_model(ModelConfig("MinkUNetSmall", wanted)).state_dict()
    adapted = adapt_state(state, config.inputs, fresh, wanted, path)
    assert adapted["conv0p1s1.kernel"][0, :, 0].tolist() == expected
    assert torch.equal(adapted["final.kernel"], fresh["final.kernel"]) == (outputs != 2)


def test_a_semantic_network_can_only_be_started_from(tmp_path):
    path = foreign(tmp_path, 3, 20)
    with pytest.raises(UserError, match="knows no clicks: start one from it"):
        load_model(path)
    fresh = build_model(ModelConfig("MinkUNetSmall", "xyz-context")).state_dict()
    with pytest.raises(UserError, match="share no input"):
        state, config = read_weights(path, start_of="xyz-context")
        adapt_state(state, config.inputs, fresh, "xyz-context", path)


def test_a_pytorch_file_of_other_channels_is_a_sentence(tmp_path):
    known = r"3 \(semantic-rgb\), 5 \(rgb\), 6 \(semantic-xyzrgb\), 8 \(xyzrgb\)"
    with pytest.raises(UserError, match=f"takes 23 input channels: .* {known}"):
        read_weights(foreign(tmp_path, 23))
    torch.save({"conv0.kernel": torch.zeros(3, 4)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match="of another network"):
        read_weights(tmp_path / "other.pth")


def test_a_run_s_checkpoint_says_which_file_to_give(tmp_path):
    content = {"group": 1, "average": {}, "optimizer": {}, "model": build_model(SMALL).state_dict()}
    torch.save(content, tmp_path / "checkpoint.pt")
    with pytest.raises(UserError, match="give the file weights.safetensors beside it"):
        load_model(tmp_path / "checkpoint.pt")


def test_starting_from_a_network_of_other_widths_is_a_sentence(small_file):
    state, _ = read_weights(small_file)
    with pytest.raises(UserError, match="cannot start this network"):
        adapt_state(state, "rgb", build_model(ModelConfig("MinkUNet14A", "rgb")).state_dict(), "rgb", small_file)
