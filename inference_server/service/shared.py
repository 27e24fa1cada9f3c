"""How a scene lies in shared memory, the same for the service that writes it and the workers that read it."""

from multiprocessing.shared_memory import SharedMemory

import numpy as np


def array_bytes(points: int, has_colors: bool) -> int:
    """Bytes of a scene's arrays."""
    return points * (15 if has_colors else 12)


def scene_arrays(memory: SharedMemory, points: int, has_colors: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Views of a scene's arrays in its memory: positions float32 (N, 3), colours uint8 (N, 3) or None."""
    positions = np.ndarray((points, 3), np.float32, memory.buf)
    colors = np.ndarray((points, 3), np.uint8, memory.buf, offset=points * 12) if has_colors else None
    return positions, colors
