"""An export is compared with the model it was made from, before anybody sees it."""

import os
from collections.abc import Sequence

import numpy as np

from mask_rcnn_tf.coco.results import category_ids, to_results
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation.compare_results import Comparison, Tolerance, compare
from mask_rcnn_tf.export.agreement import agreement
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.folding import in_float32
from mask_rcnn_tf.export.runners import Runner, load
from mask_rcnn_tf.export.runners.keras_model import KerasRunner
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN

SHOWN = 5  # differences in the message of an error
# Pixels: of masks below 300, where a box may move by 0.01. No IoU where an integer paste may go either way: a box that
# moved by 2e-4 pixels was pasted a pixel further, with an IoU of 0.74.
TOLERANCE = Tolerance(mask_pixels=3, paste_mask_iou=0.0)


def verify(
    path: str | os.PathLike,
    model: MaskRCNN,
    images: Sequence[np.ndarray],
    least_agreement: float | None = None,
    paste: str = "continuous",
):
    """Runs an export and the model on the same images and refuses what differs.

    Args:
      path: what was written; `runners.load` loads it.
      model: what it was made from; it runs in float32, and on the canvas of the export where that has one.
      images: uint8 [h, w, 3] RGB.
      least_agreement: None for the same detections within the tolerances of docs/design.md, "How right is right"; or
        the least `agreement`, 0 to 1.
      paste: how masks are pasted to be compared. "continuous" moves little with the boxes, whatever the model's own
        rule; for an export that has pasted its masks it must be the model's.

    Raises:
      ExportError: they differ; the message has the first differences. Or the model finds nothing on any image.
    """
    check_runner(load(path), model, images, least_agreement, paste)


def check_runner(
    runner: Runner,
    model: MaskRCNN,
    images: Sequence[np.ndarray],
    least_agreement: float | None = None,
    paste: str = "continuous",
):
    """`verify` of something that runs already.

    Args:
      runner: has `canvas` and `predict`.
      model, images, least_agreement, paste: see `verify`.

    Raises:
      ExportError: see `verify`.
    """
    config = model.config
    # In float32: mixed precision, which "auto" is on some machines, rounds in its own way.
    reference = find(KerasRunner(in_float32(model), runner.canvas), config, images, paste)
    if not reference:
        raise ExportError(
            f"the model finds nothing on any of {len(images)} images; allowed: images with detections to compare. "
            "Give others, or a model that is trained."
        )
    results = find(runner, config, images, paste)
    if config.has_masks and not all("segmentation" in item for item in results):
        raise ExportError("the exported model gives no detection_masks; allowed: those of the model's mask head.")
    if config.has_keypoints and not all("keypoints" in item for item in results):
        raise ExportError("the exported model gives no detection_keypoints; allowed: those of the keypoint head.")
    if least_agreement is not None:
        share = agreement(results, reference)
        if share < least_agreement:
            raise ExportError(
                f"the exported model agrees with the Keras model on {share:.3f} of the clearer detections; allowed: at "
                f"least {least_agreement:g}. It finds {len(results)}, the Keras model {len(reference)}."
            )
        return
    found = compare_strictly(results, reference, config, paste)
    if found.differences:
        shown = "\n  ".join(found.differences[:SHOWN])
        raise ExportError(
            f"the exported model differs from the Keras model in {len(found.differences)} of {len(reference)} "
            f"detections on {len(images)} images:\n  {shown}"
        )
    if not found.matched:
        raise ExportError(
            f"each of the {len(reference)} detections of the Keras model lies within rounding of the score threshold "
            f"{config.detection.score_threshold:g}; allowed: images with clear detections to compare."
        )


def find(runner: Runner, config: ModelConfig, images: Sequence[np.ndarray], paste: str) -> list[dict]:
    """Detections of images as COCO results, `image_id` counted from 1.

    Args:
      runner: has `predict`.
      config: the model's.
      images: uint8 [h, w, 3] RGB.
      paste: see `DetectionConfig`; masks that the graph has pasted are left as they are.

    Raises:
      ExportError: there is something infinite or not a number; a comparison would not notice.
    """
    results = []
    for number, image in enumerate(images, start=1):
        results += find_in_image(runner, config, image, number, paste)
    return results


def find_in_image(runner: Runner, config: ModelConfig, image: np.ndarray, image_id: int, paste: str) -> list[dict]:
    """Detections of one image as COCO results; see `find`."""
    (detections,) = runner.predict([image])
    if wrong := [name for name, value in detections.items() if not np.isfinite(value).all()]:
        raise ExportError(
            f"{type(runner).__name__} gives {', '.join(wrong)} on image {image_id} that are not finite; allowed: "
            "numbers."
        )
    threshold = config.detection.mask_threshold
    return to_results(detections, image_id, image.shape[:2], category_ids(config), threshold, paste)


def compare_strictly(results: Sequence[dict], reference: Sequence[dict], config: ModelConfig, paste: str) -> Comparison:
    """Compares COCO results of two programs that should find the same; see `compare_results.compare`.

    Args:
      results, reference: COCO results.
      config: the model's.
      paste: how the masks were pasted.
    """
    detection = config.detection
    return compare(
        results,
        reference,
        TOLERANCE,
        detection.score_threshold,
        detection.max_detections,
        paste,
        mask_size=config.mask_size,
    )
