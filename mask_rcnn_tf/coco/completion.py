"""Annotations as pycocotools needs them: judged, with all fields that files may lack."""

import dataclasses

import numpy as np

from mask_rcnn_tf.coco import categories, lvis, reader, rle
from mask_rcnn_tf.coco.boxes import check_box
from mask_rcnn_tf.coco.errors import listed
from mask_rcnn_tf.coco.gate import Gate, refusal
from mask_rcnn_tf.coco.judge import STRAY_PART, Instance, is_area, is_number
from mask_rcnn_tf.coco.segmentation import has_segmentation, polygons

EXACT = 2**53  # COCOeval keeps ids as float64


def complete(
    coco: dict, *, num_keypoints: int | None = None, need_mask: bool = False, where: str = "ground_truth"
) -> tuple[dict, list[str]]:
    """Judges every annotation, crowds too, mends what can be mended and fills in what is missing.

    Args:
      coco: a COCO-format dict; it is not changed.
      num_keypoints: J, where keypoints are scored: annotations without get J zeros.
      need_mask: whether a box alone is not enough.
      where: what the dict is, in messages.

    Returns:
      A copy, and lines about what was mended or is odd. `iscrowd`, `area` and `bbox` (and `keypoints`, `num_keypoints`)
      are filled in where they are missing or null; annotations are numbered from 1 unless their ids are different whole
      numbers above 0 (COCOeval takes id 0 for "no match").

    Raises:
      ValueError: the file contradicts itself or lacks what LVIS's files have, or the judge rejects annotations; all of
        them are named. A row less is another score, so none is left out here.
    """
    try:
        lvis.check_federated(coco)
    except ValueError as error:
        raise ValueError(f"{where} is not in LVIS format: {error}.") from None
    gate = Gate(coco, num_keypoints, need_mask, is_scored=True)
    rows = _judged(coco, gate)
    if gate.contradictions():
        raise ValueError(refusal(where, gate.contradictions()))
    if len(gate.bad) == 1:
        raise ValueError(f"{where}: {dataclasses.replace(gate.bad[0], file_name='')}.")
    if gate.bad:
        raise ValueError(
            f"{where}: {len(gate.bad)} of {len(coco['annotations'])} annotations cannot be scored:\n{listed(gate.bad)}"
        )
    tables = {"categories": categories.without_shadows(coco), "annotations": numbered(rows)}
    return {"info": {}} | coco | tables, gate.notes()


def usable(coco: dict) -> tuple[dict, int]:
    """What of a file can be trained on and scored, mended and complete.

    Args:
      coco: a COCO-format dict; it is not changed.

    Returns:
      A copy, and how many annotations it lacks. Where there are masks it has no annotation without.

    Raises:
      ValueError: the file contradicts itself.
    """
    need_mask = any(map(has_segmentation, coco["annotations"]))
    gate = Gate(coco, reader.keypoint_count(coco) or None, need_mask)
    rows = [row for row in _judged(coco, gate) if has_segmentation(row) or not need_mask]
    if gate.contradictions():
        raise ValueError(refusal("annotations", gate.contradictions()))
    tables = {"categories": categories.without_shadows(coco), "annotations": numbered(rows)}
    return coco | tables, len(coco["annotations"]) - len(rows)


def _judged(coco: dict, gate: Gate) -> list[dict]:
    """The annotations that a gate admits, complete."""
    rows = []
    for row in coco["annotations"]:
        instance = gate.admit(row) if gate.is_owned(row) else None
        if instance is not None:
            rows.append(_completed(row, instance, gate.num_keypoints))
    return rows


def numbered(rows: list[dict]) -> list[dict]:
    """The rows, numbered from 1 unless their ids are different whole numbers above 0."""
    ids = [row.get("id") for row in rows]
    if all(isinstance(value, int) and 0 < value < EXACT for value in ids) and len(set(ids)) == len(rows):
        return rows
    return [row | {"id": index} for index, row in enumerate(rows, start=1)]


def _completed(row: dict, instance: Instance, num_keypoints: int | None) -> dict:
    """A copy of an annotation with all fields, as it was judged."""
    row = row | {"iscrowd": int(instance.is_crowd)}
    if "segmentation" in row and not has_segmentation(row):
        row["segmentation"] = []
    y1, x1, y2, x2 = instance.box.tolist()
    # As the file has it where that is right: pycocotools scores boxes that reach out of the image.
    row["bbox"] = check_box(row["bbox"]).tolist() if instance.box_is_stated else [x1, y1, x2 - x1, y2 - y1]
    if STRAY_PART in instance.repairs:
        row["segmentation"] = polygons(row["segmentation"])
    if isinstance(row.get("segmentation"), dict):  # as it was judged, whatever its counts and size are written in
        row["segmentation"] = rle.encode(instance.runs, *map(int, row["segmentation"]["size"]))
    if not is_area(row.get("area")):
        masked = has_segmentation(row)
        row["area"] = rle.area(instance.runs) if masked else row["bbox"][2] * row["bbox"][3]
    if num_keypoints:
        row["keypoints"] = row.get("keypoints") or [0] * (3 * num_keypoints)
        if not is_number(row.get("num_keypoints")):
            row["num_keypoints"] = int(np.count_nonzero(row["keypoints"][2::3]))
    return row
