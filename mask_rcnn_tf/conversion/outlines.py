"""Shapes that tools have and COCO has not, as polygons; parts that are one object; masks that are given in a window."""

import math
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.segmentation import mask_runs, numbers

CORNERS = 90  # of an ellipse: its area is 0.1 % too small


def points(values: Any, what: str = "polygon") -> np.ndarray:
    """Points of a tool as float64 [n, 2] (x, y). Raises Rejected: they are no finite pairs of numbers."""
    found = numbers(values, what) if values not in ([], ()) else np.zeros((0, 2))
    if found.ndim != 2 or found.shape[1] != 2:
        raise Rejected(f"{what} is not a list of points", f"it is {values!r:.60}; allowed: [[x, y], ...]")
    return found


def polygon(values: Any) -> list[float]:
    """A part [x, y, x, y, ...] of three points or more. Raises Rejected: there are less."""
    found = points(values)
    if len(found) < 3:
        raise Rejected("polygon of fewer than 3 points", f"it has {len(found)}")
    return found.ravel().tolist()


def corner_box(first: np.ndarray, second: np.ndarray) -> list[float]:
    """[x, y, width, height] of a box by two opposite corners (x, y), in any order."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    return [*low.tolist(), *(high - low).tolist()]


def rectangle(box: list[float], degrees: float = 0.0, pivot: tuple[float, float] | None = None) -> list[float]:
    """A box as a polygon, turned.

    Args:
      box: [x, y, width, height], pixels.
      degrees: clockwise as the image is seen.
      pivot: (x, y) around which it is turned, pixels; None for its centre.

    Returns:
      [x, y] * 4, from the upper left corner of the box, clockwise.
    """
    x, y, width, height = box
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    centre = np.array((x + width / 2, y + height / 2) if pivot is None else pivot)
    return _turned(corners, centre, math.radians(degrees)).ravel().tolist()


def ellipse(centre: tuple[float, float], radii: tuple[float, float], radians: float = 0.0) -> list[float]:
    """An ellipse as a polygon of `CORNERS` corners.

    Args:
      centre: (x, y), pixels.
      radii: along x and y before it is turned, pixels.
      radians: clockwise as the image is seen.

    Returns:
      [x, y] * CORNERS.

    Raises:
      Rejected: a radius is not above 0.
    """
    values = numbers([*centre, *radii, radians], "ellipse")
    if not (values[2:4] > 0).all():
        raise Rejected("circle or ellipse without a radius", f"radii {radii!r:.60}")
    angles = np.arange(CORNERS) * (2 * math.pi / CORNERS)
    rim = values[:2] + np.stack([np.cos(angles), np.sin(angles)], 1) * values[2:4]
    return _turned(rim, values[:2], values[4]).ravel().tolist()


def _turned(corners: np.ndarray, centre: np.ndarray, radians: float) -> np.ndarray:
    cosine, sine = math.cos(radians), math.sin(radians)
    return (corners - centre) @ np.array([[cosine, sine], [-sine, cosine]]) + centre


def windowed(crop: np.ndarray, origin: tuple[int, int], shape: tuple[int, int]) -> dict:
    """A mask that is given in a window, which may reach out of the image, as COCO's RLE.

    Args:
      crop: bool [ch, cw].
      origin: (y, x) of the window in the image, whole pixels, also negative.
      shape: (h, w) of the image.

    Returns:
      Compressed RLE.

    Raises:
      Rejected: no pixel of it lies in the image.
    """
    y, x = origin
    crop = crop[max(-y, 0) : max(shape[0] - y, 0), max(-x, 0) : max(shape[1] - x, 0)]
    if not crop.any():
        raise Rejected("mask has no area")
    return rle.encode_crop(crop, (max(y, 0), max(x, 0)), shape)


def united(parts: list[list | dict], shape: tuple[int, int]) -> list | dict:
    """Several segmentations as one: polygons side by side, or an RLE where one of them is one.

    Args:
      parts: COCO segmentations.
      shape: (h, w) of the image.

    Returns:
      COCO's segmentation.

    Raises:
      Rejected: a part cannot be used.
    """
    if all(isinstance(part, list) for part in parts):
        return [polygon for part in parts for polygon in part]
    encoded = [rle.encode(mask_runs(part, *shape), *shape) for part in parts]
    merged = coco_mask.merge(encoded)
    return {"size": list(shape), "counts": merged["counts"].decode("ascii")}


def values(table: dict, names: tuple[str, ...], what: str) -> list[float]:
    """Numbers of a table by name. Raises Rejected: one is missing or no finite number."""
    missing = [name for name in names if name not in table]
    if missing:
        raise Rejected(f"{what} without {missing[0]}", f"it has {', '.join(map(str, table))!r:.60}")
    found = numbers([table[name] for name in names], what)
    if found.ndim != 1:
        raise Rejected(f"{what} with lists for numbers", f"{[table[name] for name in names]!r:.60}")
    return found.tolist()
