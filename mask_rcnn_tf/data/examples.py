"""From an annotation file and its images to examples, leaving out and reporting what cannot be used."""

import collections
import concurrent.futures
import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from mask_rcnn_tf.coco import pictures, rle
from mask_rcnn_tf.coco.completion import owner
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.judge import Instance, judge
from mask_rcnn_tf.coco.segmentation import has_segmentation
from mask_rcnn_tf.data.report import BadRecord, Report

AHEAD = 4 * (os.cpu_count() or 1)  # images that are read before they are needed


@dataclasses.dataclass(frozen=True)
class ScanOptions:
    """How records are judged."""

    category_ids: tuple[int, ...] = ()  # known ids, in the order of classes 1..C
    num_keypoints: int = 0  # J
    require_masks: bool = True  # reject annotations that have a box only
    strict: bool = False  # a bad image or an unknown id is an error: a score without it would be another score


def scan(coco: dict, folder: str, options: ScanOptions, report: Report) -> Iterator[dict]:
    """Goes through a file's images in their order.

    Args:
      coco: from `read_annotations`.
      folder: of the images; `file_name` may lead into sub-folders.
      options: how records are judged.
      report: is filled while the iterator is consumed.

    Yields:
      dict: `image` bytes of the file, `orientation` int that turns its pixels, `image_id` int, `height`, `width` int
      (then), `boxes` f32 [g,4] yxyx, `classes` i32 [g], `annotation_ids` list, `runs` list of i32 [n] (empty without a
      mask), `keypoints` f32 [g,J,3]. No crowds.

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
                picture = pending.result()
            except Rejected as error:
                report.on_bad_images += len(by_image[image["id"]])
                _reject(report, options, error, image["id"], None, image["file_name"])
                continue
            pictures.add_facts(report.pictures, picture.facts)
            instances = _instances(image, by_image.pop(image["id"], ()), options, report)
            yield {"image": picture.content, "orientation": picture.orientation} | instances


def _check_masks(coco: dict, options: ScanOptions, report: Report):
    instances = [row for row in coco["annotations"] if not row.get("iscrowd")]
    if options.require_masks and instances and not any(map(has_segmentation, instances)):
        raise ValueError(
            f"annotations {report.annotations_file} has boxes but no masks, and config.model.mask_head.enabled "
            "is True; set config.model.mask_head.enabled=False, or add 'segmentation' to the annotations."
        )


def _group(coco: dict, options: ScanOptions, report: Report) -> dict[int, list]:
    """Counts all annotations and returns the usable kind by image id."""
    report.images, report.annotations = len(coco["images"]), len(coco["annotations"])
    images = {image["id"]: image for image in coco["images"]}
    known = set(options.category_ids)
    by_image = collections.defaultdict(list)
    for row in coco["annotations"]:
        name = images.get(row["image_id"], {}).get("file_name", "")
        try:
            image = owner(row, images, known)
        except Rejected as error:
            _reject(report, options, error, row["image_id"], row.get("id", -1), name, fatal=True)
            continue
        if not row.get("iscrowd"):
            by_image[row["image_id"]].append(row)
            continue
        report.crowd += 1
        try:
            judge(row, image, may_be_empty=True)  # as scoring does, which keeps crowds
        except Rejected as error:
            _reject(report, options, error, row["image_id"], row.get("id", -1), name)
    return by_image


def _reject(
    report: Report,
    options: ScanOptions,
    error: Rejected,
    image_id: int,
    annotation_id: int | None,
    name: str,
    *,
    fatal: bool = False,
):
    record = BadRecord(error.kind, error.detail, image_id, annotation_id, name)
    if options.strict and (fatal or annotation_id is None):
        raise ValueError(f"annotations {report.annotations_file}: {record}.") from None
    report.bad.append(record)


def _ahead(pool: concurrent.futures.Executor, images: list[dict], folder: pathlib.Path) -> Iterator[tuple]:
    """Yields (image, future of its `Picture`) in order, with a bounded number of images in memory."""
    waiting = collections.deque()
    for image in images:
        job = pool.submit(pictures.read_picture, folder / image["file_name"], (image["height"], image["width"]))
        waiting.append((image, job))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def _instances(image: dict, rows: list[dict], options: ScanOptions, report: Report) -> dict:
    classes = {category_id: index + 1 for index, category_id in enumerate(options.category_ids)}
    used: list[dict] = []
    instances: list[Instance] = []
    for row in rows:
        try:
            judged = judge(row, image, num_keypoints=options.num_keypoints, need_mask=options.require_masks)
            instances.append(judged)
            used.append(row)
        except Rejected as error:
            _reject(report, options, error, image["id"], row.get("id", -1), image["file_name"])
    boxes, runs = [instance.box for instance in instances], [instance.runs for instance in instances]
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
        "runs": runs,
        "keypoints": _stacked_keypoints(instances, options.num_keypoints),
    }


def _stacked_keypoints(instances: list[Instance], num_keypoints: int) -> np.ndarray | None:
    if not num_keypoints:
        return None
    rows = [instance.keypoints for instance in instances]
    return np.reshape(np.asarray(rows, np.float32), (-1, num_keypoints, 3))


def _area(box: np.ndarray, runs: np.ndarray) -> float:
    return rle.area(runs) if len(runs) else float(np.prod(box[2:] - box[:2]))
