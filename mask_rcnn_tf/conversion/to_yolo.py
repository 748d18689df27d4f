"""YOLO as Ultralytics reads it: `images`, `labels` with a line an object, data.yaml.

Source: docs.ultralytics.com/datasets/segment; ultralytics `data/converter.py` (an object of several parts is one ring,
joined by lines without area).
"""

import pathlib

import numpy as np
import yaml

from mask_rcnn_tf.coco import contours, rle
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.segmentation import mask_runs, polygons
from mask_rcnn_tf.conversion import writing
from mask_rcnn_tf.conversion.image_folder import stem
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, LabelledObject, Report


def write(data: LabelledData, folder: pathlib.Path, report: Report):
    """Writes a data set with copies of the images.

    Args:
      data: of a reader.
      folder: a new or an empty one.
      report: gets what the format has no place for.

    Raises:
      ValueError: the folder is not empty.
    """
    writing.new_folder(folder)
    names = data.category_names()
    classes = {name: index for index, name in enumerate(names)}
    for image in writing.usable(data.images, report, "YOLO"):
        lines = []
        for item in image.objects:
            try:
                lines.append(f"{classes[item.category]} {_places(item, image, report)}")
            except Rejected as error:
                report.lose(error, item.where)
        writing.copy(image, folder / "images")
        text = "".join(f"{line}\n" for line in lines)
        writing.write_text(folder / "labels" / f"{stem(image.file_name)}.txt", text)
    content = {"train": "images", "val": "images", "names": dict(enumerate(names))}
    writing.write_text(folder / "data.yaml", yaml.safe_dump(content, allow_unicode=True, sort_keys=False))


def _places(item: LabelledObject, image: LabelledImage, report: Report) -> str:
    """The numbers of a line behind the class. Raises Rejected: the format has no place for the object."""
    if item.is_crowd:
        raise Rejected("region of several objects (a crowd), for which YOLO has no place")
    if item.keypoints:
        report.note("objects have keypoints, which are not written")
    sides = np.array([image.width, image.height])
    if item.segmentation is None:
        report.note("objects have a box alone, which stands beside polygons of others as a line of 4 numbers")
        x, y, width, height = item.box
        low, high = np.clip([x, y], 0, sides), np.clip([x + width, y + height], 0, sides)
        values = np.concatenate([(low + high) / 2, high - low]).reshape(-1, 2) / sides
    else:
        values = np.clip(_ring(item, image) / sides, 0, 1)
    return " ".join(f"{value:.6g}" for value in values.ravel())


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
