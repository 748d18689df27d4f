"""LVIS's average precision by `faster-coco-eval`: a category counts in the images that were searched for it.

A result of a category that nobody looked for in its image is left out; one that fits nothing, of a category whose
objects are not all annotated there, is not counted as wrong. The limit of detections is of an image over all
categories, not of each category.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import coco

from mask_rcnn_tf.coco import lvis

MAX_DETS = (300,)
KINDS = ("bbox", "segm", "proposals")
TOGETHER = 100  # categories that are scored at once: one list entry for each of them in each image


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """As much of a COCOeval as tables are made of."""

    params: Any
    eval: dict[str, np.ndarray]  # precision [T, R, K, A, M], recall [T, K, A, M]
    cocoGt: coco.COCO


def check(truth: coco.COCO, iou_types: Sequence[str]):
    """Raises ValueError where `iou_types` cannot be scored by a federated ground truth, or its judge is missing."""
    if not lvis.is_federated(truth.dataset):
        return
    if not set(iou_types) <= set(KINDS):
        allowed = f"any of {KINDS}, as the ground truth is of LVIS (its images have {lvis.LISTS[0]})"
        raise ValueError(f"iou_types is {tuple(iou_types)}; allowed: {allowed}.")
    _judge()


def _judge() -> Any:
    return import_judge(
        "package faster_coco_eval cannot be imported ({error}), and the ground truth is of LVIS (its images have "
        f"{lvis.LISTS[0]}); allowed: `pip install mask_rcnn_tf[lvis]`."
    )


def import_judge(message: str) -> Any:
    """The package faster_coco_eval. Raises ValueError: the message, its {error} filled in, where it is missing."""
    try:
        import faster_coco_eval
    except ImportError as error:
        raise ValueError(message.format(error=error)) from None
    return faster_coco_eval


def evaluate(truth: coco.COCO, results: list[dict], kind: str, max_dets: int) -> Evaluation:
    """Scores results against a federated ground truth.

    Args:
      truth: an index of a ground truth that `completion.complete` has judged.
      results: COCO results with what `kind` needs and no other shape: areas are of what they have.
      kind: "bbox" or "segm".
      max_dets: detections of an image that count, those with the highest scores.

    Returns:
      Precision and recall at this limit alone.

    Source: `lvis-api/lvis/eval.py`, `results.py`.
    """
    judge = _judge()
    annotations = [dict(row) for row in truth.dataset["annotations"]]  # the judge writes into them
    indexed = judge.COCO(truth.dataset | {"annotations": annotations})
    found = indexed.loadRes(_searched(truth, highest(results, max_dets)))
    category_ids, parts = sorted(truth.cats), []
    for start in range(0, len(category_ids), TOGETHER):
        evaluation = judge.COCOeval_faster(indexed, found, kind, lvis_style=True)
        evaluation.params.maxDets = [max_dets]
        evaluation.params.catIds = category_ids[start : start + TOGETHER]
        evaluation.evaluate()
        evaluation.accumulate()
        parts.append(evaluation)
    evaluation.params.catIds = category_ids
    joined = {name: np.concatenate([part.eval[name] for part in parts], -3) for name in ("precision", "recall")}
    return Evaluation(evaluation.params, joined, truth)


def highest(results: list[dict], count: int) -> list[dict]:
    """Copies of the results, of each image the `count` with the highest scores; of equal ones the first."""
    by_image = collections.defaultdict(list)
    for result in results:
        by_image[result["image_id"]].append(dict(result))
    kept = []
    for rows in by_image.values():
        kept += rows if len(rows) <= count else sorted(rows, key=lambda row: row["score"], reverse=True)[:count]
    return kept


def _searched(truth: coco.COCO, results: list[dict]) -> list[dict]:
    """The results of categories that their image was searched for. The judge fails on images that have only others."""
    known = {number: set(image[lvis.LISTS[0]]) for number, image in truth.imgs.items()}
    for row in truth.dataset["annotations"]:
        known[row["image_id"]].add(row["category_id"])
    return [result for result in results if result["category_id"] in known[result["image_id"]]]


def by_frequency(evaluation: Any) -> dict[str, list[int]]:
    """{"r": indices of rare categories, "c": ..., "f": ...} of an evaluation; {} where the truth is not federated."""
    if not lvis.is_federated(evaluation.cocoGt.dataset):
        return {}
    frequencies = [evaluation.cocoGt.cats[key]["frequency"] for key in evaluation.params.catIds]
    return {name: [i for i, found in enumerate(frequencies) if found == name] for name in lvis.FREQUENCIES}
