"""Label Studio: the exports called JSON and JSON-MIN, lists of tasks.

Places are in percent of the image that each result names the size of (`original_width`, `original_height`), which says
whether they are of the turned or the stored pixels.

Source: labelstud.io/guide/task_format and /tags (polygonlabels, rectanglelabels, ellipselabels, brushlabels);
label-studio-converter, `utils.py` (a rectangle is turned clockwise around its upper left corner), `brush.py`.
"""

import pathlib
import posixpath
import re
import urllib.parse
from collections import defaultdict
from typing import Any

import numpy as np

from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import brush, joints, label_studio_joints, outlines
from mask_rcnn_tf.conversion.image_folder import SUFFIXES, ImageFolder
from mask_rcnn_tf.conversion.joints import Joint
from mask_rcnn_tf.conversion.label_studio_tasks import Task, label_key, read_tasks
from mask_rcnn_tf.conversion.labelled import (
    LabelledData,
    LabelledImage,
    LabelledObject,
    Options,
    Report,
    category_name,
    stated_shape,
)

UPLOADED = re.compile(r"[0-9a-f]{8}-")  # before the name of a file that was uploaded


def read(path: pathlib.Path, options: Options, report: Report) -> LabelledData:
    """Reads an export of Label Studio.

    Args:
      path: the JSON file.
      options: `images`, or else the folder of the file.
      report: gets what is left out.

    Returns:
      The images of tasks that somebody has finished, those without regions too.

    Raises:
      ValueError: the file is not such an export.
    """
    tasks = read_tasks(path, report)
    images = ImageFolder(options.images or path.parent)
    data = LabelledData(images.root)
    owned: list[tuple[LabelledObject, Joint]] = []
    for task in tasks:
        try:
            image = images.image(_found(task.data, images), _stated(task.rows))
        except Rejected as error:
            report.lose(error, task.where)
            continue
        owned += _fill(image, task, report)
        data.images.append(image)
    joints.attach(owned, data, report)
    return data


def _fill(image: LabelledImage, task: Task, report: Report) -> list[tuple[LabelledObject, Joint]]:
    """Gives an image its objects; returns their keypoints."""
    regions: dict[str, list[LabelledObject]] = defaultdict(list)
    points: list[tuple[dict, Joint]] = []
    for place, row in enumerate(task.rows, 1):
        if row.get("type") == label_studio_joints.RELATION:
            continue
        where = f"{task.where} ({image.file_name}): region {place} ({shown(row.get('id', place)):.40})"
        try:
            name = _label(row, image)
            if label_studio_joints.is_keypoint(row["value"]):
                points.append((row, label_studio_joints.joint(row["value"], name, image, where)))
                continue
            segmentation, box = _shape(row["value"], label_key(row["value"]), (image.height, image.width))
            image.objects.append(LabelledObject(name, where, segmentation, box))
            if key := label_studio_joints.key(row):
                regions[key].append(image.objects[-1])
        except Rejected as error:
            report.lose(error, where)
    return label_studio_joints.owned(points, task, regions, image, report)


def _stated(rows: list[dict]) -> tuple[int, int] | None:
    shapes = [stated_shape(row.get("original_height"), row.get("original_width")) for row in rows]
    return next(filter(None, shapes), None)


def _found(data: Any, images: ImageFolder) -> str:
    """The image of a task, whose address has the name that it was uploaded, served or stored by."""
    texts = [value for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    names = {name: None for text in texts for name in _names(text) if name.lower().endswith(SUFFIXES)}
    first = None
    for name in names:
        try:
            return images.find(name)
        except Rejected as error:
            first = first or error
    raise first or Rejected("task without an image", f"its data is {shown(data):.60}")


def _names(text: str) -> list[str]:
    """What a file of an address may be called here, the likeliest first."""
    address = urllib.parse.urlsplit(text) if "://" in text or text.startswith("/data/") else None
    path = urllib.parse.unquote(address.path) if address else text
    if address and "local-files" in address.path:
        path = urllib.parse.parse_qs(address.query).get("d", [path])[0]
    base = posixpath.basename(path.replace("\\", "/"))
    return [path, base, UPLOADED.sub("", base, count=1)]


def _label(row: dict, image: LabelledImage) -> str:
    """The label of a region of the image. Raises Rejected: it is none."""
    key = label_key(row.get("value"))
    if not key:
        raise Rejected(f"result of type {shown(row.get('type')):.40}, which is no region with a label")
    labels = row["value"][key]
    if not isinstance(labels, list) or len(labels) != 1:
        raise Rejected("region with several labels or none", f"it has {shown(labels):.60}; allowed: one")
    if row.get("image_rotation") not in (None, 0):
        raise Rejected("region on an image that was turned in Label Studio", f"{shown(row['image_rotation']):.20}")
    if stated_shape(row.get("original_height"), row.get("original_width")) not in (None, (image.height, image.width)):
        raise Rejected("region of an image of another size than the task's")
    return category_name(labels[0])


def _shape(value: dict, key: str, shape: tuple[int, int]) -> tuple[list | dict | None, list[float] | None]:
    """COCO's segmentation of a region, or else its box. Raises Rejected: it is neither."""
    percent = np.array([shape[1], shape[0]]) / 100
    if "points" in value:
        corners = outlines.points(value["points"]) * percent
        return [outlines.polygon(corners.tolist())], None
    if "rle" in value:
        return outlines.windowed(brush.mask(value["rle"], shape), (0, 0), shape), None
    degrees = outlines.values({"rotation": value.get("rotation", 0)}, ("rotation",), key)[0]
    if "radiusX" in value:
        x, y, rx, ry = outlines.values(value, ("x", "y", "radiusX", "radiusY"), key) * np.tile(percent, 2)
        return [outlines.ellipse((x, y), (rx, ry), float(np.radians(degrees)))], None
    if "height" in value:
        box = (outlines.values(value, ("x", "y", "width", "height"), key) * np.tile(percent, 2)).tolist()
        return ([outlines.rectangle(box, degrees, (box[0], box[1]))], None) if degrees else (None, box)
    raise Rejected(f"region of type {key!r}, which has no area")
