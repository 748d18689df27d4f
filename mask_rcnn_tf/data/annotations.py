"""COCO annotation files: reading, checking, and turning one annotation into arrays."""

import json
import math
import pathlib
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from mask_rcnn_tf.data.report import Rejected

# pycocotools walks a polygon's outline in fifths of a pixel, so a stray coordinate of 1e9 would take all memory.
FAR = 100_000.0  # pixels


def read_annotations(path: str) -> dict:
    """Reads a COCO annotation file and checks its structure, not its records.

    Args:
      path: of a JSON file.

    Returns:
      The file's dict: `images`, `annotations`, `categories`.

    Raises:
      ValueError: no such file, not JSON, not COCO (missing keys), or image or category ids that repeat.
    """
    if not pathlib.Path(path).is_file():
        raise ValueError(f"annotations is {str(path)!r}; there is no such file.")
    try:
        coco = json.loads(pathlib.Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"annotations {path} is not JSON: {error}.") from error
    try:
        _check_structure(coco)
    except ValueError as error:
        raise ValueError(f"annotations {path} is not in COCO format: {error}.") from None
    return coco


def _check_structure(coco: Any):
    tables = ("images", "annotations", "categories")
    if not isinstance(coco, dict) or any(not isinstance(coco.get(table), list) for table in tables):
        came = ", ".join(map(repr, coco)) if isinstance(coco, dict) else f"a {type(coco).__name__}"
        raise ValueError(f"it must be a table with the lists 'images', 'annotations' and 'categories'; it has {came}")
    _check_rows(coco, "images", {"id": int, "file_name": str, "width": int, "height": int})
    _check_rows(coco, "categories", {"id": int, "name": str})
    _check_rows(coco, "annotations", {"image_id": int, "category_id": int})
    for table, key in (("images", "id"), ("categories", "id"), ("categories", "name")):
        _check_unique(coco, table, key)
    if not coco["categories"]:
        raise ValueError("categories is empty; at least one is needed")


def _check_rows(coco: dict, table: str, keys: dict[str, type]):
    for index, row in enumerate(coco[table]):
        if not isinstance(row, dict):
            raise ValueError(f"{table}[{index}] is {row!r}; allowed: a table")
        for key, kind in keys.items():
            if key not in row:
                raise ValueError(f"{table}[{index}] has no {key!r}")
            if not isinstance(row[key], kind) or isinstance(row[key], bool):
                raise ValueError(f"{table}[{index}].{key} is {row[key]!r}; allowed: {kind.__name__}")


def _check_unique(coco: dict, table: str, key: str):
    seen = set()
    for row in coco[table]:
        if row[key] in seen:
            raise ValueError(f"{table} has {key} {row[key]!r} twice")
        seen.add(row[key])


def category_table(coco: dict) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The file's category ids in ascending order, and their names; class c is at position c - 1."""
    rows = sorted(coco["categories"], key=lambda row: row["id"])
    return tuple(row["id"] for row in rows), tuple(row["name"] for row in rows)


def keypoint_count(coco: dict) -> int:
    """J: the number of keypoints that the categories name, or else that the first annotation with some has; or 0.

    Raises:
      ValueError: categories name different numbers of keypoints.
    """
    counts = {len(row["keypoints"]) for row in coco["categories"] if row.get("keypoints")}
    if len(counts) > 1:
        raise ValueError(f"categories name {sorted(counts)} keypoints; allowed: the same number where there are any.")
    if counts:
        return counts.pop()
    return next((len(row["keypoints"]) // 3 for row in coco["annotations"] if row.get("keypoints")), 0)


def has_segmentation(annotation: dict) -> bool:
    """Whether an annotation comes with a mask; `null`, `[]` and `""` are none."""
    return bool(annotation.get("segmentation"))


def check_segmentation(segmentation: Any, height: int, width: int):
    """Checks polygons or an RLE before pycocotools sees them: it trusts what it is given.

    Args:
      segmentation: polygons (lists of x, y in pixels of the image) or an RLE (`size`, `counts`).
      height: of the image, pixels.
      width: of the image, pixels.

    Raises:
      Rejected: with the reason.
    """
    if isinstance(segmentation, dict):
        _check_rle(segmentation, height, width)
    elif isinstance(segmentation, list):
        for polygon in segmentation:
            _check_polygon(polygon)
    else:
        raise Rejected("segmentation is neither polygons nor RLE", f"it is a {type(segmentation).__name__}")


def _check_rle(rle: dict, height: int, width: int):
    if not isinstance(rle.get("counts"), str | list) or not rle["counts"]:
        raise Rejected("RLE without counts")
    if rle.get("size") != [height, width]:
        raise Rejected("RLE of another size than the image", f"{rle.get('size')}, the image has [{height}, {width}]")


def _check_polygon(polygon: Any):
    if not isinstance(polygon, list):
        raise Rejected("polygon is not a list of numbers", f"it is {polygon!r:.40}")
    if len(polygon) < 6 or len(polygon) % 2:
        raise Rejected("polygon has fewer than 6 or an odd number of numbers", f"it has {len(polygon)}")
    _numbers(polygon, "polygon")


def _numbers(values: Any, what: str) -> np.ndarray:
    """Float64 copy; raises Rejected unless all are finite numbers within FAR of the origin."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise Rejected(f"{what} is not a list of numbers", f"it is {values!r:.60}") from error
    if not np.isfinite(array).all():
        raise Rejected(f"{what} has a number that is not finite")
    if array.size and np.abs(array).max() > FAR:
        raise Rejected(f"{what} lies far outside the image", f"a coordinate is {array.flat[np.abs(array).argmax()]:g}")
    return array


def decode_counts(text: str | bytes) -> np.ndarray:
    """Run lengths of a compressed RLE, without going through the bitmap.

    Args:
      text: COCO's compressed counts.

    Returns:
      int64 [n]: lengths of runs down the columns, the first of zeros.

    Raises:
      Rejected: the text is not such an encoding.

    Source: `rleFrString` in cocoapi `common/maskApi.c`: six bits a character from "0" on, five of them payload with the
      lowest first, then a flag that more follow; from the fourth run on the difference to the run two before.
    """
    data = text.encode("utf-8") if isinstance(text, str) else text  # what is not ASCII is out of range below
    codes = np.frombuffer(data, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 32) == 0)
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or ends.size == 0 or ends[-1] != codes.size - 1:
        raise Rejected("RLE counts cannot be decoded")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 8:
        raise Rejected("RLE counts cannot be decoded")
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)  # sign extension
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def mask_runs(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Uncompressed RLE counts of polygons, a compressed or an uncompressed RLE.

    Args:
      segmentation: as in the file; polygons are united.
      height: of the image, pixels.
      width: of the image, pixels.

    Returns:
      int32 [n]: lengths of runs down the columns, the first of zeros; they sum to height * width.

    Raises:
      Rejected: malformed, or no pixel is covered.
    """
    check_segmentation(segmentation, height, width)
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
        runs = decode_counts(rle["counts"])
        if not runs[1::2].sum():
            raise Rejected(_why_empty(segmentation, height, width))
    else:
        counts = segmentation["counts"]
        runs = decode_counts(counts) if isinstance(counts, str) else _numbers_of_runs(counts)
        if runs.min() < 0 or runs.sum() != height * width:
            raise Rejected("RLE counts do not add up to the image", f"to {runs.sum()}, not {height * width}")
        if not runs[1::2].sum():
            raise Rejected("mask has no area")
    return runs.astype(np.int32)


def _numbers_of_runs(counts: list) -> np.ndarray:
    try:
        return np.asarray([int(count) for count in counts], np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise Rejected("RLE counts cannot be decoded") from error


def _why_empty(polygons: list, height: int, width: int) -> str:
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in polygons])
    low, high = points.min(0), points.max(0)
    outside = high[0] <= 0 or high[1] <= 0 or low[0] >= width or low[1] >= height
    return "polygon lies outside the image" if outside else "polygon has no area"


def check_box(bbox: Any) -> np.ndarray:
    """A COCO box as float64 [4]; raises Rejected unless it is four finite numbers."""
    values = _numbers(bbox, "box")
    if values.shape != (4,):
        raise Rejected("box is not four numbers", f"it is {bbox!r:.60}")
    return values


def clipped_box(bbox: Any, height: int, width: int) -> np.ndarray:
    """A COCO box as this package's box, cut at the image's border.

    Args:
      bbox: [x, y, width, height], pixels.
      height: of the image, pixels.
      width: of the image, pixels.

    Returns:
      float32 [4]: [y1, x1, y2, x2] pixels.

    Raises:
      Rejected: not four finite numbers, no area, or wholly outside.
    """
    x, y, w, h = check_box(bbox)
    if w <= 0 or h <= 0:
        raise Rejected("box has no area", f"[x, y, width, height] = {bbox}")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise Rejected("box lies outside the image", f"[x, y, width, height] = {bbox}")
    box = np.array([max(y, 0), max(x, 0), min(y + h, height), min(x + w, width)], np.float32)
    if not (box[2:] > box[:2]).all():
        raise Rejected("box has no area", f"[x, y, width, height] = {bbox}")
    return box


def box_of_runs(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """The tight box, float32 [4] [y1, x1, y2, x2], of a mask given by its runs."""
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)
    return clipped_box(coco_mask.toBbox(rle).tolist(), height, width)


def keypoint_rows(keypoints: Any, num_keypoints: int) -> np.ndarray:
    """COCO keypoints in continuous coordinates.

    Args:
      keypoints: [x, y, v] * J, x and y being indices of pixels; None or [] for none.
      num_keypoints: J.

    Returns:
      float32 [J, 3]: x + 0.5, y + 0.5, v; zeros where v is 0.

    Raises:
      Rejected: another count than 3 J, not finite, or v is not 0, 1 or 2.

    Source: detectron2/data/datasets/coco.py adds 0.5, so that the centre of pixel i is i + 0.5.
    """
    if not keypoints:
        return np.zeros((num_keypoints, 3), np.float32)
    values = _numbers(keypoints, "keypoints")
    if values.shape != (3 * num_keypoints,):
        raise Rejected(
            "keypoints of another number than the category's", f"{values.size} numbers, not 3 * {num_keypoints}"
        )
    rows = values.reshape(-1, 3)
    if not np.isin(rows[:, 2], (0, 1, 2)).all():
        raise Rejected("keypoints with a visibility that is not 0, 1 or 2")
    rows[:, :2] += 0.5
    return np.where(rows[:, 2:] > 0, rows, 0).astype(np.float32)


def runs_area(runs: np.ndarray) -> float:
    """Pixels that a mask covers, given its runs."""
    return math.fsum(runs[1::2])
