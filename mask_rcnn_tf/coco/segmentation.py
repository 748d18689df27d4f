"""An annotation's `segmentation`: polygons or an RLE, checked before pycocotools sees it, which trusts its input."""

from typing import Any

import numpy as np

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.coco.errors import Rejected

# pycocotools walks a polygon's outline in fifths of a pixel, so a stray coordinate of 1e9 would take all memory.
FAR = 100_000.0  # pixels
LONGEST = 4e6  # pixels of one polygon's outline, for which pycocotools takes 0.2 GB


def numbers(values: Any, what: str) -> np.ndarray:
    """Float64 copy of numbers of a record.

    Args:
      values: what the file has.
      what: its name in the message.

    Returns:
      float64, of the shape of the nested lists.

    Raises:
      Rejected: there is something else than numbers (texts of numbers too), or one is not finite or beyond FAR.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, OverflowError) as error:  # rows of different lengths
        raise Rejected(f"{what} is not a list of numbers", f"it is {values!r:.60}") from error
    if array.ndim == 0 or array.dtype.kind not in "iuf":
        raise Rejected(f"{what} is not a list of numbers", f"it is {values!r:.60}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise Rejected(f"{what} has a number that is not finite")
    if array.size and np.abs(array).max() > FAR:
        raise Rejected(f"{what} lies far outside the image", f"a coordinate is {array.flat[np.abs(array).argmax()]:g}")
    return array


def has_segmentation(annotation: dict) -> bool:
    """Whether an annotation comes with a mask; `null`, `[]`, `[[]]` and `""` are none."""
    segmentation = annotation.get("segmentation")
    return any(part != [] for part in segmentation) if isinstance(segmentation, list) else bool(segmentation)


def mask_runs(segmentation: Any, height: int, width: int, *, may_be_empty: bool = False) -> np.ndarray:
    """Runs of polygons, a compressed or an uncompressed RLE.

    Args:
      segmentation: as in the file; polygons (lists of x, y in pixels of the image) are united.
      height: of the image, pixels.
      width: of the image, pixels.
      may_be_empty: whether a mask without a pixel is accepted.

    Returns:
      int32 [n]: lengths of runs down the columns, the first of zeros; they sum to height * width.

    Raises:
      Rejected: malformed, or no pixel is covered.

    Source: detectron2/data/datasets/coco.py, which drops such parts too, and the object where none is left.
    """
    parts = segmentation
    if isinstance(segmentation, dict):
        runs = rle.runs_of_rle(segmentation, height, width)
    elif isinstance(segmentation, list):
        parts = polygons(segmentation)
        runs = rle.runs_of_polygons(parts, height, width)
    else:
        raise Rejected("segmentation is neither polygons nor RLE", f"it is a {type(segmentation).__name__}")
    if not may_be_empty and not runs[1::2].any():
        raise Rejected(_why_empty(parts, height, width))
    return runs


def has_stray_parts(segmentation: Any) -> bool:
    """Whether parts of no, one or two points lie beside a polygon; they are no part of the mask."""
    return isinstance(segmentation, list) and len(polygons(segmentation)) < len(segmentation)


def polygons(parts: list) -> list:
    """The parts that are polygons; those of no, one or two points are left out where there is another.

    Raises:
      Rejected: a part that is no list of numbers, or has a wrong number of them.
    """
    for part in parts:
        if not isinstance(part, list):
            raise Rejected("polygon is not a list of numbers", f"it is {part!r:.40}; allowed: lists in a list")
        if part and numbers(part, "polygon").ndim != 1:
            raise Rejected("polygon is not a list of numbers", f"it is {part!r:.40}; allowed: [x, y, x, y, ...]")
    whole = [part for part in parts if len(part) not in (0, 2, 4)] or parts
    for part in whole:
        if len(part) < 6 or len(part) % 2:
            raise Rejected("polygon has fewer than 6 or an odd number of numbers", f"it has {len(part)}")
        points = np.reshape(np.asarray(part, np.float64), (-1, 2))
        length = np.abs(points - np.roll(points, 1, 0)).max(1).sum()
        if length > LONGEST:
            raise Rejected("polygon's outline is too long", f"{length:.0f} pixels; allowed: {LONGEST:.0f}")
    return whole


def _why_empty(segmentation: dict | list, height: int, width: int) -> str:
    if isinstance(segmentation, dict):
        return "mask has no area"
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in segmentation])
    low, high = points.min(0), points.max(0)
    outside = high[0] <= 0 or high[1] <= 0 or low[0] >= width or low[1] >= height
    return "polygon lies outside the image" if outside else "polygon has no area"
