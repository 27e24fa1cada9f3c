"""Sparse convolution against dense convolution in float64, and its gradients against finite differences."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import conv3d, conv_transpose3d

from inference_server.sparse import chunk_products, convolution, pair_products
from inference_server.sparse.kernel_maps import Grid
from inference_server.sparse.row_blocks import row_blocks

SIZE = 8


def scene(seed=0, scenes=2):
    generator = torch.Generator().manual_seed(seed)
    filled = torch.rand(scenes, SIZE, SIZE, SIZE, generator=generator) < 0.2
    return Grid(filled.nonzero().to(torch.int32)), generator


def dense(features, coords, size=SIZE):
    volume = features.new_zeros(2, features.shape[1], size, size, size)
    b, x, y, z = coords.long().unbind(1)
    volume[b, :, x, y, z] = features
    return volume


def at(volume, coords):
    b, x, y, z = coords.long().unbind(1)
    return volume[b, :, x, y, z]


def dense_weight(weight, k):
    """(K, Ci, Co), first axis fastest -> conv3d's (Co, Ci, x, y, z)."""
    return weight.view(k, k, k, *weight.shape[1:]).permute(4, 3, 2, 1, 0)


@pytest.fixture(
    params=[(pair_products, "ROWS", 3), (pair_products, "ROWS", 500), (chunk_products, "_CPU_ROWS", 16)],
    ids=["pairs of 3 rows", "pairs", "chunks"],
)
def method(request, monkeypatch):
    module, name, rows = request.param
    monkeypatch.setattr(module, name, rows)
    monkeypatch.setattr(convolution, "_product", module.product)
    monkeypatch.setattr(convolution, "_gradients", lambda x: module)


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_odd_kernels_agree_with_conv3d(kernel_size, method):
    grid, generator = scene()
    x = torch.randn(len(grid), 4, dtype=torch.float64, generator=generator)
    w = torch.randn(kernel_size**3, 4, 5, dtype=torch.float64, generator=generator)
    ours = convolution.neighbourhood_convolution(x, w, grid.neighbours(kernel_size))
    volume = conv3d(dense(x, grid.coords), dense_weight(w, kernel_size), padding=kernel_size // 2)
    torch.testing.assert_close(ours, at(volume, grid.coords), rtol=1e-12, atol=1e-12)


def test_strided_kernel_agrees_with_conv3d(method):
    grid, generator = scene()
    x = torch.randn(len(grid), 4, dtype=torch.float64, generator=generator)
    w = torch.randn(8, 4, 5, dtype=torch.float64, generator=generator)
    ours = convolution.strided_convolution(x, w, grid.coarser)
    volume = conv3d(dense(x, grid.coords), dense_weight(w, 2), stride=2)
    torch.testing.assert_close(ours, at(volume, grid.coarser.grid.coords), rtol=1e-12, atol=1e-12)


def test_transposed_kernel_agrees_with_conv_transpose3d(method):
    grid, generator = scene()
    coarse = grid.coarser.grid
    x = torch.randn(len(coarse), 4, dtype=torch.float64, generator=generator)
    w = torch.randn(8, 4, 5, dtype=torch.float64, generator=generator)
    ours = convolution.transposed_convolution(x, w, grid.coarser)
    weight = w.view(2, 2, 2, 4, 5).permute(3, 4, 2, 1, 0)
    volume = conv_transpose3d(dense(x, coarse.coords, SIZE // 2), weight, stride=2)
    torch.testing.assert_close(ours, at(volume, grid.coords), rtol=1e-12, atol=1e-12)


def test_gradients_agree_with_finite_differences(method):
    grid = Grid((torch.rand(1, 3, 3, 3, generator=torch.Generator().manual_seed(3)) < 0.5).nonzero().int())

    def leaf(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    x, coarse = leaf(len(grid), 2), leaf(len(grid.coarser.grid), 2)
    assert torch.autograd.gradcheck(
        lambda a, w, b: convolution.neighbourhood_convolution(a, w, grid.neighbours(3), b),
        (x, leaf(27, 2, 3), leaf(1, 3)),
    )
    assert torch.autograd.gradcheck(
        lambda a, w, b: convolution.strided_convolution(a, w, grid.coarser, b), (x, leaf(8, 2, 3), leaf(1, 3))
    )
    assert torch.autograd.gradcheck(
        lambda a, w, b: convolution.transposed_convolution(a, w, grid.coarser, b), (coarse, leaf(8, 2, 3), leaf(1, 3))
    )


def test_bfloat16_stays_close_to_float32():
    grid, generator = scene()
    x = torch.randn(len(grid), 16, generator=generator)
    w = torch.randn(27, 16, 16, generator=generator) / 20
    exact = convolution.neighbourhood_convolution(x, w, grid.neighbours(3))
    rough = convolution.neighbourhood_convolution(x.bfloat16(), w.bfloat16(), grid.neighbours(3))
    assert rough.dtype == torch.bfloat16
    assert float((rough.float() - exact).norm() / exact.norm()) < 1e-2


def test_bfloat16_gradients_stay_close_to_float32s():
    grid, generator = scene()
    x = torch.randn(len(grid), 16, generator=generator)
    w = torch.randn(27, 16, 16, generator=generator) / 20
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        inputs = [each.clone().requires_grad_() for each in (x, w)]
        y = convolution.neighbourhood_convolution(*(each.to(dtype) for each in inputs), grid.neighbours(3))
        y.float().square().sum().backward()
        gradients.append([each.grad for each in inputs])
    for exact, rough in zip(*gradients, strict=True):
        assert float((rough - exact).norm() / exact.norm()) < 2e-2


@given(st.integers(0, 40_000), st.sampled_from([64, 1024, 8192]))
def test_row_blocks_cover_all_rows_with_few_heights(rows, tallest):
    blocks = row_blocks(rows, tallest)
    covered = np.zeros(rows, int)
    for block in blocks:
        assert 0 <= block.start < block.stop <= rows
        covered[block] += 1
    assert (covered > 0).all() and covered.sum() < 1.6 * rows + 16
    heights = {block.stop - block.start for block in blocks}
    assert rows < 16 or heights <= {2**power for power in range(4, 14)}


def test_a_dense_product_in_blocks_is_the_product():
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(333, 8, generator=generator), torch.randn(8, 5, generator=generator)
    bias = torch.randn(1, 5, generator=generator)
    for given_bias in (None, bias.bfloat16()):
        ours = convolution.dense_product(x.bfloat16(), w.bfloat16(), given_bias)
        expected = x @ w if given_bias is None else x @ w + bias
        assert float((ours.float() - expected).norm() / expected.norm()) < 1e-2


@pytest.mark.parametrize("voxels", [3, 40, 700])
def test_wide_kernels_in_bfloat16_are_right(voxels, monkeypatch):
    monkeypatch.setattr(pair_products, "BFLOAT16_WORK", 0)
    generator = torch.Generator().manual_seed(voxels)
    cells = torch.unique(torch.randint(0, 10, (voxels, 3), generator=generator), dim=0)
    grid = Grid(torch.cat([torch.zeros(len(cells), 1), cells], 1).int())
    x, w = torch.randn(len(grid), 96, generator=generator), torch.randn(27, 96, 96, generator=generator) / 50
    kernel_map = grid.neighbours(3)
    assert pair_products.suits(x.bfloat16(), w.bfloat16(), kernel_map)
    exact = convolution.neighbourhood_convolution(x, w, kernel_map)
    rough = convolution.neighbourhood_convolution(x.bfloat16(), w.bfloat16(), kernel_map).float()
    assert float((rough - exact).norm() / exact.norm()) < 1e-2


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
def test_values_and_gradients_on_a_gpu_are_the_cpus():
    given, generator = scene()
    x = torch.randn(len(given), 4, dtype=torch.float64, generator=generator)
    w3, w2 = (torch.randn(k, 4, 4, dtype=torch.float64, generator=generator) for k in (27, 8))
    results = []
    for device in ("cpu", "cuda"):
        grid = Grid(given.coords.to(device))
        inputs = [each.clone().to(device).requires_grad_() for each in (x, w3, w2)]
        y = convolution.neighbourhood_convolution(inputs[0][grid.order], inputs[1], grid.neighbours(3))
        y = convolution.strided_convolution(y, inputs[2], grid.coarser)
        y = convolution.transposed_convolution(y, inputs[2], grid.coarser)
        y = torch.empty_like(y).index_copy(0, grid.order, y)
        y.square().sum().backward()
        results.append([y, *(each.grad for each in inputs)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs.cpu(), rtol=1e-9, atol=1e-9)
