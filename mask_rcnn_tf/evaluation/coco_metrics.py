"""COCO's average precision and recall by pycocotools, LVIS's by its own judge (`federated`), as tables by name."""

import contextlib
import io
import logging
import pathlib
from collections.abc import Sequence

import numpy as np
from pycocotools import coco

from mask_rcnn_tf.arguments import PATH, check_kind, shown
from mask_rcnn_tf.coco import completion, lvis, reader
from mask_rcnn_tf.coco.boxes import XYWH, judge_boxes
from mask_rcnn_tf.coco.errors import printable
from mask_rcnn_tf.coco.segmentation import has_segmentation
from mask_rcnn_tf.evaluation import federated, judges
from mask_rcnn_tf.evaluation.judges import Evaluation
from mask_rcnn_tf.evaluation.proposals import average_recall

LOG = logging.getLogger("mask_rcnn_tf")
# What a result must hold to be scored.
RESULT_KEY = {"bbox": "bbox", "segm": "segmentation", "keypoints": "keypoints", "proposals": "bbox"}
AREAS = {"s": "small", "m": "medium", "l": "large"}
MAX_DETS = (1, 10, 100)
CLASSES_SHOWN = 40


def score(
    ground_truth: dict | str | pathlib.Path,
    results: list[dict],
    iou_types: Sequence[str] = ("bbox", "segm"),
    max_dets: Sequence[int] | None = None,
    sigmas: Sequence[float] | None = None,
    *,
    judge: str = judges.PYCOCOTOOLS,
) -> dict[str, dict]:
    """Scores COCO results against a COCO-format ground truth.

    Every image of the ground truth counts, with results or without. Areas are those of masks for "segm": a result's
    `bbox` is left out there, as Detectron2 `coco_evaluation.py` does, because pycocotools would take its area instead.

    Args:
      ground_truth: a COCO-format dict, or the path of its JSON file; it is not changed.
      results: COCO results, in one list for all `iou_types`.
      iou_types: any of "bbox", "segm", "keypoints", and "proposals", boxes whose categories do not count.
      max_dets: detections an image that count, ascending; AP is at the last one. None: COCO's 1, 10, 100, LVIS's 300.
        Keypoints always use COCO's 20. Of LVIS's files the last one alone counts.
      sigmas: one of each keypoint, for "keypoints"; None is COCO's 17.
      judge: "pycocotools", or "faster_coco_eval" for the same figures in a fraction of the time (the extra `scoring`).

    Returns:
      A table for each of `iou_types`. "bbox" and "segm": AP, AP50, AP75, APs, APm, APl, AR1, AR10, AR100 (named after
      `max_dets`), ARs, ARm, ARl. "keypoints": AP, AP50, AP75, APm, APl, AR, AR50, AR75, ARm, ARl. Without results all
      are 0; a figure without any ground truth of its area is -1, as in pycocotools. A ground truth whose images have
      `neg_category_ids` is scored as LVIS is: AP to APl, APr, APc, APf (rare, common, frequent categories), AR300, ARs,
      ARm, ARl. "proposals": AR100, ARs100, ARm100, ARl100 of each of `max_dets`, see `average_recall`. And
      `per_category`: for each of the other `iou_types` the AP by category name.

    Raises:
      ValueError: an unknown type, an image or category that the ground truth lacks, annotations or results without
        what a type needs or that the judge rejects, sigmas that do not fit, or a judge that is unknown or missing.

    Source: `cocoapi/PythonAPI/pycocotools/cocoeval.py`, whose `summarize` knows maxDets = 100 only; `federated`.
    """
    check_arguments(iou_types, max_dets)
    truth = load_truth(ground_truth, iou_types, sigmas)
    results = reader.judge_results(results)
    form = judge_boxes({"images": truth.dataset["images"], "annotations": results}).form
    if form != XYWH:
        raise ValueError(f"results have boxes {form}, as their masks show; allowed: {XYWH}.")
    return score_truth(truth, results, iou_types, max_dets, sigmas, judge=judge)


def score_truth(
    truth: coco.COCO,
    results: list[dict],
    iou_types: Sequence[str] = ("bbox", "segm"),
    max_dets: Sequence[int] | None = None,
    sigmas: Sequence[float] | None = None,
    *,
    judge: str = judges.PYCOCOTOOLS,
) -> dict[str, dict]:
    """As `score`, of a ground truth that `load_truth` has read, and of results that need no judge because we made them.

    Args:
      truth: of `load_truth`, with the same `iou_types` and `sigmas`.
      results: see `score`.
      iou_types: see `score`.
      max_dets: see `score`.
      sigmas: see `score`.
      judge: see `score`.

    Returns:
      See `score`.

    Raises:
      ValueError: see `score`.
    """
    check_arguments(iou_types, max_dets)
    _check_results(truth, results, iou_types)
    max_dets = max_dets or (federated.MAX_DETS if lvis.is_federated(truth.dataset) else MAX_DETS)
    by_class = [kind for kind in iou_types if kind != "proposals"]
    with contextlib.redirect_stdout(io.StringIO()):
        evals = {kind: judges.evaluate(truth, results, kind, max_dets, sigmas, judge=judge) for kind in by_class}
    tables = {kind: _table(evaluation, kind) for kind, evaluation in evals.items()}
    if "proposals" in iou_types:
        tables["proposals"] = average_recall(truth, results, max_dets)
    names = category_names(truth)
    tables["per_category"] = {kind: _per_category(evaluation, names) for kind, evaluation in evals.items()}
    return tables


def format_table(metrics: dict[str, dict]) -> str:
    """The tables of `score` as text, a line each, in per cent as papers print. Raises ValueError: it is no dict."""
    check_kind("metrics", metrics, dict, "the tables of `score`")
    lines = []
    for kind, table in metrics.items():
        if kind != "per_category":
            cells = (f"{name} {100 * value:.1f}" if value >= 0 else f"{name} -" for name, value in table.items())
            lines.append(f"{kind:<10}" + "  ".join(cells))
    return "\n".join(lines)


def format_classes(metrics: dict[str, dict]) -> str:
    """The AP of each class as text, a line each, in per cent; of many classes the lowest.

    Args:
      metrics: the tables of `score`.

    Returns:
      The lines; "" where there are fewer than two classes, whose AP the other tables have.

    Raises:
      ValueError: it is no dict.
    """
    check_kind("metrics", metrics, dict, "the tables of `score`")
    tables = metrics.get("per_category", {})
    names = list(next(iter(tables.values()), {}))
    if len(names) < 2:
        return ""
    rows = [(name, *(table[name] for table in tables.values())) for name in names]
    if len(rows) > CLASSES_SHOWN:  # those without objects, at -1, last
        rows = sorted(rows, key=lambda row: (row[-1] < 0, row[-1]))[:CLASSES_SHOWN]
    labels = [printable(row[0], 40) for row in rows]
    width = max(len("AP of a class"), *map(len, labels))
    lines = [f"{'AP of a class':<{width}}" + "".join(f"{kind:>11}" for kind in tables)]
    for label, (_, *values) in zip(labels, rows, strict=True):
        lines.append(f"{label:<{width}}" + "".join(f"{f'{100 * v:.1f}' if v >= 0 else '-':>11}" for v in values))
    if len(names) > len(rows):
        lines.append(f"the lowest {len(rows)} of {len(names)} classes; metrics have all")
    return "\n".join(lines)


def headline(kind: str, max_dets: Sequence[int]) -> str:
    """The figure of a table by which models are compared: AP, or the recall of all proposals that count."""
    return f"AR{max_dets[-1]}" if kind == "proposals" else "AP"


def check_arguments(iou_types: Sequence[str], max_dets: Sequence[int] | None):
    """Raises ValueError where `iou_types` or `max_dets` of `score` are not what is allowed."""
    if not isinstance(iou_types, (list, tuple)) or not iou_types or any(kind not in RESULT_KEY for kind in iou_types):
        raise ValueError(f"iou_types is {shown(iou_types)}; allowed: a tuple of {', '.join(map(repr, RESULT_KEY))}.")
    if max_dets is None:
        return
    whole = isinstance(max_dets, (list, tuple)) and all(isinstance(count, (int, np.integer)) for count in max_dets)
    if not whole or not max_dets or min(max_dets) < 1 or list(max_dets) != sorted(set(max_dets)):
        raise ValueError(f"max_dets is {shown(max_dets)}; allowed: ascending whole numbers above 0.")


def load_truth(
    ground_truth: dict | str | pathlib.Path,
    iou_types: Sequence[str] = ("bbox", "segm"),
    sigmas: Sequence[float] | None = None,
    *,
    where: str = "",
) -> coco.COCO:
    """Judges, completes and indexes a ground truth, so that a bad annotation is known before anything is predicted.

    Args:
      ground_truth: a COCO-format dict, or the path of its JSON file; it is not changed.
      iou_types: what will be scored.
      sigmas: one of each keypoint, or None.
      where: what the ground truth is, in messages; "" names the argument.

    Returns:
      pycocotools' index of completed copies of the annotations.

    Raises:
      ValueError: the file or dict is not in COCO format, an annotation cannot be used or lacks what a type needs, the
        number of sigmas is not that of the keypoints, or the extra `lvis` is needed and missing.
    """
    check_kind("ground_truth", ground_truth, (dict, *PATH), "a COCO-format dict, or its path")
    if sigmas is not None:
        check_kind("sigmas", sigmas, (list, tuple), "a list or tuple of numbers, or None")
    where = where or ("ground_truth" if isinstance(ground_truth, dict) else f"ground_truth {ground_truth}")
    table = ground_truth if isinstance(ground_truth, dict) else reader.read_truth(ground_truth)
    reader.check_scored(table)
    if "segm" in iou_types and not any(map(has_segmentation, table["annotations"])):
        _refuse_maskless(table["annotations"])
    num_keypoints = reader.keypoint_count(table) if "keypoints" in iou_types or sigmas is not None else None
    if sigmas is not None and len(sigmas) != num_keypoints:
        judges.refuse_sigmas(len(sigmas), num_keypoints)
    options = {"num_keypoints": num_keypoints if "keypoints" in iou_types else None, "need_mask": "segm" in iou_types}
    completed, notes = completion.complete(table, **options, where=where)
    for note in notes:
        LOG.warning("%s: %s", where, note)
    return index(completed, iou_types)


def index(completed: dict, iou_types: Sequence[str]) -> coco.COCO:
    """pycocotools' index of a ground truth that `completion.complete` has judged; raises as `federated.check` does."""
    truth = coco.COCO()
    truth.dataset = completed
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    federated.check(truth, iou_types)
    return truth


def _refuse_maskless(annotations: list[dict]):
    if annotations:
        raise ValueError(
            f"ground_truth has {len(annotations)} of {len(annotations)} annotations without segmentation (the first: "
            f'image {annotations[0]["image_id"]}); "segm" needs masks: leave it out of iou_types.'
        )


def _check_results(truth: coco.COCO, results: list[dict], iou_types: Sequence[str]):
    keys = {"image_id": truth.imgs} | ({} if tuple(iou_types) == ("proposals",) else {"category_id": truth.cats})
    for key, known in keys.items():
        unknown = sorted({result[key] for result in results} - set(known))
        if unknown:
            first, more = ", ".join(map(str, unknown[:5])), ", ..." if len(unknown) > 5 else ""
            raise ValueError(
                f"results have {key} {first}{more}; the ground truth has no such {key} ({len(known)} known)."
            )
    for kind in iou_types:
        lacking = sum(RESULT_KEY[kind] not in result for result in results)
        if lacking:
            raise ValueError(
                f"{lacking} of {len(results)} results have no {RESULT_KEY[kind]!r}, which {kind!r} in iou_types needs."
            )
    if "segm" in iou_types:
        _check_mask_sizes(truth, results)


def _check_mask_sizes(truth: coco.COCO, results: list[dict]):
    """Raises ValueError where a mask is of another size than its image: pycocotools takes it for one that misses."""
    for result in results:
        image, size = truth.imgs[result["image_id"]], list(result["segmentation"]["size"])
        stated = [image.get("height"), image.get("width")]
        if None not in stated and size != stated:
            raise ValueError(
                f"results have a mask of size {size} for image {image['id']}; allowed: that of the image, {stated}."
            )


def _mean(values: np.ndarray) -> float:
    values = values[values > -1]
    return float(values.mean()) if values.size else -1.0


def _figure(evaluation: Evaluation, name: str, iou: float | None = None, area: str = "all", max_det: int = -1) -> float:
    """One figure of COCOeval's arrays: precision [T, R, K, A, M] for "AP", recall [T, K, A, M] for "AR"."""
    params = evaluation.params
    values = evaluation.eval["precision" if name == "AP" else "recall"]
    if iou is not None:
        values = values[np.isclose(params.iouThrs, iou)]
    return _mean(values[..., params.areaRngLbl.index(area), max_det])


def _table(evaluation: Evaluation, kind: str) -> dict[str, float]:
    areas = {short: area for short, area in AREAS.items() if area in evaluation.params.areaRngLbl}
    table = {"AP": _figure(evaluation, "AP")}
    table |= {f"AP{round(100 * iou)}": _figure(evaluation, "AP", iou) for iou in (0.5, 0.75)}
    table |= {f"AP{short}": _figure(evaluation, "AP", area=area) for short, area in areas.items()}
    precision = evaluation.eval["precision"][..., 0, -1]
    table |= {f"AP{name}": _mean(precision[..., some]) for name, some in federated.by_frequency(evaluation).items()}
    if kind == "keypoints":
        table["AR"] = _figure(evaluation, "AR")
        table |= {f"AR{round(100 * iou)}": _figure(evaluation, "AR", iou) for iou in (0.5, 0.75)}
    else:
        max_dets = enumerate(evaluation.params.maxDets)
        table |= {f"AR{count}": _figure(evaluation, "AR", max_det=index) for index, count in max_dets}
    return table | {f"AR{short}": _figure(evaluation, "AR", area=area) for short, area in areas.items()}


def category_names(truth: coco.COCO) -> dict[int, str]:
    """Names by category id; the id itself where names are missing or used twice."""
    names = [category.get("name") for category in truth.cats.values()]
    return {
        number: category["name"] if names.count(category.get("name")) == 1 and category.get("name") else str(number)
        for number, category in truth.cats.items()
    }


def _per_category(evaluation: Evaluation, names: dict[int, str]) -> dict[str, float]:
    precision = evaluation.eval["precision"]
    return {
        names[number]: _mean(precision[:, :, index, 0, -1]) for index, number in enumerate(evaluation.params.catIds)
    }
