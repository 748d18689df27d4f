"""What a score does not say: curves, the score threshold to use, confusions, kinds of errors, the worst images."""

import dataclasses

import numpy as np
from pycocotools import coco

from mask_rcnn_tf.evaluation import coco_metrics, confusion, curves, tide
from mask_rcnn_tf.evaluation.matching import Matching, match

USUAL_SCORE = 0.5  # where no threshold finds anything


@dataclasses.dataclass(frozen=True)
class ClassFigures:
    """Of one class; None where there are no objects, no detections, or nothing is found."""

    name: str
    objects: int
    ap50: float | None
    ap75: float | None
    best: curves.Threshold | None  # the score threshold of this class's best F1
    common: curves.Threshold  # the class at the threshold of all classes


@dataclasses.dataclass(frozen=True)
class ImageErrors:
    """What is wrong in one image at the threshold of all classes."""

    image_id: int
    missed: int
    false: int
    confused: int


@dataclasses.dataclass(frozen=True)
class Analysis:
    """Of boxes or masks ("bbox", "segm"), at IoU 0.5 but for `ap75`."""

    kind: str
    matching: Matching
    best: curves.Threshold | None  # that of the best F1 of all classes together; None: nothing is found
    common: curves.Threshold  # `best`, or what 0.5 makes of the results
    classes: tuple[ClassFigures, ...]
    errors: tide.Errors
    outcome: confusion.Outcome  # at the threshold of `common`
    confusion: np.ndarray  # int [K + 1, K + 1], see `confusion.matrix`
    images: tuple[ImageErrors, ...]  # those with errors, the most first


def analyze(truth: coco.COCO, results: list[dict], kind: str, max_dets: int = 100) -> Analysis:
    """Goes beyond AP.

    Args:
      truth: pycocotools' index of a ground truth that was judged, see `coco_metrics.load_truth`; it is not changed.
      results: COCO results of its images and categories, with what `kind` needs.
      kind: "bbox" or "segm".
      max_dets: detections an image and class that count, as in the score.

    Returns:
      The analysis. Crowds are left out; a class without objects has figures that are None.

    Raises:
      ValueError: another kind, or a ground truth of LVIS, in which not all objects are annotated.
    """
    names = [name for _, name in sorted(coco_metrics.category_names(truth).items())]  # as pycocotools has them
    matching = match(truth, results, kind, names, max_dets)
    counts, (kept, right) = matching.object_counts, curves.counts_by_threshold(matching)
    together = (kept.sum(1), right.sum(1), int(counts.sum()))
    best = curves.best_threshold(*together)
    index = round(100 * (best.score if best else USUAL_SCORE))
    sorted_out = confusion.outcome(matching, float(curves.THRESHOLDS[index]))
    ap50, ap75 = (curves.class_ap(matching, iou_index) for iou_index in (0, 1))
    classes = []
    for number, name in enumerate(names):
        own = (kept[:, number], right[:, number], int(counts[number]))
        best_own, common = curves.best_threshold(*own), curves.at_threshold(index, *own)
        classes.append(ClassFigures(name, own[2], ap50[number], ap75[number], best_own, common))
    return Analysis(
        kind=kind,
        matching=matching,
        best=best,
        common=curves.at_threshold(index, *together),
        classes=tuple(classes),
        errors=tide.errors(matching),
        outcome=sorted_out,
        confusion=confusion.matrix(matching, sorted_out),
        images=_worst_first(matching, sorted_out),
    )


def _worst_first(matching: Matching, sorted_out: confusion.Outcome) -> tuple[ImageErrors, ...]:
    counts = confusion.by_image(matching, sorted_out)
    order = np.argsort(-counts.sum(1), kind="stable")
    rows = [ImageErrors(int(matching.image_ids[index]), *counts[index].tolist()) for index in order]
    return tuple(row for row in rows if row.missed + row.false + row.confused)


def to_json(analysis: Analysis) -> dict:
    """The figures in JSON's types, without the matching they are made of."""
    rounded = np.round(analysis.matching.precision, 6)
    return {
        "kind": analysis.kind,
        "best": dataclasses.asdict(analysis.best) if analysis.best else None,
        "common": dataclasses.asdict(analysis.common),
        "classes": [dataclasses.asdict(row) for row in analysis.classes],
        "ap50": analysis.errors.ap50,
        "error_gains": analysis.errors.gains,
        "error_counts": analysis.errors.counts,
        "confusion": analysis.confusion.tolist(),
        "images": [dataclasses.asdict(row) for row in analysis.images],
        "precision": {f"{iou:g}": rounded[index].T.tolist() for index, iou in enumerate((0.5, 0.75))},
    }
