"""The method under evaluation, made from the settings."""

from dataclasses import replace

from inference_server.files import sha256_of

from .objects import Method
from .settings import BEST, Settings


def make_method(settings: Settings) -> Method:
    """A Predictor or a baseline. Raises UserError for weights, a device or an engine that cannot be had."""
    if settings.method != "network":
        from .baselines import GraphCut, RegionGrowing

        return {"region-growing": RegionGrowing, "graph-cut": GraphCut}[settings.method]()
    from inference_server.adaptation import ADAPTATIONS
    from inference_server.predictor import Predictor

    return Predictor(
        settings.weights,
        settings.device,
        settings.engine,
        adapt=settings.adapt,
        adaptation=ADAPTATIONS[settings.adaptation],
    )


def needs_colour(settings: Settings) -> bool:
    """Whether scans without colours cannot be looked at. Raises UserError for weights that cannot be read."""
    if settings.method != "network" or settings.weights == "default":
        return False
    from inference_server.models.checkpoints import find_weights, read_model_config
    from inference_server.models.inputs import uses_colour

    return uses_colour(read_model_config(find_weights(settings.weights)).inputs)


def identify(settings: Settings) -> Settings:
    """The settings with what they mean here: the SHA-256 of the weights, the adaptation that suits them, the device and
    the numbers on it; unchanged for the baselines. Raises UserError for weights that are missing, or cannot adapt where
    they are asked to."""
    if settings.method != "network":
        return settings
    from inference_server.adaptation import adaptation_for
    from inference_server.devices import choose_device, choose_dtype
    from inference_server.models.checkpoints import (
        DEFAULT_WEIGHTS_COLOURLESS,
        WEIGHTS_FOLDER,
        find_weights,
        read_model_config,
    )

    files = [find_weights(settings.weights)]
    colourless = WEIGHTS_FOLDER / f"{DEFAULT_WEIGHTS_COLOURLESS}.safetensors"
    if settings.weights == "default" and colourless.exists():
        files.append(colourless)
    if settings.adapt:
        from inference_server.importance import importance_file, read_importance

        for path in files:
            read_importance(path)  # one that is missing is told before any scan is read
        files += [importance_file(path) for path in files]
    how = settings.adaptation
    if how == BEST:
        how = adaptation_for(read_model_config(files[0]).inputs)
    device = choose_device(settings.device)
    numbers = str(choose_dtype(device, "auto")).removeprefix("torch.") if settings.engine == "torch" else "float32"
    return replace(settings, weights_sha256=sha256_of(*files), adaptation=how, device=str(device), numbers=numbers)
