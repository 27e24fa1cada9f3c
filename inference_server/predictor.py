"""From clicks to a mask, in one call: usable from a Python prompt, a script or the server."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from .adaptation import OURS, AdaptationConfig, Example, follow_clicks, network_scores
from .boxes import box_around, grown_to
from .closeup import CLOSEUP_BYTES, Closeup, Sight, clicks_in_sight, sight_of
from .devices import choose_device, choose_dtype
from .errors import UserError
from .history import HISTORY_BYTES, Answer, steps_before
from .importance import read_importance
from .models.checkpoints import DEFAULT_WEIGHTS, DEFAULT_WEIGHTS_COLOURLESS, find_weights, load_model
from .models.inputs import ClickTensors, uses_colour, uses_normals, uses_previous
from .models.minkunet import MinkUNet
from .pieces import release_memory, run_or_cut
from .recent import RecentlyUsed
from .refinement import BELIEVED, refine
from .scene import TRAINED_VOXEL, Region, RegionCache, Scene
from .sparse.layers import fold
from .wire.protocol import Click

LEARNT_REGION = 3.0
"""Edge in metres (at 5 cm voxels) of the square around the newest click on which the network adapts."""
UNCONNECTED = 3.0
"""Log-odds against parts of the mask that no positive click touches: 2 to 4 points of IoU on validation rooms."""
MAX_GROWTH = 4


@dataclass(frozen=True)
class Prediction:
    """mask (N,) bool, probabilities (N,) uint8 (255 = certain, 0 outside the region), timing in seconds by stage,
    voxels: how many the network saw, indices: of the points outside of which both are zero, None where unknown."""

    mask: np.ndarray
    probabilities: np.ndarray
    timing: dict[str, float] = field(default_factory=dict)
    voxels: int = 0
    indices: np.ndarray | None = None


@dataclass
class _Network:
    """A network on the device, the name of its inputs, its weights file, and their importance once asked for."""

    model: torch.nn.Module
    inputs: str
    file: Path
    importance: dict[str, torch.Tensor] | None = None


class _Clock:
    """Adds the seconds since its last lap to a stage of `timing`."""

    def __init__(self, timing: dict[str, float]):
        self._timing, self._since = timing, time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._timing[stage] = self._timing.get(stage, 0.0) + now - self._since
        self._since = now


class Predictor:
    """A network on a device. A prediction is a pure function of the weights, the scene and the clicks.

    weights: 'default' (chooses by whether the scan has colours), a shipped name, or a file.
    device: auto, cpu, cuda, mps. engine: torch or minkowski. dtype: auto, float32 or bfloat16.
    adapt: whether predictions that do not say it themselves adapt the network to their clicks; adaptation: how.
    Raises UserError for weights, a device or an engine that cannot be had.
    """

    def __init__(
        self,
        weights: str | Path = "default",
        device: str = "auto",
        engine: str = "torch",
        dtype: str = "auto",
        adapt: bool = False,
        adaptation: AdaptationConfig = OURS,
    ):
        self._torch_device = choose_device(device)
        self._dtype = choose_dtype(self._torch_device, dtype) if engine == "torch" else torch.float32
        self.weights, self.engine, self.device = weights, engine, str(self._torch_device)
        self._adapt, self._adaptation = adapt, adaptation
        self._networks: dict[str | Path, _Network] = {}
        self._regions = RegionCache()
        self._closeups: RecentlyUsed[Closeup] = RecentlyUsed(CLOSEUP_BYTES)
        self._answers: RecentlyUsed[Answer] = RecentlyUsed(HISTORY_BYTES)
        self._scene: Scene | None = None
        network = self._network_for(coloured=True)
        if adapt:
            self._importance_of(network)

    @property
    def name(self) -> str:
        """The name of the weights in use."""
        return DEFAULT_WEIGHTS if self.weights == "default" else Path(self.weights).stem

    def prepare(
        self, positions: np.ndarray, colors: np.ndarray | None = None, voxel_size: float = TRAINED_VOXEL
    ) -> Scene:
        """Sort a scan for clicking: positions (N, 3) float metres, colors (N, 3) uint8 or None. Raises UserError."""
        return Scene(np.asarray(positions), None if colors is None else np.asarray(colors), voxel_size, self._regions)

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

    def reset(self) -> None:
        """Forget the scene."""
        self._scene = None

    def release_memory(self) -> None:
        """Forget what is kept for the next click only."""
        self._regions.clear()
        self._closeups.clear()
        self._answers.clear()
        release_memory()

    def predict_on(self, scene: Scene, clicks: Sequence[Click], adapt: bool | None = None) -> Prediction:
        """Segment the object of an ordered list of clicks; the clicked vertices get their label, the later click wins.

        adapt: let a copy of the network follow the clicks first, which takes some seconds; None: as the predictor was
        told. Raises UserError for clicks that lie off the scan or are not finite.
        """
        started = time.perf_counter()
        positions, positive = _check_clicks(clicks, len(scene))
        mask, probabilities = np.zeros(len(scene), bool), np.zeros(len(scene), np.uint8)
        if not positive.any():
            return Prediction(mask, probabilities)
        network = self._network_for(scene.colors is not None)
        adapting = self._adapt if adapt is None else adapt
        timing = dict.fromkeys(("history", "region", "adaptation", "network", "refinement", "vertices"), 0.0)
        region, scores = self._answer_and_keep(network, scene, clicks, adapting, timing)
        clock = _Clock(timing)
        indices, log_odds, voxels = region.indices, region.to_points(scores), len(region.points)
        clock.lap("vertices")
        if sight := sight_of(scene, clicks, region, scores):
            indices, log_odds, more = self._closer(network, scene, clicks, adapting, sight, region, log_odds, timing)
            voxels += more
        clock = _Clock(timing)
        at_points = torch.sigmoid(log_odds)
        steps = (at_points * 255).round_().to(torch.uint8).cpu().numpy()
        possible = np.flatnonzero(steps)
        indices = indices[possible]
        mask[indices] = (at_points > 0.5).cpu().numpy()[possible]
        probabilities[indices] = steps[possible]
        clicked = _obey(mask, probabilities, region, clicks)
        clock.lap("vertices")
        timing["total"] = time.perf_counter() - started
        return Prediction(mask, probabilities, timing, voxels, np.append(indices, clicked))

    @property
    def model(self) -> torch.nn.Module:
        """The network for scans with colours, batch norms folded."""
        return self._network_for(coloured=True).model

    def example(self, scene: Scene, clicks: Sequence[Click]) -> Example:
        """What the network is given for these clicks, before the region grows."""
        positions, positive = _check_clicks(clicks, len(scene))
        network = self._network_for(scene.colors is not None)
        region = scene.region(box_around(scene, positions), self._torch_device)
        previous = self._previous(network, scene, clicks, adapting=False)
        return self._example(network, region, positions, positive, previous)

    def _closer(
        self,
        network: _Network,
        scene: Scene,
        clicks: Sequence[Click],
        adapting: bool,
        sight: Sight,
        region: Region,
        log_odds: torch.Tensor,
        timing: dict[str, float],
    ) -> tuple[np.ndarray, torch.Tensor, int]:
        """Given indices and log-odds of the points that a closer look sees, averaged with the region's log_odds; and
        the voxels that it saw. Where positive clicks are out of sight, or hardly anything is left of what the
        region had, the region's own."""
        inside = clicks_in_sight(scene, sight, clicks)
        if inside is None:
            return region.indices, log_odds, 0
        clock = _Clock(timing)
        closeup = self._closeups.get((scene.key, sight))
        if closeup is None:
            closeup = Closeup.of(scene, sight, self._regions)
            self._closeups.put((scene.key, sight), closeup)
        clock.lap("region")
        close, scores = self._answer_and_keep(network, closeup.scene, inside, adapting, timing)
        clock = _Clock(timing)
        closer = close.to_points(scores)
        rows = torch.from_numpy(region.rows_of(closeup.ranks[close.indices])).to(log_odds.device)
        closer = torch.where(rows >= 0, (closer + log_odds[rows]) / 2, closer)
        clock.lap("vertices")
        if int((closer > 0).sum()) < BELIEVED * int((log_odds > 0).sum()):
            return region.indices, log_odds, len(close.points)
        return closeup.indices[close.indices], closer, len(close.points)

    def _answer_and_keep(
        self, network: _Network, scene: Scene, clicks: Sequence[Click], adapting: bool, timing: dict[str, float]
    ) -> tuple[Region, torch.Tensor]:
        """`_answer` after the one before, kept for the next."""
        clock = _Clock(timing)
        previous = self._previous(network, scene, clicks, adapting)
        clock.lap("history")
        region, scores = self._answer(network, scene, clicks, adapting, previous, timing)
        if uses_previous(network.inputs):
            self._keep(region, scores, _key(scene, clicks, adapting))
        return region, scores

    def _previous(self, network: _Network, scene: Scene, clicks: Sequence[Click], adapting: bool) -> Answer | None:
        """The answer to all clicks before the newest step, where the network asks for it and one of them is positive.

        It is kept from when it was given; where it is not, the steps are gone through from the last answer that is.
        """
        if not uses_previous(network.inputs):
            return None
        answer, missing = None, []
        for before, alone in reversed(steps_before(clicks)):
            if not any(click.positive for click in before):
                break
            if answer := self._answers.get(_key(scene, before, adapting, alone)):
                break
            missing.append((before, alone))
        for before, alone in reversed(missing):
            region, scores = self._answer(network, scene, before, adapting, None if alone else answer, {})
            answer = self._keep(region, scores, _key(scene, before, adapting, alone))
        return answer

    def _keep(self, region: Region, scores: torch.Tensor, key: tuple) -> Answer:
        answer = Answer.of(region.voxels, scores)
        self._answers.put(key, answer)
        return answer

    def _answer(
        self,
        network: _Network,
        scene: Scene,
        clicks: Sequence[Click],
        adapting: bool,
        previous: Answer | None,
        timing: dict[str, float],
    ) -> tuple[Region, torch.Tensor]:
        """The region that the object lies in, and the log-odds (V,) of its voxels; seconds by stage go into timing."""
        positions, positive = _check_clicks(clicks, len(scene))
        clock = _Clock(timing)
        parameters = {}
        if adapting:
            parameters = self._adapted(network, scene, positions, positive, previous)
            clock.lap("adaptation")
        box = box_around(scene, positions)
        if previous is not None:
            box = grown_to(scene, box, previous.inside)
        for growth in range(MAX_GROWTH + 1):
            region = scene.region(box, self._torch_device)
            example = self._example(network, region, positions, positive, previous)
            clock.lap("region")
            scores = run_or_cut(
                partial(network_scores, network.model, parameters=parameters), example.points, example.features()
            )
            clock.lap("network")
            scores = refine(scores, region.graph, *example.labels())
            clock.lap("refinement")
            grown = grown_to(scene, box, region.voxels[(scores > 0).cpu().numpy()]) if growth < MAX_GROWTH else box
            if grown == box:
                break
            scene.forget_region(box, self._torch_device)
            box = grown
        kept = region.connected(scores > 0, region.locate(positions[positive]))
        scores = torch.where((scores > 0) & ~kept, -UNCONNECTED, scores)
        clock.lap("refinement")
        return region, scores

    def _example(
        self,
        network: _Network,
        region: Region,
        positions: np.ndarray,
        positive: np.ndarray,
        previous: Answer | None = None,
    ) -> Example:
        clicks = ClickTensors(region.locate(positions), torch.from_numpy(positive).to(self._torch_device))
        rgb = region.rgb if uses_colour(network.inputs) else None
        normals = region.normals if uses_normals(network.inputs) else None
        before = None if previous is None else previous.at(region.voxels)
        return Example(region.points, rgb, clicks, network.inputs, self._dtype, normals, before)

    def _adapted(
        self,
        network: _Network,
        scene: Scene,
        positions: np.ndarray,
        positive: np.ndarray,
        previous: Answer | None,
    ) -> dict[str, torch.Tensor]:
        """Parameters that follow the clicks around the newest one; a square of one size bounds time and memory."""
        box = box_around(scene, positions[-1:], LEARNT_REGION, LEARNT_REGION / 2)
        inside = box.contains((positions[:, :2] - scene.origin[:2]) / scene.tile_size)
        region = scene.region(box, self._torch_device)
        example = self._example(network, region, positions[inside], positive[inside], previous)
        return follow_clicks(network.model, example, self._importance_of(network), self._adaptation)

    def _network_for(self, coloured: bool) -> _Network:
        weights = self.weights
        if weights == "default":
            weights = DEFAULT_WEIGHTS if coloured else DEFAULT_WEIGHTS_COLOURLESS
        if weights not in self._networks:
            model, config = load_model(weights, self.engine)
            if self.engine == "torch" and isinstance(model, MinkUNet):
                for convolution, norm in model.norm_pairs():
                    fold(convolution, norm)
            model = model.to(self._torch_device, self._dtype).requires_grad_(False)
            self._networks[weights] = _Network(model, config.inputs, find_weights(weights))
        network = self._networks[weights]
        if uses_colour(network.inputs) and not coloured:
            raise UserError(
                f"The weights '{weights}' need colours, and this scan has none; choose weights for scans without "
                f"colour, such as {DEFAULT_WEIGHTS_COLOURLESS}."
            )
        return network

    def _importance_of(self, network: _Network) -> dict[str, torch.Tensor]:
        if self.engine != "torch":
            raise UserError("Adaptation to clicks needs the torch engine: choose it, or do without adaptation.")
        if network.importance is None:
            read = read_importance(network.file)
            network.importance = {name: value.to(self._torch_device) for name, value in read.items()}
        return network.importance


def _key(scene: Scene, clicks: Sequence[Click], adapting: bool, alone: bool = False) -> tuple:
    """What an answer is known by."""
    return scene.key, tuple(clicks), adapting, alone


def _check_clicks(clicks: Sequence[Click], points: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (K, 3) float64 and signs (K,) bool of a click list that makes sense."""
    if not clicks:
        raise UserError("There are no clicks; click the object first.")
    positions = np.array([click.position for click in clicks], np.float64)
    if not np.isfinite(positions).all():
        raise UserError("A click has no finite position; click on the scan itself.")
    if max(click.vertex for click in clicks) >= points:
        raise UserError("A click is on a vertex that the scan does not have; send the scan again.")
    return positions, np.array([click.positive for click in clicks], bool)


def _obey(mask: np.ndarray, probabilities: np.ndarray, region: Region, clicks: Sequence[Click]) -> list[int]:
    """Give every clicked vertex its label, in order; a click without a vertex means the point nearest to it."""
    vertices = []
    for click in clicks:
        vertex = click.vertex if click.vertex >= 0 else region.nearest(np.asarray(click.position))
        mask[vertex] = click.positive
        probabilities[vertex] = 255 if click.positive else 0
        vertices.append(vertex)
    return vertices
