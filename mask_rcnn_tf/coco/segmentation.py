"""An annotation's `segmentation`: polygons or an RLE, checked before pycocotools sees it, which trusts its input."""

from typing import Any

import numpy as np

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.coco.errors import Rejected

# pycocotools walks a polygon's outline in fifths of a pixel, so a stray coordinate of 1e9 would take all memory.
FAR = 100_000.0  # pixels


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
    """Whether an annotation comes with a mask; `null`, `[]` and `""` are none."""
    return bool(annotation.get("segmentation"))


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
    """
    if isinstance(segmentation, dict):
        runs = rle.runs_of_rle(segmentation, height, width)
    elif isinstance(segmentation, list):
        for polygon in segmentation:
            _check_polygon(polygon)
        runs = rle.runs_of_polygons(segmentation, height, width)
    else:
        raise Rejected("segmentation is neither polygons nor RLE", f"it is a {type(segmentation).__name__}")
    if not may_be_empty and not runs[1::2].any():
        raise Rejected(_why_empty(segmentation, height, width))
    return runs


def _check_polygon(polygon: Any):
    if not isinstance(polygon, list):
        raise Rejected("polygon is not a list of numbers", f"it is {polygon!r:.40}; allowed: lists in a list")
    if len(polygon) < 6 or len(polygon) % 2:
        raise Rejected("polygon has fewer than 6 or an odd number of numbers", f"it has {len(polygon)}")
    if numbers(polygon, "polygon").ndim != 1:
        raise Rejected("polygon is not a list of numbers", f"it is {polygon!r:.40}; allowed: [x, y, x, y, ...]")


def _why_empty(segmentation: dict | list, height: int, width: int) -> str:
    if isinstance(segmentation, dict):
        return "mask has no area"
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in segmentation])
    low, high = points.min(0), points.max(0)
    outside = high[0] <= 0 or high[1] <= 0 or low[0] >= width or low[1] >= height
    return "polygon lies outside the image" if outside else "polygon has no area"
