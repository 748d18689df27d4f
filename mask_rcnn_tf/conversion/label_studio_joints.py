"""Label Studio's keypoints: whose they are.

A keypoint belongs to the region that it hangs below in Label Studio's tree (`parentID`), else to that with which a
relation joins it, else to the only region that it lies in. Label Studio's own YOLO export takes `parentID` alone; its
COCO export makes one object of all keypoints of an image. It knows no visibility: a keypoint that was set is visible.

Source: labelstud.io/tags/keypointlabels and /guide/export (KeyPointLabels); label-studio-sdk, `converter/keypoints.py`,
`converter/exports/yolo.py` (`process_keypoints_for_yolo`).
"""

from collections import defaultdict

import numpy as np

from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import outlines
from mask_rcnn_tf.conversion.joints import Areas, Joint
from mask_rcnn_tf.conversion.label_studio_tasks import Task, label_key
from mask_rcnn_tf.conversion.labelled import LabelledImage, LabelledObject, Report

RELATION = "relation"


def is_keypoint(value: dict) -> bool:
    """Whether the value of a result is a point: it is labelled as one, or by a tag of its own and has no area."""
    has_area = bool({"height", "radiusX", "points", "rle"} & set(value))
    named = label_key(value)
    return {"x", "y"} <= set(value) and (named == "keypointlabels" or (named == "labels" and not has_area))


def owned(
    points: list[tuple[dict, Joint]],
    task: Task,
    regions: dict[str, list[LabelledObject]],
    image: LabelledImage,
    report: Report,
) -> list[tuple[LabelledObject, Joint]]:
    """The keypoints of an image with the object of each.

    Args:
      points: results that are keypoints, read.
      task: with its relations.
      regions: objects by the id of their result, as `key` has it.
      image: with its objects.
      report: gets the keypoints whose object cannot be told, and relations of other things.

    Returns:
      Pairs of an object and a keypoint.
    """
    related = _related(task, {key(row) for row, _ in points}, regions, report)
    areas, found = None, []
    for row, joint in points:
        try:
            item = _tied(row, related, regions)
            if item is None:
                areas = areas or Areas(image)
                item = areas.owner(joint.x, joint.y)
            found.append((item, joint))
        except Rejected as error:
            report.lose(error, joint.where)
    return found


def _related(task: Task, points: set[str], regions: dict, report: Report) -> dict[str, dict[str, None]]:
    """The regions, in their order, that relations join with each keypoint."""
    related = defaultdict(dict)
    for row in task.rows:
        if row.get("type") == RELATION:
            ends = key(row, "from_id"), key(row, "to_id")
            tied = [(point, region) for point, region in (ends, ends[::-1]) if point in points and region in regions]
            for point, region in tied:
                related[point][region] = None
            if not tied:
                report.lose(Rejected("relation of other things than a keypoint and a region"), task.where)
    return related


def key(row: dict, name: str = "id") -> str:
    """An id that a result has; "" where it has none."""
    return "" if row.get(name) is None else repr(row[name])


def _tied(row: dict, related: dict[str, dict], regions: dict[str, list[LabelledObject]]) -> LabelledObject | None:
    """The object that a keypoint is tied to; None where it is tied to none. Raises Rejected: to none that was read."""
    parent = key(row, "parentID")
    ties = [parent] if parent else list(related.get(key(row), ()))
    if not ties:
        return None
    items = {id(item): item for tie in ties for item in regions.get(tie, ())}
    if len(items) != 1:
        kind = "several objects" if items else "a region that is no object here"
        raise Rejected(f"keypoint tied to {kind}", f"parentID or relation: {', '.join(ties):.80}")
    return next(iter(items.values()))


def joint(value: dict, name: str, image: LabelledImage, where: str) -> Joint:
    """A keypoint, whose place is in percent of the image. Raises Rejected: it is no place."""
    x, y = np.array(outlines.values(value, ("x", "y"), "keypoint")) * (image.width, image.height) / 100
    return Joint(name, float(x), float(y), where)
