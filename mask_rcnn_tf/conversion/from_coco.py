"""COCO's own format, to be written in another one."""

import pathlib

from mask_rcnn_tf.coco import categories, reader
from mask_rcnn_tf.coco.boxes import check_box
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.gate import Gate, refusal
from mask_rcnn_tf.coco.judge import is_crowd
from mask_rcnn_tf.coco.segmentation import has_segmentation
from mask_rcnn_tf.conversion.image_folder import ImageFolder
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledObject, Options, Report


def read(path: pathlib.Path, options: Options, report: Report) -> LabelledData:
    """Reads a COCO file; every annotation goes through the gate.

    Args:
      path: of the JSON file.
      options: `images`, or else the folder of the file.
      report: gets what is left out.

    Returns:
      Its images and objects, crowds too.

    Raises:
      ValueError: the file is not in COCO format, or contradicts itself.
    """
    coco = reader.read_annotations(path)
    gate = Gate(coco, reader.keypoint_count(coco) or None, is_scored=True)
    images = ImageFolder(options.images or path.parent)
    data = LabelledData(images.root)
    ids, names = categories.table(coco)
    data.categories, by_id = names, dict(zip(ids, names, strict=True))
    data.keypoints = {
        row["name"]: (row["keypoints"], row.get("skeleton") or []) for row in coco["categories"] if row.get("keypoints")
    }
    found = {}
    for row in coco["images"]:
        try:
            name = images.find(row["file_name"])
            found[row["id"]] = images.image(name, (row["height"], row["width"]))
        except Rejected as error:
            report.lose(error, f"image {row['id']} ({row['file_name']})")
    for row in coco["annotations"]:
        if gate.is_owned(row) and gate.admit(row) and row["image_id"] in found:
            image = found[row["image_id"]]
            image.objects.append(_object(row, gate, by_id[row["category_id"]], image.file_name))
    if gate.contradictions():
        raise ValueError(refusal(f"input '{path}'", gate.contradictions()))
    for record in gate.bad:
        report.lose(Rejected(record.kind, record.detail), f"annotation {record.annotation_id} ({record.file_name})")
    data.images = list(found.values())
    return data


def _object(row: dict, gate: Gate, category: str, file_name: str) -> LabelledObject:
    where = f"annotation {row.get('id')} ({file_name})"
    segmentation = row["segmentation"] if has_segmentation(row) else None
    box = None
    if segmentation is None:
        image = gate.images[row["image_id"]]
        y1, x1, y2, x2 = gate.verdict.form.corners(check_box(row["bbox"]), image["height"], image["width"]).tolist()
        box = [x1, y1, x2 - x1, y2 - y1]
    keypoints = tuple(row.get("keypoints") or ())
    return LabelledObject(category, where, segmentation, box, keypoints, is_crowd(row))
