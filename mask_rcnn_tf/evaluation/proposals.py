"""The recall of boxes without classes: how many of the objects the best proposals of their images cover."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from pycocotools import coco
from pycocotools import mask as coco_mask

IOUS = np.linspace(0.5, 0.95, 10)
# (least, largest) area of an object, pixels of its image; both ends are inside.
AREAS = {"": (0.0, 1e10), "s": (0.0, 32.0**2), "m": (32.0**2, 96.0**2), "l": (96.0**2, 1e10)}


def average_recall(truth: coco.COCO, results: list[dict], limits: Sequence[int]) -> dict[str, float]:
    """The share of objects that proposals cover, the mean over IoU 0.5, 0.55, ..., 0.95.

    In an image the pair of object and proposal with the largest IoU comes first, then the best of what is left, each
    in one pair. pycocotools' recall, in which proposals choose by score and at each IoU anew, lies near it.

    Args:
      truth: pycocotools' index; crowds do not count.
      results: COCO results; their categories are not read.
      limits: of proposals an image, those with the highest scores.

    Returns:
      {"AR100": ..., "ARs100", "ARm100", "ARl100"} for a limit of 100; -1 where there is no object of an area. An image
      without proposals counts, unlike in Detectron2.

    Source: `detectron2/evaluation/coco_evaluation.py`, _evaluate_box_proposals.
    """
    by_image = defaultdict(list)
    for result in results:
        by_image[result["image_id"]].append(result)
    covered: dict[str, list[np.ndarray]] = defaultdict(list)
    for image_id in truth.getImgIds():
        objects = [row for row in truth.imgToAnns[image_id] if not row["iscrowd"]]
        areas = np.array([row["area"] for row in objects], np.float64)
        ranked = sorted(by_image[image_id], key=lambda result: -result["score"])
        ious = _ious(ranked[: max(limits)], objects)
        for limit in limits:
            for name, (least, largest) in AREAS.items():
                inside = (areas >= least) & (areas <= largest)
                covered[f"AR{name}{limit}"].append(_best_pairs(ious[:limit, inside]))
    return {name: _mean_recall(np.concatenate(parts or [np.zeros(0)])) for name, parts in covered.items()}


def _ious(proposals: list[dict], objects: list[dict]) -> np.ndarray:
    """float64 [proposals, objects]."""
    if not proposals or not objects:
        return np.zeros((len(proposals), len(objects)))
    boxes = (np.array([row["bbox"] for row in rows], np.float64) for rows in (proposals, objects))
    return coco_mask.iou(*boxes, [0] * len(objects))


def _best_pairs(ious: np.ndarray) -> np.ndarray:
    """The IoU of each object with its proposal, float64 [objects], 0 where none is left for it."""
    ious, found = ious.copy(), np.zeros(ious.shape[1])
    for number in range(min(ious.shape)):
        proposal, column = np.unravel_index(np.argmax(ious), ious.shape)
        found[number] = ious[proposal, column]
        ious[proposal], ious[:, column] = -1.0, -1.0
    return found


def _mean_recall(covered: np.ndarray) -> float:
    return float(np.mean(covered >= IOUS[:, None])) if covered.size else -1.0
