"""Scores a model on the images that a COCO file lists."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.coco import results as coco_results
from mask_rcnn_tf.coco.segmentation import has_segmentation
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation import coco_metrics
from mask_rcnn_tf.evaluation.image_files import list_images
from mask_rcnn_tf.evaluation.predicting import predict_files
from mask_rcnn_tf.weights.loading import load_model

__all__ = ["evaluate_files", "known_categories", "load_model", "score_results"]


def evaluate_files(
    predict: Callable[[list[np.ndarray]], list[dict]],
    annotations: str,
    folder: str,
    config: ModelConfig,
    max_dets: Sequence[int] = (1, 10, 100),
    *,
    sigmas: Sequence[float] | None = None,
    verbose: int = 1,
) -> tuple[dict[str, dict], list[dict], list[str]]:
    """Scores a model on the images of a COCO file.

    Masks are scored where the model has a mask head and the file has masks; keypoints where results have them.

    Args:
      predict: see `predict_files`.
      annotations: path of the COCO JSON.
      folder: where its images are.
      config: the model's. Of its categories those that the file lacks are left out of the results.
      max_dets: detections an image that count, ascending.
      sigmas: one of each keypoint; None is COCO's 17.
      verbose: 0 hides the progress bar.

    Returns:
      The tables of `coco_metrics.score`, the COCO results, and one message for each image that could not be read (it
      counts as an image without detections).

    Raises:
      ValueError: a missing or unusable file or folder, an annotation that cannot be scored (before anything is
        predicted), or a category of the file that the model does not know.
    """
    ground_truth = reader.read_annotations(annotations)
    if not os.path.isdir(folder):
        raise ValueError(f"images is {folder!r}; there is no such folder.")
    wanted = known_categories(ground_truth, config)
    coco_metrics.load_truth(ground_truth, _iou_types(ground_truth, config), sigmas)
    results, failures = predict_files(predict, list_images(ground_truth, folder), config, verbose=verbose)
    results = [result for result in results if result["category_id"] in wanted]
    return score_results(ground_truth, results, config, max_dets, sigmas=sigmas), results, failures


def known_categories(ground_truth: dict, config: ModelConfig) -> set[int]:
    """Category ids of a COCO file. Raises ValueError: the model does not know one of them."""
    wanted = {category["id"] for category in ground_truth["categories"]}
    unknown = sorted(wanted - set(coco_results.category_ids(config)))
    if unknown:
        raise ValueError(
            f"the annotation file has categories {', '.join(map(str, unknown))}, which the model does not know; its "
            f"category ids: {', '.join(map(str, coco_results.category_ids(config)))}."
        )
    return wanted


def score_results(
    ground_truth: dict,
    results: list[dict],
    config: ModelConfig,
    max_dets: Sequence[int] = (1, 10, 100),
    *,
    sigmas: Sequence[float] | None = None,
) -> dict[str, dict]:
    """Scores COCO results by what the model and the file have: boxes, masks, keypoints.

    Args:
      ground_truth: a COCO dictionary.
      results: COCO results of its images and categories.
      config: the model's.
      max_dets: detections an image that count, ascending.
      sigmas: one of each keypoint; None is COCO's 17.

    Returns:
      The tables of `coco_metrics.score`.

    Raises:
      ValueError: see `coco_metrics.score`.
    """
    iou_types = _iou_types(ground_truth, config) + ("keypoints",) * any("keypoints" in result for result in results)
    return coco_metrics.score(ground_truth, results, iou_types, max_dets, sigmas)


def _iou_types(ground_truth: dict, config: ModelConfig) -> tuple[str, ...]:
    """Boxes, and masks where the model and the file have them."""
    return ("bbox",) + ("segm",) * (config.has_masks and any(map(has_segmentation, ground_truth["annotations"])))
