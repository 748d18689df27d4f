"""LabelMe: a JSON file beside a copy of each image. Source: wkentaro/labelme, `labelme/label_file.py`."""

import base64
import io
import json
import pathlib

import numpy as np
from PIL import Image

from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.segmentation import polygons
from mask_rcnn_tf.conversion import writing
from mask_rcnn_tf.conversion.image_folder import stem
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, LabelledObject, Report

VERSION = "5.5.0"  # LabelMe compares the first digit; masks are known since the end of 2023
OCCLUDED = "occluded"  # flag of a point, as `from_labelme` has it; LabelMe itself has no word for it, and keeps flags


def write(data: LabelledData, folder: pathlib.Path, report: Report):
    """Writes a file an image. Args and Raises as `to_yolo.write`."""
    writing.new_folder(folder)
    writing.note_skeletons(data, report)
    for image in writing.usable(data.images, report, "LabelMe"):
        shapes = []
        for number, item in enumerate(image.objects, 1):
            try:
                shapes += _shapes(item, image, number)
                shapes += _points(item, number, data)
            except Rejected as error:
                report.lose(error, item.where)
        path = writing.copy(image, folder)
        content = {"version": VERSION, "flags": {}, "shapes": shapes, "imagePath": path.name, "imageData": None}
        content |= {"imageHeight": image.height, "imageWidth": image.width}
        writing.write_text(folder / f"{stem(image.file_name)}.json", json.dumps(content, ensure_ascii=False, indent=2))


def _shapes(item: LabelledObject, image: LabelledImage, number: int) -> list[dict]:
    """The shapes of an object; several, and its points, are one by their group_id. Raises Rejected: no place for it."""
    if item.is_crowd:
        raise Rejected("region of several objects (a crowd), for which LabelMe has no place")
    group = number if item.keypoints else None
    if item.segmentation is None:
        x, y, width, height = item.box
        return [_shape(item.category, "rectangle", [[x, y], [x + width, y + height]], group)]
    if isinstance(item.segmentation, dict):
        crop, (y, x) = writing.crop(item, image)
        corners = [[x, y], [x + crop.shape[1] - 1, y + crop.shape[0] - 1]]
        return [_shape(item.category, "mask", corners, group, mask=_png(crop))]
    parts = [np.reshape(part, (-1, 2)).tolist() for part in polygons(item.segmentation)]
    group = number if len(parts) > 1 else group
    return [_shape(item.category, "polygon", part, group) for part in parts]


def _points(item: LabelledObject, number: int, data: LabelledData) -> list[dict]:
    """The keypoints that are in the image, each labelled by its name; LabelMe counts from pixels' corners."""
    rows = np.reshape(item.keypoints, (-1, 3)).tolist()
    names = writing.joint_names(data, item.category, len(rows))
    return [
        _shape(name, "point", [[x + 0.5, y + 0.5]], number) | {"flags": {OCCLUDED: True} if seen == 1 else {}}
        for name, (x, y, seen) in zip(names, rows, strict=True)
        if seen
    ]


def _shape(label: str, kind: str, points: list, group: int | None, mask: str | None = None) -> dict:
    row = {"label": label, "points": points, "group_id": group, "description": ""}
    return row | {"shape_type": kind, "flags": {}, "mask": mask}


def _png(mask: np.ndarray) -> str:
    content = io.BytesIO()
    Image.fromarray(mask).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode("ascii")
