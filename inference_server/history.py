"""What was answered to the clicks before the newest one.

An artist clicks on what is wrong with the mask they see; what they leave alone is less wrong. A network that is told
its last answer can keep it there, instead of deciding anew about everything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .scene import TileBox
from .wire.protocol import Click

OUTSIDE = -8.0
"""Log-odds of what the last answer did not look at: it was not in the mask."""
LONGEST = 20
"""Steps that are gone through one by one at the most, so that a list of any length is answered in bounded time."""
HISTORY_BYTES = 64_000_000
"""Memory for answers of all scans of a predictor together."""


@dataclass(frozen=True)
class Answer:
    """Log-odds of a part of a scan: voxels (V,) integers, their numbers in the scan, ascending; scores (V,) float16."""

    voxels: np.ndarray
    scores: Tensor

    @classmethod
    def of(cls, voxels: np.ndarray, scores: Tensor) -> "Answer":
        """In half precision, so that an answer that is kept and one that is worked out anew are the same."""
        return cls(voxels, scores.to(torch.float16))

    @property
    def bytes(self) -> int:
        return self.voxels.nbytes + 2 * len(self.scores)

    @property
    def inside(self) -> np.ndarray:
        """Numbers of the voxels that were in the mask."""
        return self.voxels[(self.scores > 0).cpu().numpy()]

    def at(self, voxels: np.ndarray) -> Tensor:
        """Log-odds (W,) float32 of other voxels of the scan (W,), ascending; OUTSIDE where nothing is known."""
        place = np.minimum(np.searchsorted(self.voxels, voxels), len(self.voxels) - 1)
        known = torch.from_numpy(self.voxels[place] == voxels).to(self.scores.device)
        scores = self.scores[torch.from_numpy(place).to(self.scores.device)].float()
        return torch.where(known, scores, OUTSIDE)


@dataclass(frozen=True)
class Sight:
    """What a closer look sees: tiles of the scan, and the width of its voxels as a share of the scan's."""

    box: TileBox
    share: float


@dataclass(frozen=True)
class Enlarged:
    """An answer as a close-up is told it: each of its voxels what was said of the scan's voxel (V,) that it lies in."""

    answer: Answer
    voxels: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """None: how large a close-up's region is does not hang on it."""
        return np.zeros(0, np.int32)

    def at(self, voxels: np.ndarray) -> Tensor:
        """Log-odds (W,) float32 of voxels of the close-up (W,)."""
        return self.answer.at(self.voxels[voxels])


Before = Answer | Enlarged
"""What was answered before, as the next look is told it."""


@dataclass(frozen=True)
class Seen:
    """What an artist saw after their clicks, on the scan's own voxels; and where it was looked at closer, its sight and
    the answer on the finer ones."""

    answer: Answer
    sight: Sight | None = None
    close: Answer | None = None

    @property
    def bytes(self) -> int:
        return self.answer.bytes + (self.close.bytes if self.close else 0)

    def closer(self, sight: Sight, voxels: np.ndarray) -> Before:
        """The answer for a look at a sight; voxels: (V,) the scan's voxel that each of its finer ones lies in."""
        return self.close if self.close and self.sight == sight else Enlarged(self.answer, voxels)


def steps_before(clicks: Sequence[Click]) -> list[tuple[Sequence[Click], bool]]:
    """The clicks up to each step before the newest, in order, whose answers lead to the newest one's.

    True beside the first of them where it is all clicks of the first 20, 40, ... steps (LONGEST), which are answered
    together, without an answer before.
    """
    ends = [count for count in range(1, len(clicks)) if not clicks[count].joined]
    together = len(ends) // LONGEST * LONGEST
    return [(clicks[:end], place == together) for place, end in enumerate(ends, 1) if place >= together]
