"""From the padded outputs of an exported model to objects."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mask_rcnn_client.detections import Detections
from mask_rcnn_client.legend import Legend

ROWS = ("detection_boxes", "detection_scores", "detection_classes")


def unpad(outputs: Mapping[str, np.ndarray], index: int) -> dict[str, np.ndarray]:
    """One image of a batch of outputs, without its padding rows.

    Args:
      outputs: arrays [B, D, ...] and `num_detections` int [B], of `MaskRCNN.predict` or an export.
      index: which image of the batch.

    Returns:
      The arrays [n, ...] of that image, without `num_detections`.
    """
    count = int(outputs["num_detections"][index])
    return {name: value[index][:count] for name, value in outputs.items() if name != "num_detections"}


def from_outputs(
    outputs: Mapping[str, Any], legend: Legend, image_shapes: Sequence[Sequence[int]] | None = None
) -> list[Detections]:
    """What an export found in a batch of images.

    Args:
      outputs: what the runtime gives, by name: arrays, or lists of JSON, [B, D, ...], and `num_detections` [B].
      legend: of the export.
      image_shapes: (h, w) of each image, pixels; None where the outputs say it (`original_shape`).

    Returns:
      One an image.

    Raises:
      ValueError: the outputs are not those of an export with this legend, or of another number of images.
    """
    _check("outputs", outputs, ("num_detections", *ROWS))
    if image_shapes is None and "original_shape" not in outputs:
        raise ValueError("image_shapes is None and outputs has no original_shape; allowed: (h, w) of each image.")
    shapes = np.asarray(outputs["original_shape"] if image_shapes is None else image_shapes)
    arrays = {name: np.asarray(value) for name, value in outputs.items() if name != "original_shape"}
    count = len(arrays["num_detections"])
    if len(shapes) != count:
        raise ValueError(f"image_shapes has {len(shapes)} rows; allowed: {count}, one an image of the outputs.")
    return [from_image(unpad(arrays, index), legend, shapes[index]) for index in range(count)]


def from_image(rows: Mapping[str, Any], legend: Legend, image_shape: Sequence[int]) -> Detections:
    """What an export found in one image, from outputs without padding rows.

    Args:
      rows: `detection_*`, arrays or lists [n, ...]; classes are category ids, as exports have them. Masks of whole
        numbers are bitmaps that the graph has pasted (`--pasted`), those of fractions are probabilities.
      legend: of the export.
      image_shape: (h, w) of the image, pixels.

    Raises:
      ValueError: the rows are not those of an export, or have a category id that the legend does not have.
    """
    _check("rows", rows, ROWS)
    height, width = (int(side) for side in image_shape)
    found = {name: np.asarray(value) for name, value in rows.items() if name.startswith("detection_")}
    count = len(found["detection_scores"])
    arrays = {
        "detection_boxes": found["detection_boxes"].astype(np.float32).reshape(count, 4),
        "detection_scores": found["detection_scores"].astype(np.float32),
        "detection_classes": np.array([_class_of(number, legend) for number in found["detection_classes"]], np.int32),
    }
    if "detection_masks" in found:
        masks = found["detection_masks"] if found["detection_masks"].ndim == 3 else np.zeros((0, 1, 1))  # [] of JSON
        if masks.dtype.kind == "f":
            arrays["detection_masks"] = masks.astype(np.float32)
        else:  # of a batch they have the size of its largest image
            arrays["detection_bitmaps"] = masks[:, :height, :width].astype(np.uint8)
    if "detection_keypoints" in found:
        points = found["detection_keypoints"] if found["detection_keypoints"].ndim == 3 else np.zeros((0, 1, 3))
        arrays["detection_keypoints"] = points.astype(np.float32)
    return Detections(arrays, (height, width), legend)


def _check(name: str, given: Mapping[str, Any], needed: Sequence[str]):
    if missing := [output for output in needed if output not in given]:
        raise ValueError(f"{name} has no {missing[0]}; allowed: the outputs of an export by their names.")


def _class_of(category_id: int, legend: Legend) -> int:
    try:
        return legend.category_ids.index(int(category_id)) + 1
    except ValueError:
        known = ", ".join(map(str, legend.category_ids))
        raise ValueError(f"detection_classes has {category_id}; allowed: the legend's ids, {known:.500}.") from None
