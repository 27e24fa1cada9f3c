"""Blocks of rows of a few heights, for products in bfloat16 on a CPU.

oneDNN compiles every shape of product that it meets in bfloat16, which takes 0.6 ms and 0.6 MB (measured): with blocks
of any height each region of a scan would bring its own.
"""

import torch
from torch import Tensor

SMALLEST = 16


def row_blocks(rows: int, tallest: int) -> list[slice]:
    """Cover `rows` rows by blocks of powers of two up to `tallest`; a block may overlap the one before."""
    blocks, start = [], 0
    while start < rows:
        rest = rows - start
        height = min(tallest, max(SMALLEST, 1 << (rest - 1).bit_length()))
        if height > rest and height > rows:
            height //= 2
        if height <= rest:
            blocks.append(slice(start, start + height))
        else:
            blocks.append(slice(max(rows - height, 0), rows))
        start = blocks[-1].stop
    return blocks


def product_into(out: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """out (R, Co) = x (R, Ci) @ weight (Ci, Co) + bias (1, Co), in one pass over out."""
    if bias is None:
        torch.mm(x, weight, out=out)
    else:
        torch.addmm(bias, x, weight, out=out)
