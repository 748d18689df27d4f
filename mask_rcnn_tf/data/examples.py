"""From an annotation file and its images to examples, leaving out and reporting what cannot be used."""

import collections
import concurrent.futures
import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from mask_rcnn_tf.coco import pictures, rle
from mask_rcnn_tf.coco.errors import BadRecord, Rejected, listed
from mask_rcnn_tf.coco.gate import Gate
from mask_rcnn_tf.coco.judge import Instance
from mask_rcnn_tf.coco.segmentation import has_segmentation
from mask_rcnn_tf.data.report import Report
from mask_rcnn_tf.pixels import PixelKind

AHEAD = 4 * (os.cpu_count() or 1)  # images that are read before they are needed

BOXES_ALONE = "config.model.mask_head.enabled=False"  # how a model without masks is asked for


@dataclasses.dataclass(frozen=True)
class ScanOptions:
    """How records are judged."""

    category_ids: tuple[int | None, ...] = ()  # the file's ids of classes 1..C; None where it lacks one
    num_keypoints: int = 0  # J
    require_masks: bool = True  # reject annotations that have a box only
    strict: bool = False  # an annotation of an unknown image or category is an error
    channels: int = 3  # of images
    bits: int = 8  # of their levels


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
      ValueError: no such folder; no masks where they are needed; in strict mode unknown ids.
    """
    if not pathlib.Path(folder).is_dir():
        raise ValueError(f"images is {str(folder)!r}; there is no such folder.")
    _check_masks(coco, options, report)
    gate = Gate(coco, options.num_keypoints or None, options.require_masks)
    report.images, report.annotations, report.bad = len(coco["images"]), len(coco["annotations"]), gate.bad
    report.contradictions = gate.contradictions()
    by_image = _grouped(coco, gate, options, report)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for image, pending in _ahead(
            pool, coco["images"], pathlib.Path(folder), PixelKind(options.channels, options.bits)
        ):
            try:
                picture = pending.result()
            except Rejected as error:
                report.on_bad_images += len(by_image[image["id"]])
                report.bad.append(BadRecord(error.kind, error.detail, image["id"], None, image["file_name"]))
                continue
            pictures.add_facts(report.pictures, picture.facts)
            instances = _instances(image, by_image.pop(image["id"], ()), options, report, gate)
            yield {"image": picture.content, "orientation": picture.orientation} | instances
    report.crowd, report.notes, report.contradictions = gate.crowd, gate.notes(), gate.contradictions()


def _check_masks(coco: dict, options: ScanOptions, report: Report):
    instances = [row for row in coco["annotations"] if row.get("iscrowd") in (None, 0, "0")]
    if options.require_masks and instances and not any(map(has_segmentation, instances)):
        raise ValueError(
            f"annotations {report.annotations_file} has boxes but no masks, and config.model.mask_head.enabled "
            f"is True; set {BOXES_ALONE}, or add 'segmentation' to the annotations."
        )


def _grouped(coco: dict, gate: Gate, options: ScanOptions, report: Report) -> dict[int, list]:
    """Annotations by the id of their image; those that point nowhere are noted."""
    by_image = collections.defaultdict(list)
    for row in coco["annotations"]:
        if gate.is_owned(row):
            by_image[row["image_id"]].append(row)
    if options.strict and gate.bad:
        raise ValueError(f"annotations {report.annotations_file}: ids are unknown:\n{listed(gate.bad)}")
    return by_image


def _ahead(
    pool: concurrent.futures.Executor, images: list[dict], folder: pathlib.Path, kind: PixelKind
) -> Iterator[tuple]:
    """Yields (image, future of its `Picture`) in order, with a bounded number of images in memory."""
    waiting = collections.deque()
    for image in images:
        shape = image["height"], image["width"]
        job = pool.submit(pictures.read_picture, folder / image["file_name"], shape, kind)
        waiting.append((image, job))
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def _instances(image: dict, rows: list[dict], options: ScanOptions, report: Report, gate: Gate) -> dict:
    classes = {category_id: index + 1 for index, category_id in enumerate(options.category_ids)}
    judged = [(row, gate.admit(row)) for row in rows]
    judged = [(row, instance) for row, instance in judged if instance is not None and not instance.is_crowd]
    used, instances = [row for row, _ in judged], [instance for _, instance in judged]
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
