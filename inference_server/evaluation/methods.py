"""The method under evaluation, made from the settings."""

import hashlib
from dataclasses import replace
from pathlib import Path

from .objects import Method
from .settings import Settings


def make_method(settings: Settings) -> Method:
    """A Predictor or a baseline. Raises UserError for weights, a device or an engine that cannot be had."""
    if settings.method != "network":
        from .baselines import GraphCut, RegionGrowing

        return {"region-growing": RegionGrowing, "graph-cut": GraphCut}[settings.method]()
    from inference_server.predictor import Predictor

    return Predictor(settings.weights, device=settings.device, engine=settings.engine)


def identify(settings: Settings) -> Settings:
    """The settings with the SHA-256 of the weights that they mean; unchanged for the baselines."""
    if settings.method != "network":
        return settings
    from inference_server.models.checkpoints import DEFAULT_WEIGHTS_COLOURLESS, WEIGHTS_FOLDER, find_weights

    files = [find_weights(settings.weights)]
    colourless = WEIGHTS_FOLDER / f"{DEFAULT_WEIGHTS_COLOURLESS}.safetensors"
    if settings.weights == "default" and colourless.exists():
        files.append(colourless)
    return replace(settings, weights_sha256=_sha256(files))


def _sha256(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(2**20):
                digest.update(block)
    return digest.hexdigest()
