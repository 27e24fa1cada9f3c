"""From clicks to a mask, in one call: usable from a Python prompt, a script or the server."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from .adaptation import ADAPTATIONS, AdaptationConfig, Example, adaptation_for
from .devices import choose_device, choose_dtype
from .errors import UserError
from .importance import read_importance
from .models.checkpoints import DEFAULT_WEIGHTS, DEFAULT_WEIGHTS_COLOURLESS, find_weights, load_model
from .models.inputs import uses_colour
from .models.minkunet import MinkUNet
from .models.points import TRAINED_VOXEL
from .pieces import release_memory
from .scene import Region, RegionCache, Scene
from .segmenter import Adapting, Segmenter, places
from .sparse.layers import fold
from .timing import Clock
from .upright import AS_IT_IS
from .wire.protocol import Click

PLAIN = 2
"""Bytes by which colours that say nothing differ at the most."""


@dataclass(frozen=True)
class Prediction:
    """mask (N,) bool, probabilities (N,) uint8 (255 = certain, 0 outside the region), timing in seconds by stage,
    voxels: how many the network saw, indices: of the points outside of which both are zero, None where unknown."""

    mask: np.ndarray
    probabilities: np.ndarray
    timing: dict[str, float] = field(default_factory=dict)
    voxels: int = 0
    indices: np.ndarray | None = None


class Predictor:
    """A network on a device. A prediction is a pure function of the weights, the scene and the clicks.

    weights: 'default' (chooses by whether the scan has colours), a shipped name, or a file.
    device: auto, cpu, cuda, mps. engine: torch or minkowski. dtype: auto, float32 or bfloat16.
    adapt: whether predictions that do not say it themselves adapt the network to their clicks; adaptation: how, as
    suits the weights where it is None.
    Raises UserError for weights, a device or an engine that cannot be had.
    """

    def __init__(
        self,
        weights: str | Path = "default",
        device: str = "auto",
        engine: str = "torch",
        dtype: str = "auto",
        adapt: bool = False,
        adaptation: AdaptationConfig | None = None,
    ):
        self._torch_device = choose_device(device)
        self._dtype = choose_dtype(self._torch_device, dtype) if engine == "torch" else torch.float32
        self.weights, self.engine, self.device = weights, engine, str(self._torch_device)
        self._adapt, self._adaptation = adapt, adaptation
        self._segmenters: dict[str | Path, Segmenter] = {}
        self._importance: dict[str | Path, dict[str, torch.Tensor]] = {}
        self._regions = RegionCache()
        self._scene: Scene | None = None
        self._segmenter_for(coloured=True)
        if adapt:
            self._adapting(coloured=True)

    @property
    def name(self) -> str:
        """The name of the weights in use."""
        return DEFAULT_WEIGHTS if self.weights == "default" else Path(self.weights).stem

    def prepare(
        self, positions: np.ndarray, colors: np.ndarray | None = None, voxel_size: float = TRAINED_VOXEL
    ) -> Scene:
        """Sort a scan for clicking: positions (N, 3) float metres, colors (N, 3) uint8 or None. Raises UserError.

        Colours that are all the same count as none, where the default weights leave a choice: as colours they say that
        everything is like what was clicked. A room that is overturned, lies on a side or slants is worked
        on upright.
        """
        colors = None if colors is None else np.asarray(colors)
        if colors is not None and self.weights == "default" and _are_plain(colors):
            colors = None
        return Scene(np.asarray(positions), colors, voxel_size, self._regions, upright=True)

    def set_scene(
        self, positions: np.ndarray, colors: np.ndarray | None = None, voxel_size: float = TRAINED_VOXEL
    ) -> None:
        """Prepare a scan and keep it for `predict`."""
        self._scene = self.prepare(positions, colors, voxel_size)

    def predict(self, clicks: Sequence[Click], adapt: bool | None = None) -> Prediction:
        """Segment the object of these clicks in the scene that was set, as `predict_on` does."""
        if self._scene is None:
            raise UserError("No scan is set; call set_scene first.")
        return self.predict_on(self._scene, clicks, adapt)

    def release_memory(self) -> None:
        """Forget what is kept for the next click only."""
        self._regions.clear()
        for segmenter in self._segmenters.values():
            segmenter.release_memory()
        release_memory()

    def predict_on(self, scene: Scene, clicks: Sequence[Click], adapt: bool | None = None) -> Prediction:
        """Segment the object of an ordered list of clicks; the clicked vertices get their label, the later click wins.

        adapt: let a copy of the network follow the clicks first, which takes some seconds; None: as the predictor was
        told. Raises UserError for clicks that lie off the scan or are not finite.
        """
        _check(clicks, len(scene))
        clicks = _turned(clicks, scene.rotation)
        mask, probabilities = np.zeros(len(scene), bool), np.zeros(len(scene), np.uint8)
        if not any(click.positive for click in clicks):
            return Prediction(mask, probabilities)
        coloured = scene.colors is not None
        segmenter = self._segmenter_for(coloured)
        adapting = self._adapting(coloured) if (self._adapt if adapt is None else adapt) else None
        timing = dict.fromkeys(("history", "region", "adaptation", "network", "refinement", "vertices"), 0.0)
        look = segmenter.look(scene, clicks, timing, adapting)
        clock = Clock(timing)
        at_points = torch.sigmoid(look.log_odds)
        steps = (at_points * 255).round_().to(torch.uint8).cpu().numpy()
        possible = np.flatnonzero(steps)
        indices = look.indices[possible]
        mask[indices] = (at_points > 0.5).cpu().numpy()[possible]
        probabilities[indices] = steps[possible]
        clicked = _obey(mask, probabilities, look.region, clicks)
        clock.lap("vertices")
        return Prediction(mask, probabilities, timing, look.voxels, np.append(indices, clicked))

    @property
    def model(self) -> torch.nn.Module:
        """The network for scans with colours, batch norms folded."""
        return self._segmenter_for(coloured=True).model

    def example(self, scene: Scene, clicks: Sequence[Click]) -> Example:
        """What the network is given for these clicks, before the region grows."""
        _check(clicks, len(scene))
        return self._segmenter_for(scene.colors is not None).example(scene, _turned(clicks, scene.rotation))

    def _weights_for(self, coloured: bool) -> str | Path:
        if self.weights != "default":
            return self.weights
        return DEFAULT_WEIGHTS if coloured else DEFAULT_WEIGHTS_COLOURLESS

    def _segmenter_for(self, coloured: bool) -> Segmenter:
        weights = self._weights_for(coloured)
        if weights not in self._segmenters:
            model, config = load_model(weights, self.engine)
            if self.engine == "torch" and isinstance(model, MinkUNet):
                for convolution, norm in model.norm_pairs():
                    fold(convolution, norm)
            model = model.to(self._torch_device, self._dtype).requires_grad_(False)
            segmenter = Segmenter(model, config.inputs, self._torch_device, self._dtype, self._regions)
            self._segmenters[weights] = segmenter
        segmenter = self._segmenters[weights]
        if uses_colour(segmenter.inputs) and not coloured:
            raise UserError(
                f"The weights '{weights}' need colours, and this scan has none; choose weights for scans without "
                f"colour, such as {DEFAULT_WEIGHTS_COLOURLESS}."
            )
        return segmenter

    def _adapting(self, coloured: bool) -> Adapting:
        if self.engine != "torch":
            raise UserError("Adaptation to clicks needs the torch engine: choose it, or do without adaptation.")
        weights = self._weights_for(coloured)
        if weights not in self._importance:
            read = read_importance(find_weights(weights))
            self._importance[weights] = {name: value.to(self._torch_device) for name, value in read.items()}
        how = self._adaptation or ADAPTATIONS[adaptation_for(self._segmenter_for(coloured).inputs)]
        return Adapting(self._importance[weights], how)


def _are_plain(colors: np.ndarray) -> bool:
    """Whether colours (N, 3) uint8 are all the same, or nearly: some exporters paint everything white."""
    return colors.dtype == np.uint8 and len(colors) > 0 and int(np.ptp(colors, axis=0).max()) <= PLAIN


def _check(clicks: Sequence[Click], points: int) -> None:
    """Raise UserError for a click list that makes no sense for a scan of so many points."""
    if not clicks:
        raise UserError("There are no clicks; click the object first.")
    places(clicks)
    if max(click.vertex for click in clicks) >= points:
        raise UserError("A click is on a vertex that the scan does not have; send the scan again.")


def _turned(clicks: Sequence[Click], rotation: np.ndarray) -> Sequence[Click]:
    """Clicks at their places in a scene that was turned."""
    if rotation is AS_IT_IS:
        return clicks
    return [replace(click, position=tuple((rotation @ np.array(click.position)).tolist())) for click in clicks]


def _obey(mask: np.ndarray, probabilities: np.ndarray, region: Region, clicks: Sequence[Click]) -> list[int]:
    """Give every clicked vertex its label, in order; a click without a vertex means the point nearest to it."""
    vertices = []
    for click in clicks:
        vertex = click.vertex if click.vertex >= 0 else region.nearest(np.asarray(click.position))
        mask[vertex] = click.positive
        probabilities[vertex] = 255 if click.positive else 0
        vertices.append(vertex)
    return vertices
