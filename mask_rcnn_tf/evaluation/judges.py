"""The programs that score: pycocotools, or faster-coco-eval for the same figures; LVIS's files have their own.

Source: `cocoapi/PythonAPI/pycocotools/cocoeval.py`; faster-coco-eval 1.8, within 3e-16 of it (measured).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import coco, cocoeval

from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco import lvis
from mask_rcnn_tf.evaluation import federated

PYCOCOTOOLS, FASTER = JUDGES = ("pycocotools", "faster_coco_eval")
# What a type is scored by, and nothing else: pycocotools would take a mask's area from its box.
KEPT = {"bbox": ("bbox",), "segm": ("segmentation",), "keypoints": ("keypoints", "bbox")}
Evaluation = Any  # of the judges' classes: `params`, `eval`, `cocoGt`


def check(judge: str):
    """Raises ValueError where a judge is unknown, or its package is missing."""
    if judge not in JUDGES:
        raise ValueError(f"judge is {shown(judge)}; allowed: {', '.join(map(repr, JUDGES))}.")
    if judge == FASTER:
        _faster()


def _faster() -> Any:
    return federated.import_judge(
        f"judge is {FASTER!r}, and its package cannot be imported ({{error}}); allowed: {PYCOCOTOOLS!r}, or "
        "`pip install mask_rcnn_tf[scoring]`."
    )


def evaluate(
    truth: coco.COCO,
    results: list[dict],
    kind: str,
    max_dets: Sequence[int],
    sigmas: Sequence[float] | None = None,
    *,
    judge: str = PYCOCOTOOLS,
) -> Evaluation:
    """Scores results by one type.

    Args:
      truth: an index of a ground truth that `completion.complete` has judged.
      results: COCO results.
      kind: "bbox", "segm" or "keypoints".
      max_dets: detections an image that count, ascending; keypoints always use COCO's 20.
      sigmas: one of each keypoint; None is COCO's 17.
      judge: one of JUDGES; LVIS's files have their own.

    Returns:
      What has `params` and `eval`: precision [T, R, K, A, M], recall [T, K, A, M].

    Raises:
      ValueError: sigmas do not fit, or see `check`.
    """
    rows = [
        {key: row[key] for key in ("image_id", "category_id", "score", *KEPT[kind]) if key in row} for row in results
    ]
    if lvis.is_federated(truth.dataset):
        return federated.evaluate(truth, rows, kind, max_dets[-1])
    check(judge)
    evaluation = (_by_faster if judge == FASTER else _by_pycocotools)(truth, rows, kind)
    if kind == "keypoints":
        _set_sigmas(evaluation, truth, results, sigmas)
    else:
        evaluation.params.maxDets = list(max_dets)
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _by_pycocotools(truth: coco.COCO, rows: list[dict], kind: str) -> cocoeval.COCOeval:
    if rows:
        return cocoeval.COCOeval(truth, truth.loadRes(rows), kind)
    empty = coco.COCO()  # COCO.loadRes reads the first result
    empty.dataset = dict(truth.dataset, annotations=[])
    empty.createIndex()
    return cocoeval.COCOeval(truth, empty, kind)


def _by_faster(truth: coco.COCO, rows: list[dict], kind: str) -> Evaluation:
    faster = _faster()
    annotations = [dict(row) for row in truth.dataset["annotations"]]  # the judge writes into them
    indexed = faster.COCO(truth.dataset | {"annotations": annotations})
    found = indexed.loadRes(rows) if rows else faster.COCO(truth.dataset | {"annotations": []})
    evaluation = faster.COCOeval_faster(indexed, found, kind)
    evaluation.params.catIds = sorted(truth.cats)  # of keypoints it takes those with objects alone
    return evaluation


def _set_sigmas(evaluation: Evaluation, truth: coco.COCO, results: list[dict], sigmas: Sequence[float] | None):
    if sigmas is not None:
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas, float)
    expected = len(evaluation.params.kpt_oks_sigmas)
    lengths = {len(item.get("keypoints", ())) for item in truth.anns.values()}
    lengths |= {len(result["keypoints"]) for result in results}
    wrong = sorted(lengths - {3 * expected})
    if wrong:
        refuse_sigmas(expected, wrong[0] // 3, " (None is COCO)" if sigmas is None else "")


def refuse_sigmas(came: int, joints: int, note: str = ""):
    """Raises the ValueError of sigmas that are not one a joint."""
    raise ValueError(
        f"sigmas has {came} values{note}, but keypoints has {joints} joints; allowed: one sigma a joint "
        "(config.data.keypoint_sigmas)."
    )
