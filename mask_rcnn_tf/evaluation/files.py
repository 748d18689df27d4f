"""Scores a model on the images that a COCO file lists."""

import logging
import os
from collections.abc import Callable, Sequence

import numpy as np

from mask_rcnn_tf.coco import categories, reader
from mask_rcnn_tf.coco import proposals as coco_proposals
from mask_rcnn_tf.coco import results as coco_results
from mask_rcnn_tf.coco.errors import SHOWN
from mask_rcnn_tf.coco.segmentation import has_segmentation
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation import coco_metrics, equal_scores, judges
from mask_rcnn_tf.evaluation.image_files import list_images
from mask_rcnn_tf.evaluation.predicting import predict_files
from mask_rcnn_tf.evaluation.tiles import Tiling
from mask_rcnn_tf.weights.loading import load_model

__all__ = ["evaluate_files", "load_model", "partial_score", "score_results"]

LOG = logging.getLogger("mask_rcnn_tf")


def evaluate_files(
    predict: Callable[[list[np.ndarray]], list[dict]],
    annotations: str,
    folder: str,
    config: ModelConfig,
    max_dets: Sequence[int] | None = None,
    *,
    sigmas: Sequence[float] | None = None,
    proposals: str = "",
    tiling: Tiling | None = None,
    judge: str = judges.PYCOCOTOOLS,
    verbose: int = 1,
) -> tuple[dict[str, dict], list[dict], list[str]]:
    """Scores a model on the images of a COCO file.

    Masks and keypoints are scored where the model has the head and the file has them, of an RPN alone the recall.

    Args:
      predict: see `predict_files`.
      annotations: path of the COCO JSON.
      folder: where its images are.
      config: the model's. Of its categories those that the file lacks are left out of the results.
      max_dets: detections an image that count, ascending; None: COCO's 1, 10, 100, or LVIS's 300.
      sigmas: one of each keypoint; None are the model's, or COCO's 17.
      proposals: path of a file of stored proposals, for a model without an RPN; "" for one that has its own.
      tiling: how images are cut into tiles; None predicts them whole.
      judge: the program that scores, see `coco_metrics.score`.
      verbose: 0 hides the progress bar.

    Returns:
      The tables of `coco_metrics.score`, the COCO results in the file's category ids, and one message for each image
      that could not be read (it counts as an image without detections: the score is partial).

    Raises:
      ValueError: a missing or unusable file or folder, an annotation that cannot be scored (before anything is
        predicted), or a category of the file that the model does not know.
    """
    ground_truth = reader.read_annotations(annotations)
    if not os.path.isdir(folder):
        raise ValueError(f"images is {folder!r}; there is no such folder.")
    note = categories.match_model(config, ground_truth).note if config.has_classes else ""
    if note:
        LOG.warning("%s", note)
    if not ground_truth["annotations"]:
        raise ValueError(f"annotations {annotations} has no annotations to score.")
    iou_types, where = _iou_types(ground_truth, config), f"annotations {annotations}"
    coco_metrics.check_arguments(iou_types, max_dets)
    judges.check(judge)
    sigmas = sigmas or _sigmas(iou_types, config)
    truth = coco_metrics.load_truth(ground_truth, iou_types, sigmas, where=where)
    if tiling is not None and proposals:
        raise ValueError(f"tile is {tiling.side}; allowed with proposals, which are of whole images: 0.")
    files = list_images(ground_truth, folder)
    stored = _stored_proposals(proposals, ground_truth, config)
    results, failures = predict_files(predict, files, config, verbose, stored, tiling)
    results = translated(results, ground_truth, config)
    if note := equal_scores.note(results):
        LOG.warning("%s", note)
    metrics = coco_metrics.score_truth(truth, results, iou_types, max_dets, sigmas, judge=judge)
    return metrics, results, failures


def _stored_proposals(path: str, ground_truth: dict, config: ModelConfig) -> coco_proposals.Proposals | None:
    """Those of all images, where the model has no RPN. Raises ValueError where it has one, or there are none."""
    if config.rpn.enabled == bool(path):
        allowed = "'', since the model has an RPN" if path else "a file, since the model has no RPN"
        raise ValueError(f"proposals is {path!r}; allowed: {allowed}.")
    if not path:
        return None
    stored = coco_proposals.read(path)
    coco_proposals.check_images(stored, [(row["id"], row["height"], row["width"]) for row in ground_truth["images"]])
    return stored


def partial_score(failures: list[str]) -> str:
    """What images that could not be read (a message each, as `evaluate_files` gives them) mean; the first are named."""
    more = [f"and {len(failures) - SHOWN} more"] if len(failures) > SHOWN else []
    head = f"the score is partial: {len(failures)} images cannot be read, their objects count as not found"
    return "\n  ".join([head, *failures[:SHOWN], *more])


def translated(results: list[dict], ground_truth: dict, config: ModelConfig) -> list[dict]:
    """Results of a model in the category ids of a file; those of categories that the file lacks are left out.

    Args:
      results: COCO results in the model's ids.
      ground_truth: a COCO dictionary.
      config: the model's.

    Returns:
      The results, see `categories.match_model`; proposals, which have no category, as they are.

    Raises:
      ValueError: the file has a category that the model does not know.
    """
    if not config.has_classes:
        return results
    matched = categories.match_model(config, ground_truth).ids
    ids = dict(zip(coco_results.category_ids(config), matched, strict=True))
    known = [(result, ids[result["category_id"]]) for result in results]
    return [result | {"category_id": category_id} for result, category_id in known if category_id is not None]


def score_results(
    ground_truth: dict,
    results: list[dict],
    config: ModelConfig,
    max_dets: Sequence[int] | None = None,
    *,
    sigmas: Sequence[float] | None = None,
) -> dict[str, dict]:
    """Scores COCO results by what the model, the file and the results have: boxes, masks, keypoints.

    Args:
      ground_truth: a COCO dictionary.
      results: COCO results of its images and categories.
      config: the model's.
      max_dets: detections an image that count, ascending; None: COCO's 1, 10, 100, or LVIS's 300.
      sigmas: one of each keypoint; None are the model's, or COCO's 17.

    Returns:
      The tables of `coco_metrics.score`.

    Raises:
      ValueError: see `coco_metrics.score`.
    """
    iou_types = _iou_types(ground_truth, config)
    if results and not any("keypoints" in result for result in results):  # of a program without them
        iou_types = tuple(kind for kind in iou_types if kind != "keypoints")
    return coco_metrics.score(ground_truth, results, iou_types, max_dets, sigmas or _sigmas(iou_types, config))


def _iou_types(ground_truth: dict, config: ModelConfig) -> tuple[str, ...]:
    """Boxes, and masks and keypoints where the model and the file have them; proposals of an RPN alone."""
    if not config.has_classes:
        return config.iou_types
    has_masks = config.has_masks and any(map(has_segmentation, ground_truth["annotations"]))
    has_keypoints = config.has_keypoints and reader.keypoint_count(ground_truth) > 0
    return ("bbox", *("segm",) * has_masks, *("keypoints",) * has_keypoints)


def _sigmas(iou_types, config):
    return (config.keypoint_head.sigmas or None) if "keypoints" in iou_types else None
