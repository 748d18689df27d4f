"""The judge of one annotation, and of one result: what it says in arrays, or why it cannot be used."""

import dataclasses
import math
from typing import Any

import numpy as np

from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco import boxes, rle
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.segmentation import has_segmentation, has_stray_parts, mask_runs, numbers

STRAY_PART = "parts of a polygon with one or two points dropped"
SIZELESS = "boxes without a size replaced by the mask's"
NO_BOX = "boxes that are null or empty replaced by the mask's"
UNLIKE = "boxes unlike their mask replaced by the mask's"
CROWD_TEXT = "iscrowd read from text"
AREALESS = "areas that are no number from 0 to 1e10 replaced by the mask's or the box's"
HIGHEST_SCORE = 2.0**100  # a float32 holds it
LARGEST_AREA = 1e10  # COCOeval ignores objects whose area is below 0 or above this


@dataclasses.dataclass(frozen=True)
class Instance:
    """What an annotation says."""

    box: np.ndarray  # float32 [4] [y1, x1, y2, x2] pixels, cut at the image's border
    runs: np.ndarray  # int32 [n], see `rle`; empty without a mask
    keypoints: np.ndarray | None = None  # float32 [J, 3], see `keypoint_rows`; None where they were not asked for
    is_crowd: bool = False
    box_is_stated: bool = True  # or else it is the mask's
    repairs: tuple[str, ...] = ()  # what was mended, by kind


def judge(
    row: dict,
    image: dict,
    *,
    num_keypoints: int | None = None,
    need_mask: bool = False,
    may_be_empty: bool = False,
    form: boxes.BoxForm = boxes.XYWH,
) -> Instance:
    """Judges one annotation: nothing that this rejects may reach pycocotools or a network.

    Args:
      row: the annotation, as in the file.
      image: its image's row, with `height` and `width`, pixels.
      num_keypoints: J; None leaves keypoints unread.
      need_mask: whether a box alone is not enough.
      may_be_empty: whether boxes and masks without area are accepted: scoring counts them as not found, training cannot
        use them.
      form: how the file's boxes are to be read, see `boxes.judge_boxes`.

    Returns:
      The annotation in arrays.

    Raises:
      Rejected: with the reason.
    """
    size = boxes.image_size(image)
    crowd = is_crowd(row)
    runs, repairs = np.zeros(0, np.int32), []
    if isinstance(row.get("iscrowd"), str):
        repairs.append(CROWD_TEXT)
    if has_segmentation(row):
        runs = mask_runs(row["segmentation"], *size, may_be_empty=may_be_empty)
        repairs += [STRAY_PART] * has_stray_parts(row["segmentation"])
    elif need_mask:
        raise Rejected("annotation has no mask")
    box, is_stated, mended = _box(row.get("bbox"), runs, size, form, may_be_empty=may_be_empty, is_crowd=crowd)
    if "bbox" in row and row["bbox"] in (None, []):  # nothing to mend where a file leaves boxes out altogether
        mended = (NO_BOX,)
    if row.get("area") is not None and not is_area(row["area"]):
        repairs.append(AREALESS)
    keypoints = None if num_keypoints is None else keypoint_rows(row.get("keypoints"), num_keypoints)
    return Instance(box, runs, keypoints, crowd, is_stated, (*repairs, *mended))


def is_number(value: Any) -> bool:
    """Whether something is a finite number."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        return False
    return isinstance(value, int) or math.isfinite(value)


def is_area(value: Any) -> bool:
    """Whether something is an area that COCOeval counts."""
    return is_number(value) and 0 <= value <= LARGEST_AREA


def is_crowd(row: dict) -> bool:
    """Whether an annotation is a crowd: `iscrowd` 1, true, 1.0 or "1"; not 0, null or none.

    Raises:
      Rejected: it is something else.
    """
    value = row.get("iscrowd")
    if value is None:
        return False
    number = {"0": 0, "1": 1}.get(value.strip(), value) if isinstance(value, str) else value
    if not isinstance(number, int | float) or number not in (0, 1):
        raise Rejected("iscrowd is not 0 or 1", f"it is {shown(value):.60}")
    return bool(number)


def _box(
    bbox: Any, runs: np.ndarray, size: tuple[int, int], form: boxes.BoxForm, *, may_be_empty: bool, is_crowd: bool
) -> tuple[np.ndarray, bool, tuple[str, ...]]:
    """The box of an annotation, whether it is the stated one, and what was mended. Raises Rejected."""
    is_absent = bbox is None or bbox == []
    if not runs[1::2].any():
        if not is_absent:
            return clipped_box(bbox, *size, may_be_empty=may_be_empty, form=form), form == boxes.XYWH, ()
        if not len(runs):
            raise Rejected("annotation has neither box nor mask")
    mask_box = rle.box(runs, *size)
    if is_absent:
        return mask_box, False, ()
    stated = form.corners(boxes.check_box(bbox), *size)
    if not (stated[2:] > stated[:2]).all():
        return mask_box, False, (SIZELESS,)
    cut = boxes.clipped(stated, *size)
    if form != boxes.XYWH:
        return mask_box, False, ()
    if is_crowd or boxes.agree(cut, mask_box):
        return cut.astype(np.float32), True, ()
    return mask_box, False, (UNLIKE,)


def clipped_box(
    bbox: Any, height: int, width: int, *, may_be_empty: bool = False, form: boxes.BoxForm = boxes.XYWH
) -> np.ndarray:
    """A COCO box as this package's box, cut at the image's border.

    Args:
      bbox: [x, y, width, height], pixels.
      height: of the image, pixels.
      width: of the image, pixels.
      may_be_empty: whether a box without area in the image is accepted.
      form: how the numbers are to be read.

    Returns:
      float32 [4]: [y1, x1, y2, x2] pixels.

    Raises:
      Rejected: not four finite numbers, of negative size, no area, or wholly outside.
    """
    corners = form.corners(boxes.check_box(bbox), height, width)
    box = boxes.clipped(corners, height, width).astype(np.float32)
    has_size, is_negative = (corners[2:] > corners[:2]).all(), (corners[2:] < corners[:2]).any()
    if may_be_empty and not is_negative:
        return box
    if has_size and ((corners[:2] >= (height, width)) | (corners[2:] <= 0)).any():
        raise Rejected("box lies outside the image", f"{form} = {shown(bbox):.60}")
    if not has_size or not (box[2:] > box[:2]).all():
        raise Rejected("box has no area", f"{form} = {shown(bbox):.60}")
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
      The same result; its RLE is compressed, with counts as text.

    Raises:
      Rejected: with the reason.
    """
    if not isinstance(result, dict):
        raise Rejected("result is not a table", f"it is {shown(result):.60}")
    for key in ("image_id", "category_id"):
        if not isinstance(result.get(key), int | np.integer) or isinstance(result[key], bool):
            raise Rejected(f"{key} is not a whole number", f"it is {shown(result.get(key)):.60}")
    if not is_number(result.get("score")) or abs(result["score"]) > HIGHEST_SCORE:
        raise Rejected("score is not a finite number", f"it is {shown(result.get('score')):.60}")
    if "bbox" in result and (boxes.check_box(result["bbox"])[2:] < 0).any():
        raise Rejected("box has a negative side", f"{boxes.XYWH} = {shown(result['bbox']):.60}")
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
        raise Rejected("segmentation is no RLE with a size", f"it is {shown(segmentation):.60}")
    height, width = boxes.image_size({"height": size[0], "width": size[1]})
    runs = rle.runs_of_rle(segmentation, height, width)
    return rle.encode(runs, height, width)
