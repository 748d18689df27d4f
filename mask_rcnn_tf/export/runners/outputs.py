"""From the outputs of an exported graph to detections as `mask_rcnn_tf.predict_images` gives them."""

import numpy as np

from mask_rcnn_client import unpad
from mask_rcnn_tf.coco.results import category_ids
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.export.errors import ExportError


def to_detections(config: ModelConfig, outputs: dict[str, np.ndarray], index: int = 0) -> dict[str, np.ndarray]:
    """One image of a batch of outputs, without padding rows and with classes 1..C in place of category ids.

    Args:
      config: the model's.
      outputs: of `signatures`: arrays [B, D, ...] and `num_detections` int32 [B].
      index: which image of the batch.

    Returns:
      `detection_boxes` float32 [n, 4], `detection_scores` float32 [n], `detection_classes` int32 [n] and, with the
      heads for them, `detection_masks` float32 [n, M, M] and `detection_keypoints` float32 [n, J, 3].

    Raises:
      ExportError: the graph gave a category id that the model does not have.
    """
    detections = unpad({name: np.asarray(value) for name, value in outputs.items()}, index)
    classes = {number: position for position, number in enumerate(category_ids(config), start=1)}
    found = detections["detection_classes"].tolist()
    if unknown := sorted(set(found) - set(classes)):
        raise ExportError(f"detection_classes has {unknown}; allowed: the model's category ids, {list(classes)}.")
    detections["detection_classes"] = np.array([classes[number] for number in found], np.int32)
    return detections
