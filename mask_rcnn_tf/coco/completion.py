"""Annotations as pycocotools needs them: judged, with all fields that files may lack."""

import math
from typing import Any

import numpy as np

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.judge import check_box, judge
from mask_rcnn_tf.coco.segmentation import has_segmentation


def complete(coco: dict, *, num_keypoints: int | None = None, where: str = "ground_truth") -> dict:
    """Judges every annotation, crowds too, and fills in what is missing.

    Args:
      coco: a COCO-format dict; it is not changed.
      num_keypoints: J, where keypoints are scored: annotations without get J zeros.
      where: what the dict is, in messages.

    Returns:
      A copy. `iscrowd`, `area` and `bbox` (and `keypoints`, `num_keypoints`) are filled in where they are missing or
      null; annotations are numbered from 1 unless their ids are different whole numbers above 0 (COCOeval takes id 0
      for "no match").

    Raises:
      ValueError: an annotation has an unknown category or image, or the judge rejects it.
    """
    images = {image["id"]: image for image in coco["images"]}
    known = {category["id"] for category in coco["categories"]}
    rows = []
    for row in coco["annotations"]:
        try:
            rows.append(_complete(row, owner(row, images, known), num_keypoints))
        except Rejected as error:
            who = f"annotation {row.get('id')!r:.40} of image {row['image_id']}"
            raise ValueError(f"{where}: {who}: {error}.") from None
    return {"info": {}} | coco | {"annotations": numbered(rows)}


def owner(row: dict, images: dict[int, dict], known: set[int]) -> dict:
    """The image of an annotation.

    Args:
      row: the annotation.
      images: rows of images by id.
      known: category ids.

    Returns:
      The image's row.

    Raises:
      Rejected: the image or the category is unknown.
    """
    if row["image_id"] not in images:
        raise Rejected("annotation of an unknown image", f"image_id {row['image_id']}")
    if row["category_id"] not in known:
        raise Rejected("unknown category id", f"{row['category_id']}; allowed: {sorted(known)}"[:300])
    return images[row["image_id"]]


def numbered(rows: list[dict]) -> list[dict]:
    """The rows, numbered from 1 unless their ids are different whole numbers above 0."""
    ids = [row.get("id") for row in rows]
    if all(isinstance(value, int) and value > 0 for value in ids) and len(set(ids)) == len(rows):
        return rows
    return [row | {"id": index} for index, row in enumerate(rows, start=1)]


def _complete(row: dict, image: dict, num_keypoints: int | None) -> dict:
    """A copy with all fields, checked. Raises Rejected."""
    instance = judge(row, image, num_keypoints=num_keypoints, may_be_empty=True)
    row = row | {"iscrowd": int(bool(row.get("iscrowd")))}
    y1, x1, y2, x2 = instance.box.tolist()
    row["bbox"] = check_box(row["bbox"]).tolist() if row.get("bbox") is not None else [x1, y1, x2 - x1, y2 - y1]
    if row.get("area") is None:
        masked = has_segmentation(row)
        row["area"] = rle.area(instance.runs) if masked else row["bbox"][2] * row["bbox"][3]
    _check_area(row["area"])
    if num_keypoints:
        row["keypoints"] = row.get("keypoints") or [0] * (3 * num_keypoints)
        if row.get("num_keypoints") is None:
            row["num_keypoints"] = int(np.count_nonzero(row["keypoints"][2::3]))
    return row


def _check_area(area: Any):
    if not isinstance(area, int | float | np.number) or isinstance(area, bool) or not math.isfinite(area):
        raise Rejected("area is not a number", f"it is {area!r:.60}")
