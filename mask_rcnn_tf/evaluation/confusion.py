"""What becomes of objects and detections at a score threshold: found, confused with another class, missed, false."""

import dataclasses

import numpy as np

from mask_rcnn_tf.evaluation.matching import Matching, rows_of_images

IOU = 0.5


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Rows of a `Matching`: every object and every detection above the threshold is in exactly one of the four."""

    found: np.ndarray  # int [f, 2]: detections and the objects of their class that they have found
    confused: np.ndarray  # int [c, 2]: detections and the objects of another class that they lie on
    missed: np.ndarray  # int [m]: objects
    false: np.ndarray  # int [x]: detections


def outcome(matching: Matching, score: float, iou: float = IOU) -> Outcome:
    """Sorts what a score threshold keeps.

    An object is found as pycocotools has it: by a detection of its class, whatever else lies on it. What is left is
    matched across classes: a detection, the highest score first, is confused with the object of the largest IoU.

    Args:
      matching: of all results.
      score: lowest score of a detection that is kept.
      iou: from which on a detection lies on an object of another class.
    """
    kept = matching.scores >= score
    hits = np.flatnonzero(kept & (matching.found >= 0))
    open_objects = np.ones(len(matching.annotation_ids), bool)
    open_objects[matching.found[hits]] = False
    open_detections = kept & (matching.found < 0)
    confused = []
    for (detections, objects), ious in zip(rows_of_images(matching), matching.ious, strict=True):
        pairs = _confused(ious, matching.scores[detections], open_detections[detections], open_objects[objects], iou)
        confused += [(detections[row], objects[column]) for row, column in pairs]
    confused = np.array(confused, int).reshape(-1, 2)
    open_detections[confused[:, 0]] = False
    open_objects[confused[:, 1]] = False
    found = np.stack([hits, matching.found[hits]], 1)
    return Outcome(found, confused, np.flatnonzero(open_objects), np.flatnonzero(open_detections))


def _confused(
    ious: np.ndarray, scores: np.ndarray, detections: np.ndarray, objects: np.ndarray, iou: float
) -> list[tuple[int, int]]:
    """Pairs of rows and columns of an image's IoUs; what is True of detections and objects is free."""
    pairs, free = [], objects.copy()
    if not free.any():
        return pairs
    for row in np.flatnonzero(detections)[np.argsort(-scores[detections], kind="stable")]:
        overlaps = np.where(free, ious[row], -1.0)
        column = int(overlaps.argmax())
        if overlaps[column] >= iou:
            pairs.append((int(row), column))
            free[column] = False
    return pairs


def matrix(matching: Matching, sorted_out: Outcome) -> np.ndarray:
    """The confusion matrix, int [K + 1, K + 1]: objects by class in rows, what they were taken for in columns.

    The last column is what was missed, the last row what was found where nothing is; its corner is 0.
    """
    size = len(matching.class_names) + 1
    counts = np.zeros((size, size), int)
    for pairs in (sorted_out.found, sorted_out.confused):
        np.add.at(counts, (matching.object_classes[pairs[:, 1]], matching.classes[pairs[:, 0]]), 1)
    np.add.at(counts, (matching.object_classes[sorted_out.missed], size - 1), 1)
    np.add.at(counts, (size - 1, matching.classes[sorted_out.false]), 1)
    return counts


def by_image(matching: Matching, sorted_out: Outcome) -> np.ndarray:
    """Missed, false and confused of each image, int [I, 3]."""
    images = (
        matching.object_images[sorted_out.missed],
        matching.images[sorted_out.false],
        matching.images[sorted_out.confused[:, 0]],
    )
    return np.stack([np.bincount(rows, minlength=len(matching.image_ids)) for rows in images], 1)
