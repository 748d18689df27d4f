"""Anchors: fixed boxes of a few sizes and shapes around every cell of a pyramid level."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf


def cell_anchors(sizes: Sequence[float], ratios: Sequence[float], rounded: bool) -> np.ndarray:
    """Anchors of one cell, centred on 0.

    Args:
      sizes: square roots of the anchors' areas, pixels.
      ratios: height / width.
      rounded: round the corners half to even, as torchvision does; Detectron2 does not.

    Returns:
      float32 [A, 4], pixels, A = len(ratios) * len(sizes); for each ratio, for each size.

    Raises:
      ValueError: sizes or ratios are empty or hold a number that is not above 0.

    Source: torchvision/models/detection/anchor_utils.py `generate_anchors` (this order);
      detectron2/modeling/anchor_generator.py `generate_cell_anchors` (for each size, for each ratio: the same order
      where a level has one size).
    """
    for name, values in (("sizes", sizes), ("ratios", ratios)):
        if not len(values) or min(values) <= 0:
            raise ValueError(f"{name} is {tuple(values)}; allowed: at least one number, all above 0.")
    root = np.sqrt(np.asarray(ratios, np.float64))[:, np.newaxis]
    sizes = np.asarray(sizes, np.float64)[np.newaxis, :]
    half_h, half_w = (root * sizes).ravel() / 2, (sizes / root).ravel() / 2
    cells = np.stack([-half_h, -half_w, half_h, half_w], axis=-1)
    return (np.round(cells) if rounded else cells).astype(np.float32)


def level_anchors(
    grid_shape: tuple[int | tf.Tensor, int | tf.Tensor],
    stride: tuple[int | tf.Tensor, int | tf.Tensor],
    cells: np.ndarray,
) -> tf.Tensor:
    """Anchors of one pyramid level, in the order row, column, anchor of the cell.

    Args:
      grid_shape: (h, w) of the level, cells; Python integers or int32 scalars.
      stride: (sy, sx), pixels from one cell to the next; Python integers or int32 scalars.
      cells: float32 [A, 4], pixels, from `cell_anchors`.

    Returns:
      float32 [h * w * A, 4], pixels. The anchors of cell (i, j) are centred on (sy * i, sx * j).

    Source: detectron2/modeling/anchor_generator.py `_create_grid_offsets` (offset 0);
      torchvision/models/detection/anchor_utils.py `grid_anchors`.
    """
    rows = tf.reshape(_places(grid_shape[0], stride[0]), [-1, 1, 1, 1]) * np.float32([1, 0, 1, 0])
    columns = tf.reshape(_places(grid_shape[1], stride[1]), [1, -1, 1, 1]) * np.float32([0, 1, 0, 1])
    return tf.reshape(rows + columns + cells, [-1, 4])


def _places(cells, stride):
    """float32 [cells]: where along an axis each cell stands, pixels."""
    if isinstance(cells, int) and isinstance(stride, int):
        return np.arange(cells, dtype=np.float32) * stride
    return tf.cast(tf.range(cells) * stride, tf.float32)
