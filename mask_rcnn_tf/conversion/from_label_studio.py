"""Label Studio: the export called JSON, a list of tasks.

Places are in percent of the image that each result names the size of (`original_width`, `original_height`), which says
whether they are of the turned or the stored pixels.

Source: labelstud.io/guide/task_format and /tags (polygonlabels, rectanglelabels, ellipselabels, brushlabels);
label-studio-converter, `utils.py` (a rectangle is turned clockwise around its upper left corner), `brush.py`.
"""

import pathlib
import posixpath
import re
import urllib.parse
from typing import Any

import numpy as np

from mask_rcnn_tf import strict_json
from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import brush, outlines
from mask_rcnn_tf.conversion.image_folder import SUFFIXES, ImageFolder
from mask_rcnn_tf.conversion.labelled import (
    LabelledData,
    LabelledImage,
    LabelledObject,
    Options,
    Report,
    category_name,
    stated_shape,
)

MOST_BYTES = 2**30  # brushes are lists of numbers
UPLOADED = re.compile(r"[0-9a-f]{8}-")  # before the name of a file that was uploaded
LABELS = ("polygonlabels", "rectanglelabels", "ellipselabels", "brushlabels", "keypointlabels", "labels")
SEVERAL = "tasks have several annotations, of which one is taken: the ground truth, or else the first"


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
    tasks = strict_json.read(path, "input", None, MOST_BYTES)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise ValueError(f"input is '{path}', which is no list of tasks; allowed: Label Studio's export as JSON.")
    if tasks and not any("annotations" in task or "completions" in task for task in tasks):
        raise ValueError(
            f"input is '{path}' without annotations; allowed: Label Studio's export as JSON, not JSON-MIN."
        )
    images = ImageFolder(options.images or path.parent)
    data = LabelledData(images.root)
    for number, task in enumerate(tasks, 1):
        where = f"task {shown(task.get('id', number)):.40}"
        try:
            regions = _regions(_annotation(task, report))
            image = images.image(_found(task, images), _stated(regions))
        except Rejected as error:
            report.lose(error, where)
            continue
        for place, region in enumerate(regions, 1):
            here = f"{where} ({image.file_name}): region {place} ({shown(region.get('id', place)):.40})"
            try:
                image.objects.append(_object(region, image, here))
            except Rejected as error:
                report.lose(error, here)
        data.images.append(image)
    return data


def _annotation(task: dict, report: Report) -> dict:
    """What one person said of a task. Raises Rejected: nobody has finished it."""
    found = task.get("annotations", task.get("completions"))
    found = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    finished = [row for row in found if not row.get("was_cancelled")]
    if not finished:
        raise Rejected("task without a finished annotation, taken as not labelled")
    if len(finished) > 1:
        report.note(SEVERAL)
    return next((row for row in finished if row.get("ground_truth")), finished[0])


def _regions(annotation: dict) -> list[dict]:
    """The results of an annotation; those without a label beside one of the same id that has it are the same region."""
    results = annotation.get("result")
    if not isinstance(results, list) or not all(isinstance(row, dict) for row in results):
        raise Rejected("annotation whose result is no list of tables", f"it is {shown(results):.60}")
    labelled = {repr(row.get("id")) for row in results if _label_key(row.get("value"))}
    return [row for row in results if _label_key(row.get("value")) or repr(row.get("id")) not in labelled]


def _label_key(value: Any) -> str:
    return next((key for key in LABELS if key in value), "") if isinstance(value, dict) else ""


def _stated(regions: list[dict]) -> tuple[int, int] | None:
    shapes = [stated_shape(row.get("original_height"), row.get("original_width")) for row in regions]
    return next(filter(None, shapes), None)


def _found(task: dict, images: ImageFolder) -> str:
    """The image of a task, whose address has the name that it was uploaded, served or stored by."""
    data = task.get("data")
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


def _object(region: dict, image: LabelledImage, where: str) -> LabelledObject:
    value = region.get("value")
    key = _label_key(value)
    if not key:
        raise Rejected(f"result of type {shown(region.get('type')):.40}, which is no region with a label")
    labels = value[key]
    if not isinstance(labels, list) or len(labels) != 1:
        raise Rejected("region with several labels or none", f"it has {shown(labels):.60}; allowed: one")
    if region.get("image_rotation") not in (None, 0):
        raise Rejected("region on an image that was turned in Label Studio", f"{shown(region['image_rotation']):.20}")
    shape = (image.height, image.width)
    if stated_shape(region.get("original_height"), region.get("original_width")) not in (None, shape):
        raise Rejected("region of an image of another size than the task's")
    segmentation, box = _shape(value, key, shape)
    return LabelledObject(category_name(labels[0]), where, segmentation, box)


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
