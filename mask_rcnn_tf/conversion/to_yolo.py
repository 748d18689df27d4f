"""YOLO as Ultralytics reads it: `images`, `labels` with a line an object, data.yaml.

Source: docs.ultralytics.com/datasets/segment; ultralytics `data/converter.py` (an object of several parts is one ring,
joined by lines without area).
"""

import pathlib
from collections.abc import Callable

import numpy as np
import yaml

from mask_rcnn_tf.coco import contours, rle
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.keypoints import KeypointSet
from mask_rcnn_tf.coco.segmentation import mask_runs, polygons
from mask_rcnn_tf.conversion import writing
from mask_rcnn_tf.conversion.image_folder import stem
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, LabelledObject, Report


def write(data: LabelledData, folder: pathlib.Path, report: Report):
    """Writes a data set of masks and boxes with copies of the images.

    Args:
      data: of a reader.
      folder: a new or an empty one.
      report: gets what the format has no place for.

    Raises:
      ValueError: the folder is not empty.
    """
    writing.new_folder(folder)
    _write_lines(data, folder, report, _places)
    _write_data_file(data, folder, {})


def write_poses(data: LabelledData, folder: pathlib.Path, report: Report):
    """Writes a data set of boxes and keypoints: lines of masks have no place for points. Args and Raises as `write`.

    Raises:
      ValueError: there are no keypoints.

    Source: docs.ultralytics.com/datasets/pose (kpt_shape, flip_idx, kpt_names; x, y and visibility of each).
    """
    with_some = {
        item.category: len(item.keypoints) // 3 for image in data.images for item in image.objects if item.keypoints
    }
    if not with_some:
        raise ValueError("to is 'yolo_pose', and no object has keypoints; allowed with it: data with keypoints.")
    count = next(iter(with_some.values()))  # `to_coco` leaves one
    writing.new_folder(folder)
    writing.note_skeletons(data, report)
    _write_lines(data, folder, report, lambda item, image, _: _pose(item, image, count, report))
    named = {name: writing.joint_names(data, name, count) for name in with_some}
    first = next(iter(named.values()))
    content = {"kpt_shape": [count, 3]}
    pairs = KeypointSet(count, tuple(first)).flip_pairs if all(names == first for names in named.values()) else ()
    if pairs:  # without, Ultralytics does not mirror images
        partners = dict(pairs) | {right: left for left, right in pairs}
        content["flip_idx"] = [partners.get(index, index) for index in range(count)]
    names = {index: list(named.get(name, first)) for index, name in enumerate(data.category_names())}
    _write_data_file(data, folder, content | {"kpt_names": names})


def _write_lines(data: LabelledData, folder: pathlib.Path, report: Report, places: Callable):
    classes = {name: index for index, name in enumerate(data.category_names())}
    for image in writing.usable(data.images, report, "YOLO"):
        lines = []
        for item in image.objects:
            try:
                if item.is_crowd:
                    raise Rejected("region of several objects (a crowd), for which YOLO has no place")
                numbers = " ".join(f"{value:.6g}" for value in places(item, image, report))
                lines.append(f"{classes[item.category]} {numbers}")
            except Rejected as error:
                report.lose(error, item.where)
        writing.copy(image, folder / "images")
        text = "".join(f"{line}\n" for line in lines)
        writing.write_text(folder / "labels" / f"{stem(image.file_name)}.txt", text)


def _write_data_file(data: LabelledData, folder: pathlib.Path, more: dict):
    content = {"train": "images", "val": "images", "names": dict(enumerate(data.category_names()))} | more
    writing.write_text(folder / "data.yaml", yaml.safe_dump(content, allow_unicode=True, sort_keys=False))


def _places(item: LabelledObject, image: LabelledImage, report: Report) -> list[float]:
    """The numbers of a line behind the class: a ring or a box. Raises Rejected: there is no place for the object."""
    if item.keypoints:
        report.note("objects have keypoints, which lines of masks have no place for: --to yolo_pose writes them")
    if item.segmentation is None:
        report.note("objects have a box alone, which stands beside polygons of others as a line of 4 numbers")
        return _box(item, image)
    return np.clip(_ring(item, image) / (image.width, image.height), 0, 1).ravel().tolist()


def _box(item: LabelledObject, image: LabelledImage) -> list[float]:
    """Centre and sides of a box as shares of the image's sides."""
    sides = np.array([image.width, image.height])
    low, high = np.clip(np.reshape(writing.corners(item, image), (2, 2)), 0, sides)
    return [*((low + high) / 2 / sides).tolist(), *((high - low) / sides).tolist()]


def _pose(item: LabelledObject, image: LabelledImage, count: int, report: Report) -> list[float]:
    """A box, and x, y and visibility of each keypoint: zeros of one that is not in the image."""
    if item.segmentation is not None:
        report.note("objects have masks, of which lines of poses have the box alone: --to yolo writes them")
    rows = np.reshape(item.keypoints or np.zeros(3 * count), (count, 3))
    places, seen = (rows[:, :2] + 0.5) / (image.width, image.height), rows[:, 2] > 0
    inside = ((places >= 0) & (places <= 1)).all(1)
    if outside := int((seen & ~inside).sum()):
        report.note("keypoints lie outside the image, where YOLO allows none: written as not there", outside)
    rows = np.where((seen & inside)[:, None], np.hstack([places, rows[:, 2:]]), 0)
    return [*_box(item, image), *rows.ravel().tolist()]


def _ring(item: LabelledObject, image: LabelledImage) -> np.ndarray:
    """One ring [n, 2] (x, y) that is the object's mask when it is filled."""
    size = (image.height, image.width)
    runs = mask_runs(item.segmentation, *size)
    if isinstance(item.segmentation, list):
        parts = polygons(item.segmentation)
        # Filled even-odd: what two parts share would be a hole.
        if len(parts) == 1 or sum(rle.area(mask_runs([part], *size, may_be_empty=True)) for part in parts) == rle.area(
            runs
        ):
            return contours.joined([np.reshape(part, (-1, 2)).astype(np.float64) for part in parts])
    crop, (y, x) = rle.crop(runs, *size)
    return contours.joined(contours.rings(crop)) + (x, y)
