"""Kernel maps: neighbours and children, by table and by sorted keys."""

import pytest
import torch

from inference_server.sparse import kernel_maps, pair_products
from inference_server.sparse.chunk_products import chunks_of
from inference_server.sparse.kernel_maps import Grid, KernelMap, kernel_offsets, neighbour_table


def random_coords(seed=0, scenes=2):
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(-5, 5, (300, 3), generator=generator)
    batch = torch.randint(0, scenes, (300, 1), generator=generator)
    return torch.unique(torch.cat([batch, cells], 1), dim=0).to(torch.int32)


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("cells", [2**25, 0], ids=["table", "sorted keys"])
def test_every_entry_is_the_voxel_at_that_offset(kernel_size, cells, monkeypatch):
    monkeypatch.setattr(kernel_maps, "TABLE_CELLS", cells)
    coords = random_coords()
    row_of = {tuple(row): i for i, row in enumerate(coords.tolist())}
    table = neighbour_table(coords, kernel_size).tolist()
    for (b, x, y, z), entries in zip(coords.tolist(), table, strict=True):
        for (dx, dy, dz), entry in zip(kernel_offsets(kernel_size).tolist(), entries, strict=True):
            assert entry == row_of.get((b, x + dx, y + dy, z + dz), len(coords))


def test_voxels_far_apart_use_sorted_keys_and_find_no_false_neighbours():
    coords = torch.tensor([[0, -(2**19), 0, 0], [0, 2**19, 2**19, 0], [0, 2**19, 2**19, 1]], dtype=torch.int32)
    table = neighbour_table(coords, 3)
    assert (table < 3).sum(1).tolist() == [1, 2, 2]


def test_a_grid_keeps_every_voxel_and_tells_its_order():
    coords = random_coords()
    grid = Grid(coords)
    assert torch.equal(grid.coords, coords[grid.order])
    assert torch.equal(grid.neighbours(3).table, neighbour_table(grid.coords, 3))


def test_children_lie_in_their_parent_at_their_slot():
    grid = Grid(random_coords())
    down = grid.coarser
    parents = down.grid.coords[down.parent]
    assert torch.equal(torch.div(grid.coords[:, 1:], 2, rounding_mode="floor"), parents[:, 1:])
    assert torch.equal(grid.coords[:, 0], parents[:, 0])
    rest = grid.coords[:, 1:] - 2 * parents[:, 1:]
    assert torch.equal(rest @ torch.tensor([1, 2, 4], dtype=torch.int32), down.slot.to(torch.int32))
    assert torch.equal(down.children.table[down.parent, down.slot], torch.arange(len(grid), dtype=torch.int32))
    assert down.grid.stride == 2 and down.grid.finer is grid


def test_a_grid_without_a_finer_one_says_so():
    with pytest.raises(LookupError):
        _ = Grid(random_coords()).finer


def test_chunks_cover_all_rows_and_leave_out_only_empty_offsets():
    kernel_map = Grid(random_coords()).neighbours(3)
    rebuilt = torch.full_like(kernel_map.table, kernel_map.inputs)
    for chunk in chunks_of(kernel_map, 64):
        rebuilt[chunk.start : chunk.stop, chunk.offsets] = chunk.rows.view(-1, len(chunk.offsets))
    assert torch.equal(rebuilt, kernel_map.table)


def test_pairs_are_the_entries_of_the_map():
    kernel_map = Grid(random_coords()).neighbours(3)
    rebuilt = torch.full_like(kernel_map.table, kernel_map.inputs)
    for pairs in pair_products.pairs_of(kernel_map, 64):
        offsets = torch.cat([torch.full((count,), offset) for offset, count in pairs.counts])
        rebuilt[pairs.outputs.long(), offsets] = pairs.inputs[: len(offsets)]
        assert torch.equal(pairs.outputs[pairs.by_output.long()].sort().values, pairs.outputs[pairs.by_output.long()])
        ones = pairs.sums(torch.ones(len(pairs.inputs), 1))
        present = (kernel_map.table[pairs.start : pairs.stop] < kernel_map.inputs).sum(1, keepdim=True)
        assert torch.equal(ones, present.float())
    assert torch.equal(rebuilt, kernel_map.table)


def test_no_voxels_is_an_empty_map():
    empty = Grid(torch.zeros((0, 4), dtype=torch.int32))
    assert len(empty) == 0 and chunks_of(empty.neighbours(3), 8) == [] == pair_products.pairs_of(empty.neighbours(3), 8)
    assert isinstance(empty.neighbours(5), KernelMap)
