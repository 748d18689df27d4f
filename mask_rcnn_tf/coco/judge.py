"""The judge of one annotation, and of one result: what it says in arrays, or why it cannot be used."""

import dataclasses
from typing import Any

import numpy as np

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.segmentation import has_segmentation, mask_runs, numbers


@dataclasses.dataclass(frozen=True)
class Instance:
    """What an annotation says."""

    box: np.ndarray  # float32 [4] [y1, x1, y2, x2] pixels, cut at the image's border
    runs: np.ndarray  # int32 [n], see `rle`; empty without a mask
    keypoints: np.ndarray | None  # float32 [J, 3], see `keypoint_rows`; None where they were not asked for


def judge(
    row: dict,
    image: dict,
    *,
    num_keypoints: int | None = None,
    need_mask: bool = False,
    may_be_empty: bool = False,
) -> Instance:
    """Judges one annotation: nothing that this rejects may reach pycocotools or a network.

    Args:
      row: the annotation, as in the file.
      image: its image's row, with `height` and `width`, pixels.
      num_keypoints: J; None leaves keypoints unread.
      need_mask: whether a box alone is not enough.
      may_be_empty: whether boxes and masks without area are accepted: scoring counts them as not found, training cannot
        use them.

    Returns:
      The annotation in arrays.

    Raises:
      Rejected: with the reason.
    """
    height, width = _sides(image)
    runs = np.zeros(0, np.int32)
    if has_segmentation(row):
        runs = mask_runs(row["segmentation"], height, width, may_be_empty=may_be_empty)
    elif need_mask:
        raise Rejected("annotation has no mask")
    if row.get("bbox") is not None:
        box = clipped_box(row["bbox"], height, width, may_be_empty=may_be_empty)
    elif len(runs):
        box = rle.box(runs, height, width)
    else:
        raise Rejected("annotation has neither box nor mask")
    return Instance(box, runs, None if num_keypoints is None else keypoint_rows(row.get("keypoints"), num_keypoints))


def _sides(image: dict) -> tuple[int, int]:
    sides = image.get("height"), image.get("width")
    for side in sides:
        if not isinstance(side, int | np.integer) or isinstance(side, bool) or side < 1:
            raise Rejected("image without a height and width", f"[height, width] = {list(sides)!r:.60}")
    if sides[0] * sides[1] >= 2**31:
        raise Rejected("image with more than 2**31 pixels", f"[height, width] = {list(sides)!r:.60}")
    return int(sides[0]), int(sides[1])


def check_box(bbox: Any) -> np.ndarray:
    """A COCO box as float64 [4]; raises Rejected unless it is four finite numbers."""
    values = numbers(bbox, "box")
    if values.shape != (4,):
        raise Rejected("box is not four numbers", f"it is {bbox!r:.60}")
    return values


def clipped_box(bbox: Any, height: int, width: int, *, may_be_empty: bool = False) -> np.ndarray:
    """A COCO box as this package's box, cut at the image's border.

    Args:
      bbox: [x, y, width, height], pixels.
      height: of the image, pixels.
      width: of the image, pixels.
      may_be_empty: whether a box without area in the image is accepted.

    Returns:
      float32 [4]: [y1, x1, y2, x2] pixels.

    Raises:
      Rejected: not four finite numbers, no area, or wholly outside.
    """
    x, y, w, h = check_box(bbox)
    box = np.array([max(y, 0), max(x, 0), min(y + h, height), min(x + w, width)], np.float32)
    if may_be_empty:
        return box
    outside = x >= width or y >= height or x + w <= 0 or y + h <= 0
    if w > 0 and h > 0 and outside:
        raise Rejected("box lies outside the image", f"[x, y, width, height] = {bbox}")
    if not (w > 0 and h > 0 and (box[2:] > box[:2]).all()):
        raise Rejected("box has no area", f"[x, y, width, height] = {bbox}")
    return box


def keypoint_rows(keypoints: Any, num_keypoints: int) -> np.ndarray:
    """COCO keypoints in continuous coordinates.

    Args:
      keypoints: [x, y, v] * J, x and y being indices of pixels; None or [] for none.
      num_keypoints: J.

    Returns:
      float32 [J, 3]: x + 0.5, y + 0.5, v; zeros where v is 0.

    Raises:
      Rejected: another count than 3 J, not finite, or v is not 0, 1 or 2.

    Source: detectron2/data/datasets/coco.py adds 0.5, so that the centre of pixel i is i + 0.5.
    """
    if not keypoints:
        return np.zeros((num_keypoints, 3), np.float32)
    values = numbers(keypoints, "keypoints")
    if values.shape != (3 * num_keypoints,):
        raise Rejected(
            "keypoints of another number than the category's", f"{values.size} numbers, not 3 * {num_keypoints}"
        )
    rows = values.reshape(-1, 3)
    if not np.isin(rows[:, 2], (0, 1, 2)).all():
        raise Rejected("keypoints with a visibility that is not 0, 1 or 2")
    rows[:, :2] += 0.5
    return np.where(rows[:, 2:] > 0, rows, 0).astype(np.float32)


def judge_result(result: Any) -> dict:
    """Judges one COCO result, whose mask must be an RLE of its own `size`.

    Args:
      result: `image_id`, `category_id`, `score`, and any of `bbox`, `segmentation`, `keypoints`.

    Returns:
      The same result; an uncompressed RLE is compressed.

    Raises:
      Rejected: with the reason.
    """
    if not isinstance(result, dict):
        raise Rejected("result is not a table", f"it is {result!r:.60}")
    for key in ("image_id", "category_id"):
        if not isinstance(result.get(key), int | np.integer) or isinstance(result[key], bool):
            raise Rejected(f"{key} is not a whole number", f"it is {result.get(key)!r:.60}")
    if numbers([result.get("score")], "score").shape != (1,):
        raise Rejected("score is not a number", f"it is {result['score']!r:.60}")
    if "bbox" in result:
        check_box(result["bbox"])
    if "keypoints" in result:
        _check_result_keypoints(result["keypoints"])
    return result | {"segmentation": _checked_rle(result["segmentation"])} if "segmentation" in result else result


def _check_result_keypoints(keypoints: Any):
    values = numbers(keypoints, "keypoints")
    if values.ndim != 1 or not values.size or values.size % 3:
        raise Rejected("keypoints are not [x, y, score] for each", f"{values.size} numbers")


def _checked_rle(segmentation: Any) -> dict:
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise Rejected("segmentation is no RLE with a size", f"it is {segmentation!r:.60}")
    height, width = _sides({"height": size[0], "width": size[1]})
    runs = rle.runs_of_rle(segmentation, height, width)
    return rle.encode(runs, height, width) if isinstance(segmentation["counts"], list) else segmentation
