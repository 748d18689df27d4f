"""Precision and recall: the curve by which AP is made, and what a score threshold makes of it."""

import dataclasses

import numpy as np

from mask_rcnn_tf.evaluation.matching import Matching

RECALLS = np.linspace(0.0, 1.0, 101)  # pycocotools' recThrs
THRESHOLDS = np.arange(100) / 100  # what people type


@dataclasses.dataclass(frozen=True)
class Threshold:
    """What is right and what is found at a score threshold; None where there are no detections, or no objects."""

    score: float  # detections with at least this score are kept
    precision: float | None  # the share of them that are right
    recall: float | None  # the share of objects that are found
    f1: float | None  # the harmonic mean of both: 2 right / (kept + objects)


def interpolated_precision(scores: np.ndarray, right: np.ndarray, num_objects: int) -> np.ndarray:
    """The precision by which COCO's AP is made, of one class at one IoU: AP is its mean.

    Args:
      scores: float64 [n] of detections; equal ones count in their order.
      right: bool [n], whether they have found an object.
      num_objects: above 0.

    Returns:
      float64 [101]: the highest precision at a recall of at least 0, 0.01, ..., 1; 0 where it is not reached.

    Source: `cocoapi/PythonAPI/pycocotools/cocoeval.py`, accumulate.
    """
    hits = np.cumsum(right[np.argsort(-scores, kind="mergesort")], dtype=float)
    precision = hits / (np.arange(1, len(hits) + 1) + np.spacing(1))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / num_objects, RECALLS, side="left")
    return np.append(envelope, 0.0)[places]


def mean_precision(matching: Matching, iou_index: int) -> np.ndarray:
    """The mean of the curves of the classes that have objects, float64 [101]; zeros without any."""
    curves = matching.precision[iou_index]
    curves = curves[:, curves[0] > -1]
    return curves.mean(1) if curves.size else np.zeros(len(RECALLS))


def class_ap(matching: Matching, iou_index: int) -> list[float | None]:
    """AP of each class at IoU 0.5 or 0.75; None of a class without objects."""
    return [float(curve.mean()) if curve[0] > -1 else None for curve in matching.precision[iou_index].T]


def counts_by_threshold(matching: Matching) -> tuple[np.ndarray, np.ndarray]:
    """Kept and right detections of each class at `THRESHOLDS`: two int [100, K]."""
    kept = np.zeros((len(THRESHOLDS), len(matching.class_names)), int)
    right = kept.copy()
    # The highest threshold that keeps a detection; -1 below 0.
    places = np.searchsorted(THRESHOLDS, matching.scores, side="right") - 1
    for counts, chosen in ((kept, places >= 0), (right, (places >= 0) & (matching.found >= 0))):
        np.add.at(counts, (places[chosen], matching.classes[chosen]), 1)
    return kept[::-1].cumsum(0)[::-1], right[::-1].cumsum(0)[::-1]


def best_threshold(kept: np.ndarray, right: np.ndarray, num_objects: int) -> Threshold | None:
    """The score threshold with the highest F1, of several the middle of their longest run.

    Args:
      kept: int [100], detections at each of `THRESHOLDS`, of one class or of all together.
      right: int [100], those of them that have found an object at IoU 0.5.
      num_objects: how many there are to be found.

    Returns:
      The threshold, or None where nothing is found at any.
    """
    if not right.any():
        return None
    f1 = 2 * right / (kept + num_objects)
    best = np.flatnonzero(f1 == f1.max())
    runs = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    run = max(runs, key=len)
    index = int(run[len(run) // 2])
    return at_threshold(index, kept, right, num_objects)


def at_threshold(index: int, kept: np.ndarray, right: np.ndarray, num_objects: int) -> Threshold:
    """What `THRESHOLDS[index]` makes of detections; arguments as of `best_threshold`."""
    hits, total = int(right[index]), int(kept[index])
    return Threshold(
        score=float(THRESHOLDS[index]),
        precision=hits / total if total else None,
        recall=hits / num_objects if num_objects else None,
        f1=2 * hits / (total + num_objects) if total + num_objects else None,
    )
