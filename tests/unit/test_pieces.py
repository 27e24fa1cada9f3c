"""Regions that are cut where memory runs out."""

import pytest
import torch

from inference_server.models.points import Points
from inference_server.pieces import SMALLEST, run_or_cut


def region(points: int = 4000, width: float = 8.0) -> tuple[Points, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    xyz = torch.rand(points, 3, generator=generator) * torch.tensor([width, 5.0, 2.0]) - 2.5
    return Points(xyz), torch.rand(points, 2, generator=generator)


class Hungry:
    """Scores that depend on a point alone, for no more than so many points at a time."""

    def __init__(self, most: int, error: Exception):
        self.most, self.error, self.sizes = most, error, []

    def __call__(self, points: Points, features: torch.Tensor) -> torch.Tensor:
        assert len(points) == len(features)
        if len(points) > self.most:
            raise self.error
        self.sizes.append(len(points))
        return points.xyz[:, 0] + features[:, 1]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 123 bytes."),
    ],
)
def test_every_point_gets_the_score_of_its_own_piece(error):
    points, features = region()
    hungry = Hungry(1500, error)
    expected = points.xyz[:, 0] + features[:, 1]
    assert torch.equal(run_or_cut(hungry, points, features), expected)
    assert len(hungry.sizes) >= 4 and max(hungry.sizes) <= 1500


def test_what_fits_is_run_once():
    points, features = region()
    hungry = Hungry(4000, MemoryError())
    run_or_cut(hungry, points, features)
    assert hungry.sizes == [4000]


def test_what_is_too_large_in_the_smallest_pieces_is_told():
    points, features = region()
    with pytest.raises(MemoryError):
        run_or_cut(Hungry(10, MemoryError()), points, features)
    points, features = region(width=SMALLEST / 2)
    points.xyz[:, 1] *= 0.1
    with pytest.raises(MemoryError):
        run_or_cut(Hungry(3999, MemoryError()), points, features)


def test_other_errors_are_not_taken_for_it():
    points, features = region()
    with pytest.raises(ZeroDivisionError):
        run_or_cut(Hungry(10, ZeroDivisionError()), points, features)
