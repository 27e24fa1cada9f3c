"""Masks and probabilities as few bytes: packed bits, and only the blocks that are not zero where that is
smaller.

An object fills a small part of a large scan, so most of its mask is zero; leaving those blocks out keeps a
reply's size at the object's size, and it needs no memory of what the other side holds.
"""

import numpy as np

from .protocol import ErrorCode, ProtocolError

BLOCK_BYTES = 64


def pack_mask(mask: np.ndarray) -> dict[str, np.ndarray]:
    """bool (N,) -> arrays of a message: `mask` packed bits (lowest bit first), or its non-zero blocks +
    `mask_blocks`."""
    return _pack("mask", np.packbits(mask, bitorder="little"))


def unpack_mask(arrays: dict[str, np.ndarray], points: int) -> np.ndarray:
    """The bool (points,) mask of a message. Raises ProtocolError where it doesn't fit."""
    packed = _unpack("mask", arrays, (points + 7) // 8)
    return np.unpackbits(packed, count=points, bitorder="little").view(bool)


def pack_probabilities(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """uint8 (N,), 255 = certain, 0 outside the region -> arrays of a message."""
    return _pack("probabilities", np.ascontiguousarray(probabilities, dtype=np.uint8))


def unpack_probabilities(arrays: dict[str, np.ndarray], points: int) -> np.ndarray | None:
    """The uint8 (points,) probabilities of a message, or None where it has none."""
    return _unpack("probabilities", arrays, points) if "probabilities" in arrays else None


def _pack(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    whole = len(values) // BLOCK_BYTES
    used = (
        values[: whole * BLOCK_BYTES].view(np.uint64).reshape(whole, -1).any(axis=1)
        if whole
        else np.zeros(0, bool)
    )
    blocks = np.flatnonzero(used).astype(np.uint32)
    if len(blocks) * (BLOCK_BYTES + 4) >= len(values) // 2:
        return {name: values}
    kept = np.concatenate(
        [
            values[: whole * BLOCK_BYTES].reshape(whole, BLOCK_BYTES)[blocks].reshape(-1),
            values[whole * BLOCK_BYTES :],
        ]
    )
    return {name: kept, f"{name}_blocks": blocks}


def _unpack(name: str, arrays: dict[str, np.ndarray], length: int) -> np.ndarray:
    values, blocks = arrays.get(name), arrays.get(f"{name}_blocks")
    if values is None or values.dtype != np.uint8 or values.ndim != 1:
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"The reply has no '{name}'.")
    if blocks is None:
        if len(values) != length:
            raise ProtocolError(ErrorCode.BAD_REQUEST, f"'{name}' has another length than the scene.")
        return values
    whole = length // BLOCK_BYTES
    if (
        blocks.dtype != np.uint32
        or blocks.ndim != 1
        or len(values) != len(blocks) * BLOCK_BYTES + length % BLOCK_BYTES
        or (len(blocks) and int(blocks.max()) >= whole)
    ):
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"The blocks of '{name}' do not fit the scene.")
    full = np.zeros(length, np.uint8)
    full[: whole * BLOCK_BYTES].reshape(whole, BLOCK_BYTES)[blocks] = values[
        : len(blocks) * BLOCK_BYTES
    ].reshape(-1, BLOCK_BYTES)
    full[whole * BLOCK_BYTES :] = values[len(blocks) * BLOCK_BYTES :]
    return full
