"""From detections to COCO results: boxes as xywh, masks pasted inside their box and run-length encoded at once."""

import json
import pathlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from mask_rcnn_client import Detections
from mask_rcnn_tf import whole_files
from mask_rcnn_tf.arguments import PATH, SEQUENCE, check_kind
from mask_rcnn_tf.coco.rle import encode_crop
from mask_rcnn_tf.ops.masks import paste_bitmap


class Classes(Protocol):
    """What is read of a model's configuration."""

    num_classes: int
    category_ids: tuple[int, ...]


def category_ids(config: Classes) -> tuple[int, ...]:
    """The file's ids of classes 1..C: the model's own, or 1..C where it has none."""
    return tuple(config.category_ids) or tuple(range(1, config.num_classes + 1))


def to_results(
    detections: dict[str, np.ndarray] | Detections,
    image_id: int,
    image_shape: tuple[int, int],
    category_ids: Sequence[int | None],
    mask_threshold: float = 0.5,
    paste: str = "continuous",
) -> list[dict]:
    """One image's detections as COCO results.

    Args:
      detections: arrays without padding rows. `detection_boxes` float32 [n, 4] yxyx, original pixels;
        `detection_scores` float32 [n]; `detection_classes` int32 [n], 1..C; optional `detection_masks` float32
        [n, M, M] probabilities in the box's frame, or instead `detection_bitmaps` uint8 [n, h, w], masks of the image
        that were pasted before; optional `detection_keypoints` float32 [n, J, 3] (x, y, score),
        original pixels.
      image_id: the file's id of the image.
      image_shape: (h, w) of the original image.
      category_ids: the file's id of classes 1..C; None leaves out what is found of a class.
      mask_threshold: probability from which on a pixel belongs to a mask.
      paste: "continuous" or "integer", as in `DetectionConfig`.

    Returns:
      A dict for each detection, in their order: `image_id`, `category_id`, `bbox` [x, y, width, height], `score`, and
      `segmentation` (compressed RLE with str counts), `keypoints` (x, y minus 0.5: COCO counts from pixel centres)
      where the detections have them. `json.dump` takes it as it is.

    Raises:
      ValueError: an argument is of another kind, or a class has no category id.
    """
    check_kind("detections", detections, (dict, Detections), "the arrays of one image by name")
    check_kind("category_ids", category_ids, SEQUENCE, "a list or tuple of the file's ids")
    classes = np.asarray(detections["detection_classes"])
    if classes.size and not 1 <= classes.min() <= classes.max() <= len(category_ids):
        raise ValueError(
            f"detection_classes has values from {classes.min()} to {classes.max()}; allowed: 1 to {len(category_ids)}, "
            "the number of category_ids."
        )
    results = []
    for row, box in enumerate(np.asarray(detections["detection_boxes"], np.float32)):
        if category_ids[classes[row] - 1] is None:
            continue
        result = make_result(image_id, category_ids[classes[row] - 1], box, detections["detection_scores"][row])
        if "detection_masks" in detections:
            probabilities = detections["detection_masks"][row]
            inside, origin = paste_bitmap(probabilities, box, image_shape, mask_threshold, paste)
            result["segmentation"] = encode_crop(inside, origin, image_shape)
        elif "detection_bitmaps" in detections:
            result["segmentation"] = encode_crop(detections["detection_bitmaps"][row], (0, 0), image_shape)
        if "detection_keypoints" in detections:
            result["keypoints"] = from_centres(detections["detection_keypoints"][row])
        results.append(result)
    return results


def make_result(image_id: int, category_id: int, box: np.ndarray, score: float) -> dict:
    """One COCO result with its box, yxyx in pixels of the image, as [x, y, width, height]."""
    y1, x1, y2, x2 = (float(side) for side in box)
    box = [x1, y1, x2 - x1, y2 - y1]
    return {"image_id": int(image_id), "category_id": int(category_id), "bbox": box, "score": float(score)}


def from_centres(keypoints: np.ndarray) -> list[float]:
    """Keypoints float32 [J, 3] (x, y, score) as COCO's list: it counts from the centres of pixels."""
    return (keypoints - np.array([0.5, 0.5, 0.0], np.float32)).ravel().tolist()


def write_json(value: list | dict, path: str | pathlib.Path):
    """Writes COCO results or metrics as JSON, making the folder. Raises ValueError: an argument is of another kind."""
    check_kind("value", value, (list, dict), "a list or a dict")
    check_kind("path", path, PATH, "a path")
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_files.replacing(path) as partial:
        partial.write_text(json.dumps(value))
