"""Whether two programs found the same: detection by detection, with tolerances, from two COCO result files."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

EDGE = 1e-4  # scores so near the threshold or the last place may be found by one program alone


@dataclasses.dataclass
class Tolerance:
    """How far two detections of the same thing may lie apart."""

    box: float = 1e-2  # pixels, each side
    score: float = 1e-4
    mask_iou: float = 0.99
    paste_mask_iou: float = 0.98  # where integer pasting may round to either side, see `on_the_edge`
    mask_pixels: int = 0  # so many may differ in any case: one of a small object's is more than 0.01 of it
    keypoint: float = 1e-2  # pixels
    tied_score: float = 1e-2  # of keypoints at two places: so near, as a share, that rounding chose the place
    tied: float = 0.1  # share of all keypoints that may be such ties


@dataclasses.dataclass
class Comparison:
    """What was found.

    Args:
      matched: number of pairs.
      edge: detections of one side alone whose score is at the threshold or at the last place.
      box, score: largest differences of the pairs, pixels and score.
      mask_ious: float64 [pairs with masks], ascending.
      pixels: int64 [pairs with masks], pixels that one mask has and the other has not, in the order of mask_ious.
      differences: every detection without partner and every pair outside the tolerance, a line each.
    """

    matched: int
    edge: int
    box: float
    score: float
    mask_ious: np.ndarray
    pixels: np.ndarray
    differences: list[str]


def compare(
    results: Sequence[dict],
    reference: Sequence[dict],
    tolerance: Tolerance,
    score_threshold: float,
    max_detections: int,
    paste: str = "continuous",
    *,
    mask_size: int = 28,
) -> Comparison:
    """Pairs the detections of each image and category by their boxes and compares the pairs.

    Args:
      results, reference: COCO results with `image_id`, `category_id`, `bbox`, `score` and, optionally, `segmentation`
        (RLE) and `keypoints`.
      tolerance: what a pair may differ by.
      score_threshold: the lowest score that both programs keep.
      max_detections: detections an image that both programs keep.
      paste: "integer" tolerates `paste_mask_iou` where a box lies on the edge of an integer.
      mask_size: M, side of the masks before pasting.

    Raises:
      ValueError: a result has no box, or two masks are of images of different sizes.
    """
    _check_boxes(results, reference)
    images = defaultdict(lambda: ([], []))
    for side, items in enumerate((results, reference)):
        for item in items:
            images[item["image_id"]][side].append(item)
    pairs, edge, differences = [], 0, []
    for image_id, sides in sorted(images.items()):
        # The score below which another order may have kept another detection.
        last = max((min(r["score"] for r in side) for side in sides if len(side) >= max_detections), default=-1.0)
        found, alone = _pair(*sides)
        pairs += found
        for name, item in alone:
            at_edge = any(item["score"] <= bound + EDGE for bound in (score_threshold, last))
            edge += at_edge
            if not at_edge:
                differences.append(f"image {image_id}: in {name} alone: {_describe(item)}")
    boxes = [np.abs(_corners(a) - _corners(b)).max() for a, b in pairs]
    scores = [abs(a["score"] - b["score"]) for a, b in pairs]
    masks = [compare_masks(a, b) if "segmentation" in a and "segmentation" in b else (None, None) for a, b in pairs]
    ious, pixels = zip(*masks, strict=True) if masks else ((), ())
    for (_, b), box, score, iou, count in zip(pairs, boxes, scores, ious, pixels, strict=True):
        lenient = paste == "integer" and on_the_edge(_corners(b), tolerance.box, mask_size)
        least = tolerance.paste_mask_iou if lenient else tolerance.mask_iou
        masks_differ = iou is not None and iou < least and count > tolerance.mask_pixels
        if box > tolerance.box or score > tolerance.score or masks_differ:
            differences.append(
                f"image {b['image_id']}: {_describe(b)} differs by {box:.2g} px, {score:.2g} in score"
                + ("" if iou is None else f", mask IoU {iou:.4f}, {count} pixels")
            )
    differences += _keypoint_differences(pairs, tolerance)
    found = sorted((iou, count) for iou, count in masks if iou is not None)
    ious, pixels = np.array(found, np.float64).reshape(-1, 2).T
    return Comparison(
        len(pairs), edge, max(boxes, default=0.0), max(scores, default=0.0), ious, pixels.astype(np.int64), differences
    )


def _keypoint_differences(pairs: Sequence[tuple[dict, dict]], tolerance: Tolerance) -> list[str]:
    """Pairs with keypoints at other places, but for ties: a place is the best of all pixels, and two may be as good."""
    lines, count, tied = [], 0, 0
    for a, b in pairs:
        if "keypoints" not in b:
            continue
        if len(a.get("keypoints", ())) != len(b["keypoints"]):
            lines.append(f"image {b['image_id']}: {_describe(b)} has other keypoints")
            continue
        ours, theirs = (np.reshape(item["keypoints"], (-1, 3)) for item in (a, b))
        apart = np.abs(ours - theirs)[:, :2].max(1) > tolerance.keypoint
        near = np.abs(ours - theirs)[:, 2] <= tolerance.tied_score * np.maximum(ours[:, 2], theirs[:, 2])
        count, tied = count + len(near), tied + int((apart & near).sum())
        if not near.all():
            lines.append(f"image {b['image_id']}: {_describe(b)} has {int((~near).sum())} keypoints of another score")
    if tied > max(1, tolerance.tied * count):
        lines.append(f"{tied} of {count} keypoints lie at other places with the same score")
    return lines


def _check_boxes(results: Sequence[dict], reference: Sequence[dict]):
    for name, items in (("results", results), ("reference", reference)):
        bare = [item for item in items if "bbox" not in item]
        if bare:
            raise ValueError(
                f"{name} has {len(bare)} of {len(items)} results without 'bbox', by which pairs are found."
            )


def compare_masks(a: dict, b: dict) -> tuple[float, int]:
    """IoU of two results' masks (two empty ones agree), and how many pixels one of them alone has.

    Raises:
      ValueError: they are masks of images of different sizes.
    """
    sizes = [list(item["segmentation"]["size"]) for item in (a, b)]
    if sizes[0] != sizes[1]:
        raise ValueError(f"masks of image {b.get('image_id')} have sizes {sizes[0]} and {sizes[1]}; allowed: one size.")
    union = int(coco_mask.area(coco_mask.merge([a["segmentation"], b["segmentation"]])))
    both = int(coco_mask.area(coco_mask.merge([a["segmentation"], b["segmentation"]], intersect=True)))
    return (both / union if union else 1.0), union - both


def on_the_edge(corners: np.ndarray, tolerance: float, mask_size: int) -> bool:
    """Whether the box, grown by one mask pixel on every side and truncated, would change by moving within `tolerance`.

    Args:
      corners: float64 [4], x1, y1, x2, y2.
      tolerance: pixels.
      mask_size: M.

    Source: torchvision `roi_heads.py`, expand_boxes and paste_mask_in_image.
    """
    center, half = (corners[:2] + corners[2:]) / 2, (corners[2:] - corners[:2]) / 2
    half = half * (mask_size + 2) / mask_size
    grown = np.concatenate([center - half, center + half])
    return bool(np.any(np.abs(grown - np.round(grown)) <= tolerance))


def _pair(results: Sequence[dict], reference: Sequence[dict]) -> tuple[list[tuple], list[tuple]]:
    """Pairs of one image, within each category, nearest boxes first; and who stays alone."""
    pairs, alone = [], []
    for category in sorted({item["category_id"] for item in [*results, *reference]}):
        a = [item for item in results if item["category_id"] == category]
        b = [item for item in reference if item["category_id"] == category]
        cost = np.zeros((len(a), len(b)))
        if a and b:
            corners = np.stack([_corners(item) for item in a]), np.stack([_corners(item) for item in b])
            cost = np.abs(corners[0][:, None] - corners[1][None]).max(-1)
        kept = []
        for index in np.argsort(cost, axis=None, kind="stable"):
            i, j = np.unravel_index(index, cost.shape)
            if cost[i, j] >= 1.0:  # more than a pixel apart is another detection, not a difference of rounding
                break
            if all(i != row and j != column for row, column in kept):
                kept.append((i, j))
        pairs += [(a[i], b[j]) for i, j in kept]
        alone += [("results", a[i]) for i in set(range(len(a))) - {i for i, _ in kept}]
        alone += [("reference", b[j]) for j in set(range(len(b))) - {j for _, j in kept}]
    return pairs, alone


def _corners(item: dict) -> np.ndarray:
    x, y, width, height = item["bbox"]
    return np.array([x, y, x + width, y + height], np.float64)


def _describe(item: dict) -> str:
    box = ", ".join(f"{value:.2f}" for value in item["bbox"])
    return f"category {item['category_id']}, score {item['score']:.4f}, box [{box}]"
