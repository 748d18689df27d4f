"""Files and questions that the tests of conversion share. Nothing here imports the package's own geometry."""

import json
import pathlib

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from mask_rcnn_tf.coco import gate, reader
from mask_rcnn_tf.conversion import formats, to_coco
from mask_rcnn_tf.conversion.labelled import Options, Report

ORIENTATION = 0x0112  # EXIF's tag


def photo(path, width=20, height=15, orientation=1):
    """A grey picture of a size; EXIF says how it is turned. Returns its path."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (width, height), (90, 90, 90))
    exif = Image.Exif()
    if orientation != 1:
        exif[ORIENTATION] = orientation
    image.save(path, exif=exif)
    return path


def write(path, content):
    """Text, bytes, or anything else as JSON. Returns its path."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def read(source, path, boxes_as_masks=False, **options):
    """(COCO dictionary that passes the gate, examples of what was lost by kind, notes) of a folder or file."""
    report = Report()
    if "images" in options:
        options["images"] = pathlib.Path(options["images"])
    data = formats.SOURCES[source].read(pathlib.Path(path), Options(**options), report)
    coco = json.loads(json.dumps(to_coco.coco(data, report, boxes_as_masks)))
    check(coco)
    return coco, dict(report.lost), report.notes


def check(coco):
    """The structure and every annotation are as training and scoring want them, nothing to be mended."""
    reader.check_structure(coco)
    judged = gate.Gate(coco, reader.keypoint_count(coco) or None, is_scored=False)
    for row in coco["annotations"]:
        assert judged.is_owned(row) and judged.admit(row), judged.bad
    assert not judged.repairs and not judged.contradictions() or judged.crowd == judged.admitted


def rows(coco, file_name):
    """The annotations of an image, in their order."""
    (image,) = [image for image in coco["images"] if image["file_name"] == file_name]
    return [row for row in coco["annotations"] if row["image_id"] == image["id"]]


def mask(coco, row):
    """The mask of an annotation by pycocotools, bool [h, w]."""
    (image,) = [image for image in coco["images"] if image["id"] == row["image_id"]]
    size = image["height"], image["width"]
    found = row["segmentation"]
    encoded = coco_mask.merge(coco_mask.frPyObjects(found, *size)) if isinstance(found, list) else found
    return coco_mask.decode(encoded).astype(bool)


def drawn(shape, *polygons):
    """Polygons filled by Pillow at eight times the size: a pixel counts where its centre is inside."""
    height, width = shape
    canvas = Image.new("1", (8 * width, 8 * height))
    for polygon in polygons:
        ImageDraw.Draw(canvas).polygon([8 * value - 0.5 for value in polygon], fill=1)
    return np.asarray(canvas)[4::8, 4::8]


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def categories(coco):
    return {row["id"]: row["name"] for row in coco["categories"]}
