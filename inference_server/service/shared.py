"""How a scene lies in shared memory, the same for the service that writes it and the workers that read it."""

import errno
import os
import shutil
import sys
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np

_FOLDER = Path("/dev/shm")
"""Where Linux keeps shared memory. Containers often give it 64 MB, and touching more kills the process."""


def shared_memory_left() -> int:
    """Bytes of shared memory that the system has left; a very large number where it doesn't tell."""
    return shutil.disk_usage(_FOLDER).free if _is_file() else sys.maxsize


def _write(memory: SharedMemory, offset: int, values: np.ndarray) -> None:
    """Put contiguous values at a byte offset. Raises OSError where the system has no memory for them.

    On Linux through the file behind the memory: that takes less than half the time of touching fresh pages, and a
    full system is an error there instead of a signal.
    """
    if not _is_file():
        np.ndarray(values.shape, values.dtype, memory.buf, offset)[:] = values
        return
    file = os.open(_FOLDER / memory.name, os.O_WRONLY)
    try:
        if os.pwrite(file, values, offset) != values.nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(file)


def _is_file() -> bool:
    return sys.platform == "linux" and _FOLDER.is_dir()


def array_bytes(points: int, has_colors: bool) -> int:
    """Bytes of a scene's arrays."""
    return points * (15 if has_colors else 12)


def scene_arrays(memory: SharedMemory, points: int, has_colors: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Views of a scene's arrays in its memory: positions float32 (N, 3), colours uint8 (N, 3) or None."""
    positions = np.ndarray((points, 3), np.float32, memory.buf)
    colors = np.ndarray((points, 3), np.uint8, memory.buf, offset=points * 12) if has_colors else None
    return positions, colors


def write_chunk(
    memory: SharedMemory, points: int, start: int, positions: np.ndarray, colors: np.ndarray | None
) -> None:
    """Put a part of a scene of so many points where scene_arrays has it, from a point on. Raises OSError where the
    system has no memory for it."""
    _write(memory, start * 12, positions)
    if colors is not None:
        _write(memory, points * 12 + start * 3, colors)
