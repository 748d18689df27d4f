"""Masks of detections as a head gives them, drawn by NumPy alone."""

import numpy as np

SIDE = 28


def drawn_masks(objects, height, width, seed=0):
    """Blobs in boxes of all sizes, as many small as large ones.

    Returns:
      Probabilities float32 [objects, 28, 28] in the frame of the box; boxes float32 [objects, 4] (y1, x1, y2, x2),
      pixels, inside the image.
    """
    random = np.random.default_rng(seed)
    sides = np.exp(random.uniform(np.log(16), np.log(min(height, width) * 0.7), (objects, 2)))
    corners = random.random((objects, 2)) * ([height, width] - sides)
    grid = (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
    angle = np.arctan2(grid[:, None], grid[None])
    waves = 0.8 + 0.15 * np.sin(random.integers(2, 6, (objects, 1, 1)) * angle + random.random((objects, 1, 1)) * 6)
    logits = 8 * (waves - np.hypot(grid[:, None], grid[None]))
    return (1 / (1 + np.exp(-logits))).astype(np.float32), np.concatenate([corners, corners + sides], 1).astype(
        np.float32
    )
