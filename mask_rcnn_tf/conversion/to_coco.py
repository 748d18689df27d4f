"""Labelled data as a COCO dictionary that training and scoring take as it is: every object is judged on the way."""

from mask_rcnn_tf.coco import judge, reader, rle
from mask_rcnn_tf.coco.errors import Rejected, printable
from mask_rcnn_tf.coco.segmentation import has_segmentation, polygons
from mask_rcnn_tf.conversion import outlines
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, LabelledObject, Report

DECIMALS = 3  # of coordinates: a thousandth of a pixel


def coco(data: LabelledData, report: Report, boxes_as_masks: bool = False) -> dict:
    """A COCO dictionary of labelled data.

    Args:
      data: of a reader; its objects are replaced by what was judged, and those that cannot be used taken out.
      report: gets the objects that cannot be used.
      boxes_as_masks: whether a box without a mask is the mask.

    Returns:
      Images and categories numbered from 1 in their order; `segmentation`, `bbox`, `area`, `iscrowd` of every object.

    Raises:
      ValueError: there is no image, or no object and no category.
    """
    names = data.category_names()
    if not data.images or not names:
        what = "images" if not data.images else "objects"
        lines = "; ".join(line.strip() for line in report.lines())
        folder = printable(data.images_folder, 200)
        raise ValueError(f"no {what} of '{folder}' were found that can be used{': ' if lines else ''}{lines}.")
    ids = {name: number for number, name in enumerate(names, 1)}
    num_keypoints = _num_keypoints(data, report)
    images, annotations = [], []
    for number, image in enumerate(data.images, 1):
        size = {"height": image.height, "width": image.width}
        images.append({"id": number, "file_name": image.file_name} | size)
        kept = []
        for item in image.objects:
            try:
                row = _row(item, image, num_keypoints, report, boxes_as_masks)
            except Rejected as error:
                report.lose(error, item.where)
                continue
            numbers = {"id": len(annotations) + 1, "image_id": number, "category_id": ids[item.category]}
            annotations.append(numbers | row)
            item.segmentation, item.keypoints = row.get("segmentation"), tuple(row.get("keypoints", ()))
            item.box = None if item.segmentation else row["bbox"]
            kept.append(item)
        image.objects = kept
    found = {"images": images, "annotations": annotations, "categories": [_category(ids[n], n, data) for n in names]}
    reader.check_structure(found)
    return found


def _category(number: int, name: str, data: LabelledData) -> dict:
    row = {"id": number, "name": name}
    if name in data.keypoints:
        named, skeleton = data.keypoints[name]
        row |= {"keypoints": named, "skeleton": skeleton}
    return row


def _num_keypoints(data: LabelledData, report: Report) -> int:
    """J; categories with another number of keypoints than the first lose theirs."""
    counts = {name: len(named) for name, (named, _) in data.keypoints.items() if named}
    first = next(iter(counts.values()), 0)
    for name in [name for name in data.keypoints if counts.get(name, 0) != first]:
        kind = "keypoints of a category that has another number of them than the first"
        report.lose(Rejected(kind, f"{counts.get(name, 0)}, not {first}"), f"category {name!r}")
        del data.keypoints[name]
    return first


def _row(item: LabelledObject, image: LabelledImage, num_keypoints: int, report: Report, as_masks: bool) -> dict:
    """The columns of an object. Raises Rejected: it cannot be trained on or scored."""
    row = {"segmentation": item.segmentation, "bbox": item.box, "iscrowd": int(item.is_crowd)}
    row = {key: value for key, value in row.items() if value is not None}
    if as_masks and item.box is not None and not has_segmentation(row):
        row["segmentation"] = [outlines.rectangle(item.box)]
    if len(item.keypoints) == 3 * num_keypoints > 0:
        row["keypoints"] = list(item.keypoints)
        row["num_keypoints"] = sum(value > 0 for value in item.keypoints[2::3])
    elif item.keypoints:
        report.note("objects have keypoints of another number than the file's, which are left out")
    size = {"height": image.height, "width": image.width}
    found = judge.judge(row, size, num_keypoints=num_keypoints or None)
    for repair in found.repairs:
        report.note(f"objects mended: {repair}")
    if has_segmentation(row):
        row["segmentation"] = _rounded(row["segmentation"])
    y1, x1, y2, x2 = found.box.tolist()
    row["bbox"] = [round(value, DECIMALS) for value in (x1, y1, x2 - x1, y2 - y1)]
    area = rle.area(found.runs) if len(found.runs) else row["bbox"][2] * row["bbox"][3]
    return row | {"area": round(area, DECIMALS)}


def _rounded(segmentation: list | dict) -> list | dict:
    if isinstance(segmentation, dict):
        return segmentation
    return [[round(float(value), DECIMALS) for value in part] for part in polygons(segmentation)]
