"""From detections to COCO results: boxes as xywh, masks pasted inside their box and run-length encoded at once."""

import json
import pathlib
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.ops import masks as mask_ops


def category_ids(config: ModelConfig) -> tuple[int, ...]:
    """The file's ids of classes 1..C: the model's own, or 1..C where it has none."""
    return tuple(config.category_ids) or tuple(range(1, config.num_classes + 1))


def encode_crop(crop: np.ndarray, origin: tuple[int, int], image_shape: tuple[int, int]) -> dict:
    """Encodes a mask that is given inside a window of the image only, without painting the image.

    Args:
      crop: bool [ch, cw], the mask inside the window.
      origin: (y0, x0) of the window in the image, whole pixels; the window lies inside the image.
      image_shape: (h, w) of the image.

    Returns:
      Compressed COCO RLE {"size": [h, w], "counts": str}, byte for byte what `pycocotools.mask.encode` gives for the
      whole image.

    Source: column-major runs that start with zeros, `cocoapi/common/maskApi.c` (rleEncode).
    """
    height, width = (int(side) for side in image_shape)
    rows, columns = crop.shape
    padded = np.zeros((columns, rows + 2), np.int8)  # a column a row, zeros around it: a run never crosses columns here
    padded[:, 1:-1] = crop.T
    change = np.diff(padded, axis=1)
    start_column, start_row = np.nonzero(change == 1)
    end_column, end_row = np.nonzero(change == -1)
    starts = (start_column + int(origin[1])) * height + start_row + int(origin[0])
    ends = (end_column + int(origin[1])) * height + end_row + int(origin[0])
    if rows == height and starts.size:  # only then may a run go on from the bottom of one column to the top of the next
        separate = ends[:-1] != starts[1:]
        starts, ends = starts[np.r_[True, separate]], ends[np.r_[separate, True]]
    edges = np.stack([starts, ends], axis=1).ravel()
    counts = np.diff(np.r_[0, edges, height * width])
    if edges.size and counts[-1] == 0:  # the mask reaches the last pixel: no run of zeros after it
        counts = counts[:-1]
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def encode_mask(
    probabilities: np.ndarray, box: np.ndarray, image_shape: tuple[int, int], mask_threshold: float, paste: str
) -> dict:
    """Pastes one mask inside its box, thresholds it and encodes it.

    Args:
      probabilities: float32 [M, M], in the box's frame.
      box: float32 [4] yxyx, original pixels.
      image_shape: (h, w) of the original image.
      mask_threshold: a pixel belongs to the mask from this probability on.
      paste: "continuous" compares with >= (Detectron2 `mask_ops.py`), "integer" with > (torchvision
        `roi_heads.paste_masks_in_image`, `references/detection/coco_eval.py`).

    Returns:
      Compressed COCO RLE of the whole image.
    """
    crop, origin = mask_ops.paste_mask(probabilities, box, image_shape, paste)
    inside = crop >= mask_threshold if paste == "continuous" else crop > mask_threshold
    return encode_crop(inside, origin, image_shape)


def to_results(
    detections: dict[str, np.ndarray],
    image_id: int,
    image_shape: tuple[int, int],
    category_ids: Sequence[int],
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
      category_ids: the file's id of classes 1..C.
      mask_threshold: probability from which on a pixel belongs to a mask.
      paste: "continuous" or "integer", as in `DetectionConfig`.

    Returns:
      A dict for each detection, in their order: `image_id`, `category_id`, `bbox` [x, y, width, height], `score`, and
      `segmentation` (compressed RLE with str counts), `keypoints` (x, y minus 0.5: COCO counts from pixel centres)
      where the detections have them. `json.dump` takes it as it is.

    Raises:
      ValueError: a class has no category id.
    """
    classes = np.asarray(detections["detection_classes"])
    if classes.size and not 1 <= classes.min() <= classes.max() <= len(category_ids):
        raise ValueError(
            f"detection_classes has values from {classes.min()} to {classes.max()}; allowed: 1 to {len(category_ids)}, "
            "the number of category_ids."
        )
    results = []
    for row, box in enumerate(np.asarray(detections["detection_boxes"], np.float32)):
        y1, x1, y2, x2 = (float(side) for side in box)
        result = {
            "image_id": int(image_id),
            "category_id": int(category_ids[classes[row] - 1]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(detections["detection_scores"][row]),
        }
        if "detection_masks" in detections:
            probabilities = detections["detection_masks"][row]
            result["segmentation"] = encode_mask(probabilities, box, image_shape, mask_threshold, paste)
        elif "detection_bitmaps" in detections:
            result["segmentation"] = encode_crop(detections["detection_bitmaps"][row], (0, 0), image_shape)
        if "detection_keypoints" in detections:
            offset = np.array([0.5, 0.5, 0.0], np.float32)
            result["keypoints"] = (detections["detection_keypoints"][row] - offset).ravel().tolist()
        results.append(result)
    return results


def unpad(detections: dict[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
    """One image of a batch of detections, without its padding rows.

    Args:
      detections: what `MaskRCNN.predict` returns: arrays [B, D, ...] and `num_detections` int32 [B].
      index: which image of the batch.

    Returns:
      The arrays [n, ...] of that image, without `num_detections`.
    """
    count = int(detections["num_detections"][index])
    return {name: value[index][:count] for name, value in detections.items() if name != "num_detections"}


def write_json(value: list | dict, path: str | pathlib.Path):
    """Writes COCO results or metrics as JSON, making the folder."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
