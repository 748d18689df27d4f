"""Which detection found which object, as pycocotools matches them, and what else it lies over, of any class."""

import contextlib
import copy
import dataclasses
import io
from collections.abc import Sequence

import numpy as np
from pycocotools import coco, cocoeval
from pycocotools import mask as coco_mask

from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco import lvis

IOUS = (0.5, 0.75)
SHAPE = {"bbox": "bbox", "segm": "segmentation"}  # what is compared, of an annotation and of a result


@dataclasses.dataclass(frozen=True)
class Matching:
    """Results of one kind beside the objects of a ground truth, matched at IoU 0.5.

    Crowds are no objects, and what pycocotools leaves out because it lies in a crowd of its class is no detection. Both
    are in the order of classes, images, then scores, as pycocotools has them.
    """

    class_names: tuple[str, ...]  # K, in the order of the truth's category ids
    image_ids: tuple[int, ...]  # I
    precision: (
        np.ndarray
    )  # f64 [2, 101, K]: at IoU 0.5 and 0.75, at recall 0, 0.01, ..., 1; -1: a class without objects
    result_rows: np.ndarray  # int [D] in the list of results
    scores: np.ndarray  # f64 [D]
    classes: np.ndarray  # int [D], 0..K - 1
    images: np.ndarray  # int [D], 0..I - 1
    found: np.ndarray  # int [D], the object that a detection has found, of its class; -1: none
    annotation_ids: np.ndarray  # int [N], of objects
    object_classes: np.ndarray  # int [N], 0..K - 1
    object_images: np.ndarray  # int [N], 0..I - 1
    ious: tuple[np.ndarray, ...]  # I of f64 [d, n]: detections and objects of an image, of all classes, in their order

    @property
    def finders(self) -> np.ndarray:
        """The detection that has found each object, int [N]; -1: none."""
        finders = np.full(len(self.annotation_ids), -1)
        hits = np.flatnonzero(self.found >= 0)
        finders[self.found[hits]] = hits
        return finders

    @property
    def object_counts(self) -> np.ndarray:
        """Objects of each class, int [K]."""
        return np.bincount(self.object_classes, minlength=len(self.class_names))


def match(truth: coco.COCO, results: list[dict], kind: str, names: Sequence[str], max_dets: int = 100) -> Matching:
    """Matches results with a ground truth by pycocotools.

    Args:
      truth: pycocotools' index of a ground truth that was judged, see `coco_metrics.load_truth`; it is not changed.
      results: COCO results of its images and categories.
      kind: "bbox" or "segm".
      names: of the truth's categories, in the order of their ids.
      max_dets: detections an image and class that count, as in the score.

    Returns:
      The matching at IoU 0.5, and pycocotools' interpolated precision at 0.5 and 0.75.

    Raises:
      ValueError: another kind, or the ground truth is federated (LVIS): what is not annotated there may be no error.
    """
    if kind not in SHAPE:
        raise ValueError(f"kind is {shown(kind)}; allowed: {', '.join(map(repr, SHAPE))}.")
    if lvis.is_federated(truth.dataset):
        raise ValueError("ground_truth is of LVIS, where not all objects are annotated; allowed: COCO's.")
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = _evaluated(truth, results, kind, max_dets)
    params = evaluation.params
    if not params.imgIds or not params.catIds:
        return _without_images(names, params)
    images = {number: index for index, number in enumerate(params.imgIds)}
    parts = [part for part in evaluation.evalImgs if part is not None]
    detections, objects = _detections(parts, params, images), _objects(parts, params, images)
    places = {number: place for place, number in enumerate(objects["annotation_ids"].tolist())}
    found = np.array([places.get(number, -1) for number in detections.pop("matched").tolist()], int)
    precision = evaluation.eval["precision"][..., 0, -1]
    groups = {
        "detections": _grouped(detections["images"], len(images)),
        "objects": _grouped(objects["object_images"], len(images)),
    }
    shapes = _Shapes(results, evaluation.cocoGt, SHAPE[kind])
    ious = tuple(
        shapes.ious(detections["result_rows"][rows], objects["annotation_ids"][columns])
        for rows, columns in zip(*groups.values(), strict=True)
    )
    return Matching(tuple(names), tuple(params.imgIds), precision, found=found, ious=ious, **detections, **objects)


def _evaluated(truth: coco.COCO, results: list[dict], kind: str, max_dets: int) -> cocoeval.COCOeval:
    """Evaluated copies: pycocotools turns the polygons of what it scores into RLE."""
    keys = ("image_id", "category_id", "score", SHAPE[kind])
    own = coco.COCO()
    own.dataset = truth.dataset | {"annotations": [dict(row) for row in truth.dataset["annotations"]]}
    own.createIndex()
    rows = [{key: result[key] for key in keys} for result in results]
    if rows:
        found = own.loadRes(copy.deepcopy(rows))
    else:  # COCO.loadRes reads the first result
        found = coco.COCO()
        found.dataset = truth.dataset | {"annotations": []}
        found.createIndex()
    evaluation = cocoeval.COCOeval(own, found, kind)
    evaluation.params.iouThrs = np.array(IOUS)
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.params.maxDets = [max_dets]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _detections(parts: list[dict], params, images: dict[int, int]) -> dict[str, np.ndarray]:
    """Those that count, without what lies in crowds; `matched` are ids of annotations, 0 for none."""
    order = {number: index for index, number in enumerate(params.catIds)}
    columns = {"result_rows": [], "scores": [], "classes": [], "images": [], "matched": []}
    for part in parts:
        kept = np.flatnonzero(~np.asarray(part["dtIgnore"][0], bool))
        columns["result_rows"].append(np.asarray(part["dtIds"], int)[kept] - 1)  # loadRes numbers results from 1
        columns["scores"].append(np.asarray(part["dtScores"], float)[kept])
        columns["classes"].append(np.full(len(kept), order[part["category_id"]]))
        columns["images"].append(np.full(len(kept), images[part["image_id"]]))
        columns["matched"].append(np.asarray(part["dtMatches"][0])[kept].astype(int))
    return {name: np.concatenate([np.zeros(0, int), *values]) for name, values in columns.items()}


def _objects(parts: list[dict], params, images: dict[int, int]) -> dict[str, np.ndarray]:
    order = {number: index for index, number in enumerate(params.catIds)}
    columns = {"annotation_ids": [], "object_classes": [], "object_images": []}
    for part in parts:
        kept = np.flatnonzero(~np.asarray(part["gtIgnore"], bool))
        columns["annotation_ids"].append(np.asarray(part["gtIds"], int)[kept])
        columns["object_classes"].append(np.full(len(kept), order[part["category_id"]]))
        columns["object_images"].append(np.full(len(kept), images[part["image_id"]]))
    return {name: np.concatenate([np.zeros(0, int), *values]) for name, values in columns.items()}


def _grouped(groups: np.ndarray, count: int) -> list[np.ndarray]:
    """The rows of each group 0..count - 1, in their order."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.searchsorted(groups[order], np.arange(1, count)))


def rows_of_images(matching: Matching) -> list[tuple[np.ndarray, np.ndarray]]:
    """(detections, objects) of each image: int [d] and [n], the rows and columns of its `ious`."""
    count = len(matching.image_ids)
    if not count:
        return []
    return list(zip(_grouped(matching.images, count), _grouped(matching.object_images, count), strict=True))


@dataclasses.dataclass(frozen=True)
class _Shapes:
    """Boxes or masks of results and annotations, which pycocotools has made RLE of."""

    results: list[dict]
    truth: coco.COCO
    key: str

    def ious(self, result_rows: np.ndarray, annotation_ids: np.ndarray) -> np.ndarray:
        """IoU of results with annotations, float64 [d, n]."""
        if not len(result_rows) or not len(annotation_ids):
            return np.zeros((len(result_rows), len(annotation_ids)))
        found = [self.results[row][self.key] for row in result_rows]
        objects = [self.truth.anns[number][self.key] for number in annotation_ids.tolist()]
        if self.key == "bbox":
            found, objects = np.asarray(found, float), np.asarray(objects, float)
        return np.asarray(coco_mask.iou(found, objects, [0] * len(objects)))


def _without_images(names: Sequence[str], params) -> Matching:
    none = np.zeros(0, int)
    precision = np.full((len(IOUS), 101, len(names)), -1.0)
    rows = {"result_rows": none, "scores": np.zeros(0), "classes": none, "images": none, "found": none}
    objects = {"annotation_ids": none, "object_classes": none, "object_images": none}
    return Matching(
        tuple(names),
        tuple(params.imgIds),
        precision,
        **rows,
        **objects,
        ious=tuple(np.zeros((0, 0)) for _ in params.imgIds),
    )
