"""One network on a device: from a scene and clicks to log-odds of the points around them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from .adaptation import AdaptationConfig, Example, follow_clicks, network_scores
from .boxes import STEP, box_around, grown_to
from .closeup import CLOSE_MARGIN, CLOSE_REGION, CLOSEUP_BYTES, Closeup, Sight, clicks_in_sight, sight_of
from .errors import UserError
from .history import HISTORY_BYTES, Answer, Before, Seen, steps_before
from .models.inputs import ClickTensors, uses_colour, uses_normals, uses_previous
from .pieces import run_or_cut
from .recent import RecentlyUsed
from .refinement import BELIEVED, refine
from .scene import Region, RegionCache, Scene, TileBox
from .timing import Clock
from .wire.protocol import Click

LEARNT_REGION = 3.0
"""Edge in metres (at 5 cm voxels) of the square around the newest click on which the network adapts."""
UNCONNECTED = 3.0
"""Log-odds against parts of the mask that no positive click touches: 2 to 4 points of IoU on validation rooms."""
MAX_GROWTH = 4


@dataclass(frozen=True)
class Adapting:
    """How a network adapts to the clicks: the importance of its parameters by name, and the rest."""

    importance: dict[str, Tensor]
    config: AdaptationConfig


@dataclass(frozen=True)
class Look:
    """What a network says of the points around clicks.

    indices: (M,) their given indices, log_odds: (M,) float32; region: all points around, whether or not they are among
    these; voxels: how many the network saw.
    """

    indices: np.ndarray
    log_odds: Tensor
    region: Region
    voxels: int


class Segmenter:
    """A network with what it keeps for the next click. What it says depends on weights, scene and clicks alone.

    model: in eval mode, on the device; inputs: key of INPUTS; regions: where regions are kept.
    """

    def __init__(self, model: nn.Module, inputs: str, device: torch.device, dtype: torch.dtype, regions: RegionCache):
        self.model, self.inputs = model, inputs
        self._device, self._dtype, self._regions = device, dtype, regions
        self._closeups: RecentlyUsed[Closeup] = RecentlyUsed(CLOSEUP_BYTES)
        self._seen: RecentlyUsed[Seen] = RecentlyUsed(HISTORY_BYTES)

    def look(
        self, scene: Scene, clicks: Sequence[Click], timing: dict[str, float], adapting: Adapting | None = None
    ) -> Look:
        """The answer to an ordered list of clicks with a positive one; seconds by stage are added to timing.

        adapting: let a copy of the network follow the clicks first. Raises UserError for clicks off the scan.
        """
        clock = Clock(timing)
        before = self._before(scene, clicks, adapting)
        clock.lap("history")
        look, seen = self._look(scene, clicks, before, adapting, timing)
        self._keep(seen, scene, clicks, adapting)
        return look

    def example(self, scene: Scene, clicks: Sequence[Click]) -> Example:
        """What the network is given for these clicks, before the region grows."""
        before = self._before(scene, clicks, None)
        positions, _ = places(clicks)
        region = scene.region(box_around(scene, positions), self._device)
        return self._example(region, clicks, None if before is None else before.answer)

    def release_memory(self) -> None:
        """Forget what is kept for the next click only."""
        self._closeups.clear()
        self._seen.clear()

    def _before(self, scene: Scene, clicks: Sequence[Click], adapting: Adapting | None) -> Seen | None:
        """What was answered to all clicks before the newest step, where the network asks for it and one of them is
        positive.

        It is kept from when it was given; where it is not, the steps are gone through from the last answer that is.
        """
        if not uses_previous(self.inputs):
            return None
        seen, missing = None, []
        for before, alone in reversed(steps_before(clicks)):
            if not any(click.positive for click in before):
                break
            if seen := self._seen.get(_key(scene, before, adapting, alone)):
                break
            missing.append((before, alone))
        for before, alone in reversed(missing):
            _, seen = self._look(scene, before, None if alone else seen, adapting, {})
            self._keep(seen, scene, before, adapting, alone)
        return seen

    def _keep(
        self, seen: Seen, scene: Scene, clicks: Sequence[Click], adapting: Adapting | None, alone: bool = False
    ) -> None:
        if uses_previous(self.inputs):
            self._seen.put(_key(scene, clicks, adapting, alone), seen)

    def _look(
        self,
        scene: Scene,
        clicks: Sequence[Click],
        before: Seen | None,
        adapting: Adapting | None,
        timing: dict[str, float],
    ) -> tuple[Look, Seen]:
        """The answer after the one before; looked at closer where that is of use and leaves something of it."""
        box = box_around(scene, places(clicks)[0])
        region, scores = self._answer(scene, clicks, box, before and before.answer, adapting, timing)
        clock = Clock(timing)
        log_odds = region.to_points(scores)
        clock.lap("vertices")
        look = Look(region.indices, log_odds, region, len(region.points))
        seen = Seen(Answer.of(region.voxels, scores))
        # other networks know one width of voxels only
        sight = sight_of(scene, clicks, region, scores) if uses_previous(self.inputs) else None
        inside = sight and clicks_in_sight(scene, sight, clicks)
        if not inside:
            return look, seen
        try:
            closeup = self._closeup(scene, sight)
            clock.lap("region")
            told = before and before.closer(sight, closeup.voxels)
            # the part ends where it was cut, not where the scan does
            box = box_around(closeup.scene, places(inside)[0], CLOSE_REGION, CLOSE_MARGIN, step=0)
            close, close_scores = self._answer(closeup.scene, inside, box, told, adapting, timing)
        except UserError:  # too little is there, such as one finer voxel or none around a click
            return look, seen
        clock = Clock(timing)
        both = close.to_points(close_scores)
        rows = torch.from_numpy(region.rows_of(closeup.ranks[close.indices])).to(both.device)
        shared = rows >= 0
        both[shared] = (both[shared] + log_odds[rows[shared]]) / 2
        if int((both > 0).sum()) >= BELIEVED * int((log_odds > 0).sum()):
            look = Look(closeup.indices[close.indices], both, region, look.voxels + len(close.points))
            told_next = region.updated(scores, log_odds, rows[shared], both[shared])
            seen = Seen(Answer.of(region.voxels, told_next), sight, Answer.of(close.voxels, close.to_voxels(both)))
        clock.lap("vertices")
        return look, seen

    def _closeup(self, scene: Scene, sight: Sight) -> Closeup:
        closeup = self._closeups.get((scene.key, sight))
        if closeup is None:
            closeup = Closeup.of(scene, sight, self._regions)
            self._closeups.put((scene.key, sight), closeup)
        return closeup

    def _answer(
        self,
        scene: Scene,
        clicks: Sequence[Click],
        box: TileBox,
        before: Before | None,
        adapting: Adapting | None,
        timing: dict[str, float],
    ) -> tuple[Region, Tensor]:
        """The region that the object lies in, a box or what it grows to, and the log-odds (V,) of its voxels."""
        positions, positive = places(clicks)
        clock = Clock(timing)
        parameters = {}
        if adapting:
            parameters = self._adapted(scene, clicks, before, adapting)
            clock.lap("adaptation")
        if before is not None:
            box = grown_to(scene, box, before.inside)
        for growth in range(MAX_GROWTH + 1):
            region = scene.region(box, self._device)
            example = self._example(region, clicks, before)
            clock.lap("region")
            run = partial(network_scores, self.model, parameters=parameters)
            scores = run_or_cut(run, example.points, example.features())
            clock.lap("network")
            scores = refine(scores, region.graph, *example.labels())
            clock.lap("refinement")
            if growth == MAX_GROWTH:
                break
            # each time twice as far: what is large is reached in few runs of the network
            grown = grown_to(scene, box, region.voxels[(scores > 0).cpu().numpy()], 2 * STEP << growth)
            if grown == box:
                break
            scene.forget_region(box, self._device)
            box = grown
        kept = region.connected(scores > 0, region.locate(positions[positive]))
        scores = torch.where((scores > 0) & ~kept, -UNCONNECTED, scores)
        clock.lap("refinement")
        return region, scores

    def _example(self, region: Region, clicks: Sequence[Click], before: Before | None) -> Example:
        positions, positive = places(clicks)
        tensors = ClickTensors(region.locate(positions), torch.from_numpy(positive).to(self._device))
        rgb = region.rgb if uses_colour(self.inputs) else None
        normals = region.normals if uses_normals(self.inputs) else None
        previous = None if before is None else before.at(region.voxels)
        return Example(region.points, rgb, tensors, self.inputs, self._dtype, normals, previous)

    def _adapted(
        self, scene: Scene, clicks: Sequence[Click], before: Before | None, adapting: Adapting
    ) -> dict[str, Tensor]:
        """Parameters that follow the clicks around the newest one; a square of one size bounds time and memory."""
        positions, _ = places(clicks)
        box = box_around(scene, positions[-1:], LEARNT_REGION, LEARNT_REGION / 2)
        inside = scene.is_inside(box, positions)
        near = [click for click, is_inside in zip(clicks, inside, strict=True) if is_inside]
        if not near:  # the newest one is beside the scan
            return {}
        example = self._example(scene.region(box, self._device), near, before)
        return follow_clicks(self.model, example, adapting.importance, adapting.config)


def places(clicks: Sequence[Click]) -> tuple[np.ndarray, np.ndarray]:
    """Positions (K, 3) float64 and signs (K,) bool of clicks. Raises UserError for positions that are not finite."""
    positions = np.array([click.position for click in clicks], np.float64)
    if not np.isfinite(positions).all():
        raise UserError("A click has no finite position; click on the scan itself.")
    return positions, np.array([click.positive for click in clicks], bool)


def _key(scene: Scene, clicks: Sequence[Click], adapting: Adapting | None, alone: bool = False) -> tuple:
    """What an answer is known by."""
    return scene.key, tuple(clicks), adapting is not None, alone
