"""How light is written in bytes."""

import numpy as np


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """sRGB uint8 of linear floats (IEC 61966-2-1), clipped to what a byte holds."""
    clipped = np.clip(np.nan_to_num(linear), 0.0, 1.0)
    encoded = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * np.power(clipped, 1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)
