"""What may differ between two scans of the same things: place, size, light, paint."""

import numpy as np


def move(xyz: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn about z, mirror, scale, tilt by up to 3 degrees. xyz: (N, 3) float32 metres."""
    turn, tilt = rng.uniform(0, 2 * np.pi), np.radians(rng.uniform(-3, 3, 2))
    c, s = np.cos(turn), np.sin(turn)
    matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    matrix = np.array([[1, 0, tilt[0]], [0, 1, tilt[1]], [-tilt[0], -tilt[1], 1]]) @ matrix
    matrix[:, 0] *= rng.choice([-1, 1])
    return xyz @ (matrix * rng.uniform(0.82, 1.22)).T.astype(np.float32)


def recolour(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Exposure, contrast, white balance, saturation and per-point noise, as between cameras and rooms.

    rgb: (N, 3) float32 in [0, 1].
    """
    grey = rgb.mean(1, keepdims=True)
    rgb = grey + (rgb - grey) * rng.uniform(0.3, 1.4)
    rgb = (rgb - 0.5) * rng.uniform(0.6, 1.25) + 0.5 + rng.uniform(-0.15, 0.15)
    rgb = rgb * rng.uniform(0.88, 1.12, 3)
    rgb = np.clip(rgb, 0, 1) ** rng.uniform(0.7, 1.5)
    rgb = rgb + rng.normal(0, rng.uniform(0, 0.04), rgb.shape)
    return np.clip(rgb, 0, 1).astype(np.float32)


def repaint(
    xyz: np.ndarray, rgb: np.ndarray, instance: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Paint parts of some objects in other colours: a thing is not of one colour, and a print is not a thing.

    share: of the objects that are painted, each in up to three parts cut by planes. A part keeps its light and shade.
    xyz: (N, 3), rgb: (N, 3) float32 in [0, 1], instance: (N,), -1 = unlabelled.
    """
    out = rgb.copy()
    ids = np.unique(instance[instance >= 0])
    for number in ids[rng.random(len(ids)) < share]:
        members = np.flatnonzero(instance == number)
        at = xyz[members]
        for _ in range(rng.integers(1, 4)):
            direction = rng.normal(size=3) if rng.random() < 0.5 else np.eye(3)[rng.integers(3)]
            along = at @ direction.astype(np.float32)
            first, last = np.sort(rng.uniform(along.min(), along.max() + 1e-6, 2))
            part = members[(along >= first) & (along <= last)]
            if len(part):
                out[part] += (rng.uniform(0, 1, 3) - rgb[part].mean(0)).astype(np.float32)
    return np.clip(out, 0, 1)
