"""Predicted masks in pixels of the image: two matrices of weights, one an axis, inside the box only."""

import numpy as np

SMALL_PRODUCT = 2**17  # multiplications; OpenBLAS gives its threads products from 2**18 on


def paste_mask(
    probabilities: np.ndarray, box: np.ndarray, image_shape: tuple[int, int], paste: str
) -> tuple[np.ndarray, tuple[int, int]]:
    """Resamples a predicted mask to image pixels, within its box only.

    Args:
      probabilities: float32 [M, M].
      box: float32 [4], pixels of the image.
      image_shape: (height, width).
      paste: "continuous" samples at pixel centres (Detectron2); "integer" resizes to a grown, truncated box
        (torchvision).

    Returns:
      float32 crop [ch, cw] of probabilities, possibly empty, and the image pixel (y0, x0) of its corner. The image is
      0 elsewhere.

    Raises:
      ValueError: for an unknown paste.

    Source: detectron2/layers/mask_ops.py `_do_paste_mask`; torchvision/models/detection/roi_heads.py
      `paste_mask_in_image`, `expand_boxes`.
    """
    if paste not in ("continuous", "integer"):
        raise ValueError(f'paste_mask: paste is {paste!r}; allowed: "continuous", "integer".')
    mask = np.asarray(probabilities, np.float32)
    box = np.asarray(box, np.float32)
    if paste == "continuous":
        (rows, y0), (columns, x0) = (_continuous_paste(box[axis::2], image_shape[axis], len(mask)) for axis in (0, 1))
    else:
        mask = np.pad(mask, 1)
        (rows, y0), (columns, x0) = (_integer_paste(box[axis::2], image_shape[axis], len(mask)) for axis in (0, 1))
    return _product(_product(rows, mask), columns.T), (y0, x0)


def paste_bitmap(
    probabilities: np.ndarray, box: np.ndarray, image_shape: tuple[int, int], threshold: float, paste: str
) -> tuple[np.ndarray, tuple[int, int]]:
    """Pastes one predicted mask within its box and thresholds it.

    Args:
      probabilities: float32 [M, M].
      box: float32 [4], pixels of the image.
      image_shape: (height, width).
      threshold: probability from which on a pixel belongs to the mask.
      paste: as in `paste_mask`; "continuous" compares with >=, "integer" with >.

    Returns:
      bool crop [ch, cw], possibly empty, and the image pixel (y0, x0) of its corner; the mask has no pixel elsewhere.

    Raises:
      ValueError: for an unknown paste.

    Source: detectron2/layers/mask_ops.py `paste_masks_in_image`; torchvision `references/detection/coco_eval.py`.
    """
    crop, origin = paste_mask(probabilities, box, image_shape, paste)
    return (crop >= threshold if paste == "continuous" else crop > threshold), origin


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The matrix product, of so few rows at a time that one thread takes each.

    Threads that share cores with others wait for each other: 100 masks took 27 times as long (measured).
    """
    rows, inner = a.shape
    size = max(2, SMALL_PRODUCT // max(b.size, 1))
    if rows <= size:
        return a @ b
    padded = np.zeros((-(-rows // size) * size, inner), a.dtype)
    padded[:rows] = a
    return (padded.reshape(-1, size, inner) @ b).reshape(len(padded), -1)[:rows]


def _continuous_paste(interval: np.ndarray, pixels: int, side: int) -> tuple[np.ndarray, int]:
    """Bilinear weights [c, side] of mask cells at the centres of image pixels along an axis, zero beyond the mask."""
    start, end = interval
    first = int(np.clip(np.floor(start), 0, pixels))
    last = int(np.clip(np.ceil(end), first, pixels)) if end > start else first
    centres = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
    position = (centres - start) / max(end - start, np.float32(1e-6)) * side - np.float32(0.5)
    return _tent(position, side), first


def _integer_paste(interval: np.ndarray, pixels: int, side: int) -> tuple[np.ndarray, int]:
    """Weights [c, side] of a mask with a border of one cell, stretched over the grown, truncated box."""
    start, end = interval
    half = (end - start) * np.float32(0.5) * np.float32(side / (side - 2))
    centre = (end + start) * np.float32(0.5)
    start, end = int(centre - half), int(centre + half)
    length = max(end - start + 1, 1)
    first, last = np.clip([start, end + 1], 0, pixels)
    inside = np.arange(first, max(first, last)) - start
    position = (inside.astype(np.float32) + np.float32(0.5)) * np.float32(side / length) - np.float32(0.5)
    return _tent(np.clip(position, 0, side - 1), side), int(first)


def _tent(position: np.ndarray, side: int) -> np.ndarray:
    distance = np.abs(position[:, np.newaxis] - np.arange(side, dtype=np.float32))
    return np.maximum(np.float32(1) - distance, np.float32(0))
