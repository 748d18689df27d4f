"""From an annotation file and its images to examples, leaving out and reporting what cannot be used."""

import collections
import concurrent.futures
import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.data import annotations as parsing
from mask_rcnn_tf.data.report import BadRecord, Rejected, Report
from mask_rcnn_tf.ops.decode_image import decode_image

AHEAD = 4 * (os.cpu_count() or 1)  # images that are read before they are needed


@dataclasses.dataclass(frozen=True)
class ScanOptions:
    """How records are judged."""

    category_ids: tuple[int, ...] = ()  # known ids, in the order of classes 1..C
    num_keypoints: int = 0  # J
    require_masks: bool = True  # reject annotations that have a box only
    strict: bool = False  # a bad image or an unknown id is an error: a score without it would be another score


def load_image(path: pathlib.Path, height: int, width: int) -> bytes:
    """Reads an image file and decodes it once, to know that it can be used.

    Args:
      path: of the file.
      height: that the annotations state, pixels.
      width: that the annotations state, pixels.

    Returns:
      The file's bytes.

    Raises:
      Rejected: the file is missing, does not decode or has another size.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Rejected("image file is missing or cannot be read", f"{path}: {error.strerror}") from None
    try:
        shape = tuple(decode_image(tf.constant(content)).shape[:2])
    except tf.errors.InvalidArgumentError as error:
        raise Rejected("image does not decode", f"{error.message.splitlines()[0]:.120}") from None
    if shape != (height, width):
        detail = f"{shape[1]} x {shape[0]} stored, {width} x {height} in the annotations (width x height)"
        if shape == (width, height):
            detail += "; probably EXIF rotation, which is not applied: rotate the stored pixels"
        raise Rejected("image size is unlike the annotations'", detail)
    return content


def scan(coco: dict, folder: str, options: ScanOptions, report: Report) -> Iterator[dict]:
    """Goes through a file's images in their order.

    Args:
      coco: from `read_annotations`.
      folder: of the images; `file_name` may lead into sub-folders.
      options: how records are judged.
      report: is filled while the iterator is consumed.

    Yields:
      dict: `image` bytes of the file, `image_id` int, `height`, `width` int, `boxes` f32 [g,4] yxyx, `classes` i32 [g],
      `annotation_ids` list, `runs` list of i32 [n] (empty without a mask), `keypoints` f32 [g,J,3]. No crowds.

    Raises:
      ValueError: no such folder; no masks where they are needed; in strict mode a bad image or an unknown id.
    """
    if not pathlib.Path(folder).is_dir():
        raise ValueError(f"images is {str(folder)!r}; there is no such folder.")
    _check_masks(coco, options, report)
    by_image = _group(coco, options, report)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for image, pending in _ahead(pool, coco["images"], pathlib.Path(folder)):
            try:
                content = pending.result()
            except Rejected as error:
                report.on_bad_images += len(by_image[image["id"]])
                _reject(report, options, error, image["id"], None, image["file_name"])
                continue
            yield {"image": content} | _instances(image, by_image.pop(image["id"], ()), options, report)


def _check_masks(coco: dict, options: ScanOptions, report: Report):
    instances = [row for row in coco["annotations"] if not row.get("iscrowd")]
    if options.require_masks and instances and not any(map(parsing.has_segmentation, instances)):
        raise ValueError(
            f"annotations {report.annotations_file} has boxes but no masks, and config.model.mask_head.enabled "
            "is True; set config.model.mask_head.enabled=False, or add 'segmentation' to the annotations."
        )


def _group(coco: dict, options: ScanOptions, report: Report) -> dict[int, list]:
    """Counts all annotations and returns the usable kind by image id."""
    report.images, report.annotations = len(coco["images"]), len(coco["annotations"])
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    known = set(options.category_ids)
    by_image = collections.defaultdict(list)
    for row in coco["annotations"]:
        if row["image_id"] not in names:
            error = Rejected("annotation of an unknown image", f"image_id {row['image_id']}")
        elif row["category_id"] not in known:
            error = Rejected("unknown category id", f"{row['category_id']}")
        elif row.get("iscrowd"):
            report.crowd += 1
            continue
        else:
            by_image[row["image_id"]].append(row)
            continue
        _reject(report, options, error, row["image_id"], row.get("id", -1), names.get(row["image_id"], ""), fatal=True)
    return by_image


def _reject(
    report: Report,
    options: ScanOptions,
    error: Rejected,
    image_id: int,
    annotation_id: int | None,
    name: str,
    fatal: bool = False,
):
    record = BadRecord(error.kind, error.detail, image_id, annotation_id, name)
    if options.strict and (fatal or annotation_id is None):
        raise ValueError(f"annotations {report.annotations_file}: {record}.") from None
    report.bad.append(record)


def _ahead(pool: concurrent.futures.Executor, images: list[dict], folder: pathlib.Path) -> Iterator[tuple]:
    """Yields (image, future of its bytes) in order, with a bounded number of images in memory."""
    waiting = collections.deque()
    for image in images:
        job = pool.submit(load_image, folder / image["file_name"], image["height"], image["width"])
        waiting.append((image, job))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def _instances(image: dict, rows: list[dict], options: ScanOptions, report: Report) -> dict:
    classes = {category_id: index + 1 for index, category_id in enumerate(options.category_ids)}
    used, instances = [], []
    for row in rows:
        try:
            instances.append(_instance(row, image, options))
            used.append(row)
        except Rejected as error:
            _reject(report, options, error, image["id"], row.get("id", -1), image["file_name"])
    boxes, runs, keypoints = zip(*instances, strict=True) if instances else ((), (), ())
    report.without_mask += sum(not len(counts) for counts in runs)
    areas = [_area(box, counts) for box, counts in zip(boxes, runs, strict=True)]
    report.add_image(image["height"], image["width"], [row["category_id"] for row in used], areas)
    return {
        "image_id": image["id"],
        "height": image["height"],
        "width": image["width"],
        "boxes": np.reshape(np.asarray(boxes, np.float32), (-1, 4)),
        "classes": np.asarray([classes[row["category_id"]] for row in used], np.int32),
        "annotation_ids": [row.get("id", -1) for row in used],
        "runs": list(runs),
        "keypoints": np.reshape(np.asarray(keypoints, np.float32), (-1, options.num_keypoints, 3))
        if options.num_keypoints
        else None,
    }


def _instance(row: dict, image: dict, options: ScanOptions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Box, runs and keypoints of one annotation. Raises Rejected."""
    height, width = image["height"], image["width"]
    runs = np.zeros(0, np.int32)
    if parsing.has_segmentation(row):
        runs = parsing.mask_runs(row["segmentation"], height, width)
    elif options.require_masks:
        raise Rejected("annotation has no mask")
    if row.get("bbox") is not None:
        box = parsing.clipped_box(row["bbox"], height, width)
    elif len(runs):
        box = parsing.box_of_runs(runs, height, width)
    else:
        raise Rejected("annotation has neither box nor mask")
    return box, runs, parsing.keypoint_rows(row.get("keypoints"), options.num_keypoints)


def _area(box: np.ndarray, runs: np.ndarray) -> float:
    return parsing.runs_area(runs) if len(runs) else float(np.prod(box[2:] - box[:2]))
