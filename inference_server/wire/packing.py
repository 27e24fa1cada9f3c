"""Masks and probabilities as few bytes: packed bits, and only the blocks that are not zero where that is
smaller.

An object fills a small part of a large scan, so most of its mask is zero; leaving those blocks out keeps a
reply's size at the object's size, and it needs no memory of what the other side holds.
"""

import numpy as np

from .protocol import ErrorCode, ProtocolError

BLOCK_BYTES = 64


def pack_mask(mask: np.ndarray, indices: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """bool (N,) -> arrays of a message: `mask` packed bits (lowest bit first), or its non-zero blocks + `mask_blocks`.

    indices: of points outside of which the mask is False, so that it need not be searched; None: nothing is known.
    """
    if not _faster(indices, len(mask)):
        return _pack("mask", np.packbits(mask, bitorder="little"))
    packed = np.zeros((len(mask) + 7) // 8, np.uint8)
    size = 8 * BLOCK_BYTES
    whole = len(mask) // size
    blocks = _blocks_of(indices[mask[indices]], len(mask), size)
    packed[: whole * BLOCK_BYTES].reshape(whole, BLOCK_BYTES)[blocks] = np.packbits(
        mask[: whole * size].reshape(whole, size)[blocks], axis=1, bitorder="little"
    )
    rest = packed[whole * BLOCK_BYTES :]
    rest[:] = np.packbits(mask[whole * size :], bitorder="little")
    if len(rest) == BLOCK_BYTES and rest.any():
        # a block of whole bytes that lacks up to seven bits
        blocks = np.append(blocks, np.uint32(whole))
    return _cut("mask", packed, blocks)


def unpack_mask(arrays: dict[str, np.ndarray], points: int) -> np.ndarray:
    """The bool (points,) mask of a message. Raises ProtocolError where it doesn't fit."""
    length = (points + 7) // 8
    values, blocks = _read("mask", arrays, length)
    if blocks is None:
        return np.unpackbits(values, count=points, bitorder="little").view(bool)
    # memory that is zero already is not touched, so a small object in a large scan is cheap
    bits = np.zeros(length * 8, np.uint8)
    _place(np.unpackbits(values, bitorder="little"), blocks, bits, 8 * BLOCK_BYTES)
    return bits[:points].view(bool)


def pack_probabilities(probabilities: np.ndarray, indices: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """uint8 (N,), 255 = certain, 0 outside the region -> arrays of a message. indices: as in pack_mask."""
    values = np.ascontiguousarray(probabilities, dtype=np.uint8)
    if not _faster(indices, len(values)):
        return _pack("probabilities", values)
    return _cut("probabilities", values, _blocks_of(indices, len(values), BLOCK_BYTES))


def unpack_probabilities(arrays: dict[str, np.ndarray], points: int) -> np.ndarray | None:
    """The uint8 (points,) probabilities of a message, or None where it has none."""
    if "probabilities" not in arrays:
        return None
    values, blocks = _read("probabilities", arrays, points)
    if blocks is None:
        return values
    full = np.zeros(points, np.uint8)
    _place(values, blocks, full, BLOCK_BYTES)
    return full


def _faster(indices: np.ndarray | None, length: int) -> bool:
    """Whether looking at known places takes less time than looking at everything (measured)."""
    return indices is not None and len(indices) * 8 < length


def _blocks_of(indices: np.ndarray, length: int, size: int) -> np.ndarray:
    """The whole blocks of so many values that indices fall into, uint32."""
    used = np.zeros(length // size + 1, bool)
    used[indices // size] = True
    return np.flatnonzero(used[:-1]).astype(np.uint32)


def _pack(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    whole = len(values) // BLOCK_BYTES
    used = values[: whole * BLOCK_BYTES].view(np.uint64).reshape(whole, -1).any(axis=1) if whole else np.zeros(0, bool)
    return _cut(name, values, np.flatnonzero(used).astype(np.uint32))


def _cut(name: str, values: np.ndarray, blocks: np.ndarray) -> dict[str, np.ndarray]:
    """Some blocks of uint8 values and the last, incomplete one; or all of them where that is hardly more."""
    if not _saves(len(blocks), len(values)):
        return {name: values}
    whole = len(values) // BLOCK_BYTES
    kept = values[: whole * BLOCK_BYTES].reshape(whole, BLOCK_BYTES)[blocks].reshape(-1)
    return {name: np.concatenate([kept, values[whole * BLOCK_BYTES :]]), f"{name}_blocks": blocks}


def _place(kept: np.ndarray, blocks: np.ndarray, full: np.ndarray, size: int) -> None:
    """The opposite of _cut: blocks of so many values and the incomplete one, put where they belong."""
    whole = len(full) // size
    full[: whole * size].reshape(whole, size)[blocks] = kept[: len(blocks) * size].reshape(len(blocks), size)
    full[whole * size :] = kept[len(blocks) * size :]


def _saves(blocks: int, length: int) -> bool:
    """Whether so many blocks are worth the trouble beside all bytes of an array."""
    return blocks * (BLOCK_BYTES + 4) < length // 2


def _read(name: str, arrays: dict[str, np.ndarray], length: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Values that came for an array of `length` bytes, and the blocks that they are, None for all of them."""
    values, blocks = arrays.get(name), arrays.get(f"{name}_blocks")
    if values is None or values.dtype != np.uint8 or values.ndim != 1:
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"The reply has no '{name}'.")
    if blocks is None:
        if len(values) != length:
            raise ProtocolError(ErrorCode.BAD_REQUEST, f"'{name}' has another length than the scene.")
    elif (
        blocks.dtype != np.uint32
        or blocks.ndim != 1
        or len(values) != len(blocks) * BLOCK_BYTES + length % BLOCK_BYTES
        or (len(blocks) and int(blocks.max()) >= length // BLOCK_BYTES)
    ):
        raise ProtocolError(ErrorCode.BAD_REQUEST, f"The blocks of '{name}' do not fit the scene.")
    return values, blocks
