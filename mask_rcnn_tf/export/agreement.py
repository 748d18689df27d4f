"""How far two programs find the same things, where numbers cannot be equal: weights in 16 or 8 bits."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from mask_rcnn_tf.evaluation.compare_results import compare_masks
from mask_rcnn_tf.export.errors import ExportError

# {quantization: least agreement of detections; None: the same detections}
LEAST_AGREEMENT = {"none": None, "float16": 0.9, "dynamic": 0.8, "int8": 0.8}
MIN_IOU = 0.5
MAX_SHIFT = 0.1  # of a keypoint, as a share of the side of a square of the box's area


def least_agreement(quantization: str, allowed: Iterable[str]) -> float | None:
    """What an export of this quantization must reach to be written; None: the same detections.

    Args:
      quantization: as the caller has it.
      allowed: those that the format has.

    Raises:
      ExportError: it is none of these.
    """
    if quantization not in allowed:
        raise ExportError(f"quantization is {quantization!r}; allowed: {', '.join(map(repr, allowed))}.")
    return LEAST_AGREEMENT[quantization]


def agreement(results: Sequence[dict], reference: Sequence[dict]) -> float:
    """Share of the clearer detections of each side that the other side has too, mean of both directions.

    The clearer ones are the half with the higher scores of all images together: those near the score threshold come
    and go with every rounding. A partner has the same image and category, IoU of at least 0.5 of the boxes and, where
    there are masks, of the masks, and any score.

    Args:
      results, reference: COCO results with `image_id`, `category_id`, `bbox`, `score` and, on both sides or on none,
        `segmentation` (RLE) and `keypoints`.

    Returns:
      0 to 1; 0 where `results` is empty.

    Raises:
      ExportError: `reference` is empty: there is nothing to agree with.
    """
    if not reference:
        raise ExportError("the Keras model finds nothing on these images; allowed: images with detections to compare.")
    if not results:
        return 0.0
    return (_share(results, reference) + _share(reference, results)) / 2


def _share(ours, theirs):
    """Share of the better half of `ours` that has a partner in `theirs`."""
    others = defaultdict(list)
    for item in theirs:
        others[item["image_id"], item["category_id"]].append(item)
    best = sorted(ours, key=lambda item: -item["score"])[: (len(ours) + 1) // 2]
    return float(np.mean([_has_partner(item, others[item["image_id"], item["category_id"]]) for item in best]))


def _has_partner(item, others):
    if not others:
        return False
    ious = coco_mask.iou([item["bbox"]], [other["bbox"] for other in others], [0] * len(others))[0]
    near = [other for other, iou in zip(others, ious, strict=True) if iou >= MIN_IOU]
    if "segmentation" in item:
        near = [other for other in near if compare_masks(item, other)[0] >= MIN_IOU]  # two empty masks agree
    if "keypoints" in item:
        near = [other for other in near if _same_pose(item, other)]
    return bool(near)


def _same_pose(item, other):
    """Whether most of the keypoints lie within a tenth of the box's side."""
    if len(item["keypoints"]) != len(other.get("keypoints", ())):
        return False
    places = (np.reshape(each["keypoints"], (-1, 3))[:, :2] for each in (item, other))
    distances = np.hypot(*np.subtract(*places).T)
    return np.mean(distances <= MAX_SHIFT * np.sqrt(item["bbox"][2] * item["bbox"][3])) >= 0.5
