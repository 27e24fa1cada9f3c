"""Both engines compute the same network from the same state dict."""

import json
import os
import subprocess
import sys

import pytest
import torch
from rich.console import Console

from inference_server.benchmark import engine
from inference_server.errors import UserError
from inference_server.models.checkpoints import load_model
from inference_server.models.points import Points
from inference_server.models.registry import ModelConfig, build_model
from inference_server.sparse.engines import load_engine
from inference_server.sparse.layers import fold


def example(inputs=5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    xyz = torch.rand(1500, 3, dtype=torch.float64, generator=generator) * torch.tensor([1.5, 1.5, 0.3]) - 0.5
    batch = (torch.rand(1500, generator=generator) < 0.3).long()
    return Points(xyz, batch), torch.rand(1500, inputs, dtype=torch.float64, generator=generator)


def shake(model, seed=2):
    """Non-trivial batch-norm statistics, so that a mixed-up name shows."""
    generator = torch.Generator().manual_seed(seed)
    for key, value in model.state_dict().items():
        if key.endswith(("running_mean", "bn.bias")):
            value.normal_(0, 0.1, generator=generator)
        elif key.endswith(("running_var", "bn.weight")):
            value.uniform_(0.5, 1.5, generator=generator)
    return model


def minkowski_or_skip():
    try:
        import MinkowskiEngine  # noqa: F401
    except ImportError as error:
        if os.environ.get("CI"):
            pytest.fail(f"in CI MinkowskiEngine must be built: {error}")
        pytest.skip("MinkowskiEngine is not built; `python install.py minkowski` builds it")


def test_an_unknown_engine_is_a_sentence():
    with pytest.raises(UserError, match="choose one of torch, minkowski"):
        load_engine("spconv")


@pytest.mark.parametrize("name", ["MinkUNetSmall", "MinkUNetLite", "MinkUNet14A", "MinkUNet34C"])
def test_parity_with_minkowskiengine_in_float64(name):
    minkowski_or_skip()
    config = ModelConfig(name, "rgb")
    theirs = shake(build_model(config, "minkowski")).double().eval()
    ours = build_model(config, "torch").double().eval()
    ours.load_state_dict(theirs.state_dict())
    points, features = example()
    with torch.no_grad():
        torch.testing.assert_close(ours(points, features), theirs(points, features), rtol=1e-9, atol=1e-9)


def test_training_step_parity_with_minkowskiengine():
    minkowski_or_skip()
    config = ModelConfig("MinkUNetSmall", "rgb")
    theirs = shake(build_model(config, "minkowski")).double().train()
    ours = build_model(config, "torch").double().train()
    ours.load_state_dict(theirs.state_dict())
    points, features = example()
    for model in (ours, theirs):
        model(points, features).square().sum().backward()
    for (key, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        # sums of 1e3 terms: absolute differences scale with the largest gradient of the layer
        scale = float(other.grad.abs().max()) + 1e-12
        assert float((mine.grad - other.grad).abs().max()) / scale < 1e-6, key


def test_a_released_checkpoint_loads_unchanged_into_both_engines(tmp_path):
    """The authors' files are plain PyTorch state dicts of MinkowskiEngine's modules, without any configuration."""
    minkowski_or_skip()
    released = shake(build_model(ModelConfig("MinkUNet34C", "rgb"), "minkowski"))
    state = {f"module.{key}": value for key, value in released.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "released.pth")
    points, features = example()
    points = Points(points.xyz.float(), points.batch)
    with torch.no_grad():
        expected = released.eval()(points, features.float())
        for engine in ("torch", "minkowski"):
            model, config = load_model(tmp_path / "released.pth", engine)
            assert config.name == "MinkUNet34C" and config.inputs == "rgb"
            torch.testing.assert_close(model(points, features.float()), expected, rtol=1e-3, atol=1e-4)


def test_folding_batch_norms_changes_nothing_but_the_time():
    model = shake(build_model(ModelConfig("MinkUNetSmall", "rgb"))).double().eval()
    points, features = example()
    with torch.no_grad():
        before = model(points, features)
        for convolution, norm in model.norm_pairs():
            fold(convolution, norm)
        torch.testing.assert_close(model(points, features), before, rtol=1e-9, atol=1e-9)


def test_a_system_that_does_not_tell_the_peak_of_memory_is_measured_without_it(capsys):
    """As Windows, which has no module `resource`."""
    arguments = ("MinkUNet14A", 300, "forward", "torch", "float32")
    code = "import json, sys; sys.modules['resource'] = None; from inference_server.benchmark.engine import measure; "
    command = [sys.executable, "-c", f"{code}print(json.dumps(measure(*{arguments})))"]
    figures = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert figures["seconds"] > 0 and figures["peak_mb"] is None
    row = {"voxels": 300, "mode": "forward", "engine": "torch", "dtype": "float32", "time_ratio": 1.0}
    engine._print(Console(width=120), "MinkUNet14A", [row | figures | {"memory_ratio": None}])
    cells = [cell.strip() for cell in capsys.readouterr().out.splitlines()[-2].split("│")]
    assert cells[5:9] == ["-", "1.00", "-", ""]
